"""What no camera has measured: the borders of registered, rotated or stitched images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

# Of the frame: the least that borders take, and that is left within them; and of the hull of what
# is left, so that cells on an even ground are not taken for a picture with borders.
_LEAST, _LEAST_LEFT, _LEAST_SOLID = 0.005, 0.4, 0.9
# Sides of the frame that it reaches, to within this part of their length, unless it is an upright
# rectangle.
_LEAST_SIDES, _MARGIN = 2, 0.03
_LARGE = 16  # px, of a border; a corner that shows something is none
_RING = 3  # px along the borders that tell what to fill in
_SMALL_SIDE = 200  # px, of the small picture that is looked at first


def filled(planes: torch.Tensor) -> torch.Tensor:
    """Fill borders of one value with what lies along them, as small models see frames.

    Otherwise the picture itself is the most obvious object on a frame. Borders reach from the
    corners, all of their pixels are equal, and what they leave over is convex and an upright
    rectangle, or reaches two sides of the frame.

    Parameters
    ----------
    planes : (1, Y, X), 0 to 1.

    Returns
    -------
    Tensor
        A copy; or `planes`, where there are no borders.
    """
    step = max(1, max(planes.shape) // _SMALL_SIDE)
    if _borders(planes[0, ::step, ::step].cpu().numpy()) is None:
        return planes
    plane = planes[0].cpu().numpy()
    borders = _borders(plane, whole=False)
    if borders is None:
        return planes
    ring = ndimage.binary_dilation(borders, iterations=_RING) & ~borders
    found = planes.clone()
    found[0][torch.from_numpy(borders).to(planes.device)] = float(np.median(plane[ring]))
    return found


def _borders(plane: npt.NDArray[np.float32], whole: bool = True) -> npt.NDArray[np.bool_] | None:
    """Return where borders are, if there are any; `whole`: look at what is left over, too."""
    corners = np.ix_((0, -1), (0, -1))
    found = np.zeros(plane.shape, bool)
    for value in np.unique(plane[corners]):
        parts, _ = ndimage.label(plane == value)
        sizes = np.bincount(parts.ravel())
        large = [name for name in np.unique(parts[corners]) if name and sizes[name] >= _LARGE]
        found |= np.isin(parts, large)
    if not _LEAST <= found.mean() <= 1 - _LEAST_LEFT:
        return None
    if whole and not _is_picture(~found):
        return None
    return found


def _is_picture(inside: npt.NDArray[np.bool_]) -> bool:
    """Tell a picture with borders from cells, or one large one, on an even ground."""
    from skimage.morphology import convex_hull_image  # few frames need it, and it loads slowly

    count, gaps, box = inside.sum(), [], 1
    for axis, length in enumerate(inside.shape):
        lines = np.flatnonzero(inside.any(axis=1 - axis))
        first, last = int(lines[0]), int(lines[-1])
        gaps += [first / length, (length - 1 - last) / length]
        box *= last + 1 - first
    reaches = sum(gap <= _MARGIN for gap in gaps) >= _LEAST_SIDES
    upright = count >= _LEAST_SOLID * box
    return bool((reaches or upright) and count >= _LEAST_SOLID * convex_hull_image(inside).sum())
