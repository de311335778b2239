"""Closing gaps: against truth with slices taken out, and what must not be touched."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sam2.batch import TrackJob, track
from napari_sam2.tracking.editing.gaps import interpolated
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.session_file import SessionFile, load_session
from napari_sam2.tracking.kept.steps import AddPrompts, CloseGaps, LockObject, Propagate, SetPrompt
from napari_sam2.tracking.kept.steps_json import step_as_json, step_from_json
from napari_sam2.tracking.masks.mask_text import mask_text
from napari_sam2.tracking.memory_bank import Remembered
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.toy import SHAPE, a_session, disk


def painted(model, masks: dict[int, dict[int, np.ndarray]], length: int = 6) -> History:
    """A session in which masks were painted, object -> frame -> mask."""
    stack = np.random.default_rng(0).integers(0, 255, (length, *SHAPE)).astype(np.uint8)
    history = History(TrackingSession(model, Frames(stack, contrast=(0, 255))))
    prompts = {i: {t: Prompt(mask=m) for t, m in some.items()} for i, some in masks.items()}
    history.do(AddPrompts(prompts))
    return history


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


@pytest.mark.parametrize(
    ("name", "first"), [("ovule_nuclei_z", 40), ("ovule_membrane_z", 10), ("mouse_embryo_z", 12)]
)
def test_slices_taken_out_come_back_better_than_their_neighbours(model, dev_data, name, first):
    truth = tifffile.imread(dev_data / name / "masks.tif")[first : first + 7]
    images = tifffile.imread(dev_data / name / "images.tif")[first : first + 7]
    ids = [i for i in np.unique(truth) if i and min((truth == i).sum(axis=(1, 2))) >= 60][:8]
    assert ids
    session = TrackingSession(model, Frames(images))
    shown = {int(i): {t: Prompt(mask=truth[t] == i) for t in (0, 2, 4, 6)} for i in ids}
    session.add_prompts(shown)
    assert session.close_gaps() == {int(i): (1, 3, 5) for i in ids}
    scores = []
    for t in (1, 3, 5):
        labels = session.result(t).labels
        for i in ids:
            here = truth[t] == i
            copies = [iou(truth[t + s] == i, here) for s in (-1, 1)]
            scores.append((iou(labels == i, here), *copies))
    found, before, after = np.mean(scores, axis=0)
    assert found > max(before, after) + 0.02
    assert found > 0.85


@settings(max_examples=30, deadline=None)
@given(
    st.floats(18, 44), st.floats(18, 76), st.floats(6, 12), st.floats(6, 12), st.floats(-9, 9),
    st.sampled_from([0.25, 0.5, 0.75]),
)  # fmt: skip
def test_between_two_disks_lies_a_disk(y, x, r0, r1, dx, share):
    # Of smaller disks, a rim of one pixel, which may fall to either side, is too large a part.
    first, second = disk(y, x, r0), disk(y, x + dx, r1)
    (top, left), signed = interpolated(first, second, share)
    full = np.zeros(SHAPE, bool)
    yy, xx = np.nonzero(signed > 0)
    inside = (yy + top >= 0) & (yy + top < SHAPE[0]) & (xx + left >= 0) & (xx + left < SHAPE[1])
    full[(yy + top)[inside], (xx + left)[inside]] = True
    expected = disk(y, x + share * dx, (1 - share) * r0 + share * r1)
    assert iou(full, expected) > 0.8
    (top, left), same = interpolated(first, first, share)
    rows, columns = slice(max(top, 0), None), slice(max(left, 0), None)
    cut = same[max(-top, 0) :, max(-left, 0) :] > 0
    part = first[rows, columns]
    h, w = min(len(part), len(cut)), min(part.shape[1], cut.shape[1])
    assert np.array_equal(cut[:h, :w], part[:h, :w])


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.floats(15, 45), st.floats(25, 50), st.floats(3, 14), st.booleans())
def test_no_pixel_of_another_object_is_taken(model, y, x, r, locked):
    other = disk(y, x, r)
    masks = {1: {1: disk(30, 30, 12), 3: disk(30, 42, 12)}, 2: {2: other}}
    history = painted(model, masks)
    before = history.session.result(2).labels
    history.do(CloseGaps())
    history.session.lock_object(1, locked)
    after = history.session.result(2)
    assert np.array_equal(after.labels == 2, before == 2)
    assert after.interpolated == {1}
    free = disk(30, 36, 12) & ~other
    if free.sum() > 100:
        assert iou(after.labels == 1, free) > 0.6


def test_only_short_gaps_between_masks_are_closed(model):
    masks = {i: {0: disk(30, 40, 10), t: disk(30, 44, 9)} for i, t in ((1, 2), (2, 3), (3, 1))}
    session = painted(model, masks).session
    assert session.gaps() == {1: (1,)}
    assert session.gaps(2) == {1: (1,), 2: (1, 2)}
    assert session.gaps(2, [2]) == {2: (1, 2)}
    session.lock_object(1)
    assert session.close_gaps(5) == {2: (1, 2)}
    assert session.gaps(9) == {}
    for wrong in (0, -1):
        with pytest.raises(InputError, match="give 1 or more"):
            session.close_gaps(wrong)
    with pytest.raises(InputError, match="no object 7"):
        session.close_gaps(1, [7])


def test_nobody_has_looked_where_a_range_left_frames_out(model):
    session = a_session(model)
    session.add_mask(1, 0, disk(30, 20, 10))
    list(session.propagate("forward", start=2, stop=5))
    assert not session.gaps(3)
    assert all(check.first > 1 for check in session.frames_to_check())


def test_that_it_was_not_found_is_forgotten_where_a_gap_is_closed(model):
    session = painted(model, {1: {0: disk(30, 40, 10), 2: disk(30, 44, 9)}}).session
    bank = session._objects[1].bank
    bank.remember(1, Remembered(None, torch.zeros(1, 32)), conditioning=False)
    session.close_gaps()
    assert not bank.tracked


@pytest.mark.parametrize("back", [2, 3])
def test_nothing_is_put_where_an_object_has_ended(model, back):
    history = painted(model, {1: {0: disk(30, 40, 10), back: disk(30, 40, 10)}})
    history.do(SetPrompt(1, 1, Prompt(absent=True)))
    assert history.session.gaps(3) == {}
    assert history.do(CloseGaps(3)) == []
    assert not history.session.result(1).labels.any()


def test_a_gap_for_which_nothing_is_found_stays_one(model):
    rings = {t: disk(30, 45, r) & ~disk(30, 45, r - 2) for t, r in ((0, 6), (2, 28))}
    session = painted(model, {1: rings}).session
    assert session.gaps() == {1: (1,)}
    assert session.close_gaps() == {}
    assert session.result(1).interpolated == set()


def test_closing_is_a_step_like_others(model, tmp_path):
    history = painted(model, {1: {0: disk(30, 40, 10), 2: disk(30, 40, 10)}, 2: {5: disk(9, 9, 6)}})
    session = history.session
    step = CloseGaps(1, (1, 2))
    assert step_from_json(json.loads(json.dumps(step_as_json(step))), 1) == step
    before = [session.result(t).labels for t in range(6)]
    (result,) = history.do(step)
    assert result.frame == 1
    assert result.interpolated == {1}
    assert iou(result.labels == 1, disk(30, 40, 10)) > 0.85
    assert session.traces()[1].interpolated.tolist() == [False, True, False]
    KeptSession(tmp_path / "a.ns2.json").save(history, SessionFile.of(history, "toy"))
    again = History(TrackingSession(model, session.frames))
    KeptSession(tmp_path / "a.ns2.json").open(again, load_session(tmp_path / "a.ns2.json"))
    assert again.session.result(1).interpolated == {1}
    history.undo()
    assert all(np.array_equal(session.result(t).labels, before[t]) for t in range(6))
    assert not session.traces()[1].interpolated.any()
    history.redo()
    assert np.array_equal(session.result(1).labels, result.labels)
    history.do(LockObject(2, True))
    history.do(Propagate("forward", 0, 2))  # what the network finds takes its place
    assert session.result(1).interpolated == frozenset()


def test_the_command_closes_gaps(model, tmp_path):
    stack = np.random.default_rng(0).integers(0, 255, (3, *SHAPE)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    for t in (0, 2):
        tifffile.imwrite(tmp_path / f"m{t}.tif", disk(30, 40, 10).astype(np.uint8))
    prompts = [{"frame": t, "mask": f"m{t}.tif"} for t in (0, 2)]
    (tmp_path / "p.json").write_text(
        json.dumps({"version": 1, "axis": 0, "objects": [{"id": 1, "prompts": prompts}]})
    )
    found = []
    for longest in (0, 1):
        job = TrackJob.open(
            tmp_path / "stack.tif", tmp_path / "p.json", tmp_path / "out.tif", axes="TYX",
            stop=1, direction="forward", overwrite=True, close_gaps=longest,
        )  # fmt: skip
        outcome = track(job, model)
        assert (outcome.failure, outcome.done, outcome.total) == (None, 1, 1)
        found.append(tifffile.imread(tmp_path / "out.tif")[1] == 1)
    assert not found[0].any()
    assert iou(found[1], disk(30, 40, 10)) > 0.85
    with pytest.raises(InputError, match="gaps of -1"):
        TrackJob.open(
            tmp_path / "stack.tif", tmp_path / "p.json", tmp_path / "out.tif", axes="TYX",
            overwrite=True, close_gaps=-1,
        )  # fmt: skip


def test_a_mask_smaller_than_a_pixel_counts_as_one(model):
    masks = {t: mask_text(disk(30, 20 + 3 * t, 9)) for t in (0, 1, 3)}
    stack = np.random.default_rng(0).integers(0, 255, (6, *SHAPE)).astype(np.uint8)
    session = TrackingSession(model, Frames(stack, contrast=(0, 255)))
    list(session.adopt_objects({1: masks}))
    obj = session._objects[1]
    window = obj.estimates[3].window
    logits = torch.full((4 * window.height, 4 * window.width), -10.0)
    x, y = session._engine.geometry(window).to_model(np.array([[30.0, 35.0]]))[0].tolist()
    logits[int(y / 4) - 4 * window.row, int(x / 4) - 4 * window.column] = 0.05
    obj.estimates[3] = Estimate.of(window, logits, Quality(0.9, 5.0, 0.9))
    del obj.given[3]
    assert not session.result(3).labels.any()
    assert session.close_gaps() == {1: (2,)}
    centre = np.argwhere(session.result(2).labels).mean(axis=0)
    np.testing.assert_allclose(centre, (30, 29), atol=1)  # from (30, 23) on half of the way
