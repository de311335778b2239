"""Parts of frames hold what the whole frames hold there, whatever lies on what."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.tracking.editing.merging import claimed
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.masks.mask_text import mask_of
from tests.tracking.crowd import FRAMES, crowd, shown, steps
from tests.tracking.toy import SHAPE


@pytest.mark.parametrize("attention", ["windowed", "exact"])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 100_000))
def test_a_part_holds_what_the_frame_holds_there(model, attention, seed):
    session, rng = crowd(model, seed, attention), np.random.default_rng(seed)
    places = {}
    for t in range(FRAMES):
        y, x = (int(rng.integers(0, side)) for side in SHAPE)
        y1, x1 = (int(rng.integers(c, side)) + 1 for c, side in zip((y, x), SHAPE, strict=True))
        places[t] = slice(y, y1), slice(x, x1)
    for result in session.parts(places):
        place = places[result.frame]
        labels = session.result(result.frame).labels[place]
        assert result.labels.dtype == labels.dtype
        np.testing.assert_array_equal(result.labels, labels)
        assert set(np.unique(labels)) <= {0, *result.quality}


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 100_000))
def test_steps_yield_all_that_they_change(model, seed):
    session = crowd(model, seed, "windowed")
    before = shown(session)
    for step in steps(np.random.default_rng(seed)):
        history, labels = History(session), [plane.copy() for plane in before]
        try:
            for result in history.run(step, parts=True):
                assert result.place is not None
                labels[result.frame][result.place] = result.labels
        except InputError:  # cannot be split or divide there
            continue
        np.testing.assert_array_equal(labels, shown(session), err_msg=str(step))
        history.undo()
        np.testing.assert_array_equal(shown(session), before)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 100_000))
def test_what_others_have_of_an_object_is_ceded_as_it_was_seen(model, seed):
    session, rng = crowd(model, seed, "windowed"), np.random.default_rng(seed)
    free = [i for i in session.object_ids if i not in session.locked]
    ids = rng.permutation(free)[:2].tolist()
    before = shown(session)
    session.lock_objects(ids)
    for i, t in product(ids, range(FRAMES)):
        obj = session._objects[i]
        prompted = {k for k, other in session._objects.items() if t in other.prompts}
        shared = any(prompted - {k} for k in ids if t in session._objects[k].estimates)
        lost = np.zeros(SHAPE, bool)
        if t in obj.estimates and shared:
            place, claims = claimed(session._engine, obj, t)
            others = (before[t][place] > 0) & (before[t][place] != i)
            lost[place] = (claims > 0) & others
        assert (t in obj.ceded) == lost.any()
        if lost.any():
            np.testing.assert_array_equal(mask_of(obj.ceded[t]).whole(), lost)
