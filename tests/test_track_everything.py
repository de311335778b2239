"""`track --everything`: cells are found by the embedded model and followed, without any prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import Result

from napari_sam2 import load_model
from napari_sam2.batch import TrackJob, find_cells
from napari_sam2.export.labels import read_labels
from napari_sam2.tracking.errors import InputError
from tests.commands import refused, run


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Two bright cells that move to the right over noise; frame 3 is empty."""
    y, x = np.mgrid[:96, :128]
    images = np.random.default_rng(0).normal(40, 5, (4, 96, 128))
    for t in range(3):
        images[t][(y - 30) ** 2 + (x - 35 - 2 * t) ** 2 < 12**2] += 100
        images[t][(y - 62) ** 2 + (x - 85 - 2 * t) ** 2 < 14**2] += 100
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, images.astype(np.uint8))
    return path


def track(stack: Path, *args: object) -> Result:
    output = ("--output", stack.with_name("out.tif"), "--axes", "TYX", "--device", "cpu")
    return run("track", stack, *output, *args)


@pytest.mark.parametrize("size", [(), ("--diameter", 26)])
def test_all_cells_are_found_and_followed(stack: Path, size: tuple[object, ...]) -> None:
    result = track(stack, "--everything", "--prompt-frame", 1, "--stop", 3, *size)
    assert result.exit_code == 0, result.output
    labels = read_labels(stack.with_name("out.tif"))
    for t in range(3):
        first, second = labels[t, 30, 35 + 2 * t], labels[t, 62, 85 + 2 * t]
        assert (first, second) == (labels[1, 30, 37], labels[1, 62, 87])
        assert 0 < first != second > 0
        assert 300 < (labels[t] == first).sum() < 600
    assert f"{labels.max()} objects" in result.stdout


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (("--everything", "--prompts", "seeds.tif"), ("one of", "--everything")),
        (("--everything", "--session", "a.ns2.json"), ("one of", "--everything")),
        (("--diameter", 20), ("--diameter is for --everything and --find-every",)),
        (("--everything", "--find-every", -1), ("1 or more frames, not -1",)),
        ((), ("--prompts or --everything",)),
        (("--everything", "--prompt-frame", 9), ("prompt frame 9", "0 to 3")),
        (("--everything", "--diameter", 0), ("diameter of 0 px",)),
        (("--everything", "--start", 7), ("start 7",)),
    ],
)
def test_unusable_input_is_refused_before_any_work(
    stack: Path, args: tuple[object, ...], parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam2.weights.load_model", None)
    refused(track(stack, *args), *parts)
    assert not stack.with_name("out.tif").exists()


@pytest.mark.parametrize("seeded", [False, True])
def test_cells_that_come_later_are_found(stack: Path, seeded: bool) -> None:
    images = tifffile.imread(stack)
    images[3] = images[2]
    images[0, :, 64:] = images[0, :, :1]  # the second one is not there yet
    tifffile.imwrite(stack, images)
    seeds = np.zeros(images.shape[1:], np.uint8)
    seeds[20:40, 25:45] = 5
    tifffile.imwrite(stack.with_name("seeds.tif"), seeds)
    way = ("--prompts", stack.with_name("seeds.tif")) if seeded else ("--everything",)
    result = track(stack, *way, "--find-every", 2, "--diameter", 26)
    assert result.exit_code == 0, result.output
    labels = read_labels(stack.with_name("out.tif"))
    assert labels[3, 30, 39] == labels[0, 30, 35] == (5 if seeded else 1)
    assert labels[3, 62, 89] == labels[2, 62, 89] == (6 if seeded else 2)
    assert not labels[0, :, 64:].any()


def test_a_frame_without_cells_says_what_to_do(stack: Path) -> None:
    images = tifffile.imread(stack)
    images[3] = 40
    tifffile.imwrite(stack, images)
    which = ("--everything", "--prompt-frame", 3)
    refused(track(stack, *which), "no cells", "frame 3", "give the diameter of a typical cell")
    refused(track(stack, *which, "--diameter", 20), "frame 3", "give another diameter")


def test_progress_is_reported_and_an_exception_in_it_ends_the_search(stack: Path) -> None:
    job = TrackJob.open(stack, None, stack.with_name("out.tif"), axes="TYX")
    assert job.prompts == {}
    model, seen = load_model("micro", device="cpu"), []
    found = find_cells(job, model, 1, report=lambda done, total: seen.append((done, total)))
    assert len(found.prompts) >= 2
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_cells(job, model, 1, report=stop)
    with pytest.raises(InputError, match="frame 9"):
        find_cells(job, model, 9)
