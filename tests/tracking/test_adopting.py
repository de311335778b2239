"""Masks of another program: taken to the pixel, corrected, undone, done again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from napari_sam2.model.config import Attention
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.session_file import SessionFile, load_session
from napari_sam2.tracking.kept.steps import AdoptMasks, CloseGaps, Propagate, Repair, SetPrompt
from napari_sam2.tracking.kept.steps_json import step_as_json, step_from_json
from napari_sam2.tracking.masks.mask_text import mask_of, mask_text
from napari_sam2.tracking.masks.resampling import mask_logits
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
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


def test_what_was_given_comes_back_when_following_is_undone(
    history: History, frames: Frames
) -> None:
    history.do(adopting(frames))
    history.do(Propagate("forward"))
    assert not np.array_equal(labels(history), expected(frames))
    history.undo()
    np.testing.assert_array_equal(labels(history), expected(frames))


def test_as_json_and_again(history: History, frames: Frames) -> None:
    step = adopting(frames)
    again = step_from_json(json.loads(json.dumps(step_as_json(step))), 1)
    assert again == step
    history.do(again)
    np.testing.assert_array_equal(labels(history), expected(frames))


def two_disks(frames: Frames) -> AdoptMasks:
    """The disk, and one that stands still, a frame later; each to the pixel."""
    y, x = np.mgrid[: frames.shape[0], : frames.shape[1]]
    still = mask_text((y - 50) ** 2 + (x - 80) ** 2 < 49)
    moving = {t: mask_text(disk(frames, t)) for t in range(LENGTH)}
    return AdoptMasks({4: moving, 2: dict.fromkeys(range(1, LENGTH), still)})


def test_the_network_is_asked_only_when_an_object_is_followed(
    history: History, frames: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, asked = history.session, []
    encode = session.model.encode_image

    def counted(image: torch.Tensor) -> object:
        asked.append(len(image))
        return encode(image)

    monkeypatch.setattr(session.model, "encode_image", counted)
    step = two_disks(frames)
    history.do(step)
    for t in range(LENGTH):
        for i, masks in step.masks.items():
            expected = mask_of(masks[t]).whole() if t in masks else np.zeros(frames.shape, bool)
            np.testing.assert_array_equal(session.result(t).labels == i, expected)
    assert not asked
    history.do(SetPrompt(4, 5, Prompt(mask=disk(frames, 5))))
    assert not asked
    history.do(Repair())
    assert asked
    four, two = (session._objects[i] for i in (4, 2))
    assert sorted(four.bank.conditioning) == [0, 5]
    assert not two.bank.conditioning  # nothing was said of it


def test_followed_as_from_a_mask_that_was_painted(history: History, frames: Frames) -> None:
    """Both at once, as a batch, like each alone."""
    step = two_disks(frames)
    history.do(step)
    followed = {r.frame: r.labels for r in history.session.propagate("forward")}
    for i, masks in step.masks.items():
        first = min(masks)
        alone = TrackingSession(history.session.model, frames)
        alone.add_mask(i, first, mask_of(masks[first]).whole())
        for result in alone.propagate("forward"):
            same = (followed[result.frame] == i) == (result.labels == i)
            assert same.mean() > 0.9995, result.frame
        one, other = (s._objects[i].bank[first] for s in (history.session, alone))
        torch.testing.assert_close(one.pointer, other.pointer, rtol=1e-4, atol=1e-4)
        assert one.memory is not None
        assert other.memory is not None
        torch.testing.assert_close(one.memory.features, other.memory.features, rtol=0.02, atol=0.02)


def test_ended_early_there_are_no_new_objects(history: History, frames: Frames) -> None:
    history.do(AdoptMasks({9: {0: mask_text(disk(frames, 0))}}))
    session = history.session
    for count in range(LENGTH + 1):
        results = session.adopt_objects(two_disks(frames).masks)
        seen = [next(results).frame for _ in range(count)]
        assert seen == list(range(count))
        results.close()
        assert session.object_ids == [9]
    assert len(list(session.adopt_objects(two_disks(frames).masks))) == LENGTH
    assert session.object_ids == [9, 4, 2]


def test_a_speck_is_no_gap(history: History, frames: Frames) -> None:
    """A single pixel, of an object that is looked at as a large one."""
    speck = np.zeros(frames.shape, bool)
    speck[31, 40] = True
    large = np.zeros(frames.shape, bool)
    large[4:60, 4:90] = True
    history.do(AdoptMasks({4: {0: mask_text(large), 1: mask_text(speck), 2: mask_text(large)}}))
    trace = history.session.traces()[4]
    assert (trace.area > 0).all()
    np.testing.assert_allclose(trace.centre[1], (31, 40), atol=4)
    np.testing.assert_array_equal(history.session.result(1).labels == 4, speck)


@pytest.mark.parametrize("attention", ["exact", "windowed"])
def test_outlines_are_where_the_masks_are(attention: Attention) -> None:
    """What a correction starts from: the masks as the network sees them, far from the corner."""
    y, x = np.mgrid[:320, :400]
    masks = [(y - 210) ** 2 + (x - 250 - 3 * t) ** 2 < 30**2 for t in range(4)]
    masks[2] &= x < 250
    frames = Frames(np.stack(masks).astype(np.uint8))
    model = load_model("micro", device="cpu")
    session = TrackingSession(model, frames, TrackingPolicy(attention=attention))
    session.adopt_labels(4 * np.stack(masks).astype(np.uint8))
    for t, mask in enumerate(masks):
        estimate = session._objects[4].estimates[t]
        size = session._engine.geometry(estimate.window).size
        whole = torch.from_numpy(mask.astype(np.float64))[None, None]
        seen = (interpolate(whole, size, mode="bilinear", antialias=True)[0, 0] >= 0.5).float()
        cells = mask_logits(seen) if t == 0 else avg_pool2d(seen[None], 4)[0] - 0.5
        there = cells[estimate.window.slices(4)] > 0
        assert there.sum() == (cells > 0).sum()
        np.testing.assert_array_equal(estimate.logits() > 0, there)
        assert estimate.window.is_whole == (attention == "exact")


def test_merged_with_what_was_shown_elsewhere(history: History, frames: Frames) -> None:
    """The mask that the absorbed one began with is a prompt of the other, and is followed."""
    early = {t: mask_text(disk(frames, t)) for t in (0, 1)}
    late = {t: mask_text(disk(frames, t)) for t in (4, 5, 6)}
    history.do(AdoptMasks({4: early, 5: late}))
    session = history.session
    session.merge_objects(4, 5)
    assert sorted(session.prompts[4]) == [0, 4]
    list(session.propagate("forward"))
    for t in range(LENGTH):
        found, truth = session.result(t).labels == 4, disk(frames, t)
        assert (found & truth).sum() / (found | truth).sum() > 0.8, t


def test_labels_become_masklets_that_can_be_followed(history: History, frames: Frames) -> None:
    session = history.session
    stack = np.stack([disk(frames, t) for t in range(LENGTH)])
    stack[3] = False
    assert session.adopt_labels(7 * stack.astype(np.int64)) == [7]
    np.testing.assert_array_equal(labels(history), 7 * stack)
    assert not session.stale_frames()
    with pytest.raises(InputError, match="there is an object 7 already"):
        session.adopt_labels(7 * stack.astype(np.int64))
    for wrong, words in (
        (stack[1:], "do not fit the stack"),
        (stack * 0.5, "must be integers"),
        (stack * -1, "0 or more"),
        (stack & False, "no labels"),
    ):
        with pytest.raises(InputError, match=words):
            session.adopt_labels(wrong)
    assert session.object_ids == [7]


@pytest.mark.parametrize("given_to", [4, 5])
def test_a_prompt_that_came_by_merging_is_taken_back(
    history: History, frames: Frames, given_to: int
) -> None:
    """What is shown again is the mask that was given, whichever of the two it was given to."""
    masks = {t: mask_text(disk(frames, t)) for t in (0, 1, 2, 3)}
    other = {t: mask_text(disk(frames, t)) for t in (5, 6)}
    history.do(AdoptMasks({given_to: masks, 9 - given_to: other}))
    y, x = np.argwhere(disk(frames, 2)).mean(axis=0)
    history.do(SetPrompt(5, 2, Prompt([[y, x]], [True])))
    session = history.session
    session.merge_objects(4, 5)
    assert 2 in session.prompts[4]
    session.clear_prompt(4, 2)
    np.testing.assert_array_equal(session.result(2).labels == 4, disk(frames, 2))


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({4: {}}, "has no masks"),
        ({0: {0: mask_text(np.ones((64, 96), bool))}}, "start at 1"),
        ({2**33: {0: mask_text(np.ones((64, 96), bool))}}, "must be in 1 to"),
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
