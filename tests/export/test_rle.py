from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_sam2.export.rle import Region, compress, decompress, paint, regions
from napari_sam2.tracking.errors import InputError

label_images = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.uint16, shape, elements=st.sampled_from([0, 0, 1, 2, 700]))
)


def plain_counts(mask: np.ndarray) -> list[int]:
    """The definition, pixel by pixel."""
    counts, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


def of_mask(mask: np.ndarray) -> Region:
    return Region(1, np.flatnonzero(mask.T), mask.shape)


@given(label_images)
def test_counts_are_the_definition_and_come_back(plane: np.ndarray) -> None:
    found = list(regions(plane))
    assert [one.id for one in found] == [i for i in np.unique(plane).tolist() if i]
    columns = np.zeros(plane.size, plane.dtype)
    for one in found:
        counts = one.counts()
        assert counts == plain_counts(plane == one.id)
        assert decompress(compress(counts)) == counts
        paint(columns, counts, one.id)
    np.testing.assert_array_equal(columns.reshape(plane.shape[::-1]).T, plane)


@given(st.lists(st.integers(0, 2**40)))
def test_any_counts_survive_compression(counts: list[int]) -> None:
    text = compress(counts)
    assert text.isascii()
    assert decompress(text) == counts


def test_an_empty_mask_is_one_run() -> None:
    assert of_mask(np.zeros((3, 4), bool)).rle() == {"size": [3, 4], "counts": "<"}


# Printed by the reference implementation, as the tests and documentation of other tools quote it.
@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("e`V39V9m1H5N10000000001O2O01O2M4K`ce3", (360, 640)),
        ("724;MG2MN16", (9, 5)),
        ("52203", (4, 4)),
    ],
)
def test_strings_of_the_reference_implementation(text: str, size: tuple[int, int]) -> None:
    columns = np.zeros(size[0] * size[1], np.uint8)
    paint(columns, decompress(text), 1)
    assert Region(1, np.flatnonzero(columns), size).rle() == {"size": list(size), "counts": text}


def test_a_box_of_the_reference_implementation() -> None:
    """A mask of COCO itself, whose box was written before it was made of whole pixels."""
    columns = np.zeros(480 * 640, np.uint8)
    paint(columns, decompress("nYW31n>2N2FNbA48Kf=?XBDe=m0OM3M4YOPB8_>L4JXao5"), 1)
    box = Region(1, np.flatnonzero(columns), (480, 640)).box()
    np.testing.assert_allclose(box, (219.9, 176.12, 11.14, 34.23), atol=1)


@pytest.mark.parametrize("text", ["o", "P", "5 2", "\N{MICRO SIGN}", "~"])
def test_damaged_strings_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="a compressed mask"):
        decompress(text)


@pytest.mark.parametrize("counts", [[], [3, 2], [3, 9, 1], [4, -2, 4]])
def test_counts_must_fill_the_frame(counts: list[int]) -> None:
    with pytest.raises(InputError, match=f"a mask has {sum(counts)} pixels, but its frame has 6"):
        paint(np.zeros(6, np.uint8), counts, 1)


def test_box() -> None:
    mask = np.zeros((9, 12), bool)
    mask[2:5, 3:10] = True
    assert of_mask(mask).box() == (3, 2, 7, 3)
