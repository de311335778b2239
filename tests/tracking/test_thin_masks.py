"""Masks that are cut to where they are."""

from __future__ import annotations

import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_sam2.tracking.masks.mask_text import mask_of, mask_text
from napari_sam2.tracking.masks.thin_mask import ThinMask, place_of
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.prompts import seeds_from_labels

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=7)


@given(arrays(st.sampled_from([np.uint8, np.float32, bool]), SHAPES, elements=st.integers(0, 1)))
def test_thin(mask: np.ndarray) -> None:
    cut = ThinMask.of(mask)
    np.testing.assert_array_equal(cut.whole(), mask != 0)
    assert not cut.part.flags.writeable
    assert not cut.whole().flags.writeable
    assert cut.place == place_of(mask)
    if cut.area:
        assert all(edge.any() for edge in (*cut.part[[0, -1]], *cut.part.T[[0, -1]]))
    assert cut.area == np.count_nonzero(mask)
    assert cut.is_empty == (not mask.any())
    assert mask_of(mask_text(mask)) == mask_of(mask_text(cut)) == cut
    np.testing.assert_array_equal(Prompt(mask=mask).mask, mask != 0)
    assert Prompt(mask=cut) == Prompt(mask=mask)


@given(arrays(bool, SHAPES), arrays(bool, SHAPES))
def test_masks_are_the_same_if_their_pixels_are(one: np.ndarray, other: np.ndarray) -> None:
    same = one.shape == other.shape and bool((one == other).all())
    assert (ThinMask.of(one) == ThinMask.of(other)) == same
    assert (Prompt(mask=one) == Prompt(mask=other)) == same


def test_a_mask_is_kept_as_it_was() -> None:
    drawn = np.zeros((6, 8), dtype=bool)
    drawn[2:4, 3:6] = True
    prompt = Prompt(mask=drawn)
    later = prompt.with_box([[0, 0], [3, 3]]).add_points([[2, 3]], [True])
    drawn[:] = False
    expected = np.zeros((6, 8), dtype=bool)
    expected[2:4, 3:6] = True
    for kept in (prompt, later, later.with_mask(prompt.mask)):
        np.testing.assert_array_equal(kept.mask, expected)
    assert later.with_mask(None).mask is None
    with pytest.raises(FrozenInstanceError):
        prompt.mask = drawn


def test_masks_on_large_frames_take_no_more_than_they_cover() -> None:
    labels = np.zeros((3000, 3000), np.uint16)
    for i in range(300):
        labels[9 * i : 9 * i + 8, 4 * i : 4 * i + 8] = i + 1
    tracemalloc.start()
    seeds = seeds_from_labels(labels, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(seeds) == 300
    assert peak < labels.size / 10  # bytes; laid out they would be 300 times its pixels


@given(arrays(np.int64, SHAPES, elements=st.sampled_from([0, 0, 3, 4, 70_000, 2**40])))
def test_seeds_of_any_ids(labels: np.ndarray) -> None:
    ids = [int(i) for i in np.unique(labels) if i]
    if not ids:
        return
    seeds = seeds_from_labels(labels, 2)
    assert [*seeds] == ids
    for i, by_frame in seeds.items():
        np.testing.assert_array_equal(by_frame[2].mask, labels == i)
