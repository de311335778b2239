"""Prompts to tokens: points, boxes and masks (SAM, section 3; SAM 2, appendix D.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_sam2.model.layers import LayerNorm2d
from napari_sam2.model.positions import FourierPositions, TokenGrid

NEGATIVE, POSITIVE, BOX_START, BOX_END, PADDING = 0, 1, 2, 3, -1
_DRAWN_LOGIT = 8.0


@dataclass(frozen=True)
class PromptInputs:
    """Prompts of N objects on one frame, in model pixels.

    Parameters
    ----------
    points : (N, K, 2) float32, (x, y) in the frame.
    labels : (N, K) int64: 1 positive, 0 negative, 2 and 3 the corners of a box, -1 padding.
    mask : (N, 1, 4 h, 4 w) logits of an earlier mask of the same tokens, or None.
    """

    points: Tensor
    labels: Tensor
    mask: Tensor | None = None


def draw_prompts(inputs: PromptInputs, grid: TokenGrid, radius: float = 4.0) -> Tensor:
    """Draw clicks as disks of their sign and boxes as filled rectangles.

    A small network finds the prompted place in the image far sooner when it is also told so in
    the dense prompt.

    Parameters
    ----------
    inputs : prompts; an earlier mask is the ground that they are drawn on.
    grid : the tokens that the drawing covers.
    radius : of a disk, in model pixels.

    Returns
    -------
    (N, 1, 4 h, 4 w) logits
    """
    n = inputs.points.shape[0]
    device = inputs.points.device
    y = (grid.rows(device)[:, :1] * 16 + 4 * torch.arange(4 * grid.height, device=device) + 1.5)
    x = (grid.columns(device)[:, :1] * 16 + 4 * torch.arange(4 * grid.width, device=device) + 1.5)
    y, x = y[:, :, None], x[:, None, :]
    if inputs.mask is None:
        canvas = torch.zeros(n, 4 * grid.height, 4 * grid.width, device=device)
    else:
        canvas = inputs.mask[:, 0].float().clamp(-_DRAWN_LOGIT, _DRAWN_LOGIT)
    for k in range(inputs.labels.shape[1]):
        label = inputs.labels[:, k, None, None]
        px, py = inputs.points[:, k, 0, None, None], inputs.points[:, k, 1, None, None]
        if k + 1 < inputs.labels.shape[1]:
            qx, qy = inputs.points[:, k + 1, 0, None, None], inputs.points[:, k + 1, 1, None, None]
            inside = (y >= py) & (y <= qy) & (x >= px) & (x <= qx) & (label == BOX_START)
            canvas = canvas.masked_fill(inside, 0.5 * _DRAWN_LOGIT)
        disk = (y - py) ** 2 + (x - px) ** 2 <= radius**2
        canvas = canvas.masked_fill(disk & (label == POSITIVE), 2 * _DRAWN_LOGIT)
        canvas = canvas.masked_fill(disk & (label == NEGATIVE), -2 * _DRAWN_LOGIT)
    return canvas[:, None]


class PromptEncoder(nn.Module):
    """Sparse tokens for points and box corners, a dense map for masks.

    Parameters
    ----------
    hidden : channels.
    image_size : side of the square that positions are measured in, in model pixels.
    """

    def __init__(self, hidden: int, image_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.positions = FourierPositions(hidden)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, hidden) for _ in range(4))
        self.not_a_point = nn.Embedding(1, hidden)
        self.no_mask = nn.Embedding(1, hidden)
        self.mask_encoder = nn.Sequential(
            nn.Conv2d(1, 4, kernel_size=2, stride=2),
            LayerNorm2d(4),
            nn.GELU(),
            nn.Conv2d(4, 16, kernel_size=2, stride=2),
            LayerNorm2d(16),
            nn.GELU(),
            nn.Conv2d(16, hidden, kernel_size=1),
        )

    def sparse(self, points_nk2: Tensor, labels_nk: Tensor) -> Tensor:
        """Tokens of points and one closing 'not a point': (N, K + 1, C)."""
        closing = points_nk2.new_zeros(points_nk2.shape[0], 1, 2)
        points = torch.cat([points_nk2, closing], dim=1)
        labels = torch.cat([labels_nk, labels_nk.new_full((len(labels_nk), 1), PADDING)], dim=1)
        place = self.positions((points + 0.5) / self.image_size)
        kinds = torch.cat([self.not_a_point.weight, *(e.weight for e in self.point_embeddings)])
        place = place.masked_fill((labels == PADDING)[..., None], 0.0)
        out: Tensor = place + kinds[labels + 1]
        return out

    def forward(self, inputs: PromptInputs, grid: TokenGrid) -> tuple[Tensor, Tensor]:
        """Return tokens (N, K + 1, C) and a dense map (N, C, h, w)."""
        sparse = self.sparse(inputs.points, inputs.labels)
        if inputs.mask is not None:
            return sparse, self.mask_encoder(inputs.mask)
        dense = self.no_mask.weight.view(1, -1, 1, 1)
        return sparse, dense.expand(len(sparse), -1, grid.height, grid.width)
