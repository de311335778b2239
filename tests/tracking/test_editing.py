"""Merged, split and locked objects, and what is said of all without masks."""

from __future__ import annotations

import gc
import sys
import threading

import numpy as np
import pytest

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.packing import packed, unpacked
from napari_sam2.tracking.kept.steps import MergeObjects, SetPrompt
from napari_sam2.tracking.kept.steps_json import step_as_json, step_from_json
from napari_sam2.tracking.memory_bank import MemoryBank
from napari_sam2.tracking.objects.objects import TrackedObject
from napari_sam2.tracking.prompt import Prompt
from tests.tracking.toy import a_session, disk, drawn, moving_disk

EARLY, LATE = drawn((20, 10, 40, 30)), drawn((30, 60, 50, 80))


def labels(session):
    return {t: session.result(t).labels for t in range(12)}


def followed(session):
    for _ in session.propagate():
        pass
    return labels(session)


def test_a_trace_says_what_the_masks_say(model):
    session = a_session(model)
    session.add_mask(3, 2, EARLY)
    trace = session.traces()[3]
    assert trace.frames.tolist() == [2]
    assert trace.area[0] == pytest.approx(EARLY.sum(), rel=0.2)
    np.testing.assert_allclose(trace.centre[0], np.argwhere(EARLY).mean(axis=0), atol=1)
    shown = followed(session)
    trace = session.traces()[3]
    assert trace.frames.tolist() == list(range(12))
    for t in range(12):
        quality = session.result(t).quality[3]
        assert trace.score[t] == pytest.approx(quality.score)
        assert trace.object_score[t] == pytest.approx(quality.object_score)
        mask = shown[t] == 3
        assert trace.area[t] > 0 or not mask.any()
        if mask.sum() > 50 and t != 2:
            assert trace.area[t] == pytest.approx(mask.sum(), rel=0.2)
            np.testing.assert_allclose(trace.centre[t], np.argwhere(mask).mean(axis=0), atol=1.5)


def test_the_centre_of_a_trace_is_that_of_the_pixels(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    np.testing.assert_allclose(session.traces()[1].centre[0], (29.5, 19.5), atol=0.2)


def test_traces_are_read_while_another_thread_writes(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    over, wrong = threading.Event(), []

    def look():
        while not over.wait(1e-4):  # else the other thread hardly gets a turn
            trace = session.traces()[1]
            if not (np.diff(trace.frames) > 0).all() or not np.isfinite(trace.score).all():
                wrong.append(trace)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(3):
        followed(session)
    over.set()
    thread.join()
    assert not wrong


class Litter:
    """Garbage whose end runs Python code, as that of napari's and torch's does."""

    def __init__(self):
        self.me = self

    def __del__(self):
        for _ in range(20):
            pass


@pytest.fixture
def switching():
    """Threads that take turns all the time, also in the middle of what only looks like one step."""
    usual, often = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.freeze()  # else each collection goes through all that is loaded
    gc.set_threshold(17)
    yield
    gc.set_threshold(*often)
    gc.unfreeze()
    sys.setswitchinterval(usual)


def test_results_are_read_while_another_thread_works(model, switching):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    over, wrong = threading.Event(), []

    def look():
        while not over.is_set():
            Litter()
            try:
                session.result(0)
                session.qualities()
            except Exception as error:
                wrong.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(300):
        for i in range(2, 40):
            session._objects[i] = session._objects[1].copy()
            session._objects[i].estimates.pop(0)
        for i in range(2, 40):
            del session._objects[i]
    over.set()
    thread.join()
    assert not wrong


def test_prompts_are_read_while_another_thread_adds_objects(model, monkeypatch):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    session.add_mask(2, 0, LATE)
    known = session._objects[1].prompts

    def read(_):
        session._objects.setdefault(3, session._objects[2])  # as if in the middle of the reading
        return known

    monkeypatch.setattr(TrackedObject, "prompts", property(read), raising=False)
    assert [*session.prompts] == [1, 2]


def test_split_changes_ids_and_nothing_else(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    session.add_mask(1, 8, LATE)
    before = followed(session)
    assert session.split_object(1, 5) == 2
    for t, now in labels(session).items():
        assert np.array_equal(now, np.where(before[t] == 1, 1 if t < 5 else 2, 0))
    assert {i: list(p) for i, p in session.prompts.items()} == {1: [0], 2: [8]}
    assert session.stale_frames() == {}
    assert np.array_equal(followed(session)[8] == 2, LATE)  # both can be followed


def test_both_parts_of_a_locked_object_are_locked(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    session.add_mask(1, 8, LATE)
    session.lock_object(1)
    new = session.split_object(1, 5)
    assert session.locked == {1, new}


def test_parts_and_what_is_made_of_them_know_of_jumps(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    session.add_mask(1, 8, LATE)
    objects = session._objects
    objects[1].bank.jumps[6] = (3.0, 4.0)
    new = session.split_object(1, 5)
    assert objects[1].bank.jumps == objects[new].bank.jumps == {6: (3.0, 4.0)}
    objects[new].bank.jumps[9] = (1.0, 0.0)
    session.merge_objects(1, new)
    assert objects[1].bank.jumps == {6: (3.0, 4.0), 9: (1.0, 0.0)}


def test_a_part_without_prompt_keeps_its_masks(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    before = followed(session)
    session.split_object(1, 4, new_id=9)
    session.lock_object(1)
    with pytest.raises(InputError, match="locked"):
        next(session.propagate())
    session.lock_object(1, False)
    session.remove_object(1)
    assert all(np.array_equal(session.result(t).labels == 9, before[t] == 1) for t in range(4, 12))
    session.add_points(9, 6, [[40, 70]], [True])  # it can be prompted and followed like any other
    assert [r.frame for r in session.propagate("forward")] == list(range(6, 12))


@pytest.mark.parametrize("frame", [0, 12, -1])
def test_nothing_to_split(model, frame):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    followed(session)
    with pytest.raises(InputError, match=f"cannot be split at frame {frame}"):
        session.split_object(1, frame)
    for new, words in ((1, "object 1 already"), (2**33, "must be in 1 to"), (3.5, "an integer")):
        with pytest.raises(InputError, match=words):
            session.split_object(1, 3, new_id=new)
    assert session.object_ids == [1]
    with pytest.raises(InputError, match="no object 4"):
        session.split_object(4, 3)


def test_merge_undoes_a_split(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    session.add_mask(1, 8, LATE)
    before = followed(session)
    again = followed(session)
    assert all(np.array_equal(before[t], again[t]) for t in before)
    session.split_object(1, 5)
    assert session.merge_objects(1, 2) == tuple(range(12))
    assert session.object_ids == [1]
    now = labels(session)
    assert all(np.array_equal(now[t], before[t]) for t in before)
    assert {i: sorted(p) for i, p in session.prompts.items()} == {1: [0, 8]}
    assert session.stale_frames() == {}
    after = followed(session)
    assert np.array_equal(after[8] == 1, LATE)


def test_merge_fills_what_is_missing_and_prompts_win(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    for _ in session.propagate("forward", stop=4):
        pass
    kept = {t: session.result(t).labels == 1 for t in range(4)}
    session.add_mask(2, 2, LATE)
    session.add_mask(2, 7, LATE)
    session.merge_objects(1, 2)
    now = labels(session)
    for t in (0, 1, 3):
        assert np.array_equal(now[t] == 1, kept[t])
    assert np.array_equal(now[2] == 1, LATE)
    assert np.array_equal(now[7] == 1, LATE)
    session.clear_prompt(1, 2)  # what tracking said comes back
    assert np.array_equal(session.result(2).labels == 1, kept[2])


def test_what_tracking_said_of_the_absorbed_one_comes_back_too(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    session.add_mask(2, 4, LATE)
    list(session.propagate("forward", object_ids=[2]))
    followed_to = session.result(7).labels == 2
    session.add_mask(2, 7, EARLY)
    session.merge_objects(1, 2)
    assert np.array_equal(session.result(7).labels == 1, EARLY)
    session.clear_prompt(1, 7)
    assert np.array_equal(session.result(7).labels == 1, followed_to)
    assert followed_to.any()


def test_several_are_merged_in_one_step_or_none_is(model):
    history = History(a_session(model))
    for i, (t, mask) in enumerate([(0, EARLY), (4, LATE), (8, EARLY)], start=1):
        history.do(SetPrompt(i, t, Prompt(mask=mask)))
    before = labels(history.session)
    with pytest.raises(InputError, match="no object 9"):
        history.do(MergeObjects(1, 2, (9,)))
    assert sorted(history.session.object_ids) == [1, 2, 3]
    step = MergeObjects(1, 2, (3,))
    assert step_from_json(step_as_json(step), 1) == step
    assert [result.frame for result in history.do(step)] == [0, 4, 8]
    assert {i: sorted(p) for i, p in history.session.prompts.items()} == {1: [0, 4, 8]}
    history.undo()
    assert sorted(history.session.object_ids) == [1, 2, 3]
    after = labels(history.session)
    assert all(np.array_equal(after[t], before[t]) for t in before)


def test_where_both_are_prompted_the_kept_one_stays(model):
    session = a_session(model)
    session.add_mask(1, 3, EARLY)
    session.add_mask(2, 3, LATE)
    session.merge_objects(1, 2)
    assert np.array_equal(session.result(3).labels == 1, EARLY)
    with pytest.raises(InputError, match="itself"):
        session.merge_objects(1, 1)
    with pytest.raises(InputError, match="no object 2"):
        session.merge_objects(1, 2)


def test_an_object_of_another_level_is_taken_over(model):
    shape = (256, 256)
    session = a_session(model, stack=moving_disk(shape=shape))
    large = drawn((20, 20, 180, 180), shape)
    session.add_mask(1, 0, large)
    session.add_mask(2, 6, drawn((200, 200, 206, 206), shape))
    for _ in session.propagate("forward", start=6, stop=9, object_ids=[2]):
        pass
    log = session._objects
    grids = {log[i].estimates[f].window.grid for i, f in ((1, 0), (2, 6))}
    assert len(grids) == 2
    before = session.traces()[2]
    session.merge_objects(1, 2)
    assert len({e.window.grid for e in log[1].estimates.values()}) == 1
    after = session.traces()[1]
    later = after.frames >= 6
    np.testing.assert_allclose(after.centre[later], before.centre, atol=3)
    followed(session)


def test_locked_objects_keep_their_pixels(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    before = followed(session)
    session.lock_object(1)
    session.add_mask(2, 3, np.ones((64, 96), bool))
    assert session.total_frames() == 12
    for result in session.propagate():
        assert np.array_equal(result.labels == 1, before[result.frame] == 1)
    session.lock_object(1, False)
    assert not np.array_equal(session.result(3).labels == 1, before[3] == 1)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("i", "other"), [(1, 2), (3, 1)])
def test_to_lock_an_object_takes_nothing_from_those_that_were_painted_over_it(
    model, i, other, together
):
    session = a_session(model)
    session.add_mask(i, 0, drawn((10, 10, 50, 60)))
    followed(session)
    session.add_mask(other, 4, drawn((20, 30, 40, 90)))
    before = labels(session)
    assert (before[4] == i).any()
    if together:
        session.lock_objects([i, other])
    else:
        session.lock_object(i)
    assert np.array_equal(session.result(4).labels, before[4])
    if not together:
        assert np.array_equal(followed(session)[4], before[4])
    text = session._objects[i].ceded
    assert [*text] == [4]
    grids = session._engine.levels
    again = unpacked(packed(session._objects[i]), MemoryBank(7, 16), 12, grids)
    assert again.ceded == text
    session.lock_object(i, False)
    assert not session._objects[i].ceded
    session.lock_object(i)
    session.lock_object(other, False)
    session.add_mask(i, 4, drawn((10, 10, 50, 60)))  # said since then
    assert (session.result(4).labels == i).sum() == (drawn((10, 10, 50, 60))).sum()


def test_locked_objects_are_not_stale(model):
    session = a_session(model)
    session.add_mask(1, 0, EARLY)
    followed(session)
    session.add_mask(1, 6, LATE)
    assert session.stale_frames()
    session.lock_object(1)
    assert not session.stale_frames()
    assert not list(session.repair())
    session.lock_object(1, False)
    assert list(session.repair())


def known(session, object_id):
    return [t for t in range(12) if (session.result(t).labels == object_id).any()]


def test_where_one_ended_the_masks_of_the_other_stay(model):
    session = a_session(model)
    session.add_mask(1, 0, disk(30, 20, 9))
    list(session.propagate("forward"))
    session.end_object(1, 6)
    list(session.repair())
    session.add_mask(2, 8, disk(30, 44, 9))
    list(session.propagate("both", object_ids=[2]))
    assert set(range(6, 12)) <= set(known(session, 2))
    session.merge_objects(1, 2)
    assert known(session, 1) == list(range(12))
    assert sorted(session.prompts[1]) == [0, 8]
    assert session.stale_frames() == {}
    list(session.propagate())
    assert known(session, 1) == list(range(12))


def test_where_one_begins_the_masks_of_the_other_stay(model):
    session = a_session(model)
    session.add_mask(1, 0, disk(30, 20, 9))
    list(session.propagate("forward"))
    session.add_mask(2, 8, disk(10, 80, 6))
    session.end_object(2, 3)
    list(session.propagate(object_ids=[2]))
    before = known(session, 1)
    session.merge_objects(1, 2)
    assert known(session, 1) == before
    assert sorted(session.prompts[1]) == [0, 8]
    assert not any(session._objects[1].gone(t) for t in range(12))


@pytest.mark.parametrize("kept", [1, 2])
def test_an_end_that_holds_for_both_stays(model, kept):
    session = a_session(model)
    session.add_mask(1, 0, disk(30, 20, 9))
    session.add_mask(1, 4, disk(30, 32, 9))
    session.add_mask(2, 9, disk(30, 47, 9))
    session.end_object(1, 6)
    session.end_object(2, 11)
    session.merge_objects(kept, 3 - kept)
    assert sorted(session.prompts[kept]) == [0, 4, 6, 9, 11]
    assert session._objects[kept].ends == {6, 11}


def test_an_end_that_would_turn_round_is_dropped(model):
    session = a_session(model)
    session.add_mask(1, 0, disk(30, 20, 9))
    session.add_mask(2, 5, disk(30, 35, 9))
    session.end_object(2, 3)
    list(session.propagate(object_ids=[2]))
    later = known(session, 2)
    session.merge_objects(1, 2)  # not: that it ends on frame 3
    assert known(session, 1) == [0, *later]
    assert sorted(session.prompts[1]) == [0, 5]


def test_what_the_absorbed_object_has_to_be_followed_again_is_not_forgotten(model):
    session = a_session(model)
    session.add_mask(1, 0, disk(10, 80, 6))
    session.add_mask(2, 2, disk(30, 26, 9))
    session.add_mask(2, 4, disk(30, 32, 9))
    list(session.propagate("forward", object_ids=[2]))
    session.clear_prompt(2, 4)
    stale = session.stale_frames()[2]
    assert stale
    session.merge_objects(1, 2)
    assert session.stale_frames() == {1: stale}
    list(session.repair())
    assert session.stale_frames() == {}


def test_nothing_is_to_be_followed_again_where_no_mask_was_taken(model):
    session = a_session(model)
    session.add_mask(1, 0, disk(30, 20, 9))
    list(session.propagate("forward"))
    assert known(session, 1) == list(range(12))
    session.add_mask(2, 0, disk(10, 80, 6))
    session.add_mask(2, 4, disk(10, 80, 6))
    list(session.propagate("forward", object_ids=[2]))
    session.clear_prompt(2, 4)
    session.merge_objects(1, 2)
    assert session.stale_frames() == {}
