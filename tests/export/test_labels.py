from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_sam2.export.formats import export_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.export.source import LabelSource
from napari_sam2.stacks import open_stack
from napari_sam2.tracking.errors import InputError, OutputError
from napari_sam2.tracking.masklets import Masklets

SUFFIXES = (".tif", ".zarr")


def write_labels(path: Path, labels: Any, axes: str = "TYX", **given: Any) -> None:
    """Write a label image; the suffix says which."""
    export_masklets(path, labels, axes=axes, **given)


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, (4, 9, 11)).astype(np.uint16)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_with_axes_scale_and_unit(
    labels: np.ndarray, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / "new folder" / f"out{suffix}"
    scale = {"Z": 2.5, "Y": 0.25, "X": 0.125}
    write_labels(path, labels, "ZYX", scale=scale, unit="micrometer")
    read = read_labels(path)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, labels)
    stack = open_stack(path)
    assert (stack.axes, stack.scale, stack.unit) == ("ZYX", scale, "micrometer")
    assert [p.name for p in path.parent.iterdir()] == [path.name]

    write_labels(path, labels, scale={"T": 30.0}, overwrite=True)
    stack = open_stack(path)
    assert (stack.axes, stack.unit) == ("TYX", None)
    assert stack.scale == {"T": 30.0, "Y": 1.0, "X": 1.0}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint32, bool])
def test_every_integer_type(suffix: str, dtype: Any, tmp_path: Path) -> None:
    labels = (np.arange(60).reshape(3, 4, 5) % 2).astype(dtype)
    write_labels(tmp_path / f"a{suffix}", labels)
    np.testing.assert_array_equal(read_labels(tmp_path / f"a{suffix}"), labels)
    if np.dtype(dtype).itemsize >= 4:
        labels[1, 1, 1] = 100_000
        write_labels(tmp_path / f"b{suffix}", labels)
        assert read_labels(tmp_path / f"b{suffix}")[1, 1, 1] == 100_000


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_frame_and_one_image(labels: np.ndarray, suffix: str, tmp_path: Path) -> None:
    write_labels(tmp_path / f"frame{suffix}", labels[:1])
    write_labels(tmp_path / f"image{suffix}", labels[0], "YX")
    for name in ("frame", "image"):
        np.testing.assert_array_equal(read_labels(tmp_path / f"{name}{suffix}"), labels[:1])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_masklets_are_read_frame_by_frame(
    labels: np.ndarray, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masklets = Masklets(labels.shape, store=tmp_path / "store.zarr")
    for frame, image in enumerate(labels):
        masklets[frame] = image
    monkeypatch.delattr(Masklets, "__array__")
    write_labels(tmp_path / f"a{suffix}", masklets)
    np.testing.assert_array_equal(read_labels(tmp_path / f"a{suffix}"), labels)


def test_files_are_what_others_expect(labels: np.ndarray, tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", labels, unit="nanometer")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_ome
        assert len(tiff.pages) == 4
        assert tiff.pages[0].compression.name == "ADOBE_DEFLATE"
        assert 'PhysicalSizeXUnit="nm"' in tiff.ome_metadata
    write_labels(tmp_path / "a.zarr", labels)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5"
    assert "image-label" in ome
    assert [axis["type"] for axis in ome["multiscales"][0]["axes"]] == ["time", "space", "space"]
    assert group["0"].chunks == (1, 9, 11)


@pytest.mark.parametrize(("most", "big"), [(4 * 9 * 11 * 2, False), (4 * 9 * 11 * 2 - 1, True)])
def test_what_a_classic_tiff_has_no_room_for_becomes_a_big_one(
    most: int, big: bool, labels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam2.export.labels._CLASSIC_TIFF", most)
    write_labels(tmp_path / "a.tif", labels)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_bigtiff == big


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_overwritten_unasked(labels: np.ndarray, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_labels(path, labels)
    with pytest.raises(InputError, match="exists already"):
        write_labels(path, labels[:2])
    write_labels(path, labels[:2], overwrite=True)
    assert len(read_labels(path)) == 2


def test_what_is_not_ours_is_never_deleted(labels: np.ndarray, tmp_path: Path) -> None:
    for name in ("a.zarr", "a.tif"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.doc").touch()
        with pytest.raises(InputError, match="something else than labels"):
            write_labels(tmp_path / name, labels, overwrite=True)
        assert (tmp_path / name / "thesis.doc").exists()


@pytest.mark.parametrize(
    ("labels", "axes", "name", "message"),
    [
        (np.zeros((2, 3, 4), int), "XYT", "a.tif", "give the axes TYX or ZYX"),
        (np.zeros((3, 4), int), "TYX", "a.tif", "give the axes YX"),
        (np.zeros((2, 2, 3, 4), int), "TZYX", "a.tif", r"they are \(T, Y, X\), \(Z, Y, X\) or"),
        (np.zeros((2, 3, 4)), "TYX", "a.tif", "must be integers"),
        (np.zeros((0, 3, 4), int), "TYX", "a.tif", "are empty"),
        (np.zeros((2, 3, 4), int), "TYX", "a.png", "choose one"),
        (np.full((2, 3, 4), -1), "TYX", "a.tif", "in frame 0 cannot be written"),
        (np.full((2, 3, 4), 2**33), "TYX", "a.zarr", "in frame 0 cannot be written"),
    ],
)
def test_unusable_labels(
    labels: np.ndarray, axes: str, name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        write_labels(tmp_path / name, labels, axes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_says_so_and_keeps_what_was_there(
    labels: np.ndarray, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    write_labels(path, labels)

    def full(*_: Any) -> Iterator[np.ndarray]:
        yield labels[0]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LabelSource, "planes", full)
    with pytest.raises(OutputError, match="no space left on the disk; free some"):
        write_labels(path, labels, overwrite=True)
    np.testing.assert_array_equal(read_labels(path), labels)
    assert len(list(tmp_path.iterdir())) == 1


def test_reading_what_is_no_label_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "f.tif", np.zeros((3, 5, 6), np.float32))
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((5, 6, 3), np.uint8), photometric="rgb")
    with pytest.raises(InputError, match=r"f\.tif is of dtype float32"):
        read_labels(tmp_path / "f.tif")
    with pytest.raises(InputError, match=r"c\.tif is an RGB image"):
        read_labels(tmp_path / "c.tif")


def test_reads_label_images_of_others(dev_data: Path, formats_data: Path) -> None:
    silver = read_labels(formats_data / "ctc_hela_head" / "01_ST" / "SEG")
    assert silver.shape == (5, 700, 1100)
    assert silver.max() > 1
    truth = read_labels(dev_data / "motile_phase" / "masks.tif")
    assert truth.shape == (10, 234, 234)
