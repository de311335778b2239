"""Brush strokes and shapes, turned into objects, frames and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.draw import ellipse, polygon2mask

from napari_sam2.widgets.layer_adapters import StackGeometry


def strokes(atoms: list[Any], geometry: StackGeometry) -> set[tuple[int, int]]:
    """(frame, object id) that a stroke changed: the painted object, or those erased from."""
    touched: set[tuple[int, int]] = set()
    for atom in atoms:
        if hasattr(atom, "slice_key"):
            place, old, new = atom.slice_key, atom.old_values, atom.new_value
        else:
            place, old, new = atom
        new_ids = set(np.unique(new).tolist()) - {0}
        ids = new_ids or set(np.unique(old).tolist()) - {0}
        for frame in _frames_in(place, geometry):
            touched.update((frame, int(i)) for i in ids)
    return touched


def _frames_in(place: Any, geometry: StackGeometry) -> list[int]:
    if geometry.axis is None:
        return [0]
    part = place[geometry.axis]
    if isinstance(part, slice):
        return list(range(geometry.length))[part]
    return [int(frame) for frame in np.unique(part)]


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
