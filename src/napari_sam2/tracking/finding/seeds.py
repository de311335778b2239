"""Where the cells may be, for a start without anybody's click."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu

_NOISE, _TEXTURE = 1.5, 3.0  # px; what is finer is blurred away, cells are coarser
_SHALLOWEST = 2.0  # px from the edge of a region to its middle


def automatic_seeds(
    image: npt.NDArray[Any], max_objects: int = 20, spacing: int | None = None
) -> list[tuple[int, int]]:
    """Guess a click inside each cell: the middles of what differs from the background.

    A simple heuristic, to show a stack at work and not to count cells: how far each pixel lies
    from the median, blurred, over Otsu's threshold, and in that the points farthest from the edge.
    It finds compact cells that are brighter, darker or both, as in phase contrast; it is misled by
    uneven light, by frames more than half full of cells, and it splits long cells.

    Parameters
    ----------
    image : (Y, X), real numbers; NaN and inf count as background.
    max_objects : keep that many, those in the largest regions.
    spacing : least distance between two seeds in px; default: from the regions' own depth.

    Returns
    -------
    list of (y, x)
        In data pixels, deepest first; empty if nothing stands out.
    """
    cells = _foreground(np.asarray(image))
    depth = ndimage.distance_transform_edt(np.pad(cells, 1))[1:-1, 1:-1]
    if max_objects < 1 or depth.max() < _SHALLOWEST:
        return []
    smooth = ndimage.gaussian_filter(depth, 1.0)
    if spacing is None:
        regions, count = ndimage.label(depth >= _SHALLOWEST)
        depths = ndimage.maximum(depth, regions, np.arange(1, count + 1))
        spacing = max(3, round(float(np.median(depths))))
    peaks = peak_local_max(
        np.where(depth >= _SHALLOWEST, smooth, 0.0),
        min_distance=spacing,
        exclude_border=False,
        num_peaks=max_objects,
    )
    return [(int(y), int(x)) for y, x in peaks]


def _foreground(image: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Mark what differs from the background, bright or dark, (Y, X)."""
    values = image.astype(np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, dtype=bool)
    values = np.where(finite, values, np.median(values[finite]))
    smooth = ndimage.gaussian_filter(values, _NOISE)
    if np.ptp(smooth) <= 1e-6 * max(1.0, float(np.abs(smooth).max())):
        return np.zeros(values.shape, dtype=bool)
    deviation = ndimage.gaussian_filter(np.abs(smooth - np.median(smooth)), _TEXTURE)
    return np.asarray(deviation > threshold_otsu(deviation), dtype=bool)
