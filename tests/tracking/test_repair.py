"""After a correction, only the stretch between its neighbouring prompts is computed again."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.objects.repair import Stretches, stretches
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.toy import a_session, moving_disk

FRAMES = 16


def start(model, attention="windowed") -> TrackingSession:
    return a_session(model, attention, moving_disk(FRAMES))


def at(frame: int) -> list[list[int]]:
    return [[18, 8 + 3 * frame], [42, 32 + 3 * frame]]


frame_sets = st.sets(st.integers(0, 30), max_size=6)


@given(st.sets(st.integers(0, 30), min_size=1, max_size=6), st.integers(0, 30), frame_sets)
def test_stretches_reach_to_the_next_prompts(prompted, frame, gaps):
    tracked = dict.fromkeys(sorted(set(range(31)) - gaps), False)
    parts = stretches(prompted, (), tracked, [frame])
    found = {*parts.forward, *parts.backward}
    assert found <= set(tracked) - prompted
    assert list(parts.forward) == sorted(parts.forward)
    assert list(parts.backward) == sorted(parts.backward, reverse=True)
    for t in tracked:
        between = any(min(t, frame) < p < max(t, frame) for p in prompted)
        if t not in prompted:
            assert (t in found) == (not between)


def test_what_a_daughter_is_awaited_on_is_followed_but_where_it_is_prompted():
    assert stretches([3], (), {}, [3]) == Stretches()  # followed to no frame yet
    parts = stretches([3, 6], (), {4: False}, (), awaited=range(2, 9))
    assert (parts.forward, parts.backward) == ((5, 7, 8), (2,))


@given(st.integers(0, 10), frame_sets)
def test_where_it_begins_concerns_what_lies_before(first, gaps):
    tracked = dict.fromkeys(sorted(set(range(20)) - gaps), True)
    parts = stretches([first, 12], [first], tracked, [first])
    assert parts.forward == ()
    assert parts.backward == tuple(t for t in reversed(tracked) if t < first)


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_a_repair_equals_a_full_run_between_the_prompts(model, attention):
    session = start(model, attention)
    session.add_box(1, 0, at(0))
    session.add_box(1, 10, at(10))
    before = {r.frame: r.labels for r in session.propagate("forward")}
    assert session.stale_frames() == {}
    session.add_box(1, 5, at(4))
    assert session.stale_frames() == {1: (1, 2, 3, 4, 6, 7, 8, 9)}
    repaired = {r.frame: r.labels for r in session.repair()}
    assert list(repaired) == [5, 1, 2, 3, 4, 6, 7, 8, 9]  # the prompted one first
    assert session.stale_frames() == {}
    for frame in range(11, FRAMES):
        np.testing.assert_array_equal(session.result(frame).labels, before[frame])
    full = {r.frame: r.labels for r in session.propagate("forward")}
    for frame, labels in repaired.items():
        np.testing.assert_array_equal(labels, full[frame])


def test_only_the_object_that_was_corrected_is_computed_again(model):
    session = start(model)
    session.add_box(1, 0, at(0))
    session.add_box(2, 0, [[2, 60], [16, 80]])
    list(session.propagate("forward"))
    seen: list[int] = []
    track = session._engine.track
    session._engine.track = lambda frame, looks: (seen.append(len(looks)), track(frame, looks))[1]
    session.add_points(2, 6, [[8, 70]], [True])
    results = list(session.repair())
    assert len(results) == FRAMES - 1
    assert len(seen) == FRAMES - 2  # all but the prompted two
    assert set(seen) == {1}
    assert all(1 in result.quality for result in results)


def test_a_prompt_taken_back_makes_its_stretch_stale_too(model):
    session = start(model)
    session.add_box(1, 2, at(2))
    list(session.propagate("both"))
    session.add_box(1, 8, at(8))
    list(session.repair())
    session.clear_prompt(1, 8)
    assert session.stale_frames() == {1: tuple(range(3, FRAMES))}
    list(session.repair())
    assert session.stale_frames() == {}


def test_a_prompt_taken_back_is_not_remembered(model):
    session, never = start(model), start(model)
    for one in (session, never):
        one.add_box(1, 0, at(0))
        list(one.propagate("forward"))
    session.add_mask(1, 6, np.arange(64)[:, None] + np.zeros(96) > 40)
    list(session.repair())
    session.clear_prompt(1, 6)
    again = [[r.labels for r in one.propagate("forward")] for one in (session, never)]
    np.testing.assert_array_equal(*again)


def test_changing_the_first_prompt_repairs_both_ways(model):
    session = start(model)
    session.add_box(1, 5, at(5))
    list(session.propagate("both"))
    session.add_points(1, 5, [[30, 40]], [False])
    order = [result.frame for result in session.repair()]
    assert order == [5, *range(6, FRAMES), *range(4, -1, -1)]


def test_a_repair_that_was_stopped_goes_on_later(model):
    session = start(model)
    session.add_box(1, 0, at(0))
    list(session.propagate("forward"))
    session.add_box(1, 5, at(5))
    repair = session.repair()
    next(repair)
    repair.close()
    assert 1 in session.stale_frames()
    partial = session.propagate("forward", stop=8)
    list(partial)
    assert 1 in session.stale_frames()
    list(session.propagate("forward"))
    assert session.stale_frames() == {}


def test_a_correction_during_a_repair_is_left_for_the_next(model):
    session = start(model)
    session.add_box(1, 0, at(0))
    list(session.propagate("forward"))
    session.add_box(1, 4, at(5))
    for result in session.repair():
        if result.frame == 4:
            session.add_box(1, 10, at(11))
    assert session.stale_frames() == {1: (*range(5, 10), *range(11, FRAMES))}


@pytest.mark.parametrize("method", ["propagate", "repair"])
def test_a_correction_that_is_corrected_within_the_loop_is_left_too(model, method):
    session = start(model)
    session.add_box(1, 0, at(0))
    list(session.propagate("forward"))
    session.add_box(1, 4, at(5))
    for result in getattr(session, method)():
        if result.frame == 8:
            session.add_box(1, 4, at(4))
    assert session.stale_frames() == {1: (1, 2, 3, *range(5, FRAMES))}
    list(session.repair())
    assert session.stale_frames() == {}


@pytest.mark.parametrize("kept", [False, True])
def test_what_was_passed_before_a_correction_stays_stale(model, kept):
    """A propagation that goes on visits only what is left."""
    session = start(model)
    session.add_box(1, 0, at(0))
    list(islice(session.propagate("forward"), 6))
    session.add_box(1, 2, at(3))
    if kept:
        session.unpack(dict(session.packed([1])))
    list(session.propagate("forward", after=6))
    assert session.stale_frames() == {1: (1, *range(3, FRAMES))}


@pytest.mark.parametrize("kept", [False, True])
def test_what_was_passed_in_two_parts_is_not_stale(model, kept):
    session = start(model)
    session.add_box(1, 0, at(0))
    list(session.propagate("forward"))
    session.add_box(1, 2, at(3))
    list(islice(session.propagate("forward"), 6))
    assert session.stale_frames() == {1: (1, *range(3, FRAMES))}
    if kept:
        session.unpack(dict(session.packed([1])))
    list(session.propagate("forward", after=6))
    assert session.stale_frames() == {}


def test_frames_that_were_passed_in_the_wrong_order_stay_stale(model):
    session = start(model)
    session.add_box(1, 0, at(0))
    list(session.propagate("forward"))
    session.add_box(1, 2, at(3))
    list(session.propagate("forward", start=6))  # from what the correction had not reached
    list(session.propagate("forward", stop=6))
    assert session.stale_frames() == {1: (1, *range(3, FRAMES))}


def test_nothing_to_repair_is_no_error_but_an_unknown_object_is(model):
    session = start(model)
    assert list(session.repair()) == []
    with pytest.raises(InputError, match="no object 4"):
        list(session.repair([4]))


def test_a_correction_within_the_loop_is_followed_and_repaired(model):
    session = start(model)
    session.add_box(1, 0, at(0))
    for result in session.propagate("forward"):
        if result.frame == 5:
            session.add_box(1, 5, np.array(at(5)) + 2)
    assert session.stale_frames() == {1: (1, 2, 3, 4, *range(6, FRAMES))}
    list(session.repair())

    after = start(model)
    after.add_box(1, 0, at(0))
    list(after.propagate("forward"))
    after.add_box(1, 5, np.array(at(5)) + 2)
    list(after.repair())
    for t in range(FRAMES):
        np.testing.assert_array_equal(session.result(t).labels, after.result(t).labels)


def test_an_object_may_be_deleted_within_the_loop(model):
    session = start(model)
    session.add_box(1, 0, at(0))
    session.add_box(2, 0, np.array(at(0)) + 8)
    seen = [
        session.remove_object(2) if result.frame == 4 else result.frame
        for result in session.propagate("forward")
    ]
    assert len(seen) == FRAMES
    assert session.object_ids == [1]
