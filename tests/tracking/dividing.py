"""A nucleus that divides, to be drawn where no real sequence is at hand."""

from __future__ import annotations

import numpy as np

from tests.tracking.toy import SHAPE, disk

DIVIDES = 6  # the first frame with two
FRAMES = 12
_RADIUS = 8.0


def centres(frame: int) -> list[tuple[float, float]]:
    """Centres (y, x) of the cells: one, or the upper and the lower daughter."""
    x = 30.0 + 2 * frame
    apart = _apart(frame)
    return [(32.0, x)] if frame < DIVIDES else [(32 - apart, x), (32 + apart, x)]


def _apart(frame: int) -> float:
    """Half the way between the halves of the cell, which grows long before it divides."""
    return max(_RADIUS + 0.8 + 1.6 * (frame - DIVIDES), 0)


def dividing_cell(frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Return images (T, Y, X) uint8 and truth: 1, and its daughters 2 (above) and 3 (below)."""
    images = np.random.default_rng(0).integers(0, 40, (frames, *SHAPE)).astype(np.uint8)
    truth = np.zeros(images.shape, np.uint16)
    for t in range(frames):
        for k, side in enumerate((-1, 1)):
            half = disk(32 + side * _apart(t), 30.0 + 2 * t, _RADIUS)
            truth[t][half] = 1 if t < DIVIDES else 2 + k
    images[truth > 0] += 180
    return images, truth
