"""Stacks of odd shapes and contents: nothing fails, and what is empty stays empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.network import engine
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.toy import moving_disk, toy_model

MODEL = toy_model()


def followed(stack: np.ndarray, box, attention: str = "windowed") -> list[np.ndarray]:
    frames = Frames(stack, axis=0, contrast=(0, 255))
    session = TrackingSession(MODEL, frames, TrackingPolicy(attention=attention))
    session.add_box(1, 0, box)
    return [result.labels for result in session.propagate("both")]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["windowed", "exact"]), st.data())
def test_frames_of_any_shape(height, width, attention, data):
    # Not uint8: three columns of that are taken for RGB.
    stack = np.random.default_rng(0).integers(0, 255, (2, height, width)).astype(np.uint16)
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    frames = Frames(stack, axis=0, contrast=(0, 255))
    session = TrackingSession(MODEL, frames, TrackingPolicy(attention=attention))
    session.add_points(1, 0, [[y, x]], [True])
    mask = np.zeros((height, width), bool)
    mask[y:, x:] = True
    session.add_mask(2, 1, mask)
    results = list(session.propagate("both"))
    assert {result.frame for result in results} == {0, 1}
    for result in results:
        assert result.labels.shape == (height, width)
        assert set(np.unique(result.labels)) <= {0, 1, 2}


@pytest.mark.parametrize("corner", ["first", "last"])
def test_an_object_at_the_border(corner):
    stack = np.zeros((3, 300, 200), np.uint8)
    place = (
        (slice(0, 20), slice(0, 20)) if corner == "first" else (slice(280, 300), slice(180, 200))
    )
    stack[(slice(None), *place)] = 200
    box = [[s.start for s in place], [s.stop - 1 for s in place]]
    assert len(followed(stack, box)) == 3


def test_an_object_larger_than_any_window():
    stack = np.full((2, 1500, 1500), 120, np.uint8)
    assert len(followed(stack, [[10, 10], [1480, 1480]])) == 2


def test_a_large_frame_costs_what_its_object_costs():
    """25 million pixels, of which windows around one cell are encoded."""
    stack = np.zeros((2, 5000, 5000), np.uint8)
    stack[:, 3000:3030, 4000:4030] = 200
    frames = Frames(stack, axis=0, contrast=(0, 255))
    session = TrackingSession(MODEL, frames)
    session.add_box(1, 0, [[3000, 4000], [3029, 4029]])
    results = list(session.propagate("forward"))
    assert results[1].labels.shape == (5000, 5000)
    assert session._engine.encodings._tokens <= 500  # of some 100,000


def test_an_empty_frame_in_the_middle():
    stack = moving_disk(5)
    stack[2] = 0
    assert len(followed(stack, [[20, 10], [40, 30]])) == 5


def test_objects_that_swap_places_stay_two():
    stack = np.zeros((6, 64, 96), np.uint8)
    y, x = np.mgrid[:64, :96]
    for t in range(6):
        for sign, value in ((1, 200), (-1, 120)):
            centre = 48 + sign * (20 - 8 * t)
            stack[t][(y - 32 - 4 * sign) ** 2 + (x - centre) ** 2 < 64] = value
    session = TrackingSession(MODEL, Frames(stack, contrast=(0, 255)))
    session.add_box(1, 0, [[28, 60], [44, 76]])
    session.add_box(2, 0, [[20, 20], [36, 36]])
    for result in session.propagate("forward"):
        assert set(result.quality) == {1, 2}


def test_a_frame_left_out_while_an_object_is_lost_is_not_remembered(monkeypatch):
    session = TrackingSession(MODEL, Frames(moving_disk(16), contrast=(0, 255)))
    session.add_box(1, 0, [[18, 8], [42, 32]])
    assert len([*session.propagate("forward")]) == 16
    monkeypatch.setattr(engine, "doubted", lambda found: torch.ones_like(found.best_iou) > 0)
    assert len([*session.propagate("forward")]) == 16  # it is looked for on frames 1 to 9
    bank = session._objects[1].bank
    assert bank.tracked
    assert max(bank.tracked) == 9
