"""Labels on their way into a file."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.export.source import LabelSource, numbered
from napari_sam2.tracking.errors import InputError


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int64", ">u2", "bool"])
@pytest.mark.parametrize("background", [True, False])
def test_labels_are_numbered_as_numpy_does(dtype, background):
    labels = np.random.default_rng(0).integers(1 - background, 200, (30, 40)).astype(dtype)
    for some in (labels, labels[::2, ::-3], labels[:0]):
        present, place = numbered(some)
        expected, numbers = np.unique(some, return_inverse=True)
        np.testing.assert_array_equal(present, expected)
        np.testing.assert_array_equal(place, numbers.reshape(some.shape))
        assert present.dtype == some.dtype


@pytest.mark.parametrize("value", [-5, 2**40])
def test_labels_that_no_table_could_hold_are_numbered_too(value):
    present, place = numbered(np.array([[3, value], [3, 7]]))
    assert present[place].tolist() == [[3, value], [3, 7]]
    assert present.tolist() == sorted([3, 7, value])


def test_pixels_are_not_sorted(monkeypatch):
    monkeypatch.setattr(np, "unique", None)
    present, place = numbered(np.array([[0, 9], [300, 9]], np.uint16))
    assert (present.tolist(), place.tolist()) == ([0, 9, 300], [[0, 1], [2, 1]])


def test_what_is_no_array_of_labels_is_refused():
    with pytest.raises(InputError, match=r"labels are an array .* of integers, not object"):
        LabelSource(object())
