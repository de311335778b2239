"""What a session keeps of one object on one frame after the network has moved on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sam2.model.mask_decoder import stability
from napari_sam2.model.values import NO_OBJECT, MaskPrediction
from napari_sam2.tracking.masks.resampling import BACKGROUND
from napari_sam2.tracking.windows import TOKEN, Window, box_of

_MARGIN = 2  # cells kept around a mask, so that its outline is resampled as it was


@dataclass(frozen=True, slots=True)
class Quality:
    """How sure the network is of one object on one frame.

    Parameters
    ----------
    iou : predicted IoU, 0 to 1.
    object_score : logit of the object being in the frame.
    stability : IoU of the mask cut a little high and a little low, 0 to 1.
    interpolated : the mask is no answer of the network, but lies between its neighbours, of whose
        numbers these are the lower ones; see `TrackingSession.close_gaps`.
    """

    iou: float
    object_score: float
    stability: float
    interpolated: bool = False

    @property
    def score(self) -> float:
        """One number, 0 to 1: predicted IoU times the probability of being there."""
        return float(score(self.iou, self.object_score))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mask of one object on one frame, small enough to keep for every frame.

    Parameters
    ----------
    window : the tokens it was predicted in.
    corner : (row, column) of `kept` in the window's stride 4 map.
    kept : float16 logits, cut to where the object is; empty if it is absent.
    quality : how sure the network is.
    """

    window: Window
    corner: tuple[int, int]
    kept: npt.NDArray[np.float16]
    quality: Quality

    @classmethod
    def of(cls, window: Window, logits_hw: Tensor, quality: Quality) -> Estimate:
        """Keep logits (4 h, 4 w)."""
        return cls._of(window, logits_hw.float().cpu().numpy(), quality)

    @classmethod
    def _of(cls, window: Window, values: npt.NDArray[np.float32], quality: Quality) -> Estimate:
        box = box_of(values)
        if box is None:
            return cls(window, (0, 0), np.zeros((0, 0), np.float16), quality)
        row, column = max(box[0] - _MARGIN, 0), max(box[1] - _MARGIN, 0)
        cut = values[row : box[2] + _MARGIN, column : box[3] + _MARGIN]
        return cls(window, (row, column), cut.clip(-1e4, 1e4).astype(np.float16), quality)

    @classmethod
    def each(cls, windows: Sequence[Window], prediction: MaskPrediction) -> list[Estimate]:
        """Return what is kept of the answers for N objects, in their windows."""
        logits = prediction.best_logits
        numbers = (prediction.best_iou, prediction.object_score, stability(logits))
        qualities = map(Quality, *(part.tolist() for part in numbers))
        values = logits.float().cpu().numpy()
        return [cls._of(*one) for one in zip(windows, values, qualities, strict=True)]

    def shifted(self, rows: int, columns: int) -> Estimate:
        """Return it moved by cells of 4 model pixels; what leaves the frame is cut off."""
        window, kept, corner = self.window, self.kept, list(self.corner)
        moves, starts = (rows, columns), (window.row, window.column)
        sides, tokens = (window.height, window.width), window.grid
        origin = [
            min(max(start + round(move / 4), 0), most - side)
            for start, move, side, most in zip(starts, moves, sides, tokens, strict=True)
        ]
        for axis in (0, 1):
            at = 4 * (starts[axis] - origin[axis]) + corner[axis] + moves[axis]
            low, high = max(-at, 0), max(4 * sides[axis] - at, 0)
            kept = kept[low:high] if axis == 0 else kept[:, low:high]
            corner[axis] = max(at, 0)
        there = Window(origin[0], origin[1], *sides, tokens)
        if not (kept > 0).any():
            return Estimate(there, (0, 0), np.zeros((0, 0), np.float16), self.quality)
        return Estimate(there, (corner[0], corner[1]), kept, self.quality)

    def logits(self) -> Tensor:
        """Return the logits (4 h, 4 w); plain background away from the mask."""
        absent = self.quality.object_score <= 0
        shape = (4 * self.window.height, 4 * self.window.width)
        full = torch.full(shape, NO_OBJECT if absent else BACKGROUND)
        (row, column), (h, w) = self.corner, self.kept.shape
        full[row : row + h, column : column + w] = torch.from_numpy(self.kept).float()
        return full

    def box(self) -> tuple[float, float, float, float] | None:
        """Bounding box (y0, x0, y1, x1) of the mask in model pixels; None if there is no mask."""
        box = box_of(self.kept)
        if box is None:
            return None
        y = TOKEN * self.window.row + 4 * self.corner[0]
        x = TOKEN * self.window.column + 4 * self.corner[1]
        y0, x0, y1, x1 = box
        return float(y + 4 * y0), float(x + 4 * x0), float(y + 4 * y1), float(x + 4 * x1)


def score(iou: npt.ArrayLike, object_score: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return predicted IoU times the probability of being there, element by element."""
    there = 1 / (1 + np.exp(-np.clip(np.asarray(object_score, np.float64), -30, 30)))
    return np.asarray(np.asarray(iou, np.float64) * there)
