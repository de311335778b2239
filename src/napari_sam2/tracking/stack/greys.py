"""Colours in grey, for models that learned from grey images only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.stack.contrast import spread

_NONE = 1e-12  # no variance: rounding


class GreyMix(NamedTuple):
    """How much of red, green and blue makes grey, and what of it is shown as black and white."""

    weights: tuple[float, float, float]
    low: float
    high: float

    def of(self, red: Any, green: Any, blue: Any) -> Any:
        """Return planes, arrays or tensors of one size, in grey, 0 to 1."""
        r, g, b = self.weights
        return ((r * red + g * green + b * blue - self.low) / (self.high - self.low)).clip(0, 1)


def grey_mix(
    colours: npt.NDArray[np.float64],
    percentiles: tuple[float, float],
    noise: Sequence[float],
) -> GreyMix:
    """Return the mix in which pixels (N, 3) differ most: along the first principal component.

    A mean would make a green cell on red ground vanish. What is brighter stays brighter. That
    pixels differ by `noise`, a deviation for each colour, does not count, so that a channel of
    noise does not hide the others.
    """
    differences = np.cov(colours, rowvar=False, bias=True) - np.diag(np.square(noise))
    spreads, axes = np.linalg.eigh(differences)
    if spreads[-1] <= _NONE:
        return GreyMix((1 / 3, 1 / 3, 1 / 3), 0.0, 1.0)
    weights = axes[:, -1] if axes[:, -1].sum() >= 0 else -axes[:, -1]
    r, g, b = weights.tolist()
    return GreyMix((r, g, b), *spread(colours @ weights, percentiles))
