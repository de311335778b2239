"""A propagation that was stopped goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.tracking.finding.choosing import Cell
from napari_sam2.tracking.finding.everything import Found
from napari_sam2.tracking.following.passes import Made, made, results_of
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.session_file import SessionFile
from napari_sam2.tracking.kept.steps import AddPrompts, Propagate
from napari_sam2.tracking.kept.steps_json import step_as_json, step_from_json
from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.network.looks import Look
from napari_sam2.tracking.results import FrameResult
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.test_newcomers import LENGTH, click, places
from tests.tracking.toy import a_session, disk, moving_disk

SEEN = [1, 2, 0, 1, 2, 1, 2, 1]  # cells on each frame, so that they come and are lost


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    y, x = np.mgrid[:96, :128]
    images = np.random.default_rng(0).normal(40, 5, (LENGTH, 96, 128))
    for t in range(LENGTH):
        for cy, cx, r in [*places(t), (70, 30 + t, 9)][: SEEN[t]]:
            images[t][(y - cy) ** 2 + (x - cx) ** 2 < r * r] += 100
    return images.clip(0, 255).astype(np.uint8)


def visits(length: int, every: int) -> list[int]:
    """The frames of each result of a pass; those that come again are negative."""
    found = []
    for nth in range(length):
        found.append(nth)
        if every and nth and nth % every == 0:
            found += [-1] * every
    return found


@given(st.integers(1, 40), st.integers(0, 6), st.integers(0, 60), st.integers(0, 9))
def test_what_a_stopped_pass_has_made(length: int, every: int, results: int, behind: int) -> None:
    way = visits(length, every)
    assert results_of(length, every) == len(way)
    results = min(results, len(way))
    seen = sum(frame >= 0 for frame in way[:results])
    rest = [*way[results:], 0]
    again = next(n for n, frame in enumerate(rest) if frame >= 0) if results else 0
    assert made(length, results, every) == Made(seen, again, 0)
    assert made(length, len(way) + behind, every) == Made(length, 0, behind)


def everything(session: TrackingSession) -> list[dict[int, bytes]]:
    return [
        {
            i: obj.estimates[t].kept.tobytes()
            for i, obj in session.snapshot(session.object_ids).items()
            if obj is not None and t in obj.estimates
        }
        for t in range(len(session.frames))
    ]


PLAIN = Propagate("both")
FINDING = PropagateAndFind("both", every=3, diameter=24, dividing=True)


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize("step", [PLAIN, FINDING], ids=["plain", "finding"])
def test_it_goes_on(micro, stack, tmp_path, step: Propagate, first: int) -> None:
    prompts = {1: {first: click()}}
    whole = History(TrackingSession(micro, Frames(stack)))
    whole.do(AddPrompts(prompts))
    frames = [result.frame for result in whole.run(step)]
    assert set(frames) == set(range(LENGTH))
    expected = everything(whole.session)
    # In the middle, within what comes again after a look, and on the way back.
    for stop in range(1, len(frames), 2) if step is PLAIN else (3, 6, len(frames) - 1):
        history = History(TrackingSession(micro, Frames(stack)))
        history.do(AddPrompts(prompts))
        with closing(history.run(step)) as results:
            list(islice(results, stop))
        KeptSession(tmp_path / "a.ns2.json").save(history, SessionFile.of(history, "micro"))
        again = History(TrackingSession(micro, Frames(stack)))
        list(KeptSession(tmp_path / "a.ns2.json").restore(again))
        rest = again.steps[-1].rest
        assert (rest.after, rest.object_ids) == (stop, (1,))
        assert [result.frame for result in again.run(rest)] == frames[stop:]
        assert everything(again.session) == expected, stop


def find_one(session: TrackingSession, frame: int, **_: object) -> Iterator[Found]:
    """Find a cell on each frame, each in a place of its own."""
    mask = disk(12 + 4 * frame, 12 + 6 * frame, 6)
    yield Found(1, 1, [Cell(ThinMask.of(mask), 1.0)], first_id=max(session.object_ids) + 1)


@pytest.fixture
def finding(model, monkeypatch) -> TrackingSession:
    """Two objects that begin on different frames, so that both halves pass those between."""
    monkeypatch.setattr(TrackingSession, "segment_everything", find_one)
    session = a_session(model, stack=moving_disk(7))
    session.add_mask(1, 1, disk(30, 23, 9))
    session.add_mask(2, 5, disk(30, 35, 9))
    return session


def test_what_was_found_goes_on_in_the_half_that_found_it(finding) -> None:
    begun = finding.snapshot()

    def following(after: int = 0) -> Iterator[FrameResult]:
        return finding.propagate_and_find(2, object_ids=[1, 2], after=after)

    frames = [result.frame for result in following()]
    expected, ids = everything(finding), finding.object_ids
    assert len(ids) == 2 + 2 + 2  # in each half
    for stop in (5, len(frames) - 7, len(frames) - 1):
        finding.restore(dict.fromkeys(finding.object_ids) | begun)
        with closing(following()) as results:
            list(islice(results, stop))
        finding.unpack(dict(finding.packed(finding.object_ids)))  # as in another process
        assert [result.frame for result in following(stop)] == frames[stop:]
        assert finding.object_ids == ids
        assert everything(finding) == expected, stop


def test_what_is_clicked_meanwhile_is_not_followed_as_if_it_was_found(finding) -> None:
    list(islice(finding.propagate_and_find(20, direction="forward"), 4))
    finding.add_mask(3, 3, disk(50, 60, 8))
    list(finding.propagate_and_find(20, direction="forward", object_ids=[1, 2], after=4))
    assert finding.frames_of(3) == [3]
    assert finding.stale_objects() == [3]


def test_what_a_repair_missed_is_not_missed_on_the_way_back(model, monkeypatch) -> None:
    """Each frame is looked at, though the object is lost where it was corrected meanwhile."""
    looked: list[int] = []

    def track(self: Engine, frame: int, looks: Sequence[Look]) -> Iterator[Any]:
        looked.extend(frame for _ in looks)
        for members, prediction in whole(self, frame, looks):
            sign = 1.0 if frame < 4 else -1.0  # from there on it is nowhere
            yield members, replace(prediction, logits=sign * prediction.logits.abs().add(1))

    whole = Engine.track
    monkeypatch.setattr(Engine, "track", track)
    session = a_session(model, stack=moving_disk(16))
    session.add_mask(1, 2, disk(30, 26, 9))
    frames = [result.frame for result in islice(session.propagate("both"), 15)]
    assert frames == [*range(2, 16), 1]
    session.add_mask(1, 3, disk(30, 29, 9))
    list(session.repair())
    assert session._objects[1].rests
    looked.clear()
    list(session.propagate("both", after=15))
    assert looked == [0]


def test_the_rest_in_a_file() -> None:
    for step in (PLAIN, FINDING):
        assert step.rest is None
        stopped = step.stopped(5, [1, 2])
        rest = stopped.rest
        assert rest is not None
        assert (rest.after, rest.frames, rest.object_ids) == (5, None, (1, 2))
        again = rest.stopped(3, [1, 2, 3]).rest
        assert again is not None
        assert (again.after, again.object_ids) == (8, (1, 2))
        for one in (stopped, rest):
            assert step_from_json(step_as_json(one), 1) == one
    assert "after" not in step_as_json(PLAIN)
