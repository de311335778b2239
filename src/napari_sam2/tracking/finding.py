"""Which of several magnifications has seen what a click means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_sam2.model.sam2 import MaskPrediction
from napari_sam2.tracking.windows import Window

_USUAL_CELLS = (40, 700)  # of 4 px: radii of 14 to 60 px, where small models can be relied on

Extent = tuple[float, float, float, float]  # y0, x0, y1, x1 in data pixels


@dataclass(frozen=True, eq=False)
class Candidate:
    """The answer to clicks at one magnification.

    Parameters
    ----------
    window, prediction : where it was given, and what.
    extent : of the mask; None if it is empty.
    """

    window: Window
    prediction: MaskPrediction
    extent: Extent | None

    @property
    def iou(self) -> float:
        """Predicted IoU."""
        return float(self.prediction.best_iou)

    @property
    def usual(self) -> bool:
        """Whether the mask is of a size that the network knows."""
        cells = int((self.prediction.best_logits > 0).sum())
        return _USUAL_CELLS[0] <= cells <= _USUAL_CELLS[1]


def surest(candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate that is sure of itself and that the others agree with.

    A cell is seen alike at neighbouring magnifications; a colony, or a part of the cell, that one
    of them takes for the object is not.
    """

    def support(candidate: Candidate) -> float:
        return candidate.iou * sum(o.iou * _overlap(candidate.extent, o.extent) for o in candidates)

    return max(candidates, key=lambda candidate: (candidate.usual, support(candidate)))


def _overlap(a: Extent | None, b: Extent | None) -> float:
    """IoU of two boxes."""
    if a is None or b is None:
        return 0.0
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(height, 0.0) * max(width, 0.0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
