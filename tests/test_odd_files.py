"""Files that are not what they say, and places that are somebody else's."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam2 import demo
from napari_sam2.batch import TrackJob
from napari_sam2.export.converting import convert
from napari_sam2.export.files import check_apart
from napari_sam2.export.formats import export_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.readers.tiff import read_tiff
from napari_sam2.stacks import open_stack
from napari_sam2.tracking.errors import InputError

STACK = np.random.default_rng(0).integers(0, 255, (12, 40, 50)).astype(np.uint8)


@pytest.mark.parametrize("options", [{"ome": True}, {"imagej": True}, {"compression": "zlib"}])
def test_a_tiff_that_was_cut_short_is_told(tmp_path: Path, options, recwarn) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": "TYX"}, **options)
    assert open_stack(path).data.shape == STACK.shape
    assert not recwarn
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(UserWarning, match=r"a\.tif was cut short: only \d+ .*copy it again"):
        open_stack(path)


@pytest.mark.parametrize(
    ("shape", "axes", "part", "left", "said"),
    [
        ((12, 40, 50), "TYX", 0.45, (5, 40, 50), "5 of 12 images"),
        ((12, 40, 50), "TYX", 0.1, (1, 40, 50), "1 of 12 images"),
        ((3, 4, 40, 50), "TZYX", 0.7, (2, 4, 40, 50), "8 of 12 images"),
        ((3, 4, 40, 50), "TZYX", 0.3, (1, 3, 40, 50), "3 of 12 images"),
    ],
)
def test_what_is_left_of_a_tiff_is_read(
    tmp_path: Path, shape: tuple[int, ...], axes: str, part: float, left: tuple[int, ...], said: str
) -> None:
    """Of one description before all data, by which tifffile leaves them as they are in memory."""
    path = tmp_path / "a.tif"
    data = STACK.reshape(shape).astype(">u2")
    tifffile.imwrite(path, data, byteorder=">", photometric="minisblack", metadata={"axes": axes})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.warns(UserWarning, match=f"only {said} can be read"):
        raw = read_tiff(path)
    np.testing.assert_array_equal(raw.data, data[tuple(map(slice, left))])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cut short within its first image; copy it again"):
        read_tiff(path)


@pytest.mark.parametrize("part", [0.5, 0.98])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_page_that_was_cut_is_not_read(
    tmp_path: Path, compression: str | None, part: float
) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:  # a description before each image
        for frame in STACK:
            tiff.write(frame, contiguous=False, compression=compression, metadata=None)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.warns(UserWarning, match=r"only (5|11 of 12) images can be read"):
        data = open_stack(path, "TYX").data
    assert len(data) == (5 if part < 0.9 else 11)
    np.testing.assert_array_equal(data, STACK[: len(data)])


@pytest.mark.parametrize("shape", [(3, 2, 40, 50), (4, 40, 50, 3)])
def test_a_whole_tiff_is_not(tmp_path: Path, shape: tuple[int, ...], recwarn) -> None:
    data = np.zeros(shape, np.uint8)
    axes = "TYXS" if shape[-1] == 3 else "TCYX"
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, metadata={"axes": axes})
    tifffile.imwrite(tmp_path / "b.tif", data, imagej=True, metadata={"axes": axes})
    with tifffile.TiffWriter(tmp_path / "c.tif") as tiff:  # a page after the other
        for frame in data.reshape(-1, 40, 50):
            tiff.write(frame, contiguous=False, compression="zlib", metadata=None)
    open_stack(tmp_path / "c.tif", "TYX")
    for name in ("a.ome.tif", "b.tif"):
        open_stack(tmp_path / name, channel=None if axes.endswith("S") else 0)
    assert not [w for w in recwarn if issubclass(w.category, UserWarning)]


def test_images_of_another_kind_in_a_folder_are_told(tmp_path: Path) -> None:
    for n in range(3):
        Image.fromarray(STACK[n]).save(tmp_path / f"a{n}.png")
    tifffile.imwrite(tmp_path / "b1.tif", STACK[0])
    assert open_stack(tmp_path).data.shape == (3, 40, 50)
    tifffile.imwrite(tmp_path / "b2.tif", STACK[0])
    with pytest.warns(UserWarning, match="of 5 images, 2 of another kind than PNG are left out"):
        assert open_stack(tmp_path).data.shape == (3, 40, 50)


def test_nothing_is_written_among_the_images_that_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", STACK[0])
    with pytest.raises(InputError, match="would be read with the images of frames"):
        check_apart(folder / "out.tif", folder)
    for name in ("quality.csv", "cells.ns2.json", "01_RES"):  # no images
        check_apart(folder / name, folder)
    check_apart(tmp_path / "out.tif", folder)


def test_a_demonstration_replaces_its_own_files_only(tmp_path: Path) -> None:
    mine = tmp_path / "results"
    mine.mkdir()
    (mine / "prompts.json").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match=r"has a file prompts\.json of other origin"):
        demo.run(None, mine, gui=False)
    assert (mine / "prompts.json").read_text(encoding="utf-8") == "mine"
    assert list(mine.iterdir()) == [mine / "prompts.json"]
    demo._check_ours(tmp_path / "none")
    (mine / "preview.gif").touch()  # of an earlier demonstration
    demo._check_ours(mine)


def test_an_image_in_the_place_of_labels_is_told(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, metadata={"axes": "TYX"})
    labels = np.kron(np.arange(1, 101).reshape(10, 10), np.ones((4, 5), int)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    image = np.arange(2000, dtype=np.uint16).reshape(40, 50) // 4
    tifffile.imwrite(tmp_path / "image.tif", image)
    noise = np.random.default_rng(0).normal(90, 15, (40, 50))  # eight bits: many of each value
    tifffile.imwrite(tmp_path / "noise.tif", noise.clip(1, 255).astype(np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        job = TrackJob.open(tmp_path / "a.tif", tmp_path / "labels.tif", tmp_path / "out.tif")
    assert len(job.prompts) == 100
    with pytest.warns(UserWarning, match="is it an image and not one of labels"):
        TrackJob.open(tmp_path / "a.tif", tmp_path / "noise.tif", tmp_path / "out.tif")
    with pytest.warns(UserWarning, match="is it an image and not one of labels"):
        TrackJob.open(tmp_path / "a.tif", tmp_path / "image.tif", tmp_path / "out.tif")
    with pytest.warns(UserWarning, match="is it an image and not one of labels"):
        convert(tmp_path / "image.tif", tmp_path / "out.zarr")


def test_nothing_is_written_into_a_zarr(tmp_path: Path) -> None:
    labels = np.ones((2, 3, 4), np.uint16)
    export_masklets(tmp_path / "a.zarr", labels)
    for name in ("x.tif", "0/x.csv", "new/01_RES"):
        with pytest.raises(InputError, match=r"is in a\.zarr, an OME-Zarr; choose another place"):
            export_masklets(tmp_path / "a.zarr" / name, labels)
    assert sorted(p.name for p in (tmp_path / "a.zarr").iterdir()) == ["0", "zarr.json"]


def test_what_a_stopped_deletion_left_is_in_nobodys_way(tmp_path: Path) -> None:
    labels = np.ones((2, 3, 4), np.uint16)
    export_masklets(tmp_path / "a.zarr", labels)
    (tmp_path / ".a.old.zarr").mkdir()
    (tmp_path / ".a.old.zarr" / "part").touch()
    export_masklets(tmp_path / "a.zarr", 2 * labels, overwrite=True)
    assert read_labels(tmp_path / "a.zarr").min() == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
