from __future__ import annotations

import subprocess
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam2 import demo
from napari_sam2.export.labels import read_labels
from napari_sam2.model.sam2 import SAM2
from napari_sam2.preview import colour, overlay
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.seeds import automatic_seeds
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.prompts import load_prompts
from napari_sam2.training import samples
from napari_sam2.weights import load_model
from tests.tracking.toy import toy_model

SHAPE = (64, 96)


@pytest.fixture(scope="module")
def model() -> SAM2:
    return toy_model()


@pytest.fixture
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_show_window", lambda *_, **__: None)


def disks(frames: int = 3, inverted: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Two disks that move right, and their labels."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    labels = np.zeros((frames, *SHAPE), np.uint16)
    for t in range(frames):
        labels[t][(y - 20) ** 2 + (x - 20 - 2 * t) ** 2 < 81] = 3
        labels[t][(y - 44) ** 2 + (x - 60 - 2 * t) ** 2 < 121] = 5
    noise = np.random.default_rng(0).normal(0, 4, labels.shape)
    images = 40 + 150 * (labels > 0) + noise
    return (255 - images if inverted else images).astype(np.uint8), labels


@pytest.mark.usefixtures("no_window")
def test_sample_is_tracked_scored_and_written(
    tmp_path: Path,
    model: SAM2,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    images, labels = disks()
    monkeypatch.setattr(samples, "sample_timelapse", lambda: (images, labels))
    scores = demo.run(None, tmp_path / "out", model=model)
    assert [s.object_id for s in scores] == [3, 5]
    assert all(0 <= j <= 1 for s in scores for j in (s.first, s.followed, s.copied))
    assert "mean" in capsys.readouterr().out
    out = tmp_path / "out"
    assert read_labels(out / "masklets.tif").shape == labels.shape
    assert np.array_equal(tifffile.imread(out / "sample.tif"), images)
    prompts = load_prompts(out / "prompts.json", SHAPE, len(images)).objects
    for object_id, by_frame in prompts.items():
        (y, x) = by_frame[0].points[0].astype(int)
        assert labels[0, y, x] == object_id
    with Image.open(out / "preview.gif") as gif:
        assert gif.n_frames == len(images)
    # A second demonstration takes the place of the first.
    demo.run(None, out, model=model)


@pytest.mark.usefixtures("no_window")
def test_a_stack_of_ones_own_is_tracked_without_scores(tmp_path: Path, model: SAM2) -> None:
    path = tmp_path / "mine.tif"
    tifffile.imwrite(path, disks()[0], imagej=True, metadata={"axes": "ZYX"})
    assert demo.run(path, tmp_path, model=model) == []
    prompts = load_prompts(tmp_path / "prompts.json").objects
    assert {frame for by_frame in prompts.values() for frame in by_frame} == {1}, "the middle plane"


@pytest.mark.usefixtures("no_window")
@pytest.mark.parametrize("step", ["_job", "save_prompts", "write_gif"])
def test_one_that_was_stopped_may_be_done_again(
    tmp_path: Path, model: SAM2, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(samples, "sample_timelapse", disks)
    with monkeypatch.context() as patch:
        patch.setattr(demo, step, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            demo.run(None, tmp_path / "out", model=model)
    assert (tmp_path / "out" / "sample.tif").exists()
    demo.run(None, tmp_path / "out", model=model)
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {*demo._WRITTEN}


def test_seeds_in_one_cell_become_one_object() -> None:
    images, labels = disks()
    points = {1: (20, 17), 2: (44, 60), 3: (20, 23)}
    prompts = {
        i: {0: Prompt(points=np.array([p], float), positive=np.array([True]))}
        for i, p in points.items()
    }
    kept = demo.distinct(load_model("micro", device="cpu"), Frames(images), prompts)
    assert list(kept) == [1, 2]
    cells = [int(labels[0][tuple(p[0].points[0].astype(int))]) for p in kept.values()]
    assert sorted(cells) == [3, 5]


@pytest.mark.filterwarnings("ignore:every value looked at")
@pytest.mark.usefixtures("no_window")
def test_nothing_to_track(tmp_path: Path, model: SAM2) -> None:
    path = tmp_path / "dark.tif"
    tifffile.imwrite(path, np.zeros((3, *SHAPE), np.uint8), imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(InputError, match=r"nothing stands out in frame 0 of dark\.tif"):
        demo.run(path, tmp_path, model=model)


def test_scores() -> None:
    labels = disks(4)[1]
    masklets = labels.copy()
    masklets[2][masklets[2] == 3] = 0
    prompt = Prompt(points=np.array([[20.0, 20.0]]), positive=np.array([True]))
    lost, kept = demo.score(masklets, labels, {3: {0: prompt}, 5: {0: prompt}})
    assert (lost.first, lost.followed) == (1.0, 0.75)
    assert kept.followed == 1.0
    assert 0 < kept.copied < 1


@pytest.mark.parametrize("inverted", [False, True])
def test_seeds_lie_in_cells(inverted: bool) -> None:
    images, labels = disks(1, inverted)
    seeds = automatic_seeds(images[0])
    assert [int(labels[0][seed]) for seed in seeds] == [5, 3], "deepest first"
    assert len(automatic_seeds(images[0], max_objects=1)) == 1
    assert automatic_seeds(images[0], max_objects=0) == []


def test_seeds_where_there_is_nothing() -> None:
    assert automatic_seeds(np.full(SHAPE, 7)) == []
    assert automatic_seeds(np.full(SHAPE, np.nan)) == []


def test_seeds_ignore_what_is_not_finite() -> None:
    image = disks(1)[0][0].astype(float)
    image[:3, :3] = np.inf
    image[-3:, -3:] = np.nan
    assert len(automatic_seeds(image)) == 2


def test_outlines_keep_their_colours() -> None:
    images, labels = disks(1)
    grey = np.repeat(images[0][..., None] / np.float32(255), 3, axis=-1)
    picture = np.array(overlay(grey, labels[0]).convert("RGB"))
    found = {tuple(c) for c in picture.reshape(-1, 3).tolist()}
    assert {colour(3), colour(5)} <= found
    assert colour(4) not in found


def test_no_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    demo._show_window(tmp_path / "image.tif", tmp_path, stay=False, part={})
    assert "install xvfb" in capsys.readouterr().err


def test_a_window_that_fails_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "first\nno screen today\n")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(subprocess, "run", run)
    demo._show_window(tmp_path / "image.tif", tmp_path, stay=False, part={})
    assert "no picture of the window: no screen today" in capsys.readouterr().err


def test_the_window_stays_where_somebody_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[-1] == "--stay"
        assert "xvfb-run" not in command
        (tmp_path / "window.png").touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(subprocess, "run", run)
    demo._show_window(tmp_path / "image.tif", tmp_path, stay=True, part={})
    assert capsys.readouterr().err == ""
