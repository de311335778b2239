"""Values shown as black and white."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.errors import InputError

Contrast = tuple[float, float] | tuple[tuple[float, float], ...]
"""Values shown as black and white; of a mix of channels, for red, green and blue each."""


def checked_contrast(contrast: Any, mixed: bool) -> Contrast:
    """Return a contrast that can be used; for a mix, one pair counts for every colour.

    Raises
    ------
    InputError
        If it is no rising pair of numbers.
    """
    pairs = contrast if mixed and np.ndim(contrast) == 2 else (contrast,) * 3
    if len(pairs) != 3:
        raise InputError(f"a mix has a contrast for each of three colours, not {len(pairs)}")
    checked = tuple(_checked_pair(pair) for pair in pairs)
    return checked if mixed else checked[0]


def _checked_pair(contrast: Any) -> tuple[float, float]:
    low, high = float(contrast[0]), float(contrast[1])
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"contrast must be (low, high) with low < high, not ({low:g}, {high:g})")
    return low, high


def spread(
    sample: npt.NDArray[np.float64], percentiles: tuple[float, float]
) -> tuple[float, float]:
    """Return percentiles of the values; the extremes where those coincide.

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
    low, high = (float(v) for v in np.percentile(values, percentiles))
    if low == high:  # nearly all background: take what little there is
        low, high = float(values.min()), float(values.max())
    if low == high:
        high = max(low + 1.0, float(np.nextafter(low, np.inf)))
    return low, high
