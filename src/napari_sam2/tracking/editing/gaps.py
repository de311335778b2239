"""Closing short gaps: slices on which an object was not found, though it is on either side.

Shape-based interpolation: the mask between two masks is where the mean of their signed distances,
each weighted by how near it is, is positive (Raya and Udupa, 1990). Both are first moved to where
the object's centre would be, so that it also works for one that moves by more than its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt, map_coordinates, shift

from napari_sam2.tracking.editing.merging import claimed
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.objects.objects import TrackedObject
from napari_sam2.tracking.windows import TOKEN, around, whole

Signed = npt.NDArray[np.float32]
_MARGIN = 4  # pixels around both masks
_MOST = 10.0  # logit; a pixel inside is one more


def gaps(obj: TrackedObject, longest: int) -> Iterator[range]:
    """Yield the frames of each gap of an object, at most `longest` in a row.

    A gap lies between two masks, on frames where the object was looked for, or between two prompts.
    Frames that carry a prompt are none: the user has said what is on them.
    """
    shown = [t for t in sorted(obj.estimates) if obj.estimates[t].kept.size]
    for left, right in pairwise(shown):
        between = range(left + 1, right)
        if 0 < len(between) <= longest and not any(t in obj.prompts for t in between):
            said = left in obj.prompts and right in obj.prompts
            if said or all(t in obj.estimates for t in between):
                yield between


def close(obj: TrackedObject, gap: range, engine: Engine) -> list[int]:
    """Give an object masks on the frames of a gap, see `gaps`; return those that got one.

    Between shapes that have little in common there may be nothing.
    """
    filled = []
    left, right = (obj.estimates[t] for t in (gap.start - 1, gap.stop))
    first, second = (_mask(obj, t, engine) for t in (gap.start - 1, gap.stop))
    sure = Quality(
        min(left.quality.iou, right.quality.iou),
        min(left.quality.object_score, right.quality.object_score),
        min(left.quality.stability, right.quality.stability),
        interpolated=True,
    )
    for frame in gap:
        share = (frame - gap.start + 1) / (len(gap) + 1)
        corner, signed = interpolated(first, second, share)
        estimate = _estimate(engine, left, corner, signed, sure)
        if estimate.kept.size:
            obj.estimates[frame] = estimate
            obj.bank.forget(frame)  # that it was not found
            filled.append(frame)
    return filled


def interpolated(
    first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_], share: float
) -> tuple[tuple[int, int], Signed]:
    """Interpolate two masks (Y, X).

    Parameters
    ----------
    first, second : not empty.
    share : of the way from the first to the second, 0 to 1.

    Returns
    -------
    corner (y, x) and signed distances (y, x) in pixels from the outline of the mask, positive
    inside, of a part of the frame that holds the mask.
    """
    places = [np.argwhere(mask) for mask in (first, second)]
    centres = [place.mean(axis=0) for place in places]
    target = (1 - share) * centres[0] + share * centres[1]
    # Room for both once they are moved, in the frame or not.
    reach = [np.abs(p - c).max(axis=0) for p, c in zip(places, centres, strict=True)]
    low = np.floor(target - np.maximum(*reach)).astype(int) - _MARGIN
    high = np.ceil(target + np.maximum(*reach)).astype(int) + _MARGIN + 1
    signed = np.zeros(tuple(high - low), np.float32)
    for place, centre, weight in zip(places, centres, (1 - share, share), strict=True):
        offset = np.floor(target - centre).astype(int)
        mask = np.zeros(signed.shape, bool)
        mask[tuple((place + offset - low).T)] = True
        rest = target - centre - offset
        signed += weight * shift(_signed(mask), rest, order=1, mode="nearest")
    return (int(low[0]), int(low[1])), signed


def _signed(mask: npt.NDArray[np.bool_]) -> Signed:
    inside, outside = distance_transform_edt(mask), distance_transform_edt(~mask)
    signed = np.maximum(inside - 0.5, 0) - np.maximum(outside - 0.5, 0)
    return np.asarray(signed, np.float32)


def _mask(obj: TrackedObject, frame: int, engine: Engine) -> npt.NDArray[np.bool_]:
    full = np.zeros(engine.frames.shape, bool)
    place, logits = claimed(engine, obj, frame)
    full[place] = logits > 0
    if not full.any():
        full[_surest(obj.estimates[frame], engine)] = True
    return full


def _surest(estimate: Estimate, engine: Engine) -> tuple[int, int]:
    """Return the pixel that stands for a mask so small that it covers the centre of none."""
    window, scale = estimate.window, engine.geometry(estimate.window).scale
    row, column = np.unravel_index(estimate.kept.argmax(), estimate.kept.shape)
    starts = (4 * window.row + estimate.corner[0], 4 * window.column + estimate.corner[1])
    y, x = (
        min(int(4 * (start + cell + 0.5) / scale[axis]), engine.frames.shape[axis] - 1)
        for axis, (start, cell) in enumerate(zip(starts, (row, column), strict=True))
    )
    return y, x


def _estimate(
    engine: Engine, neighbour: Estimate, corner: tuple[int, int], signed: Signed, sure: Quality
) -> Estimate:
    """Express signed distances in data pixels as logits, on the level that the object lives on."""
    geometry = engine.geometry(neighbour.window)
    (y, x), (h, w), (sy, sx) = corner, signed.shape, geometry.scale
    box = (y * sy, x * sx, (y + h) * sy, (x + w) * sx)
    window = around(geometry, box) if engine.windowed else whole(geometry)
    # Where the centres of the window's cells are in the part that holds the mask.
    places = [
        (TOKEN * start + 4 * (np.arange(4 * length) + 0.5)) / scale - 0.5 - first
        for start, length, scale, first in (
            (window.row, window.height, sy, y),
            (window.column, window.width, sx, x),
        )
    ]
    grid = np.meshgrid(*places, indexing="ij")
    logits = map_coordinates(signed, grid, order=1, mode="nearest").clip(-_MOST, _MOST)
    return Estimate.of(window, torch.from_numpy(logits), sure)
