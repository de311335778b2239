"""Simulated annotators for training: first prompts and corrections, with the errors people make."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from napari_sam2.model.prompt_encoder import BOX_END, BOX_START, NEGATIVE, PADDING, POSITIVE

Mask = npt.NDArray[np.bool_]


def inner_point(mask: Mask, rng: np.random.Generator, centre: bool) -> tuple[float, float]:
    """Return a click (x, y) in pixels: the point furthest inside, or any point well inside."""
    ys, xs = np.nonzero(mask)
    y0, x0 = ys.min(), xs.min()
    crop = np.pad(mask[y0 : ys.max() + 1, x0 : xs.max() + 1], 1)
    depth = ndimage.distance_transform_edt(crop)
    if centre:
        y, x = np.unravel_index(depth.argmax(), depth.shape)
    else:
        inside = np.argwhere(depth >= min(2.0, depth.max()))
        y, x = inside[rng.integers(len(inside))]
    return float(x + x0 - 1), float(y + y0 - 1)


def loose_box(mask: Mask, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return a box (x0, y0, x1, y1), drawn up to 10 % and 4 px off, or exact one time in three."""
    ys, xs = np.nonzero(mask)
    box = np.array([xs.min(), ys.min(), xs.max(), ys.max()], dtype=np.float64)
    if rng.random() < 0.33:
        return tuple(box)
    size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    return tuple(box + np.clip(rng.normal(0, 0.06, 4) * size, -4, 4))


def first_prompts(
    masks: Iterable[Mask], rng: np.random.Generator, kind: str
) -> tuple[Tensor, Tensor]:
    """Prompts of one kind ("click", "box" or "clicks") for N objects.

    Returns
    -------
    points (N, K, 2) in pixels, x first; labels (N, K).
    """
    points, labels = [], []
    for mask in masks:
        if kind == "box":
            x0, y0, x1, y1 = loose_box(mask, rng)
            points.append([(x0, y0), (x1, y1)])
            labels.append([BOX_START, BOX_END])
        elif kind == "click":
            points.append([inner_point(mask, rng, centre=rng.random() < 0.6)])
            labels.append([POSITIVE])
        else:
            count = 3 if rng.random() < 0.5 else 2
            clicks = [inner_point(mask, rng, centre=i == 0) for i in range(count)]
            clicks += [(0.0, 0.0)] * (3 - count)
            points.append(clicks)
            labels.append([POSITIVE] * count + [PADDING] * (3 - count))
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels)


def corrections(logits: Tensor, truth: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return one click per object at the centre of its largest error.

    Parameters
    ----------
    logits, truth : (N, 4 h, 4 w) at stride 4.

    Returns
    -------
    points (N, 1, 2) in pixels, x first; labels (N, 1), padding where nothing is wrong.
    """
    shown, real = logits > 0, truth > 0.5
    # One after the other, so that the first of two equally deep ones is what is missed.
    depths = _depths(torch.stack([real & ~shown, shown & ~real], dim=1).float())
    deepest, place = depths.flatten(1).max(dim=1)
    _, height, width = shown.shape
    kind, cell = place // (height * width), place % (height * width)
    cells = torch.stack([cell % width, cell // width], dim=1).float()
    off = torch.from_numpy(rng.uniform(-1.5, 1.5, (len(shown), 2))).to(cells)
    labels = torch.where(kind == 0, POSITIVE, NEGATIVE)
    labels = labels.masked_fill(deepest == 0, PADDING)
    points = (4 * cells + 1.5 + off).masked_fill(labels[:, None] == PADDING, 0.0)
    return points[:, None], labels[:, None]


def _depths(masks_nkhw: Tensor) -> Tensor:
    """How deep inside its mask a pixel lies, in octagons; the middle of a plateau is highest."""
    left = F.pad(masks_nkhw, (1, 1, 1, 1))
    depths = torch.zeros_like(left)
    for turn in itertools.count():
        depths = depths + left
        if turn % 2:
            left = -F.max_pool2d(-left, 3, 1, 1)
        else:
            upright = F.max_pool2d(-left, (3, 1), 1, (1, 0))
            left = -torch.maximum(upright, F.max_pool2d(-left, (1, 3), 1, (0, 1)))
        if not left.any():
            break
    around = F.avg_pool2d(F.avg_pool2d(depths, 5, 1, 2), 5, 1, 2)
    return torch.where(depths > 0, depths + 0.1 * around, 0.0)[..., 1:-1, 1:-1]
