"""Brush strokes and shapes, turned into objects, frames and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon2mask

from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.layers.layer_states import Key

Outline = tuple[npt.NDArray[np.float64], str]  # vertices (K, 2) and the kind of shape


@dataclass(frozen=True)
class Edit:
    """Pixels that were painted at once, in a box of the labels.

    Parameters
    ----------
    place
        Where the box begins on each axis.
    mask
        Which pixels of the box.
    old
        The labels before, of the shape of `mask`; outside of it they say nothing.
    painted
        Labels that were painted; none where pixels were erased.
    """

    place: tuple[int, ...]
    mask: npt.NDArray[np.bool_]
    old: npt.NDArray[Any]
    painted: frozenset[int]

    @classmethod
    def of(cls, atom: Any) -> Edit:
        """Read an edit in napari's form: of a box, or of single pixels."""
        if hasattr(atom, "slice_key"):
            place = tuple(part.start or 0 for part in atom.slice_key)
            mask, old = atom.mask, atom.old_values
            if mask is None:
                mask = np.ones(old.shape, bool)
            else:
                old = np.zeros(mask.shape, atom.old_values.dtype)
                old[mask] = atom.old_values
            return cls(place, mask, old, frozenset({int(atom.new_value)} - {0}))
        indices, values, new = atom
        where = np.stack([w.ravel() for w in np.broadcast_arrays(*indices)])
        low = where.min(axis=1)
        inside = tuple(where - low[:, None])
        mask = np.zeros(where.max(axis=1) - low + 1, bool)
        mask[inside] = True
        old = np.zeros(mask.shape, np.asarray(values).dtype)
        old[inside] = np.ravel(values)
        return cls(tuple(low.tolist()), mask, old, frozenset(np.unique(new).tolist()) - {0})

    def frames(self, geometry: StackGeometry) -> Iterator[tuple[int, tuple[int | slice, ...]]]:
        """Yield the frames that were painted, and the part of the box that each of them is."""
        part: list[int | slice] = [slice(None)] * len(self.place)
        for axis, step in geometry.fixed.items():
            part[axis] = step - self.place[axis]
            if not 0 <= step - self.place[axis] < self.mask.shape[axis]:
                return
        first = 0 if geometry.axis is None else self.place[geometry.axis]
        for n in range(1 if geometry.axis is None else self.mask.shape[geometry.axis]):
            if geometry.axis is not None:
                part[geometry.axis] = n
            if self.mask[tuple(part)].any():
                yield first + n, tuple(part)

    def elsewhere(self, geometry: StackGeometry) -> npt.NDArray[np.bool_]:
        """Return the part of the mask that is in no frame, but in another plane of a volume."""
        rest = self.mask.copy()
        for _, part in self.frames(geometry):
            rest[part] = False
        return rest


def planes_before(
    edits: Sequence[Edit], data: Any, geometry: StackGeometry
) -> dict[int, npt.NDArray[Any]]:
    """By frame, the labels (Y, X) before a stroke, of which `data` may hold any part already."""
    planes: dict[int, npt.NDArray[Any]] = {}
    y, x = geometry.plane
    for edit in reversed(edits):
        for frame, part in edit.frames(geometry):
            if frame not in planes:
                planes[frame] = np.array(data[geometry.index(frame)])
            mask = edit.mask[part]
            height, width = mask.shape
            top, left = edit.place[y], edit.place[x]
            plane = planes[frame][top : top + height, left : left + width]
            plane[mask] = edit.old[part][mask]
    return planes


def put_back(edits: Sequence[Edit], data: Any, geometry: StackGeometry) -> Edit | None:
    """Take back what was painted in other planes of a volume; returns an edit with some of it."""
    found = None
    for edit in reversed(edits):
        rest = edit.elsewhere(geometry)
        if rest.any():
            found = edit
            ends = zip(edit.place, rest.shape, strict=True)
            place = tuple(slice(start, start + size) for start, size in ends)
            region = np.array(data[place])
            region[rest] = edit.old[rest]
            data[place] = region
    return found


def strokes(
    edits: Sequence[Edit], geometry: StackGeometry
) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """(Object id, frame) that a stroke is about, and those that lost pixels to it.

    It is about the object that was painted, or those that were erased from.
    """
    touched: set[tuple[int, int]] = set()
    covered: set[tuple[int, int]] = set()
    for edit in edits:
        for frame, part in edit.frames(geometry):
            lost = set(np.unique(edit.old[part][edit.mask[part]]).tolist()) - {0}
            touched.update((int(i), frame) for i in edit.painted or lost)
            covered.update((int(i), frame) for i in lost)
    return touched, covered - touched


class Areas:
    """Masks of what is outlined on frames of one shape (Y, X); those of last time are kept."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._known: dict[tuple[tuple[bytes, str], ...], ThinMask] = {}

    def of(self, outlines: Mapping[Key, Sequence[Outline]]) -> dict[Key, ThinMask]:
        """Return the mask of all outlines of each object on each frame."""
        before, found = self._known, {}
        self._known = {}
        for key, some in outlines.items():
            name = tuple((yx.tobytes(), kind) for yx, kind in some)
            mask = before.get(name)
            if mask is None:
                areas = [area_of(yx, kind, self._shape) for yx, kind in some]
                mask = ThinMask.of(np.logical_or.reduce(areas))
            self._known[name] = found[key] = mask
        return found


def area_of(
    yx: npt.NDArray[np.float64], kind: str, shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Mask (Y, X) of a shape with vertices (K, 2); an ellipse by the corners around its box."""
    if kind == "ellipse":
        return _ellipse(yx, shape)
    return np.asarray(polygon2mask(shape, yx), dtype=bool)


def _ellipse(corners: npt.NDArray[np.float64], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    area = np.zeros(shape, dtype=bool)
    halves = (corners[1:3] - corners[:2]) / 2  # from the middle; aslant in one that was turned
    if abs(np.linalg.det(halves)) < 1e-9:
        return area
    low = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)) + 1, shape).astype(int)
    place = (slice(low[0], max(high[0], 0)), slice(low[1], max(high[1], 0)))
    pixels = np.moveaxis(np.mgrid[place], 0, -1) - corners.mean(axis=0)
    area[place] = ((pixels @ np.linalg.inv(halves)) ** 2).sum(axis=-1) < 1
    return area
