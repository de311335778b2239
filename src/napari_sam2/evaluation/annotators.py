"""Simulated annotators: the prompts a careful person would give, computed from the truth.

Coordinates are (y, x) in data pixels, pixel centres at whole numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam2.tracking.errors import InputError


class Click(NamedTuple):
    """A click on a pixel; negative where it says 'not this'."""

    y: int
    x: int
    positive: bool


def centre_click(mask: NDArray[Any]) -> tuple[int, int]:
    """Pixel (y, x) of the mask that lies deepest inside it; always within the mask.

    Raises
    ------
    InputError
        The mask is empty.
    """
    mask = np.asarray(mask, bool)
    if not mask.any():
        raise InputError("the mask is empty, so it has no centre to click.")
    y, x, _ = _deepest(mask)
    return y, x


def corners_of(mask: NDArray[Any]) -> NDArray[np.float64]:
    """Tight box [[y0, x0], [y1, x1]] through the outermost pixels.

    A mask of one row or column gets a box one pixel high or wide, since a box must have an area.

    Raises
    ------
    InputError
        The mask is empty.
    """
    ys, xs = np.nonzero(mask)
    if not ys.size:
        raise InputError("the mask is empty, so it has no box.")
    low = np.array([ys.min(), xs.min()], float)
    high = np.maximum([ys.max(), xs.max()], low + 1)
    return np.stack([low, high])


def next_click(prediction: NDArray[Any], truth: NDArray[Any]) -> Click | None:
    """Correction at the centre of the largest error: positive where the object was missed.

    The largest error is the one with the greatest inscribed circle, so that a thin rim, however
    long, comes after a missing lobe (the protocol of SAM 2's interactive evaluation). A tie goes to
    the missed part.

    Returns
    -------
    The click, or None where prediction and truth agree.
    """
    prediction, truth = np.asarray(prediction, bool), np.asarray(truth, bool)
    missed, spilled = truth & ~prediction, prediction & ~truth
    found = [
        (_deepest(region), positive)
        for region, positive in ((missed, True), (spilled, False))
        if region.any()
    ]
    if not found:
        return None
    (y, x, _), positive = max(found, key=lambda item: item[0][2])
    return Click(y, x, positive)


def _deepest(region: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Pixel farthest from the region's outside (the image's edge counts), and that distance."""
    rows, columns = ndimage.find_objects(region.astype(np.uint8))[0]
    inside = np.pad(region[rows, columns], 1)
    depth = ndimage.distance_transform_edt(inside)
    deepest = float(depth.max())
    # Ties go to the pixel nearest to the middle of the tied ones, then to the first in reading
    # order, so that a rectangle is clicked in its middle and not at one end.
    tied = np.argwhere(depth >= deepest - 1e-9)
    y, x = tied[np.argmin(((tied - tied.mean(axis=0)) ** 2).sum(axis=1))]
    return int(y) - 1 + rows.start, int(x) - 1 + columns.start, deepest
