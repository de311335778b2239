"""Pixel counts shared by two label images: what every score of masklets is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Overlap:
    """Areas in pixels: per predicted id, per true id, and per (predicted, true) pair that meets.

    Background (0) is left out everywhere.
    """

    predicted: Counter[int] = field(default_factory=Counter)
    truth: Counter[int] = field(default_factory=Counter)
    shared: Counter[tuple[int, int]] = field(default_factory=Counter)

    def iou(self, predicted: int, truth: int) -> float:
        """Intersection over union of two objects; 0 where neither is present."""
        shared = self.shared[predicted, truth]
        union = self.predicted[predicted] + self.truth[truth] - shared
        return shared / union if union else 0.0

    @classmethod
    def total(cls, overlaps: Iterable[Self]) -> Self:
        """Sum counts over frames."""
        total = cls()
        for one in overlaps:
            total.predicted.update(one.predicted)
            total.truth.update(one.truth)
            total.shared.update(one.shared)
        return total


def overlap(predicted: NDArray[Any], truth: NDArray[Any]) -> Overlap:
    """Count the pixels of two label images of one shape, ids from 0 to 2^32 - 1."""
    seen = (predicted != 0) | (truth != 0)
    # One sort of the foreground: ids of both images packed into one number.
    codes = predicted[seen].astype(np.uint64) << np.uint64(32) | truth[seen].astype(np.uint64)
    pairs, counts = np.unique(codes, return_counts=True)
    result = Overlap()
    for code, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        p, t = code >> 32, code & 0xFFFFFFFF
        if p:
            result.predicted[p] += count
        if t:
            result.truth[t] += count
        if p and t:
            result.shared[p, t] = count
    return result
