"""What a session keeps of one object on one frame after the network has moved on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sam2.model.mask_decoder import stability
from napari_sam2.model.sam2 import NO_OBJECT, MaskPrediction
from napari_sam2.tracking.windows import Window

_STEP = 1 / 8  # of the kept logits
_FLOOR = -24  # in steps; below it, a pixel is surely background


@dataclass(frozen=True)
class Quality:
    """How sure the network is of one object on one frame.

    Parameters
    ----------
    iou : predicted IoU, 0 to 1.
    object_score : logit of the object being in the frame.
    stability : IoU of the mask cut a little high and a little low, 0 to 1.
    """

    iou: float
    object_score: float
    stability: float

    @property
    def score(self) -> float:
        """One number, 0 to 1: predicted IoU times the probability of being there."""
        return self.iou / (1 + float(np.exp(-min(max(self.object_score, -30.0), 30.0))))


@dataclass(frozen=True)
class Estimate:
    """A mask of one object on one frame, small enough to keep for every frame.

    Parameters
    ----------
    window : the tokens it was predicted in.
    corner : (row, column) of `steps` in the window's stride 4 map.
    steps : int8 logits in eighths, cut to where the object is; empty if it is absent.
    quality : how sure the network is.
    """

    window: Window
    corner: tuple[int, int]
    steps: npt.NDArray[np.int8]
    quality: Quality

    @classmethod
    def of(cls, window: Window, logits_hw: Tensor, quality: Quality) -> Estimate:
        """Keep logits (4 h, 4 w)."""
        steps = (logits_hw.float() / _STEP).round().clamp(-127, 127).to(torch.int8).cpu().numpy()
        inside = steps > _FLOOR
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if rows.size == 0:
            return cls(window, (0, 0), np.zeros((0, 0), np.int8), quality)
        cut = steps[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
        return cls(window, (int(rows[0]), int(columns[0])), cut, quality)

    def logits(self) -> Tensor:
        """Return the logits (4 h, 4 w) again, to an eighth; NO_OBJECT all over if absent."""
        shape = (4 * self.window.height, 4 * self.window.width)
        if self.steps.size == 0:
            return torch.full(shape, NO_OBJECT if self.quality.object_score <= 0 else -16.0)
        full = torch.full(shape, -16.0)
        (row, column), (h, w) = self.corner, self.steps.shape
        kept = torch.from_numpy(self.steps).float() * _STEP
        full[row : row + h, column : column + w] = kept
        return full

    def box(self) -> tuple[float, float, float, float] | None:
        """Bounding box (y0, x0, y1, x1) of the mask in model pixels; None if there is no mask."""
        rows = np.flatnonzero((self.steps > 0).any(1)) if self.steps.size else np.zeros(0)
        if rows.size == 0:
            return None
        columns = np.flatnonzero((self.steps > 0).any(0))
        y = 16 * self.window.row + 4 * self.corner[0]
        x = 16 * self.window.column + 4 * self.corner[1]
        return (
            float(y + 4 * rows[0]),
            float(x + 4 * columns[0]),
            float(y + 4 * (rows[-1] + 1)),
            float(x + 4 * (columns[-1] + 1)),
        )


def qualities(prediction: MaskPrediction) -> list[Quality]:
    """Quality of each of N objects."""
    stable = stability(prediction.best_logits)
    return [
        Quality(float(iou), float(score), float(steady))
        for iou, score, steady in zip(
            prediction.best_iou, prediction.object_score, stable, strict=True
        )
    ]
