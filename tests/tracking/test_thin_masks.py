"""Masks that are cut to where they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_sam2.tracking.mask_text import mask_of, mask_text, place_of, thin
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.prompts import seeds_from_labels

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=7)


@given(arrays(st.sampled_from([np.uint8, np.float32, bool]), SHAPES, elements=st.integers(0, 1)))
def test_thin(mask: np.ndarray) -> None:
    cut = thin(mask)
    np.testing.assert_array_equal(cut, mask != 0)
    assert not cut.flags.writeable
    rows, columns = place_of(mask)
    assert np.count_nonzero(mask[rows, columns]) == np.count_nonzero(mask)
    np.testing.assert_array_equal(mask_of(mask_text(cut)), cut)
    np.testing.assert_array_equal(Prompt(mask=mask).mask, cut)


@given(arrays(np.int64, SHAPES, elements=st.sampled_from([0, 0, 3, 4, 70_000, 2**40])))
def test_seeds_of_any_ids(labels: np.ndarray) -> None:
    ids = [int(i) for i in np.unique(labels) if i]
    if not ids:
        return
    seeds = seeds_from_labels(labels, 2)
    assert [*seeds] == ids
    for i, by_frame in seeds.items():
        np.testing.assert_array_equal(by_frame[2].mask, labels == i)
