"""Colours in grey, for models that learned from grey images only."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.stack.contrast import spread


class GreyMix(NamedTuple):
    """How much of red, green and blue makes grey, and what of it is shown as black and white."""

    weights: npt.NDArray[np.float32]
    low: float
    high: float

    def of(self, colours: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Return colours (..., 3) in grey, 0 to 1."""
        grey = colours.astype(np.float32, copy=False) @ self.weights
        unit: npt.NDArray[np.float32] = ((grey - self.low) / (self.high - self.low)).clip(0, 1)
        return unit


def grey_mix(colours: npt.NDArray[np.float64], percentiles: tuple[float, float]) -> GreyMix:
    """Return the mix in which pixels (N, 3) differ most: along the first principal component.

    A mean would make a green cell on red ground vanish. What is brighter stays brighter.
    """
    spreads, axes = np.linalg.eigh(np.cov(colours, rowvar=False))
    if spreads[-1] <= 0:
        return GreyMix(np.full(3, 1 / 3, np.float32), 0.0, 1.0)
    weights = axes[:, -1] if axes[:, -1].sum() >= 0 else -axes[:, -1]
    return GreyMix(weights.astype(np.float32), *spread(colours @ weights, percentiles))
