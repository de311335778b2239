from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from napari_sam2.evaluation.annotators import Click, centre_click, corners_of, next_click
from napari_sam2.tracking.errors import InputError

MASKS = arrays(bool, (9, 11))


def rectangle(y0: int, x0: int, y1: int, x1: int, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_centre_click_of_simple_shapes() -> None:
    assert centre_click(rectangle(10, 20, 15, 25)) == (12, 22)
    # A long bar has a ridge of equally deep pixels: its middle.
    assert centre_click(rectangle(10, 5, 13, 36)) == (11, 20)


def test_centre_click_stays_inside_a_crescent() -> None:
    y, x = np.mgrid[:60, :60]
    ring = (np.hypot(y - 30, x - 30) < 25) & (np.hypot(y - 30, x - 36) > 20)
    assert not ring[30, 30]
    assert ring[centre_click(ring)]


def test_centre_click_keeps_away_from_the_edge_of_the_image() -> None:
    assert centre_click(rectangle(0, 0, 9, 9)) == (4, 4)


@given(MASKS)
def test_centre_click_lies_in_the_mask(mask: np.ndarray) -> None:
    if mask.any():
        assert mask[centre_click(mask)]
        assert centre_click(mask) == centre_click(mask.astype(np.uint8))
    else:
        with pytest.raises(InputError, match="empty"):
            centre_click(mask)


def test_corners_of() -> None:
    assert corners_of(rectangle(10, 20, 15, 26)).tolist() == [[10, 20], [14, 25]]
    assert corners_of(rectangle(3, 7, 4, 12)).tolist() == [[3, 7], [4, 11]]  # never without area
    with pytest.raises(InputError, match="empty"):
        corners_of(np.zeros((4, 4)))


@given(MASKS)
def test_box_holds_the_mask(mask: np.ndarray) -> None:
    if mask.any():
        (y0, x0), (y1, x1) = corners_of(mask)
        assert y1 > y0
        assert x1 > x0
        inside = np.argwhere(mask)
        assert (inside >= [y0, x0]).all()
        assert (inside <= [y1, x1]).all()


def test_next_click_adds_a_missing_lobe_and_removes_a_spill() -> None:
    truth = rectangle(10, 10, 20, 30)
    assert next_click(rectangle(10, 10, 20, 20), truth) == Click(14, 24, True)
    assert next_click(rectangle(10, 10, 20, 41), truth) == Click(14, 35, False)
    assert next_click(truth, truth) is None


def test_next_click_prefers_a_blob_to_a_longer_rim() -> None:
    truth = rectangle(5, 5, 35, 45)
    prediction = rectangle(6, 6, 34, 44)  # a rim of 136 px is missing
    prediction[15:20, 20:25] = False  # and a hole of 25
    assert next_click(prediction, truth) == Click(17, 22, True)


@given(MASKS, MASKS)
def test_next_click_lies_in_the_error_with_its_sign(pred: np.ndarray, truth: np.ndarray) -> None:
    click = next_click(pred, truth)
    if click is None:
        assert np.array_equal(pred, truth)
    else:
        assert truth[click.y, click.x] == click.positive
        assert pred[click.y, click.x] != click.positive
