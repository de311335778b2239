"""Rows or columns that a camera or scanner made brighter or darker as a whole."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter1d

from napari_sam2.tracking.stack.noise import LEAST_SIDE, noise_of

# Deviation of what rows differ by from the next, as a part of the contrast, from which on they are
# levelled; and how such differences go with the next ones at most. What neighbouring rows are given
# at random goes by -1/2; in pictures of layers and walls it goes up and down for several rows.
_LEAST, _MOST_ALIKE = 0.03, -0.35
_SMOOTH = 6  # rows; changes of level over more of them are the picture's
_SAMPLE = 256  # pixels of each row, about


def levelled(planes: torch.Tensor) -> torch.Tensor:
    """Take stripes out: bring each row, and each column, to the level of those around.

    Parameters
    ----------
    planes : (1, Y, X), 0 to 1.

    Returns
    -------
    Tensor
        A new one; or `planes`, where there are no stripes.
    """
    found = planes
    for axis in (0, 1):
        levels = _levels(found[0] if axis == 0 else found[0].T, noise_of(found))
        if levels is not None:
            level = torch.from_numpy(levels).to(found)
            found = found - (level[:, None] if axis == 0 else level)
    return found if found is planes else found.clamp(0, 1)


def _levels(plane: torch.Tensor, noise: float) -> npt.NDArray[np.float32] | None:
    """Return by how much each row is brighter than those around; None without stripes."""
    if min(plane.shape) < LEAST_SIDE:
        return None
    sample = plane[:, :: max(1, plane.shape[1] // _SAMPLE)].cpu().numpy()
    ordered = np.sort(np.diff(sample, axis=0), axis=1)  # five times as fast as np.median
    width = sample.shape[1]
    steps = (ordered[:, (width - 1) // 2] + ordered[:, width // 2]) / 2
    spread = steps - steps.mean()
    variance = float(np.mean(spread**2))
    # Four times what medians of noise scatter by, which is not to be taken for stripes.
    if variance < _LEAST**2 + 4 * np.pi * noise**2 / width:
        return None
    if np.mean(spread[1:] * spread[:-1]) > _MOST_ALIKE * variance:
        return None
    heights = np.concatenate([[0], np.cumsum(steps)])
    smooth: npt.NDArray[np.float64] = gaussian_filter1d(heights, _SMOOTH)
    return (heights - smooth).astype(np.float32)
