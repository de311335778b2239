"""Teaching a small model a user's own cells."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
from skimage.draw import disk
from typer.testing import CliRunner

import napari_sam2 as ns
from napari_sam2 import cli, teaching
from napari_sam2.cli import app
from napari_sam2.model.checkpoint import build_model, read_checkpoint
from napari_sam2.training.batches import _folders
from napari_sam2.training.fit import TrainConfig, Trainer
from napari_sam2.weights import locate

pytestmark = pytest.mark.usefixtures("small_lessons")

SIDE = 96
CENTRES = [(24, 24), (24, 70), (70, 40)]


def stack(frames: int = 6) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Bright discs on noise, and what they are."""
    labels = np.zeros((frames, SIDE, SIDE), np.uint16)
    for t in range(frames):
        for i, (y, x) in enumerate(CENTRES, start=1):
            labels[(t, *disk((y + t % 6, x), 12))] = i
    noise = np.random.default_rng(3).normal(300, 30, labels.shape)
    return (noise + 500 * (labels > 0)).astype(np.uint16), labels


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path)[0]


def test_a_lesson_gives_weights_that_load_and_says_what_it_brought(tmp_path: Path) -> None:
    images, labels = stack()
    labels[4] = 0
    steps: list[tuple[int, int]] = []
    output = tmp_path / "new" / "mine.safetensors"
    taught = ns.teach(
        images, labels, output, steps=2, workers=0, progress=lambda *now: steps.append(now)
    )
    assert steps == [(1, 2), (2, 2)]
    assert taught.path == output
    assert taught.learned == (0, 1, 3, 5)
    assert taught.judged == (2,)
    assert taught.before.keys() == taught.after.keys() == {"click", "box"}
    assert all(0.5 < iou <= 1 for iou in taught.before.values())  # discs are easy
    old, new = weights_of(locate("micro")), weights_of(output)
    assert any(not torch.equal(old[name], new[name]) for name in old)
    session = ns.TrackingSession(ns.load_model(output, "cpu"), ns.Frames(images))
    assert session.add_points(1, 0, [CENTRES[0]]).mask[CENTRES[0]]
    again = ns.teach(
        images, labels, output, start=output, steps=1, workers=0, overwrite=True
    )  # in its own place
    assert again.before == taught.after
    assert not _folders.cache_info().currsize  # images that were learned from are let go of


def test_nothing_is_lost_at_the_start_and_the_end_of_a_lesson(tmp_path: Path) -> None:
    """What finished weights have added to their object score is not added twice."""
    micro = locate("micro")
    trainer = Trainer(TrainConfig(out=tmp_path, init=micro))
    trainer.save()
    old, new = weights_of(micro), weights_of(tmp_path / "weights.safetensors")
    assert old.keys() == new.keys()
    for name, value in old.items():
        torch.testing.assert_close(new[name].float(), value.float(), rtol=0, atol=2e-3)


def test_frames_are_those_that_are_named(tmp_path: Path) -> None:
    images, labels = stack()
    taught = ns.teach(
        images, labels, tmp_path / "mine.safetensors", frames=[5, 1, 1], steps=1, workers=0
    )
    assert (taught.learned, taught.judged, taught.after) == ((1, 5), (), {})


def test_frames_are_spread_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teaching, "_MOST_PIXELS", 4 * SIDE * SIDE)
    images, labels = stack(16)
    pages = teaching._pages(ns.Frames(images), labels, None)
    assert [page.frame for page in pages] == [0, 4, 8, 12]
    assert pages[1].labels.tolist() == labels[4].tolist()


def test_colours_are_learned_from_as_they_are_seen() -> None:
    images, labels = stack(1)
    colours = np.stack([images[0] // 4, images[0] // 8, images[0] // 16], -1).astype(np.uint8)
    frames = ns.Frames(colours)
    (page,) = teaching._pages(frames, labels[0], None)
    np.testing.assert_allclose(page.image / 65_535, frames.grey(0), atol=1e-5)


@pytest.mark.parametrize("early", [True, False])
def test_what_was_learned_is_kept_when_a_lesson_is_stopped(
    early: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "mine.safetensors"
    config = teaching.TrainConfig

    def saving_each_step(**values: Any) -> TrainConfig:
        return config(**{**values, "save_every": 1})

    monkeypatch.setattr(teaching, "TrainConfig", config if early else saving_each_step)

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ns.teach(*stack(1), output, steps=9, workers=0, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ([] if early else [output.name])
    if not early:
        build_model(output)


def test_what_cannot_be_taught_is_refused(tmp_path: Path) -> None:
    images, labels = stack(2)
    output = tmp_path / "mine.safetensors"

    def refused(match: str, *given: Any, to: Path = output, **more: Any) -> None:
        with pytest.raises(ns.InputError, match=match):
            ns.teach(*(given or (images, labels)), to, **more)

    refused("no name for weights", to=tmp_path / "mine.tif")
    refused("do not fit 2 frames", images, labels[:1])
    refused("do not fit 2 frames", images, labels[:, :-1])
    refused("integers", images, labels * 0.5)
    refused("no frame has a label", images, labels * 0)
    refused("frame 2 does not exist", frames=[2])
    refused("1 or more", steps=0)
    refused("mine.pt", start="mine.pt")
    assert not [*tmp_path.iterdir()]
    output.touch()
    refused("exists")


def test_the_command(tmp_path: Path) -> None:
    images, labels = stack()
    image, masks, output = (tmp_path / name for name in ("i.tif", "m.tif", "mine.safetensors"))
    tifffile.imwrite(image, images)
    tifffile.imwrite(masks, labels)
    command = ["teach", image, "--masks", masks, "-o", output, "--steps", 1, "--workers", 0]
    result = CliRunner().invoke(app, [str(word) for word in command])
    assert result.exit_code == 0, result.output
    assert f"{output}: learned from 5 frames" in result.output
    assert "one click on what was held back (frame 2): IoU " in result.output
    again = CliRunner().invoke(app, [str(word) for word in command])
    assert (again.exit_code, "exists" in again.output) == (2, True)
    command += ["--overwrite", "--frames", "0, 2-3"]
    few = CliRunner().invoke(app, [str(word) for word in command])
    assert f"{output}: learned from 3 frames" in few.output
    assert "too few frames" in few.output
    for text, words in (("2-", "--frames 2- is not understood"), ("3, 9-3", "9-3 is no frame")):
        wrong = CliRunner().invoke(app, [str(word) for word in [*command[:-1], text]])
        assert (wrong.exit_code, words in wrong.output) == (2, True)


def test_a_lesson_is_as_long_wherever_it_begins() -> None:
    """The command line does not load torch to know it."""
    assert signature(cli.teach.teach).parameters["steps"].default == teaching.STEPS
