"""Prompts to tokens: points, boxes and masks (SAM, section 3; SAM 2, appendix D.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
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


def joint(each: Sequence[PromptInputs]) -> PromptInputs:
    """Prompts of several objects as one batch; all have as many points, and no mask."""
    points, labels = (torch.cat(x) for x in zip(*((e.points, e.labels) for e in each), strict=True))
    return PromptInputs(points, labels)


def carried(logits_nhw: Tensor) -> PromptInputs:
    """Prompts without a point: masks (N, 4 h, 4 w) carried over from the frame before."""
    n = len(logits_nhw)
    points = logits_nhw.new_zeros(n, 1, 2)
    return PromptInputs(points, points.new_full((n, 1), PADDING).long(), logits_nhw[:, None])


def draw_prompts(
    inputs: PromptInputs, grid: TokenGrid, radius: float = 4.0, reach: float = 96.0
) -> Tensor:
    """Draw clicks as disks of their sign and boxes as filled rectangles.

    A small network finds the prompted place in the image far sooner when it is also told so in
    the dense prompt. Where there is neither a box nor an earlier mask, the ground falls off with
    the distance from the positive clicks: a disk alone says nothing to tokens it does not touch.

    Parameters
    ----------
    inputs : prompts; an earlier mask is the ground that they are drawn on.
    grid : the tokens that the drawing covers.
    radius : of a disk, in model pixels.
    reach : distance at which the ground is flat, in model pixels.

    Returns
    -------
    (N, 1, 4 h, 4 w) logits
    """
    device = inputs.points.device
    rows, columns = grid.places(device)
    y = rows[:, :1] * 16 + 4 * torch.arange(4 * grid.height, device=device) + 1.5
    x = columns[:, :1] * 16 + 4 * torch.arange(4 * grid.width, device=device) + 1.5
    xs, ys = (inputs.points[..., i, None, None] for i in (0, 1))
    distance = ((y[:, None, :, None] - ys) ** 2 + (x[:, None, None, :] - xs) ** 2).sqrt()
    labels = inputs.labels[..., None, None]
    if inputs.mask is None:
        # Small values: the encoder normalises what it sees, and large ones would all look alike.
        cones = (1.5 - 3 * (distance / reach).sqrt()).clamp(min=-1.5)
        canvas = cones.masked_fill(labels != POSITIVE, -1.5).amax(dim=1)
    else:
        canvas = inputs.mask[:, 0].float().clamp(-_DRAWN_LOGIT, _DRAWN_LOGIT)
        canvas = torch.where((labels == PADDING).all(dim=1), _soft(canvas), canvas)
    for k in range(inputs.labels.shape[1] - 1):
        y0, x0, y1, x1 = ys[:, k], xs[:, k], ys[:, k + 1], xs[:, k + 1]
        high, wide = (y[:, :, None] >= y0) & (y[:, :, None] <= y1), (x[:, None] >= x0)
        inside = high & wide & (x[:, None] <= x1)
        outside = canvas if inputs.mask is not None else torch.zeros_like(canvas)
        drawn = torch.where(inside, 0.5 * _DRAWN_LOGIT, outside)
        canvas = torch.where(labels[:, k] == BOX_START, drawn, canvas)
    for label, value in ((POSITIVE, 2 * _DRAWN_LOGIT), (NEGATIVE, -2 * _DRAWN_LOGIT)):
        disks = ((distance <= radius) & (labels == label)).any(dim=1)
        canvas = canvas.masked_fill(disks, value)
    return canvas[:, None]


def _soft(logits_nhw: Tensor) -> Tensor:
    """Blur a mask of another frame: it tells where the object was, not where its outline is."""
    blob = logits_nhw.sigmoid()[:, None]
    for _ in range(2):
        blob = F.avg_pool2d(blob, kernel_size=5, stride=1, padding=2)
    return 3 * blob[:, 0] - 1.5


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
        # Negative and positive points, the two corners of a box.
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
        own = [embedding(labels.new_zeros(1)) for embedding in self.point_embeddings]
        kinds = torch.cat([self.not_a_point.weight, *own])
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
