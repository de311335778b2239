"""What the four verbs of `SAM2` take and give, for a batch of frames or objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_sam2.model.positions import TokenGrid

NO_OBJECT = -1024.0  # logit everywhere on a frame from which the object is absent
SURE_LOGIT = 10.0  # of a mask that is given, and of its being there


@dataclass(frozen=True)
class ImageFeatures:
    """The encoding of B frames, or of N windows of frames.

    Parameters
    ----------
    stride16 : (B, C, h, w).
    stride8 : (B, C / 4, 2 h, 2 w), projected for the decoder.
    stride4 : (B, C / 8, 4 h, 4 w), projected for the decoder.
    grid : which tokens of the frame these are.
    """

    stride16: Tensor
    stride8: Tensor
    stride4: Tensor
    grid: TokenGrid

    def crop(self, grid: TokenGrid) -> ImageFeatures:
        """Cut windows out of the encoding of one whole frame: batch of one per origin."""
        if grid.height == self.grid.height and grid.width == self.grid.width:
            return self

        def cut(x: Tensor, scale: int) -> Tensor:
            h, w = scale * grid.height, scale * grid.width
            corners = [(scale * r, scale * c) for r, c in grid.origins]
            return torch.cat([x[:1, :, r : r + h, c : c + w] for r, c in corners])

        return ImageFeatures(
            cut(self.stride16, 1), cut(self.stride8, 2), cut(self.stride4, 4), grid
        )


@dataclass(frozen=True)
class Memory:
    """The spatial memory of N objects on one frame.

    Parameters
    ----------
    features : (N, Cm, h, w).
    grid : the tokens it covers.
    """

    features: Tensor
    grid: TokenGrid


@dataclass(frozen=True)
class Recollection:
    """What N objects remember when a frame is looked at.

    Parameters
    ----------
    memories : spatial memories.
    slots : for each of them its place in time: 0 the frame before, 1 the one before that, ...,
        and the last slot for conditioning frames.
    pointers : (N, P, C) object pointers; P may be 0.
    times : (P,) distance of the pointers' frames, in frames, positive in the past.
    horizon : the distance that counts as 1, min(number of frames, max_pointers) - 1.
    """

    memories: Sequence[Memory]
    slots: Sequence[int]
    pointers: Tensor
    times: Tensor
    horizon: int


@dataclass(frozen=True)
class MaskPrediction:
    """Masks of N objects on one frame.

    Parameters
    ----------
    logits : (N, M, 4 h, 4 w), M = 3 for ambiguous prompts and while tracking, else 1;
        `NO_OBJECT` everywhere where the object is absent.
    iou : (N, M) predicted IoU, 0 to 1.
    object_score : (N,) logit of the object being in the frame.
    pointer : (N, C) the object pointer that goes into the memory bank.
    chosen : (N,) index of the mask with the highest predicted IoU.
    """

    logits: Tensor
    iou: Tensor
    object_score: Tensor
    pointer: Tensor
    chosen: Tensor

    @property
    def best_logits(self) -> Tensor:
        """(N, 4 h, 4 w) logits of the chosen mask."""
        return self.logits[torch.arange(len(self.chosen), device=self.chosen.device), self.chosen]

    @property
    def best_iou(self) -> Tensor:
        """(N,) predicted IoU of the chosen mask."""
        return self.iou[torch.arange(len(self.chosen), device=self.chosen.device), self.chosen]

    def without(self, gone_n: Tensor, pointer_c: Tensor) -> MaskPrediction:
        """Return the same with some objects absent, as surely as they were held for present.

        Parameters
        ----------
        gone_n : bool, which.
        pointer_c : that absent objects leave.
        """
        score = self.object_score
        return replace(
            self,
            logits=self.logits.masked_fill(gone_n[:, None, None, None], NO_OBJECT),
            object_score=torch.where(gone_n, -score.abs(), score),
            pointer=torch.where(gone_n[:, None], pointer_c, self.pointer),
        )

    def best(self) -> MaskPrediction:
        """Return the chosen masks alone, M = 1."""
        rows = torch.arange(len(self.chosen), device=self.chosen.device)
        return replace(
            self,
            logits=self.logits[rows, self.chosen][:, None],
            iou=self.iou[rows, self.chosen][:, None],
            chosen=torch.zeros_like(self.chosen),
        )

    def on_host(self) -> MaskPrediction:
        """Return the same in the host's memory; pointers, which only the network reads, stay."""
        return replace(
            self,
            logits=self.logits.cpu(),
            iou=self.iou.cpu(),
            object_score=self.object_score.cpu(),
            chosen=self.chosen.cpu(),
        )
