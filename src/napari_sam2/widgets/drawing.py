"""Brush strokes and shapes, turned into objects, frames and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.draw import ellipse, polygon2mask

from napari_sam2.tracking.thin_mask import ThinMask
from napari_sam2.widgets.layer_adapters import StackGeometry
from napari_sam2.widgets.layer_states import Key

Outline = tuple[npt.NDArray[np.float64], str]  # vertices (K, 2) and the kind of shape


def planes_before(
    atoms: list[Any], data: Any, geometry: StackGeometry
) -> dict[int, npt.NDArray[Any]]:
    """By frame, the labels (Y, X) before a stroke, of which `data` may hold any part already."""
    planes: dict[int, npt.NDArray[Any]] = {}
    for atom in reversed(atoms):
        place = atom.slice_key if hasattr(atom, "slice_key") else atom[0]
        for frame in _frames_in(place, geometry):
            if frame not in planes:
                planes[frame] = np.array(data[geometry.index(frame)])
            if hasattr(atom, "slice_key"):
                _take_back_region(atom, planes[frame], frame, geometry)
            else:
                _take_back_pixels(place, atom[1], planes[frame], frame, geometry)
    return planes


def _take_back_region(
    atom: Any, plane: npt.NDArray[Any], frame: int, geometry: StackGeometry
) -> None:
    """Undo one edit of a box in one of its frames."""
    place = list(atom.slice_key)
    within: list[int | slice] = [slice(None)] * len(place)
    chosen = {**geometry.fixed} | ({} if geometry.axis is None else {geometry.axis: frame})
    for axis, step in chosen.items():
        within[axis] = step - (place[axis].start or 0)
    y, x = geometry.plane
    part = plane[place[y], place[x]]
    if atom.mask is None:
        part[...] = atom.old_values[tuple(within)]
        return
    old = np.zeros(atom.mask.shape, plane.dtype)
    old[atom.mask] = atom.old_values
    changed = atom.mask[tuple(within)]
    part[changed] = old[tuple(within)][changed]


def _take_back_pixels(
    place: Any, old: Any, plane: npt.NDArray[Any], frame: int, geometry: StackGeometry
) -> None:
    """Undo one edit of single pixels in one of its frames."""
    where = np.broadcast_arrays(*place)
    y, x = geometry.plane
    here = np.ones(where[y].shape, dtype=bool)
    if geometry.axis is not None:
        here = where[geometry.axis] == frame
    plane[where[y][here], where[x][here]] = np.broadcast_to(old, here.shape)[here]


def strokes(
    atoms: list[Any], geometry: StackGeometry
) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """(Object id, frame) that a stroke is about, and those that lost pixels to it.

    It is about the object that was painted, or those that were erased from.
    """
    touched: set[tuple[int, int]] = set()
    covered: set[tuple[int, int]] = set()
    for atom in atoms:
        if hasattr(atom, "slice_key"):
            place, old, new = atom.slice_key, atom.old_values, atom.new_value
        else:
            place, old, new = atom
        painted = set(np.unique(new).tolist()) - {0}
        lost = set(np.unique(old).tolist()) - {0}
        for frame in _frames_in(place, geometry):
            touched.update((int(i), frame) for i in painted or lost)
            covered.update((int(i), frame) for i in lost)
    return touched, covered - touched


def _frames_in(place: Any, geometry: StackGeometry) -> list[int]:
    if geometry.axis is None:
        return [0]
    part = place[geometry.axis]
    if isinstance(part, slice):
        return list(range(geometry.length))[part]
    return [int(frame) for frame in np.unique(part)]


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
    """Mask (Y, X) of a shape with vertices (K, 2); an ellipse by the corners of its box."""
    if kind == "ellipse":
        (y, x), (height, width) = yx.mean(axis=0), np.ptp(yx, axis=0)
        area = np.zeros(shape, dtype=bool)
        area[ellipse(y, x, height / 2, width / 2, shape=shape)] = True
        return area
    return np.asarray(polygon2mask(shape, yx), dtype=bool)
