"""The log of masks behaves as a dict of estimates, and does not keep what was overwritten."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.tracking.objects.estimate_log import EstimateLog
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.windows import Window


def estimate(seed: int, side: int | None = None) -> Estimate:
    rng = np.random.default_rng(seed)
    h, w = (side, side) if side is not None else rng.integers(0, 30, 2)
    window = Window(*(int(i) for i in rng.integers(0, 60, 4)), (64, int(rng.integers(1, 90))))
    corner = (int(rng.integers(99)), int(rng.integers(99)))
    quality = Quality(*(float(np.float32(x)) for x in rng.normal(size=3)))
    return Estimate(window, corner, rng.normal(size=(h, w)).astype(np.float16), quality)


def same(a: Estimate, b: Estimate) -> bool:
    return (a.window, a.corner, a.quality) == (b.window, b.corner, b.quality) and np.array_equal(
        a.kept, b.kept
    )


STEPS = st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=400)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_it_is_a_dict(steps):
    log, expected = EstimateLog(), {}
    for number, (frame, drop) in enumerate(steps):
        if drop:
            assert (log.pop(frame, None) is None) == (expected.pop(frame, None) is None)
        else:
            log[frame] = expected[frame] = estimate(number)
    assert set(log) == set(expected)
    assert len(log) == len(expected)
    assert all(same(log[frame], kept) for frame, kept in expected.items())


def test_a_missing_frame_is_a_key_error():
    log = EstimateLog()
    assert log.get(3) is None
    with pytest.raises(KeyError):
        log[3]


def test_frames_are_gone_through_while_they_change():
    """Another thread may write in the middle of it."""
    log = EstimateLog()
    for frame in range(4):
        log[frame] = estimate(frame)
    for frame in log:
        del log[frame]
        log[frame + 100] = estimate(frame)
    assert [*log] == [100, 101, 102, 103]


def test_what_was_read_stays_as_it_was():
    log = EstimateLog()
    log[0] = estimate(1, side=200)
    read = log[0]
    before = read.kept.copy()
    for number in range(20):
        log[0] = estimate(number, side=200)
    np.testing.assert_array_equal(read.kept, before)


def test_going_over_the_same_frames_does_not_grow_it():
    log = EstimateLog()
    for round_ in range(30):
        for frame in range(50):
            log[frame] = estimate(round_ * 50 + frame, side=40)
    assert log._store.values.nbytes < 4 * 50 * 40 * 40 * 2
    assert len(log._store.rows) < 4 * 50 + 100


def test_a_copy_and_its_original_go_on_apart():
    log = EstimateLog()
    log[0] = estimate(0, side=32)
    other = log.copy()
    log[1], other[1] = estimate(1, side=32), estimate(2, side=32)
    for one, number in ((log, 1), (other, 2)):
        assert same(one[0], estimate(0, side=32))
        assert same(one[1], estimate(number, side=32))
