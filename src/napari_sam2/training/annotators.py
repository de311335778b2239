"""Simulated annotators for training: first prompts and corrections, with the errors people make."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
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


def first_prompts(masks: list[Mask], rng: np.random.Generator, kind: str) -> tuple[Tensor, Tensor]:
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
    shown = (logits > 0).cpu().numpy()
    real = (truth > 0.5).cpu().numpy()
    points = np.zeros((len(shown), 1, 2), dtype=np.float32)
    labels = np.full((len(shown), 1), PADDING)
    for i in range(len(shown)):
        missed, extra = real[i] & ~shown[i], shown[i] & ~real[i]
        best = 0.0
        for error, label in ((missed, POSITIVE), (extra, NEGATIVE)):
            if not error.any():
                continue
            depth = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(depth.argmax(), depth.shape)
            if depth[y, x] > best:
                best = float(depth[y, x])
                points[i, 0] = 4 * np.array([x, y]) + 1.5 + rng.uniform(-1.5, 1.5, 2)
                labels[i, 0] = label
    return torch.from_numpy(points), torch.from_numpy(labels)
