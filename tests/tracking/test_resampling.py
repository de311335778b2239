"""Masks in model pixels: from a part of a frame, as the published code resizes whole frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_sam2.model.config import MICRO
from napari_sam2.tracking.masks.resampling import in_window, mask_logits, resized_mask
from napari_sam2.tracking.windows import Geometry, Window, levels


def published(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """How much of each model pixel a mask (Y, X) covers, by torch's own resizing.

    In float64: float32 is 5e-6 off there.
    """
    whole = torch.from_numpy(mask.astype(np.float64))[None, None]
    return F.interpolate(whole, size, mode="bilinear", antialias=True)[0, 0].numpy()


@st.composite
def masks(draw: st.DrawFn) -> tuple[tuple[int, int], tuple[slice, slice], np.ndarray]:
    """The shape of a frame, a part of it, and a mask there; it may be ragged."""
    shape, place = [], []
    for _ in range(2):
        length = draw(st.integers(1, 150))
        start = draw(st.integers(0, length - 1))
        shape.append(length)
        place.append(slice(start, draw(st.integers(start + 1, length))))
    part = np.ones(tuple(s.stop - s.start for s in place), bool)
    holes = draw(st.floats(0, 0.9))
    part &= np.random.default_rng(draw(st.integers(0, 99))).random(part.shape) >= holes
    assume(part.any())
    return (shape[0], shape[1]), (place[0], place[1]), part


@settings(deadline=None)
@given(masks(), st.integers(1, 12), st.integers(1, 12))
def test_a_part_is_resized_as_the_whole_frame_is(drawn, rows, columns):
    shape, place, part = drawn
    mask = np.zeros(shape, bool)
    mask[place] = part
    size = (32 * rows, 32 * columns)
    covered = published(mask, size)
    expected = covered >= 0.5
    found = np.zeros(size, bool)
    where, small = resized_mask(Geometry(shape, size), place, part)
    found[where] = small
    if not expected.any():
        expected = covered >= covered.max() - 1e-6
        assert found.any()
        assert expected[found].all()
        return
    clear = np.abs(covered - 0.5) > 1e-6
    np.testing.assert_array_equal(found[clear], expected[clear])


@pytest.mark.parametrize("zoom", range(9))
def test_a_single_pixel_survives_at_every_magnification(zoom):
    geometry = levels(MICRO, (300, 400), "windowed")[zoom]
    where, small = resized_mask(geometry, (slice(120, 121), slice(77, 78)), np.ones((1, 1), bool))
    ys, xs = np.nonzero(small)
    centre = (ys.mean() + where[0].start + 0.5, xs.mean() + where[1].start + 0.5)
    assert np.abs(np.array(centre) / geometry.scale - (120.5, 77.5)).max() <= 1 / geometry.zoom


@settings(deadline=None)
@given(masks(), st.integers(0, 9), st.integers(0, 9), st.integers(1, 3), st.integers(1, 3))
def test_a_window_shows_its_part_of_the_frame(drawn, row, column, height, width):
    shape, place, part = drawn
    full = np.zeros((16 * 12, 16 * 12), np.float32)
    full[: shape[0], : shape[1]][place] = part
    window = Window(row, column, height, width, (12, 12))
    found = in_window(window, place, part).numpy()
    np.testing.assert_array_equal(found, full[window.slices(16)])


def test_logits_are_those_that_the_network_gives_a_mask_that_was_drawn():
    from tests.tracking.toy import toy_model

    model = toy_model()
    full = (torch.rand(96, 96, generator=torch.Generator().manual_seed(1)) > 0.4).float()
    features = model.encode_image(torch.zeros(1, 3, 96, 96))
    adopted = model.adopt_masks(features, full[None, None])
    torch.testing.assert_close(mask_logits(full), adopted.best_logits[0], rtol=0, atol=0)
    assert adopted.object_score.tolist() == [10.0]
    assert adopted.iou.tolist() == [[1.0]]
