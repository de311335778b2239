"""A click is never ignored: the mask holds it, or lets go of it, and is left alone elsewhere."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from napari_sam2 import Frames, TrackingPolicy, TrackingSession, load_model
from napari_sam2.model.values import MaskPrediction
from napari_sam2.tracking.masks.finishing import obey
from napari_sam2.tracking.masks.obeying import changed_around, changed_at, obeying, unanswered
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.windows import Geometry, whole


def disk(radius=8.0, size=48, centre=(24, 24)):
    y, x = np.mgrid[:size, :size]
    return (radius - np.hypot(y - centre[0], x - centre[1])).astype(np.float32)


@given(st.floats(0, 47), st.floats(0, 47), st.booleans(), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_any_click_is_obeyed(y, x, positive, seed):
    rough = np.random.default_rng(seed).normal(0, 4, (48, 48)).astype(np.float32)
    point = np.array([[y, x]])
    bent = obeying(disk() + rough, point, np.array([positive]))
    value = map_coordinates(bent, point.T, order=1, mode="nearest")[0]
    assert (value > 0) == positive


def test_what_is_obeyed_already_changes_nothing():
    logits = disk()
    points = np.array([[24.0, 24.0], [5.0, 5.0]])
    np.testing.assert_array_equal(obeying(logits, points, np.array([True, False])), logits)


def test_a_click_moves_about_as_much_as_it_is_away_from_the_outline():
    logits = disk()
    cut = obeying(logits, np.array([[24.0, 24 + 5.0]]), np.array([False])) > 0  # 3 inside
    lost = (logits > 0) & ~cut
    assert 10 < lost.sum() < 80
    assert np.hypot(*(np.argwhere(lost) - [24, 29]).T).max() < 3 * 3
    added = (obeying(logits, np.array([[24.0, 24 + 12.0]]), np.array([True])) > 0) & ~(logits > 0)
    assert 20 < added.sum() < 150


def test_clicks_of_both_signs_side_by_side_are_all_obeyed():
    points = np.array([[24.0, 28.0], [24.0, 31.0], [24.0, 34.0], [24.0, 20.0]])
    positive = np.array([False, True, False, True])
    bent = obeying(disk(), points, positive)
    values = map_coordinates(bent, points.T, order=1)
    np.testing.assert_array_equal(values > 0, positive)


def test_clicks_outside_of_the_window_are_left_alone():
    logits = disk()
    points = np.array([[-3.0, 5.0], [5.0, 60.0]])
    np.testing.assert_array_equal(obeying(logits, points, np.array([True, False])), logits)


ON, OFF = np.array([True]), np.array([False])


def test_a_correction_changes_only_the_piece_that_was_clicked():
    earlier = disk()
    later = np.maximum(disk(4, 48, (24, 34)), earlier)  # a lobe more on the right
    later[10:19] = -1  # and a piece less at the top
    merged = changed_at(earlier, later, np.array([[24.0, 36.0]]), ON)
    np.testing.assert_array_equal(merged[20:] > 0, later[20:] > 0)
    np.testing.assert_array_equal(merged[:19] > 0, earlier[:19] > 0)
    np.testing.assert_array_equal(changed_at(earlier, later, np.array([[2.0, 2.0]]), ON) > 0,
                                  earlier > 0)  # fmt: skip


def test_clicks_that_are_answered_already_ask_for_nothing_more():
    points = np.array([[24.0, 24.0], [24.0, 2.0], [24.0, 30.0], [-9.0, 24.0], [2.0, 2.0]])
    positive = np.array([True, True, False, True, False])
    expected = [False, True, True, False, True]  # contradicted, or the last one
    np.testing.assert_array_equal(unanswered(disk(), points, positive), expected)


def test_a_positive_click_takes_nothing_away_and_a_negative_one_adds_nothing():
    earlier, later = disk(), disk(8, 48, (24, 30))  # one piece less beside one piece more
    more = changed_at(earlier, later, np.array([[24.0, 36.0]]), ON)
    np.testing.assert_array_equal(more > 0, (earlier > 0) | (later > 0))
    less = changed_at(earlier, later, np.array([[24.0, 17.0]]), OFF)
    np.testing.assert_array_equal(less > 0, (earlier > 0) & (later > 0))


def test_a_click_on_an_error_means_most_of_the_way_to_the_outline():
    earlier = disk(12)
    click = np.array([[24.0, 30.0]])  # 6 inside the outline
    cut = (earlier > 0) & ~(changed_around(earlier, earlier, click, OFF) > 0)
    far = np.hypot(*(np.argwhere(cut) - click).T)
    assert 3 < far.max() < 6
    assert cut.sum() > 0.9 * np.pi * (0.7 * 6) ** 2
    # Not beyond the middle between it and a click of the other sign; nothing where all is right.
    both = np.concatenate([click, [[24.0, 26.0]]])
    cut = (earlier > 0) & ~(changed_around(earlier, earlier, both, np.array([False, True])) > 0)
    assert np.hypot(*(np.argwhere(cut) - click).T).max() < 2
    np.testing.assert_array_equal(changed_around(earlier, earlier, click, ON), earlier)
    nothing = np.full_like(earlier, -9)
    np.testing.assert_array_equal(changed_around(nothing, nothing, click, ON), nothing)
    outside = np.array([[-4.0, 90.0]])
    np.testing.assert_array_equal(changed_around(earlier, earlier, outside, ON), earlier)


def test_a_session_obeys_every_click_of_a_row_of_odd_ones():
    rng = np.random.default_rng(3)
    image = rng.normal(60, 15, (1, 90, 120)) + 90 * (disk(14, 120, (40, 50))[:90] > 0)
    frames = Frames(image.clip(0, 255).astype(np.uint8))
    session = TrackingSession(load_model("micro"), frames, TrackingPolicy(attention="windowed"))
    clicks = [(40, 50, True), (40, 70, True), (32, 50, False), (52, 44, True), (40, 66, False)]
    for k, (y, x, positive) in enumerate(clicks, start=1):
        mask = session.add_points(1, 0, [(y, x)], [positive]).mask
        assert [bool(mask[a, b]) for a, b, _ in clicks[:k]] == [c for _, _, c in clicks[:k]]


@given(st.integers(5, 34), st.integers(5, 34), st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_click_is_obeyed_around_the_middle_of_its_pixel(y, x, positive):
    geometry = Geometry((40, 40), (320, 320))  # two cells of a mask along each side of a pixel
    prediction = MaskPrediction(
        logits=torch.full((1, 1, 80, 80), -2.0 if positive else 2.0),
        iou=torch.ones(1, 1),
        object_score=torch.ones(1),
        pointer=torch.zeros(1, 8),
        chosen=torch.zeros(1, dtype=torch.long),
    )
    prompt = Prompt([[y, x]], [positive])
    bent = obey(prediction, geometry, whole(geometry), prompt, None).best_logits[0].numpy() > 0
    changed = np.argwhere(bent == positive)
    np.testing.assert_allclose(changed.mean(axis=0), (2 * y + 0.5, 2 * x + 0.5), atol=0.01)
