"""Strong noise, taken out of what small models see."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Deviation of noise, as a part of the contrast, that is left alone: one image of training in seven
# has more.
_KNOWN = 0.08
# Taps of a B3 spline; and of white noise of variance 1, the variances of the planes that differ by
# one smoothing, two, ... (Starck, Fadili & Murtagh 2007).
_TAPS = 1 / 16, 4 / 16, 6 / 16  # outermost, inner, middle
_VARIANCES = 0.7927, 0.0402, 0.0074
_REACH = 32  # px, that a pixel tells on others through all smoothing
_BAND = 128  # px
LEAST_SIDE = 24  # px; smaller frames are shown as they are
_SAMPLE = 1 << 16  # places where noise is measured, about
_DEVIATION = 0.6745  # of normal values, the median of what they are without their sign


def denoised(planes: Tensor) -> Tensor:
    """Take noise out that is stronger than small models are used to.

    The frame is taken apart into what is fine, less fine and coarse (the undecimated wavelet
    transform of Starck, Fadili & Murtagh 2007), and of each the part is kept that stands out from
    noise within a few pixels around (Wiener's filter), so edges and bright spots stay.

    Parameters
    ----------
    planes : (1, Y, X), 0 to 1.

    Returns
    -------
    Tensor
        A new one; or `planes`, where there is no such noise.
    """
    excess = noise_of(planes) ** 2 - _KNOWN**2
    if excess <= 0:
        return planes
    height = planes.shape[-2]
    found = torch.empty_like(planes)
    for top in range(0, height, _BAND):  # which stay in the processor's cache
        above, below = min(top, _REACH), min(max(height - top - _BAND, 0), _REACH)
        band = planes[:, top - above : top + _BAND + below]
        calm = _filtered(band, excess)
        found[:, top : top + _BAND] = calm[:, above : band.shape[1] - below]
    return found.clamp_(0, 1)


def _filtered(planes: Tensor, variance: float) -> Tensor:
    """Filter (1, Y, X) against noise of a variance; see `denoised`."""
    rest = planes[None]
    kept = torch.zeros_like(rest)
    for level, share in enumerate(_VARIANCES):
        step = 2**level
        coarser = _smoothed(rest, step)
        detail = rest - coarser
        power = _smoothed(_smoothed(detail**2, step), step).clamp_(min=1e-12)
        kept += detail.mul_((1 - variance * share / power).clamp_(min=0))
        rest = coarser
    return (kept + rest)[0]


def noise_of(planes: Tensor) -> float:
    """Return the deviation of a frame's noise: how squares of 2 x 2 pixels differ crosswise.

    Noise that is smooth, as in images that were interpolated, counts for less than it is.

    Parameters
    ----------
    planes : (1, Y, X).
    """
    plane = planes[0]
    if min(plane.shape) < LEAST_SIDE:
        return 0.0
    step = 2 * max(1, round((plane.numel() / 4 / _SAMPLE) ** 0.5))
    rows, columns = (slice(0, side - 1, step) for side in plane.shape)
    below, right = (slice(1, side, step) for side in plane.shape)
    across = plane[rows, columns] + plane[below, right] - plane[rows, right] - plane[below, columns]
    return float(across.abs().median()) / 2 / _DEVIATION


def _smoothed(planes: Tensor, step: int) -> Tensor:
    """Smooth (1, 1, Y, X) by the spline, its taps `step` pixels apart."""
    outer, inner, middle = _TAPS
    for axis in (-2, -1):
        sides = (0, 0, 2 * step, 2 * step) if axis == -2 else (2 * step, 2 * step, 0, 0)
        length = planes.shape[axis]
        padded = F.pad(planes, sides, mode="reflect")
        at = [padded.narrow(axis, k * step, length) for k in range(5)]
        planes = at[2] * middle
        planes.add_(at[1], alpha=inner).add_(at[3], alpha=inner)
        planes.add_(at[0], alpha=outer).add_(at[4], alpha=outer)
    return planes
