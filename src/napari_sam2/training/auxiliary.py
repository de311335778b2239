"""A side task for the image encoder: which pixels belong together.

Prompts teach the encoder through a handful of objects at a time. Predicting, for every pixel,
whether it is in any object and whether it shares that object with pixels some way off teaches it
from the whole frame. The head is thrown away after training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.values import ImageFeatures

_OFFSETS = (1, 2, 4, 8)  # in cells of 4 px, downward and to the right
_CHANNELS = 1 + 2 * len(_OFFSETS)


class DenseHead(nn.Module):
    """Linear read-out of the maps at strides 16, 8 and 4, summed at stride 4."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(hidden, 16 * _CHANNELS, 1)
        self.middle = nn.Conv2d(hidden // 4, 4 * _CHANNELS, 1)
        self.fine = nn.Conv2d(hidden // 8, _CHANNELS, 1)

    def forward(self, features: ImageFeatures) -> Tensor:
        """Return logits (B, channels, 4 h, 4 w)."""
        out: Tensor = (
            F.pixel_shuffle(self.coarse(features.stride16), 4)
            + F.pixel_shuffle(self.middle(features.stride8), 2)
            + self.fine(features.stride4)
        )
        return out

    def loss(self, features: ImageFeatures, labels_bhw: Tensor) -> Tensor:
        """Cross-entropy against labels (B, 16 h, 16 w)."""
        logits = self(features).float()
        target, known = belonging(labels_bhw[:, 1::4, 1::4])
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (loss * known).sum() / known.sum()


def belonging(labels_bhw: Tensor) -> tuple[Tensor, Tensor]:
    """Return targets and where they are known, both (B, channels, H, W).

    Channel 0: in an object. Then, for each offset: in the same object as the pixel that far
    below, and that far to the right; unknown at the rim, where there is no such pixel.
    """
    inside = labels_bhw > 0
    targets = [inside]
    known = [torch.ones_like(inside)]
    height, width = labels_bhw.shape[-2:]
    for offset in _OFFSETS:
        below = F.pad(labels_bhw[:, offset:], (0, 0, 0, min(offset, height)), value=-1)
        right = F.pad(labels_bhw[:, :, offset:], (0, min(offset, width)), value=-1)
        for other in (below, right):
            targets.append(inside & (labels_bhw == other))
            known.append(other >= 0)
    return torch.stack(targets, 1).float(), torch.stack(known, 1).float()
