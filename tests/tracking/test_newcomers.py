"""Cells that come into view while others are followed become objects."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.choosing import Cell
from napari_sam2.tracking.finding.everything import Found
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.steps import AddPrompts, Repair, SetPrompt
from napari_sam2.tracking.kept.steps_json import step_as_json, step_from_json
from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession

LENGTH, COMES, EVERY = 8, 3, 2  # the second cell is there from COMES on


def places(t: int) -> list[tuple[int, int, int]]:
    """(y, x, radius) of the cells on a frame."""
    second = [(64, 90 + t, 14)] if t >= COMES else []
    return [(30, 35 + 2 * t, 12), *second]


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    y, x = np.mgrid[:96, :128]
    images = np.random.default_rng(0).normal(40, 5, (LENGTH, 96, 128))
    for t in range(LENGTH):
        for cy, cx, r in places(t):
            images[t][(y - cy) ** 2 + (x - cx) ** 2 < r * r] += 100
    return images.clip(0, 255).astype(np.uint8)


@pytest.fixture
def session(micro, stack) -> TrackingSession:
    return TrackingSession(micro, Frames(stack))


def at(session: TrackingSession, frame: int, nth: int) -> int:
    """Label in the middle of a cell."""
    y, x, _ = places(frame)[nth]
    return int(session.result(frame).labels[y, x])


def click() -> Prompt:
    return Prompt(points=np.array([[30.0, 35.0]]), positive=np.array([True]))


def test_a_cell_that_comes_is_found_and_followed(session):
    session.add_points(1, 0, [[30, 35]], [True])
    total = session.total_frames(find_every=EVERY)
    frames = [r.frame for r in session.propagate_and_find(EVERY, diameter=26)]
    assert frames == [0, 1, 2, 1, 0, 3, 4, 3, 2, 5, 6, 5, 4, 7]
    assert len(frames) == total
    (new,) = set(session.object_ids) - {1}
    found = COMES + COMES % EVERY
    assert list(session.prompts[new]) == [found]
    for t in range(COMES, LENGTH):
        assert at(session, t, 0) == 1
        assert at(session, t, 1) == new
        assert 450 < (session.result(t).labels == new).sum() < 800
    assert not (session.result(COMES - 1).labels == new).any()
    assert not session.stale_frames()


def test_how_large_it_is_need_not_be_known(micro, stack):
    session = TrackingSession(micro, Frames(stack[COMES - 1 : COMES + 2]))
    session.add_points(1, 0, [[34, 41]], [True])
    for _ in session.propagate_and_find(EVERY):
        pass
    assert session.object_ids == [1, 2]
    assert session.result(2).labels[64, 90 + COMES + 1] == 2
    assert 450 < (session.result(2).labels == 2).sum() < 800


def test_backward_they_are_followed_backward(micro, stack):
    session = TrackingSession(micro, Frames(stack[::-1]))
    session.add_points(1, LENGTH - 1, [[30, 35]], [True])
    for _ in session.propagate_and_find(EVERY, direction="backward", diameter=26):
        pass
    (new,) = set(session.object_ids) - {1}
    found = LENGTH - 1 - COMES - COMES % EVERY
    assert list(session.prompts[new]) == [found]
    shown = [t for t in range(LENGTH) if (session.result(t).labels == new).any()]
    assert shown == list(range(LENGTH - COMES))


def test_daughters_begin_where_they_leave_their_mother(micro):
    y, x = np.mgrid[:96, :128]
    images = np.random.default_rng(0).normal(40, 5, (9, 96, 128))
    for t in range(9):
        apart, radius = (0, 15) if t < 6 else (13 + 3 * (t - 6), 11)
        for sign in (-1, 1):
            images[t][(y - 48) ** 2 + (x - 64 - sign * apart) ** 2 < radius**2] = 140
    session = TrackingSession(micro, Frames(images.clip(0, 255).astype(np.uint8)))
    session.add_points(1, 0, [[48, 64]], [True])
    for _ in session.propagate_and_find(4, diameter=26):
        pass
    new = set(session.object_ids) - {1}
    assert new
    for _ in range(2):
        for i in new:
            assert [t for t in range(9) if (session.result(t).labels == i).any()] == [6, 7, 8]
        assert not session.stale_frames()
        for _ in session.propagate("both"):  # nor are they followed into her later
            pass


def test_what_runs_into_another_begins_after_that(session, monkeypatch):
    """As if the first cell was found once more on the frame of the look."""
    session.add_points(1, 0, [[30, 35]], [True])
    double: list[int] = []

    def find(self, frame, **_):
        if double:
            return
        double.append(frame)
        mask = self.result(frame).labels == 1
        yield Found(1, 1, [Cell(ThinMask.of(mask), 1.0)], first_id=2)

    monkeypatch.setattr(TrackingSession, "segment_everything", find)
    for _ in session.propagate_and_find(4):
        pass
    assert {t: p.absent for t, p in session.prompts[2].items()} == {4: False, 3: True}
    assert all((session.result(t).labels == 1).sum() > 300 for t in range(4))
    assert not any((session.result(t).labels == 2).any() for t in range(4))
    assert not session.stale_frames()
    for _ in session.propagate("both"):  # nor is it followed there later
        pass
    assert not any((session.result(t).labels == 2).any() for t in range(4))


def test_ids_are_those_that_are_free_elsewhere(micro, stack):
    for limits, ids in (
        ({"first_id": 40}, [1, 40]),
        ({"last_id": 2}, [1, 2]),
        ({"last_id": 1}, [1]),
    ):
        session = TrackingSession(micro, Frames(stack))
        session.add_points(1, 0, [[30, 35]], [True])
        for _ in session.propagate_and_find(EVERY, diameter=26, stop=5, **limits):
            pass
        assert session.object_ids == ids


@pytest.mark.parametrize(("cells", "told"), [(2, False), (3, True)])
def test_three_cells_tell_how_large_the_others_are(micro, stack, monkeypatch, cells, told):
    session, diameters = TrackingSession(micro, Frames(stack)), []

    def find(self, frame, *, diameter, **_):
        diameters.append(diameter)
        return iter(())

    monkeypatch.setattr(TrackingSession, "segment_everything", find)
    y, x = np.mgrid[:96, :128]
    for i in range(cells):
        mask = (y - 48) ** 2 + (x - 20 - 40 * i) ** 2 < 10**2
        session.add_prompts({i + 1: {0: Prompt(mask=mask), EVERY: Prompt(mask=mask)}})
    list(session.propagate_and_find(EVERY, direction="forward", stop=EVERY + 1))
    assert diameters == [pytest.approx(20, abs=0.5) if told else None]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"every": 0}, "1 or more"),
        ({"every": 2, "diameter": 0}, "diameter"),
        ({"every": 2}, "nothing to propagate"),
    ],
)
def test_unusable_input(session, arguments, text):
    with pytest.raises(InputError, match=text):
        list(session.propagate_and_find(**arguments))


def labels(session: TrackingSession) -> np.ndarray:
    return np.stack([session.result(t).labels for t in range(LENGTH)])


def test_as_a_step_it_is_undone_and_done_again(session, micro, stack):
    history = History(session)
    history.do(SetPrompt(1, 0, click()))
    clicked = labels(session)
    step = PropagateAndFind("forward", every=EVERY, diameter=26, first_id=5, last_id=9)
    history.do(step)
    done = labels(session)
    assert session.object_ids == [1, 5]
    assert history.touched >= {1, 5}
    history.undo()
    assert session.object_ids == [1]
    np.testing.assert_array_equal(labels(session), clicked)
    history.redo()
    np.testing.assert_array_equal(labels(session), done)
    # A correction of what was found goes on from there.
    history.do(SetPrompt(5, 6, Prompt(mask=labels(session)[6] == 5)))
    history.do(Repair())
    steps = [step_from_json(step_as_json(one), n) for n, one in enumerate(history.steps)]
    assert steps[1] == step
    again = History(TrackingSession(micro, Frames(stack)))
    for one in steps:
        again.do(one)
    np.testing.assert_array_equal(labels(again.session), labels(session))


def test_ended_early_it_keeps_what_was_found(session):
    history = History(session)
    history.do(AddPrompts({1: {0: click()}}))
    results = history.run(PropagateAndFind("forward", every=EVERY, diameter=26))
    for result in results:
        if result.frame == 5:
            break
    results.close()
    assert session.object_ids == [1, 2]
    done = PropagateAndFind("forward", object_ids=(1,), every=EVERY, diameter=26, frames=10)
    assert history.steps[-1] == done
    history.undo()
    assert session.object_ids == [1]
    history.redo()
    assert session.object_ids == [1, 2]


def test_a_look_can_be_ended(session):
    class Enough(Exception):
        pass

    frames: list[int] = []

    def check() -> None:
        if len(frames) == EVERY:  # the look is taken before the frame is shown
            raise Enough

    def follow() -> None:
        with session.checking(check):
            for result in history.run(PropagateAndFind("forward", every=EVERY, diameter=26)):
                frames.append(result.frame)

    session.add_points(1, 0, [[30, 35]], [True])
    history = History(session)
    with pytest.raises(Enough):
        follow()
    assert frames == list(range(EVERY))
    done = PropagateAndFind("forward", object_ids=(1,), every=EVERY, diameter=26, frames=EVERY)
    assert history.steps[-1] == done
    assert session.object_ids == [1]
