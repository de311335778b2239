"""Losses: overlap and cross-entropy of masks, the predicted IoU, the object score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.model.mask_decoder import DecoderOutput

_ABSENT_WEIGHT = 2.0  # in the object score: one object-frame in ten is absent
# Added to the object score of finished weights. A part of it undoes that weight; the rest is for
# use, where an object that is given up too early costs more than one that lingers for a frame.
SCORE_SHIFT = 2.5


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - soft Dice over the last two axes: (..., H, W) -> (...)."""
    p = logits.sigmoid()
    overlap = 2 * (p * truth).flatten(-2).sum(-1)
    return 1 - (overlap + 1) / (p.flatten(-2).sum(-1) + truth.flatten(-2).sum(-1) + 1)


def balanced_bce(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy relative to the size of the object: (..., H, W) -> (...).

    The plain mean over a frame hardly notices a small cell.
    """
    loss = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").flatten(-2).sum(-1)
    return loss / (2 * truth.flatten(-2).sum(-1) + 32)


def hard_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU of the masks as they would be cut out: (..., H, W) -> (...); 1 where both are empty."""
    mask = logits > 0
    real = truth > 0.5
    union = (mask | real).flatten(-2).sum(-1).float()
    overlap = (mask & real).flatten(-2).sum(-1).float()
    return torch.where(union > 0, overlap / union.clamp(min=1), torch.ones_like(union))


@dataclass(frozen=True)
class FrameLoss:
    """Loss of one frame and what is worth logging of it."""

    total: Tensor
    iou: Tensor  # mean true IoU of the mask that would be shown


def frame_loss(output: DecoderOutput, truth: Tensor, single: bool) -> FrameLoss:
    """Loss of N objects on one frame (SAM 2, appendix D.2.2).

    Mask 0 answers alone; of masks 1 to 3 only the best is taught. Every mask's IoU prediction
    is taught its true IoU. Absent objects have a score, and no mask to learn.

    Parameters
    ----------
    output : all four masks, at stride 4.
    truth : (N, 4 h, 4 w), 0 to 1.
    single : whether mask 0 would be shown, otherwise the best of the others.
    """
    present = (truth > 0.5).flatten(1).any(1)
    score = F.binary_cross_entropy_with_logits(
        output.object_score.float(),
        present.float(),
        weight=torch.where(present, 1.0, _ABSENT_WEIGHT),
    )
    weight = present.float() / present.float().sum().clamp(min=1)
    logits = output.logits.float()
    target = truth[:, None].expand_as(logits)
    masks = dice_loss(logits, target) + balanced_bce(logits, target)
    real = hard_iou(logits.detach(), target)
    # Which of the two ways of answering is used decides which is taught more.
    taught = masks[:, 0] * (1.0 if single else 0.5)
    taught = taught + masks[:, 1:].min(dim=1).values * (0.5 if single else 1.0)
    iou = (output.iou.float() - real).abs().mean(dim=1)
    total = (weight * (taught + iou)).sum() + score
    best = output.iou[:, 1:].argmax(dim=1, keepdim=True) + 1
    shown = real[:, 0] if single else real.gather(1, best)[:, 0]
    return FrameLoss(total, (weight * shown).sum().detach())
