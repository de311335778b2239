"""A plane of images with further axes, for every command whose messages ask to select one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sam2 import demo
from napari_sam2.batch import TrackJob
from napari_sam2.export.converting import convert
from napari_sam2.export.formats import export_masklets, open_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.stacks import axes_of, shared_out
from napari_sam2.tracking.errors import InputError
from tests.commands import refused, run
from tests.tracking.toy import toy_model

TIMES, DEPTH, SIZE = 3, 4, 48


@pytest.fixture
def labels() -> np.ndarray:
    """A cell that moves down with z and right with time (T, Z, Y, X)."""
    y, x = np.mgrid[:SIZE, :SIZE]
    labels = np.zeros((TIMES, DEPTH, SIZE, SIZE), np.uint16)
    for t in range(TIMES):
        for z in range(DEPTH):
            labels[t, z][(y - 15 - 4 * z) ** 2 + (x - 15 - 5 * t) ** 2 < 64] = 9
    return labels


@pytest.fixture
def folder(labels: np.ndarray, tmp_path: Path) -> Path:
    """The labels, and the stack (T, Z, C, Y, X) that they belong to, the cell in channel 1."""
    tifffile.imwrite(tmp_path / "labels.tif", labels, imagej=True, metadata={"axes": "TZYX"})
    images = np.full((TIMES, DEPTH, 2, SIZE, SIZE), 20, np.uint16)
    images[:, :, 1] += 100 * (labels > 0).astype(np.uint16)
    images[:, :, 1] += np.arange(DEPTH, dtype=np.uint16)[:, None, None]
    tifffile.imwrite(tmp_path / "stack.tif", images, imagej=True, metadata={"axes": "TZCYX"})
    return tmp_path


def intensities(path: Path) -> list[float]:
    with path.open(newline="", encoding="ascii") as file:
        return [float(row["intensity_mean"]) for row in csv.DictReader(file)]


def test_export_of_a_plane_of_the_labels(labels: np.ndarray, folder: Path) -> None:
    given = ("export", folder / "labels.tif", "--output")
    refused(run(*given, folder / "a.tif"), "select Z=0 to 3", "select T=0 to 2")
    for letter, plane in (("z=2", labels[:, 2]), ("T=1", labels[1])):
        result = run(*given, folder / "a.tif", "--overwrite", "--select", letter)
        assert result.exit_code == 0, result.output
        np.testing.assert_array_equal(read_labels(folder / "a.tif"), plane)
    for wrong, part in (("Z=4", "choose 0 to 3"), ("C=1", "no axis C"), ("Z", "--select Z")):
        refused(run(*given, folder / "b.tif", "--select", wrong), part)
    twice = run(*given, folder / "b.tif", "--select", "Z=1", "--select", "z=2")
    refused(twice, "Z is given twice")
    assert not (folder / "b.tif").exists()


def test_measured_is_the_plane_that_the_labels_are_of(labels: np.ndarray, folder: Path) -> None:
    """What `track --select Z=3` has made is measured with the same option."""
    export_masklets(folder / "plane.tif", labels[:, 3])
    image = ("--image", folder / "stack.tif", "--channel", 1)
    given = ("export", folder / "plane.tif", "--output", folder / "a.csv", *image)
    refused(run(*given), "stack.tif", "select Z=0 to 3")
    assert run(*given, "--select", "Z=3").exit_code == 0
    assert intensities(folder / "a.csv") == [123] * TIMES
    given = ("export", folder / "labels.tif", "--output", folder / "b.csv", *image)
    assert run(*given, "--select", "Z=1").exit_code == 0
    assert intensities(folder / "b.csv") == [121] * TIMES
    refused(run(*given, "--overwrite", "--select", "Q=1"), "labels.tif: it has no axis Q")
    # Of one time point, along depth: the labels have no axis T any more.
    export_masklets(folder / "volume.json", labels[2], axes="ZYX")
    convert(
        folder / "volume.json", folder / "c.csv", image=folder / "stack.tif", channel=1,
        select={"t": 2},
    )  # fmt: skip
    assert intensities(folder / "c.csv") == [120, 121, 122, 123]


def test_labels_with_channels(labels: np.ndarray, folder: Path) -> None:
    both = np.stack([labels[:, 0], labels[:, 0] // 9], axis=1)
    tifffile.imwrite(folder / "two.tif", both, imagej=True, metadata={"axes": "TCYX"})
    given = ("export", folder / "two.tif", "--output", folder / "a.tif")
    refused(run(*given), "choose one: channel 0 to 1")
    assert run(*given, "--channel", 1).exit_code == 0
    assert read_labels(folder / "a.tif").max() == 1


def test_formats_that_hold_one_plane_have_nothing_to_select(
    labels: np.ndarray, tmp_path: Path
) -> None:
    for name in ("res", "coco.json"):
        export_masklets(tmp_path / name, labels[:, 0])
        with pytest.raises(InputError, match=rf"{name}: it has no axis Z"):
            open_masklets(tmp_path / name, select={"Z": 1})


def test_evaluate_planes(labels: np.ndarray, folder: Path) -> None:
    export_masklets(folder / "plane.tif", labels[:, 3])
    given = ("evaluate", folder / "plane.tif", folder / "labels.tif", "--json")
    refused(run(*given), "labels.tif", "select Z=0 to 3")
    result = run(*given, "--select", "Z=3")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["j"] == 1
    assert json.loads(run(*given, "--select", "Z=2").stdout)["j"] < 1
    refused(run("evaluate", "--sequences", folder, "--select", "Z=1"), "--select is for PRED")


def test_seeds_are_of_the_selected_plane(labels: np.ndarray, folder: Path) -> None:
    def seeds(path: Path) -> np.ndarray:
        job = TrackJob.open(
            folder / "stack.tif", path, folder / "out.tif", channel=1, select={"Z": 2},
            prompt_frame=1,
        )  # fmt: skip
        mask = job.prompts[9][1].mask
        assert mask is not None
        return mask

    np.testing.assert_array_equal(seeds(folder / "labels.tif"), labels[1, 2] > 0)
    export_masklets(folder / "plane.tif", labels[:, 2])
    np.testing.assert_array_equal(seeds(folder / "plane.tif"), labels[1, 2] > 0)


@pytest.mark.parametrize("axes", ["ZYX", None])
def test_a_plane_of_a_challenge_folder_of_volumes(
    labels: np.ndarray, folder: Path, axes: str | None
) -> None:
    (folder / "01_RES").mkdir()
    (folder / "01_RES" / "res_track.txt").write_text(f"9 0 {TIMES - 1} 0\n")
    for t, volume in enumerate(labels):
        more = {} if axes is None else {"imagej": True, "metadata": {"axes": axes}}
        tifffile.imwrite(folder / "01_RES" / f"mask{t:03}.tif", volume, **more)
    given = ("export", folder / "01_RES", "--output", folder / "a.tif")
    refused(run(*given), "select Z=0 to 3 to propagate along T")
    assert run(*given, "--select", "Z=2").exit_code == 0
    np.testing.assert_array_equal(read_labels(folder / "a.tif"), labels[:, 2])
    scored = run("evaluate", folder / "01_RES", folder / "labels.tif", "--select", "Z=2")
    assert scored.exit_code == 0, scored.output


def test_seeds_that_do_not_name_their_axes(labels: np.ndarray, folder: Path) -> None:
    """The option for axes is the stack's: it is not what they are told."""
    np.save(folder / "plain.npy", labels)
    given = ("track", folder / "stack.tif", "--prompts", folder / "plain.npy", "--channel", "1")
    for more in ((), ("--axes", "TZCYX")):
        result = run(*given, "--select", "Z=2", "--output", folder / "out.tif", *more)
        refused(result, "plain.npy does not say which of its 4 axes are time and z", "OME-TIFF")
        assert "name them with axes" not in result.stderr
    result = run("evaluate", folder / "plain.npy", folder / "labels.tif")  # it has no such option
    refused(result, "or save it as OME-TIFF")


def test_the_demonstration_of_a_plane(
    folder: Path, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    monkeypatch.setattr(demo, "_show_window", lambda *_, part, **__: shown.append(part))
    monkeypatch.setattr("napari_sam2.weights.load_model", toy_model)
    given = ("demo", folder / "stack.tif", "--output", folder / "demo")
    refused(run(*given), "channel 0 to 1")
    refused(run(*given, "--channel", 1), "select Z=0 to 3")
    result = run(*given, "--channel", 1, "--select", "Z=2")
    assert result.exit_code == 0, result.output
    assert shown == [{"axes": None, "channel": 1, "select": {"Z": 2}}]
    content = json.loads((folder / "demo" / "prompts.json").read_text())
    ((y, x),) = content["objects"][0]["prompts"][0]["points"]
    assert labels[0, 2, int(y), int(x)] == 9
    assert read_labels(folder / "demo" / "masklets.tif").shape == (TIMES, SIZE, SIZE)


def test_axes_and_who_gets_which(folder: Path) -> None:
    assert axes_of(folder / "labels.tif") == "TZYX"
    assert axes_of(folder / "stack.tif", "ZTCYX") == "ZTCYX"
    with pytest.raises(InputError, match=r"labels\.tif: axes 'TYX'"):
        axes_of(folder / "labels.tif", "TYX")
    assert shared_out({"z": 1, "T": 2, "Q": 0}, "TYX", "TZYX") == [
        {"T": 2, "Q": 0},
        {"Z": 1, "T": 2},
    ]
