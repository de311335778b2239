"""Masks of another program: taken to the pixel, corrected, undone, done again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.history import History
from napari_sam2.tracking.keeping import KeptSession
from napari_sam2.tracking.mask_text import mask_text
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.session_file import SessionFile, load_session
from napari_sam2.tracking.steps import AdoptMasks, CloseGaps, Repair, SetPrompt
from napari_sam2.tracking.steps_json import step_as_json, step_from_json
from napari_sam2.weights import load_model
from tests.tracking.toy import moving_disk

LENGTH = 7


@pytest.fixture(scope="module")
def frames() -> Frames:
    return Frames(moving_disk(LENGTH))


def disk(frames: Frames, t: int) -> np.ndarray:
    return frames.image(t)[..., 0] > 0.5


def given(frames: Frames) -> dict[int, np.ndarray]:
    """The disk, a pixel off its edge, missing on frame 3, and a stray mask on frame 5."""
    masks = {t: disk(frames, t) for t in range(LENGTH) if t != 3}
    for mask in masks.values():
        y, x = np.argwhere(mask)[0]
        mask[y, x] = False
    wrong = np.zeros(frames.shape, bool)
    wrong[2:9, 2:9] = True
    masks[5] = wrong
    return masks


def adopting(frames: Frames, object_id: int = 4) -> AdoptMasks:
    return AdoptMasks({object_id: {t: mask_text(mask) for t, mask in given(frames).items()}})


def test_cost_is_how_many_results_come(frames, history):
    step = AdoptMasks({**adopting(frames, 4).masks, **adopting(frames, 9).masks})
    assert len(list(history.run(step))) == step.cost


@pytest.fixture
def history(frames: Frames) -> History:
    return History(TrackingSession(load_model("micro", device="cpu"), frames))


def labels(history: History) -> np.ndarray:
    return np.stack([history.session.result(t).labels for t in range(LENGTH)])


def expected(frames: Frames) -> np.ndarray:
    masks = given(frames)
    empty = np.zeros(frames.shape, bool)
    return np.stack([4 * masks.get(t, empty).astype(np.uint16) for t in range(LENGTH)])


def test_to_the_pixel_and_corrected(history: History, frames: Frames) -> None:
    history.do(adopting(frames))
    session = history.session
    np.testing.assert_array_equal(labels(history), expected(frames))
    assert session.stale_frames() == {}
    trace = session.traces()[4]
    assert trace.frames.tolist() == list(range(LENGTH))
    assert (trace.area > 0).tolist() == [t != 3 for t in range(LENGTH)]

    history.do(SetPrompt(4, 5, Prompt(mask=disk(frames, 5))))
    assert session.stale_frames() == {4: (1, 2, 3, 4, 6)}
    before = labels(history)
    np.testing.assert_array_equal(before[[0, 1, 2, 3, 4, 6]], expected(frames)[[0, 1, 2, 3, 4, 6]])
    list(session.repair())
    after = labels(history)
    for t in (3, 4, 6):
        found, truth = after[t] == 4, disk(frames, t)
        assert (found & truth).sum() / (found | truth).sum() > 0.7, t
    np.testing.assert_array_equal(after[0], expected(frames)[0])


def test_a_correction_that_is_taken_back(history: History, frames: Frames) -> None:
    history.do(adopting(frames))
    y, x = np.argwhere(disk(frames, 2)).mean(axis=0)
    history.do(SetPrompt(4, 2, Prompt([[y, x]], [True])))
    history.do(SetPrompt(4, 2, None))
    np.testing.assert_array_equal(labels(history), expected(frames))


def test_undone_merged_and_split(history: History, frames: Frames) -> None:
    history.do(adopting(frames))
    session = history.session
    new = session.split_object(4, 4)
    np.testing.assert_array_equal(labels(history)[4:] == new, expected(frames)[4:] == 4)
    session.merge_objects(4, new)
    np.testing.assert_array_equal(labels(history), expected(frames))
    history.undo()
    assert not labels(history).any()
    history.redo()
    np.testing.assert_array_equal(labels(history), expected(frames))


def test_as_json_and_again(history: History, frames: Frames) -> None:
    step = adopting(frames)
    again = step_from_json(json.loads(json.dumps(step_as_json(step))), 1)
    assert again == step
    history.do(again)
    np.testing.assert_array_equal(labels(history), expected(frames))


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({4: {}}, "has no masks"),
        ({0: {0: mask_text(np.ones((64, 96), bool))}}, "start at 1"),
        ({4: {99: mask_text(np.ones((64, 96), bool))}}, "frames 0 to"),
        ({4: {0: mask_text(np.ones((5, 5), bool))}}, "shape"),
        ({4: {0: {"bits": "x"}}}, "cannot be read"),
    ],
)
def test_what_cannot_be_used(history: History, masks: dict, words: str) -> None:
    good = {9: {0: mask_text(np.ones(history.session.frames.shape, bool))}}
    with pytest.raises(InputError, match=words):
        history.do(AdoptMasks(good | masks))
    assert history.session.object_ids == []


def test_an_id_that_is_taken(history: History, frames: Frames) -> None:
    history.do(adopting(frames))
    with pytest.raises(InputError, match="another id"):
        history.do(adopting(frames))
    np.testing.assert_array_equal(labels(history), expected(frames))


def test_kept_and_opened_again(history: History, frames: Frames, tmp_path: Path) -> None:
    path = tmp_path / "cells.ns2.json"
    history.do(adopting(frames))
    KeptSession(path).save(history, SessionFile.of(history, "micro"))
    again = History(TrackingSession(history.session.model, frames))
    KeptSession(path).open(again, load_session(path))  # without computing
    np.testing.assert_array_equal(labels(again), expected(frames))
    for one in (history, again):
        one.do(SetPrompt(4, 5, Prompt(mask=disk(frames, 5))))
        one.do(Repair())
    np.testing.assert_array_equal(labels(again), labels(history))


def test_a_gap_is_closed_between_the_masks_that_were_given(
    history: History, frames: Frames
) -> None:
    history.do(adopting(frames))
    history.do(CloseGaps())
    found = labels(history)
    here = np.arange(LENGTH) != 3
    np.testing.assert_array_equal(found[here], expected(frames)[here])
    truth = disk(frames, 3)
    assert ((found[3] == 4) & truth).sum() / ((found[3] == 4) | truth).sum() > 0.8
