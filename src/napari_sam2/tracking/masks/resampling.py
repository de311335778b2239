"""Masks and logits between data pixels, windows and levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.model.values import SURE_LOGIT
from napari_sam2.tracking.masks.thin_mask import Place
from napari_sam2.tracking.windows import TOKEN, Geometry, Window

BACKGROUND = -16.0  # logit where nothing is known of a mask


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


@dataclass(frozen=True)
class Patch:
    """A part of the logits of a window; the rest of it is background.

    Parameters
    ----------
    window : the tokens.
    corner : (row, column) of the part in the window's stride 4 map.
    logits : (h, w).
    """

    window: Window
    corner: tuple[int, int]
    logits: npt.NDArray[np.floating]

    def span(self, axis: int) -> tuple[int, int, int, int]:
        """First cell and length along an axis of the level: of the window, and of the patch."""
        window = self.window
        start = 4 * (window.row, window.column)[axis]
        length = 4 * (window.height, window.width)[axis]
        return start, length, start + self.corner[axis], self.logits.shape[axis]


def patches_to_data(
    geometry: Geometry, patches: Sequence[Patch]
) -> list[tuple[Place, npt.NDArray[np.float32]]]:
    """Resample patches on one level, as `to_data` does whole windows; those of like size at once.

    Returns
    -------
    for each, the part of the frame that its logits reach, and their values there.
    """
    alike: dict[int, list[int]] = {}
    for i, patch in enumerate(patches):
        alike.setdefault(max(patch.logits.shape).bit_length(), []).append(i)
    found: dict[int, tuple[Place, npt.NDArray[np.float32]]] = {}
    for bits, members in alike.items():
        # Of one size, so that no value depends on what else is resampled.
        laid = _laid_at_once(geometry, [patches[i] for i in members], 2**bits - 1)
        found |= dict(zip(members, laid, strict=True))
    return [found[i] for i in range(len(patches))]


def _laid_at_once(
    geometry: Geometry, patches: Sequence[Patch], size: int
) -> list[tuple[Place, npt.NDArray[np.float32]]]:
    canvas = np.full((len(patches), 1, size + 2, size + 2), BACKGROUND, np.float32)
    for plane, patch in zip(canvas[:, 0], patches, strict=True):
        h, w = patch.logits.shape
        plane[1 : 1 + h, 1 : 1 + w] = patch.logits
    rows, columns = (_reached_by(geometry, patches, axis, size) for axis in (0, 1))
    grid = np.stack(np.broadcast_arrays(columns[1][:, None], rows[1][:, :, None]), axis=-1)
    sampled = F.grid_sample(
        torch.from_numpy(canvas), torch.from_numpy(grid), padding_mode="border", align_corners=True
    ).numpy()
    return [
        ((y, x), values[: y.stop - y.start, : x.stop - x.start])
        for y, x, values in zip(rows[0], columns[0], sampled[:, 0], strict=True)
    ]


def _reached_by(
    geometry: Geometry, patches: Sequence[Patch], axis: int, size: int
) -> tuple[list[slice], npt.NDArray[np.float32]]:
    """Return the data pixels along an axis that patches reach, and where their centres lie.

    These count from -1 to 1 over `size` cells and one of background at either side.
    """
    cells = geometry.scale[axis] / 4  # of data pixels
    start, length, low, count = np.array([patch.span(axis) for patch in patches]).T
    first = np.ceil(np.maximum(low - 0.5, start) / cells - 0.5).astype(int)
    last = np.floor(np.minimum(low + count + 0.5, start + length) / cells - 0.5).astype(int)
    last = np.maximum(np.minimum(last, geometry.shape[axis] - 1), first - 1)
    pixels = first[:, None] + np.arange((last - first).max() + 1)
    # Up to the outermost cells of the window there is no background.
    ends = start[:, None], (start + length)[:, None] - 1
    centres = ((pixels + 0.5) * cells - 0.5).clip(*ends) - low[:, None]
    reached = [slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True)]
    return reached, (2 * (centres + 1) / (size + 1) - 1).astype(np.float32)


def resized_mask(
    geometry: Geometry, place: Place, part: npt.NDArray[np.bool_]
) -> tuple[Place, npt.NDArray[np.bool_]]:
    """Resize a mask to model pixels, antialiased, as the published code does to whole frames.

    Parameters
    ----------
    geometry : of the level.
    place, part : the part of the frame that holds the mask, and the mask there.

    Returns
    -------
    the model pixels that the part reaches, and the mask there; nothing of it lies elsewhere.
    """
    values = part.astype(np.float32)
    found = []
    for axis in (0, 1):
        reached, pixels, shares = _reached(geometry.shape[axis], geometry.size[axis], place[axis])
        rows = values.swapaxes(0, axis)
        values = sum(
            share[:, None] * rows[pixel] for pixel, share in zip(pixels, shares, strict=True)
        ).swapaxes(0, axis)
        found.append(reached)
    small = values >= 0.5
    # A mask of a few pixels may not survive being shrunk: keep its most covered place.
    return (found[0], found[1]), small if small.any() else values == values.max()


def _reached(
    length: int, size: int, part: slice
) -> tuple[slice, npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return the model pixels that a part of an axis reaches, see `_taps`, and what it gives them.

    Pixels count from the part's first.
    """
    scale = length / size
    reach = max(scale, 1.0)
    first = max(math.ceil((part.start + 0.5 - reach) / scale - 0.5), 0)
    last = min(math.floor((part.stop - 0.5 + reach) / scale - 0.5), size - 1)
    pixels, shares = (taps[:, first : last + 1] for taps in _taps(length, size))
    inside = (pixels >= part.start) & (pixels < part.stop)
    pixels = (pixels - part.start).clip(0, part.stop - part.start - 1)
    return slice(first, last + 1), pixels, np.where(inside, shares, np.float32(0))


@lru_cache(maxsize=32)
def _taps(length: int, size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return which of `length` pixels make up each of `size`, (k, size), and their shares."""
    scale = length / size
    reach = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    first = np.floor(centres - reach).astype(np.intp)
    pixels = first + np.arange(math.ceil(2 * reach) + 1)[:, None]
    shares = (1 - np.abs(pixels + 0.5 - centres) / reach).clip(0)
    shares[(pixels < 0) | (pixels >= length)] = 0
    return pixels, (shares / shares.sum(axis=0)).astype(np.float32)


def in_window(window: Window, place: Place, part: npt.NDArray[np.bool_]) -> Tensor:
    """Lay a mask, as `resized_mask` returns it, into a window: (16 h, 16 w) float32, 0 or 1."""
    full = torch.zeros(TOKEN * window.height, TOKEN * window.width)
    out, of = [], []
    for axis, cut in enumerate(window.slices(TOKEN)):
        low, high = max(cut.start, place[axis].start), min(cut.stop, place[axis].stop)
        out.append(slice(low - cut.start, max(high - cut.start, 0)))
        of.append(slice(low - place[axis].start, max(high - place[axis].start, 0)))
    full[out[0], out[1]] = torch.from_numpy(part[of[0], of[1]].astype(np.float32))
    return full


def mask_logits(full_hw: Tensor) -> Tensor:
    """Return the logits (4 h, 4 w) that the published code gives a mask (16 h, 16 w), 0 or 1."""
    size = (full_hw.shape[0] // 4, full_hw.shape[1] // 4)
    sure = (full_hw * (2 * SURE_LOGIT) - SURE_LOGIT)[None, None]
    return F.interpolate(sure, size, mode="bilinear", align_corners=False, antialias=True)[0, 0]


def moved(logits_hw: Tensor, source: Window, target: Window) -> Tensor:
    """Lay logits of one window into another; background where the first does not reach."""
    if source == target:
        return logits_hw
    if source.grid != target.grid:
        return _rescaled(logits_hw, source, target)
    out = logits_hw.new_full((4 * target.height, 4 * target.width), BACKGROUND)
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
    shifted = (logits_hw.float() - BACKGROUND)[None, None]
    return F.grid_sample(shifted, grid[None], align_corners=False)[0, 0] + BACKGROUND
