"""Values shown as black and white."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.errors import InputError

# Of zeros that were filled in: the part of all pixels that is measured, at least; how far below
# the rest they are, as a part of its spread; and over how many usual steps between two values.
_LEAST_MEASURED, _GAP, _GAP_STEPS = 0.5, 0.05, 8

Contrast = tuple[float, float] | tuple[tuple[float, float], ...]
"""Values shown as black and white; of a mix of channels, for red, green and blue each."""


def checked_contrast(contrast: Any, mixed: bool) -> Contrast:
    """Return a contrast that can be used; for a mix, one pair counts for every colour.

    Raises
    ------
    InputError
        If it is no rising pair of numbers.
    """
    try:
        values = np.asarray(contrast, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"contrast must be (low, high), two numbers, not {contrast!r}; or leave it out"
        ) from error
    pairs = values if mixed and values.ndim == 2 else (values,) * 3
    if len(pairs) != 3:
        raise InputError(f"a mix has a contrast for each of three colours, not {len(pairs)}")
    checked = tuple(_checked_pair(pair) for pair in pairs)
    return checked if mixed else checked[0]


def _checked_pair(contrast: npt.NDArray[np.float64]) -> tuple[float, float]:
    if contrast.shape != (2,):
        raise InputError(f"contrast must be (low, high), not {contrast.tolist()}; or leave it out")
    low, high = contrast.tolist()
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"contrast must be (low, high) with low < high, not ({low:g}, {high:g})")
    return low, high


def spread(
    sample: npt.NDArray[np.float64], percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Return percentiles of the values; the extremes where those coincide.

    Zeros that were filled in (see `_without_padding`) do not count. Where all values are the same,
    a warning says so.

    Raises
    ------
    InputError
        If no value is finite.
    """
    values = sample[np.isfinite(sample)]
    if values.size == 0:
        raise InputError(
            "the image has no finite values (only NaN or inf) in the frames looked at; "
            "check the data or pass contrast=(low, high)"
        )
    values = _without_padding(values, percentiles)
    low, high = (float(v) for v in np.percentile(values, percentiles))
    if low == high:  # nearly all background: take what little there is
        low, high = float(values.min()), float(values.max())
    if low == high:
        warnings.warn(
            f"every value looked at is {low:g}: is it the right channel or plane?", stacklevel=2
        )
        high = max(low + 1.0, float(np.nextafter(low, np.inf)))
    return low, high


def _without_padding(
    values: npt.NDArray[np.float64], percentiles: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Leave out zeros that no camera has measured: borders of registered or stitched images.

    They are a small part, and far below everything else.
    """
    levels = np.unique(values)
    measured = values[values != 0]
    if levels[0] != 0 or len(levels) < 3 or len(measured) < _LEAST_MEASURED * len(values):
        return values
    gap, usual = levels[1], float(np.median(np.diff(levels[1:])))
    low, high = np.percentile(measured, percentiles)
    return measured if gap > max(_GAP * (high - low), _GAP_STEPS * usual) else values
