"""Cells of a few pixels: looked at finer than others, clicked on, found, followed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_sam2 import Frames, TrackingSession
from napari_sam2.model.config import MICRO
from napari_sam2.tracking.network.placement import Placement
from napari_sam2.tracking.windows import levels, suitable_zoom
from tests.tracking.toy import moving_disk


def colony(radius: float, apart: int, frames: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return a packed colony that drifts half a pixel a frame, and its labels."""
    rng = np.random.default_rng(0)
    grid = np.arange(9, 63, apart)
    centres = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    centres = centres + rng.uniform(-0.8, 0.8, centres.shape)
    y, x = np.mgrid[:72, :72]
    labels = np.zeros((frames, 72, 72), np.int32)
    for t in range(frames):
        for number, (cy, cx) in enumerate(centres + t / 2, start=1):
            labels[t][np.hypot(y - cy, x - cx) < radius] = number
    body = ndimage.gaussian_filter((labels > 0) * 600.0, (0, 0.6, 0.6))
    noise = ndimage.gaussian_filter(rng.normal(0, 60, labels.shape), (0, 0.7, 0.7))
    return (body + noise + 200).astype(np.float32), labels


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


@given(st.floats(0.5, 200), st.floats(0.5, 200))
def test_what_is_smaller_is_magnified_more_and_looks_smaller_still(one, other):
    small, large = min(one, other), max(one, other)
    assert suitable_zoom(small) >= suitable_zoom(large)
    assert small * suitable_zoom(small) <= large * suitable_zoom(large) * (1 + 1e-9)
    if large <= 5:
        assert small * suitable_zoom(small) == pytest.approx(large * suitable_zoom(large))


@pytest.mark.parametrize(
    ("side", "octaves", "finer"),
    [
        (512, [4, 2, 1, 0.5, 0.25], [8]),
        (2048, [4, 2, 1, 0.5, 0.25], [8]),
        (2500, [4, 2, 1, 0.5, 0.25], [5.66]),
        (4096, [4, 2, 1, 0.5, 0.25], []),
        (8192, [2, 1, 0.5, 0.25, 0.125], []),
    ],
)
def test_only_the_smallest_are_looked_at_finer_than_four_times(side, octaves, finer):
    placement = Placement(levels(MICRO, (side, side), "windowed"), windowed=True)
    assert [g.zoom for g in placement.octaves] == pytest.approx(octaves, rel=0.05)
    assert [g.zoom for g in placement.finer] == pytest.approx(finer, rel=0.05)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_something_is_always_looked_at_and_nothing_twice(y, x):
    placement = Placement(levels(MICRO, (y, x), "windowed"), windowed=True)
    assert placement.octaves
    assert not set(placement.octaves) & set(placement.finer)
    assert {*placement.octaves, *placement.finer} <= {*placement.levels.values()}


def test_a_large_object_is_not_looked_at_finer(micro, monkeypatch):
    stack = moving_disk(frames=1)
    session = TrackingSession(micro, Frames(stack))
    asked = []
    monkeypatch.setattr(
        session._engine,
        "hypotheses",
        lambda *a, seen=session._engine.hypotheses: asked.append(a[2]) or seen(*a),
    )
    session.add_points(1, 0, [(30, 20)])
    assert asked == [session._engine.octaves]


@pytest.mark.parametrize(("radius", "apart"), [(2, 7), (2.5, 7), (3, 8), (3.5, 9)])
def test_the_embedded_model_answers_clicks_on_cells_of_a_few_pixels(micro, radius, apart):
    image, truth = colony(radius, apart)
    session = TrackingSession(micro, Frames(image))
    scores = []
    for number in range(1, truth.max() + 1, 7):
        cell = truth[0] == number
        mask = session.add_points(number, 0, [np.argwhere(cell).mean(axis=0)]).mask
        scores.append(iou(mask, cell))
    assert np.mean(scores) > 0.8
    assert min(scores) > 0.6


def test_the_embedded_model_does_not_take_specks_of_noise_for_cells(micro):
    y, x = np.mgrid[:160, :160]
    rng = np.random.default_rng(0)
    scores = []
    for shift in range(4):
        cell = np.hypot(y - 80 - shift, x - 80 + 2 * shift) < 30
        image = cell + rng.normal(0, 1, cell.shape)
        session = TrackingSession(micro, Frames(image[None].astype(np.float32)))
        mask = session.add_points(1, 0, [(80 + shift, 80 - 2 * shift)]).mask
        scores.append(iou(mask, cell))
    assert min(scores) > 0.8


@pytest.mark.parametrize("diameter", [5.0, None])
def test_the_embedded_model_finds_cells_of_a_few_pixels(micro, diameter):
    image, truth = colony(2.5, 7)
    *_, found = TrackingSession(micro, Frames(image)).segment_everything(0, diameter=diameter)
    best = [max(iou(c.mask, truth[0] == i) for c in found.cells) for i in range(1, 65)]
    assert np.mean(np.array(best) > 0.5) > 0.95
    assert len(found.cells) < 70


def test_the_embedded_model_follows_cells_of_a_few_pixels(micro):
    stack, truth = colony(2.5, 7, frames=5)
    session = TrackingSession(micro, Frames(stack))
    chosen = range(1, 65, 7)
    for number in chosen:
        session.add_mask(number, 0, truth[0] == number)
    scores = [
        iou(seen.labels == number, truth[seen.frame] == number)
        for seen in session.propagate()
        for number in chosen
        if seen.frame
    ]
    assert np.mean(scores) > 0.95
