"""Masks and logits between data pixels, windows and levels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.tracking.windows import TOKEN, Geometry, Window

_BACKGROUND = -16.0


def to_data(
    geometry: Geometry, window: Window, logits_hw: Tensor
) -> tuple[tuple[slice, slice], npt.NDArray[np.float32]]:
    """Resample logits of a window (stride 4) to data pixels, bilinearly.

    Returns
    -------
    the part of the frame that the window covers, and the logits (y, x) there.
    """
    if window.is_whole:
        full = F.interpolate(
            logits_hw[None, None].float(), geometry.shape, mode="bilinear", align_corners=False
        )
        return (slice(0, geometry.shape[0]), slice(0, geometry.shape[1])), full[0, 0].cpu().numpy()
    slices, places = [], []
    for axis, (start, length) in enumerate(
        ((window.row, window.height), (window.column, window.width))
    ):
        scale = geometry.scale[axis]
        first = int(np.ceil(TOKEN * start / scale - 0.5))
        last = int(np.floor(TOKEN * (start + length) / scale - 0.5))
        last = min(last, geometry.shape[axis] - 1)
        pixels = torch.arange(first, last + 1, dtype=torch.float32, device=logits_hw.device)
        # Centre of a data pixel, in units of the window from -1 to 1.
        places.append(2 * ((pixels + 0.5) * scale / TOKEN - start) / length - 1)
        slices.append(slice(first, last + 1))
    grid = torch.stack(torch.meshgrid(places[1], places[0], indexing="xy"), dim=-1)
    sampled = F.grid_sample(
        logits_hw[None, None].float(), grid[None], padding_mode="border", align_corners=False
    )
    return (slices[0], slices[1]), sampled[0, 0].cpu().numpy()


def resized_mask(geometry: Geometry, mask: npt.NDArray[np.bool_]) -> Tensor:
    """Resize a mask (Y, X) to model pixels as the published code does: (H, W), 0 or 1."""
    values = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))[None, None]
    if mask.shape != geometry.size:
        values = F.interpolate(
            values, geometry.size, mode="bilinear", align_corners=False, antialias=True
        )
        small = (values >= 0.5).float()
        # A mask of a few pixels may not survive being shrunk: keep its most covered place.
        values = small if small.any() else (values == values.max()).float()
    return values[0, 0]


def moved(logits_hw: Tensor, source: Window, target: Window) -> Tensor:
    """Lay logits of one window into another; background where the first does not reach."""
    if source == target:
        return logits_hw
    if source.grid != target.grid:
        return _rescaled(logits_hw, source, target)
    out = logits_hw.new_full((4 * target.height, 4 * target.width), _BACKGROUND)
    dy, dx = 4 * (source.row - target.row), 4 * (source.column - target.column)
    y0, x0 = max(dy, 0), max(dx, 0)
    y1 = min(dy + logits_hw.shape[0], out.shape[0])
    x1 = min(dx + logits_hw.shape[1], out.shape[1])
    if y0 < y1 and x0 < x1:
        out[y0:y1, x0:x1] = logits_hw[y0 - dy : y1 - dy, x0 - dx : x1 - dx]
    return out


def _rescaled(logits_hw: Tensor, source: Window, target: Window) -> Tensor:
    """Lay logits of one level into a window of another, bilinearly."""
    places = []
    for axis, (start, length, into, size) in enumerate(
        (
            (source.row, source.height, target.row, target.height),
            (source.column, source.width, target.column, target.width),
        )
    ):
        cells = torch.arange(4 * size, dtype=torch.float32, device=logits_hw.device)
        # Every grid spans the same frame.
        tokens = (into + (cells + 0.5) / 4) / target.grid[axis] * source.grid[axis]
        places.append(2 * (tokens - start) / length - 1)
    grid = torch.stack(torch.meshgrid(places[1], places[0], indexing="xy"), dim=-1)
    shifted = (logits_hw.float() - _BACKGROUND)[None, None]
    return F.grid_sample(shifted, grid[None], align_corners=False)[0, 0] + _BACKGROUND
