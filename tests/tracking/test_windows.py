from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.model.config import MICRO, PUBLISHED
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.masks.resampling import moved, to_data
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.windows import Window, around, grown, levels, whole

sides = st.integers(1, 1500)


@given(sides, sides)
def test_input_sizes_fit_the_network(y, x):
    found = levels(MICRO, (y, x), "windowed")
    for geometry in found:
        assert all(side % 32 == 0 for side in geometry.size)
        assert max(geometry.size) <= 16_384
    assert [g.zoom for g in found] == sorted(g.zoom for g in found)
    assert len({g.tokens for g in found}) == len(found)
    (exact,) = levels(MICRO, (y, x), "exact")
    assert exact in found
    assert max(exact.size) <= 1024
    (published,) = levels(PUBLISHED["sam2_hiera_tiny"], (y, x), "exact")
    assert published.size == (1024, 1024)


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0, 4.0])
def test_prompts_lie_where_the_picture_shows_them(zoom):
    """As small models are trained: middles of pixels, and the outermost pixels of boxes."""
    (geometry,) = levels(MICRO, (64, 128), "windowed", zoom)
    stack = np.zeros((1, 64, 128), np.float32)
    stack[0, 20:32, 40:56] = 1
    part = (slice(0, geometry.size[0]), slice(16, geometry.size[1]))
    picture = Frames(stack).tensor(0, geometry.size, [part], torch.device("cpu"))[0, 0].numpy()
    rows, columns = np.nonzero(picture > (picture.min() + picture.max()) / 2)
    box = np.array([[20.0, 40.0], [31.0, 55.0]])
    columns += 16
    edges = [[columns.min(), rows.min()], [columns.max(), rows.max()]]
    np.testing.assert_allclose(geometry.box_to_model(box), edges, atol=1e-4)
    middle = geometry.to_model(box.mean(axis=0, keepdims=True))
    np.testing.assert_allclose(middle, np.mean(edges, axis=0, keepdims=True), atol=1e-4)


def test_published_models_see_prompts_as_published():
    (geometry,) = levels(PUBLISHED["sam2_hiera_tiny"], (512, 256), "exact")
    points = np.array([[0.0, 0.0], [10.0, 20.0]])
    expected = [[0, 0], [80, 20]]
    np.testing.assert_allclose(geometry.to_model(points), expected)
    np.testing.assert_allclose(geometry.box_to_model(points), expected)


@given(sides, sides, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_windows_lie_in_the_frame_and_hold_their_box(y, x, a, b, c, d):
    geometry = levels(MICRO, (y, x), "windowed")[-1]
    height, width = geometry.size
    y0, y1 = sorted((a * height, b * height))
    x0, x1 = sorted((c * width, d * width))
    for window in (
        around(geometry, (y0, x0, y1, x1)),
        grown(geometry, around(geometry, (y0, x0, y1, x1))),
    ):
        assert window.row >= 0
        assert window.column >= 0
        assert window.row + window.height <= geometry.tokens[0]
        assert window.column + window.width <= geometry.tokens[1]
        assert max(window.height, window.width) <= 64
        for low, high, start, side in (
            (y0, y1, window.row, window.height),
            (x0, x1, window.column, window.width),
        ):
            if high - low < 16 * 60:
                assert 16 * start <= low + 8
                assert high - 8 <= 16 * (start + side)


@settings(deadline=None, max_examples=30)
@given(st.integers(60, 700), st.integers(60, 700), st.integers(0, 10), st.integers(0, 10))
def test_a_window_is_resampled_like_the_whole_frame(y, x, row, column):
    geometry = levels(MICRO, (y, x), "windowed")[-1]
    rows, columns = geometry.tokens
    window = Window(min(row, rows - 2), min(column, columns - 2), 2, 2, (rows, columns))
    logits = torch.randn(4 * rows, 4 * columns)
    _, full = to_data(geometry, whole(geometry), logits)
    place, part = to_data(geometry, window, logits[window.slices(4)])
    # At its rim a window knows nothing of its neighbours.
    rim = int(np.ceil(8 / min(geometry.scale)))
    inner = (slice(rim, -rim), slice(rim, -rim))
    assert full[place].shape == part.shape
    np.testing.assert_allclose(full[place][inner], part[inner], atol=1e-3)


def test_estimates_keep_masks_and_their_outline():
    window = Window(2, 3, 8, 8, (20, 20))
    logits = torch.full((32, 32), -9.0)
    logits[10:14, 5:9] = torch.rand(4, 4) * 6 - 1
    estimate = Estimate.of(window, logits, Quality(0.8, 2.0, 0.9))
    kept = estimate.logits()
    assert (kept[10:14, 5:9] - logits[10:14, 5:9]).abs().max() <= 2**-9
    assert torch.equal(kept > 0, logits > 0)
    assert kept[9, 7] == logits[9, 7]
    y0, x0, y1, x1 = estimate.box() or (0, 0, 0, 0)
    assert (y0 >= 16 * 2 + 40, x0 >= 16 * 3 + 20) == (True, True)
    assert (y1 <= 16 * 2 + 56, x1 <= 16 * 3 + 36) == (True, True)


def test_an_absent_object_leaves_an_empty_estimate():
    estimate = Estimate.of(
        Window(0, 0, 2, 2, (4, 4)), torch.full((8, 8), -1024.0), Quality(0.1, -3, 1)
    )
    assert estimate.kept.size == 0
    assert estimate.box() is None
    assert (estimate.logits() < -1000).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 12), st.integers(0, 12))
def test_logits_come_back_from_another_level(row, column):
    source = Window(row, column, 8, 8, (20, 20))
    finer = Window(2 * row, 2 * column, 16, 16, (40, 40))
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    logits = 10 - ((y - 15) ** 2 + (x - 17) ** 2) ** 0.5
    back = moved(moved(logits, source, finer), finer, source)
    assert (back - logits)[2:-2, 2:-2].abs().max() < 0.5
    shifted = Window(max(row - 1, 0), column, 8, 8, (20, 20))
    again = moved(moved(logits, source, shifted), shifted, source)
    assert torch.equal(again > 0, logits > 0)


def test_a_chosen_zoom_is_the_only_level():
    (geometry,) = levels(MICRO, (300, 500), "windowed", zoom=1.5)
    assert geometry.size == (448, 736)
    for config, attention, zoom, words in (
        (MICRO, "exact", 2.0, "exact attention sees whole frames; leave out one"),
        (PUBLISHED["sam2_hiera_tiny"], "windowed", 2.0, "not for sam2_hiera_tiny, .* leave it out"),
        (MICRO, "windowed", 0.01, "0.064 to 33"),
        (MICRO, "windowed", 100.0, "0.064 to 33"),
        (MICRO, "windowed", -1.0, "0.064 to 33"),
        (MICRO, "windowed", float("nan"), "0.064 to 33"),
    ):
        with pytest.raises(InputError, match=words):
            levels(config, (300, 500), attention, zoom=zoom)


def test_whole_frames_are_seen_at_the_magnification_closest_to_one():
    (geometry,) = levels(MICRO, (512, 512), "exact")
    assert geometry.zoom == pytest.approx(1)


def test_large_frames_are_seen_at_the_finest_magnifications():
    found = levels(MICRO, (4096, 4096), "windowed")
    assert len(found) == 9
    assert found[-1].zoom == pytest.approx(4)


def test_a_window_keeps_its_usual_side_unless_that_is_far_too_large():
    geometry = levels(MICRO, (1000, 1000), "windowed", zoom=1.0)[0]
    box = (400.0, 400.0, 480.0, 480.0)  # for which 12 tokens are enough
    sides = [around(geometry, box, usual=usual).height for usual in (0, 8, 14, 16, 48)]
    assert sides == [12, 12, 12, 16, 12]
