"""Answers that nothing is noted of."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.toy import a_session

PLACE = (30.0, 20.0)


def followed(model, attention) -> TrackingSession:
    session = a_session(model, attention)
    session.add_points(1, 2, [PLACE], [True])
    session.add_points(2, 0, [(10, 60)], [True])
    for _ in session.propagate("both"):
        pass
    return session


def known(session: TrackingSession) -> list[object]:
    objects = session._objects
    return [
        session.prompts,
        session.stale_frames(),
        [session.result(t).labels.tobytes() for t in range(len(session.frames))],
        {i: (sorted(o.pending), dict(o.tracked), sorted(o.before)) for i, o in objects.items()},
        {i: (sorted(o.bank.conditioning), sorted(o.bank.tracked)) for i, o in objects.items()},
    ]


@pytest.mark.parametrize("attention", ["exact", "windowed"])
@pytest.mark.parametrize("object_id", [1, 3])
@pytest.mark.parametrize("frame", [2, 5])
def test_it_is_what_the_click_gives_and_changes_nothing(model, attention, object_id, frame):
    session, plain = followed(model, attention), followed(model, attention)
    before = known(session)
    preview = session.preview(object_id, frame, (30, 30))
    assert known(session) == before
    clicked = session.add_points(object_id, frame, [(30, 30)], [True])
    np.testing.assert_array_equal(preview.mask, clicked.mask)
    assert preview.quality == clicked.quality
    plain.add_points(object_id, frame, [(30, 30)], [True])
    assert known(session) == known(plain)


@pytest.mark.parametrize(("frame", "point"), [(12, PLACE), (-1, PLACE), (0, (70, 20))])
def test_what_no_click_could_say_is_refused(model, frame, point):
    session = a_session(model)
    with pytest.raises(InputError):
        session.preview(1, frame, point)
    assert session.object_ids == []


def test_it_can_be_ended_before_every_part(model):
    class Enough(Exception):
        pass

    whole = a_session(model).preview(1, 0, PLACE)
    for most in count():
        session = a_session(model)  # nothing is known from the last time
        calls = 0

        def check(most: int = most) -> None:
            nonlocal calls
            calls += 1
            if calls > most:
                raise Enough

        try:
            done = session.preview(1, 0, PLACE, check)
        except Enough:
            assert session.object_ids == []
            assert session._engine._check is None
            continue
        break
    assert most >= 4  # two for each magnification
    np.testing.assert_array_equal(done.mask, whole.mask)


def test_whole_frames_answer_fast_once_they_are_encoded(model):
    session = a_session(model, "exact")
    assert not session.answers_fast(3)
    session.preview(1, 3, PLACE)
    assert session.answers_fast(3)
    assert not session.answers_fast(4)
    assert a_session(model).answers_fast(4)
