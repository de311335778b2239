"""Corrections while and after following: where, in which order, and what they give."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.evaluation.interactive import offline, online
from napari_sam2.evaluation.metrics import boundary_f
from napari_sam2.evaluation.sequences import Task, prepare

from .fakes import MODEL, FadingSession, ThresholdSession, moving_squares, upper_half

# Object 1 is 6 px wide, its upper left corner at (2, 5 + frame).
CENTRE, LOWER_HALF = (4, 7), (6, 7)


def one_object(z_stack: bool = False) -> Task:
    return prepare(moving_squares(z_stack=z_stack), None, max_objects=1)


def half_f(task: Task, frame: int = 2) -> float:
    truth = task.labels[frame] == 1
    return boundary_f(upper_half(truth), truth)


def test_offline_clicks_until_all_frames_are_right() -> None:
    task = one_object()
    session = FadingSession(task.labels, reach=1)
    rounds = offline(MODEL, task, 8, session)
    # Clicks on 0, 2, 4 and 6 make all eight frames right: nothing is left for a fifth round.
    assert [one.j for one in rounds] == [5 / 8, 6 / 8, 7 / 8, 1]
    assert [one.frames[1] for one in rounds] == [(0,), (0, 2), (0, 2, 4), (0, 2, 4, 6)]
    f = half_f(task)
    assert 0 < f < 1
    expected = [(8 - wrong * (1 - f)) / 8 for wrong in (6, 4, 2, 0)]
    assert [one.f for one in rounds] == pytest.approx(expected)
    assert rounds[1].j_and_f == pytest.approx((6 / 8 + expected[1]) / 2)
    assert session.propagations == [("forward", None, None)] * 4
    # Two clicks are enough; there is no third where nothing is wrong.
    assert session.clicks == [
        (1, 0, *CENTRE, True),
        (1, 0, *LOWER_HALF, True),
        *((1, t, 6, 7 + t, True) for t in (2, 2, 4, 4, 6, 6)),
    ]


def test_offline_clicks_the_worst_of_several_wrong_frames() -> None:
    class Blind(FadingSession):
        """Finds nothing on frame 5 before that is clicked."""

        def _mask(self, object_id: int, frame: int) -> np.ndarray:
            seen = frame != 5 or any(click[1] == 5 for click in self.clicks)
            return super()._mask(object_id, frame) & seen

    task = one_object()
    *_, last = offline(MODEL, task, 2, Blind(task.labels, reach=1))
    assert last.frames == {1: (0, 5)}


def test_offline_stops_at_the_number_of_frames() -> None:
    task = one_object()
    session = FadingSession(task.labels, reach=1)
    rounds = offline(MODEL, task, 2, session)
    assert [one.j for one in rounds] == [5 / 8, 6 / 8]
    assert {click[1] for click in session.clicks} == {0, 2}  # no clicks that nobody judges


def test_offline_gives_at_most_three_clicks_a_frame() -> None:
    class Deaf(FadingSession):
        def _mask(self, object_id: int, frame: int) -> np.ndarray:
            return upper_half(self.labels[frame] == object_id)

    task = one_object()
    session = Deaf(task.labels, reach=1)
    rounds = offline(MODEL, task, 3, session)
    assert [click[1] for click in session.clicks] == [0] * 3 + [1] * 3 + [2] * 3
    assert [one.j for one in rounds] == [0.5] * 3


def test_offline_corrects_each_object_on_a_frame_of_its_own() -> None:
    sequence = moving_squares()
    for t in (2, 3):  # a gap in the truth of object 2: there it is not judged
        sequence.labels[t][sequence.labels[t] == 2] = 0
    task = prepare(sequence, None, max_objects=12)
    session = FadingSession(task.labels, reach=1)
    rounds = offline(MODEL, task, 8, session)
    assert rounds[-1].j == 1
    assert rounds[-1].frames == {1: (0, 2, 4, 6), 2: (0, 4, 6), 3: (0, 2, 4, 6), 4: (0, 2, 4)}
    assert rounds[-1].frames_per_object == 14 / 4
    # The fourth leaves after frame 4, so it has five frames.
    assert rounds[0].j == pytest.approx((5 / 8 + 4 / 6 + 5 / 8 + 3.5 / 5) / 4)
    second = [click[:2] for click in session.clicks if click[1] > 0][:8:2]
    assert second == [(1, 2), (3, 2), (4, 2), (2, 4)]  # frame by frame


def test_online_corrects_what_falls_below_the_bound_and_goes_on() -> None:
    task = one_object()
    session = FadingSession(task.labels, reach=2)
    found = online(MODEL, task, 8, session)
    assert (found.j, found.f, found.frames) == (1, 1, {1: (0, 3, 6)})
    assert session.propagations == [("forward", 0, 8), ("forward", 4, 8), ("forward", 7, 8)]
    assert [click[1] for click in session.clicks] == [0, 0, 3, 3, 6, 6]


def test_online_leaves_what_it_has_passed() -> None:
    task = one_object()
    session = FadingSession(task.labels, reach=2)
    found = online(MODEL, task, 2, session)
    # Frames 6 and 7 are wrong, and there is no frame left to click.
    assert (found.j, found.frames) == (7 / 8, {1: (0, 3)})
    assert found.f == pytest.approx((6 + 2 * half_f(task)) / 8)

    class Late(FadingSession):
        """Frames before the last clicked one become right when it is too late."""

        def _mask(self, object_id: int, frame: int) -> np.ndarray:
            truth = self.labels[frame] == object_id
            if frame == 1 and not any(click[1] > 1 for click in self.clicks):
                two_thirds = np.arange(len(truth)) < np.flatnonzero(truth.any(axis=1))[5]
                return truth & two_thirds[:, None]  # IoU 5/6: not paused at
            return super()._mask(object_id, frame)

    late = Late(task.labels, reach=2)
    assert online(MODEL, task, 8, late).j == pytest.approx((7 + 5 / 6) / 8)
    assert (late.result(1).labels == task.labels[1])[task.labels[1] == 1].all()


def test_online_goes_through_a_z_stack_from_the_seed_both_ways() -> None:
    task = one_object(z_stack=True)
    assert task.seed == 4
    session = FadingSession(task.labels, reach=1)
    found = online(MODEL, task, 8, session)
    assert (found.j, found.frames) == (1, {1: (4, 6, 2, 0)})
    assert session.propagations == [
        ("forward", 4, 8),
        ("forward", 7, 8),
        ("backward", 0, 4),
        ("backward", 0, 2),
    ]


def test_a_perfect_model_is_never_corrected() -> None:
    task = prepare(moving_squares())
    (only,) = offline(MODEL, task, 8, ThresholdSession)
    passed = online(MODEL, task, 8, ThresholdSession)
    assert only.j == only.f == passed.j == passed.f == 1
    assert only.frames == passed.frames == dict.fromkeys(range(1, 5), (0,))
