"""Parts of frames that are shown larger than they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from napari_sam2.model.positions import sent

Cutout = tuple[slice, slice]
"""Rows and columns."""


def enlarged_parts(
    planes_cyx: torch.Tensor, size: tuple[int, int], parts: Sequence[Cutout]
) -> torch.Tensor:
    """Cut N parts of one size out of planes enlarged bilinearly to `size`: (N, C, h, w).

    The rest is not enlarged. What is of that size already is cut out as it is.
    """
    if planes_cyx.shape[1:] == size:
        return torch.stack([planes_cyx[:, rows, columns] for rows, columns in parts])
    places = []
    for axis, (length, full) in enumerate(zip(planes_cyx.shape[1:], size, strict=True)):
        pixels = np.stack([np.arange(part[axis].start, part[axis].stop) for part in parts])
        at = ((pixels + 0.5) * (length / full) - 0.5).clip(0, length - 1)
        places.append(torch.from_numpy((2 * at / max(length - 1, 1) - 1).astype(np.float32)))
    rows, columns = (sent(place, planes_cyx.device) for place in places)
    x = columns[:, None].expand(-1, rows.shape[1], -1)
    y = rows[:, :, None].expand(-1, -1, columns.shape[1])
    grid = torch.stack([x, y], dim=-1)
    planes = planes_cyx.expand(len(parts), -1, -1, -1)
    return F.grid_sample(planes, grid, padding_mode="border", align_corners=True)
