"""What a propagation has to do is known before it begins."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tifffile

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.toy import moving_disk


def drawn(x: int) -> np.ndarray:
    mask = np.zeros((64, 96), bool)
    mask[20:40, x : x + 20] = True
    return mask


def a_session(model, attention="windowed") -> TrackingSession:
    frames = Frames(moving_disk(), contrast=(0, 255))
    session = TrackingSession(model, frames, TrackingPolicy(attention=attention))
    session.add_mask(1, 2, drawn(10))
    session.add_mask(1, 7, drawn(30))
    session.add_mask(2, 4, drawn(50))
    session.add_mask(3, 0, drawn(70))
    session.end_object(3, 9)
    session.add_mask(5, 11, drawn(5))
    session.end_object(5, 6)
    return session


def counted(session: TrackingSession, run) -> list[int]:
    """How many objects the network is asked for on each frame of a run, and the frames."""
    engine, found, frames = session._engine, Counter(), []
    plain = engine.track

    def track(frame, looks):
        found[len(frames)] += len(looks)
        return plain(frame, looks)

    engine.track = track
    for result in run():
        frames.append(result.frame)
    engine.track = plain
    return [found[k] for k in range(len(frames))]


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
@pytest.mark.parametrize(
    ("start", "stop", "ids"), [(None, None, None), (3, 9, None), (None, 8, (1, 3)), (1, None, (5,))]
)
def test_looks_are_those_of_the_propagation(model, direction, start, stop, ids):
    session = a_session(model)
    work = session.workload(direction, start, stop, ids)
    assert work.frames == session.total_frames(direction, start, stop, ids)
    looks = counted(session, lambda: session.propagate(direction, start, stop, ids))
    assert work.looks.tolist() == looks
    assert session.workload(direction, start, stop, ids).fresh == 0


def test_repair(model):
    session = a_session(model)
    assert session.repair_workload().looks.tolist() == []
    for _ in session.propagate("both"):
        pass
    session.add_mask(1, 5, drawn(20))
    session.add_mask(2, 8, drawn(60))
    work = session.repair_workload()
    assert work.looks.sum() == sum(map(len, session.stale_frames().values()))
    looks = counted(session, session.repair)
    assert sorted(work.looks) == sorted(n for n in looks if n)  # prompted frames are only shown
    assert list(looks).count(0) == 2


def test_nothing_to_do_is_refused_as_the_propagation_is(model):
    session = TrackingSession(model, Frames(moving_disk(), contrast=(0, 255)))
    with pytest.raises(InputError, match="nothing to propagate"):
        session.workload()
    session.add_mask(1, 2, drawn(10))
    with pytest.raises(InputError, match="no frames from 9"):
        session.workload("both", 9, 4)


def kept(session: TrackingSession) -> int:
    """Bytes that a session keeps, counted one by one."""
    total = 0
    for obj in session._objects.values():
        store = obj.estimates._store
        total += store.values.nbytes + store.rows.nbytes
        for item in (*obj.bank.conditioning.values(), *obj.bank.tracked.values()):
            parts = [None if item.memory is None else item.memory.features, item.pointer]
            total += sum(p.nbytes for p in (*parts, item.logits) if p is not None)
    maps = session._engine.encodings._maps.values()
    return total + sum(part.nbytes for some in maps for part in some)


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_the_memory_is_known_within_a_factor_of_two_on_real_data(micro, dev_data, attention):
    folder, around = dev_data / "u373_phase", np.s_[..., 64:256, 16:320]  # three cells
    images = tifffile.imread(folder / "images.tif", key=range(8))[around]
    truth = tifffile.imread(folder / "masks.tif", key=0)[around]
    policy = TrackingPolicy(attention=attention)
    session = TrackingSession(micro, Frames(images), policy)
    for object_id in np.unique(truth[truth > 0])[:3]:
        session.add_mask(int(object_id), 0, truth == object_id)
    before, work = kept(session), session.workload("forward")
    for _ in session.propagate("forward"):
        pass
    grown = kept(session) - before
    assert grown / 2 <= work.kept <= 2 * grown
