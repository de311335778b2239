"""OME-Zarr, versions 0.1 to 0.5, and bare zarr arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_sam2.physical_units import convert_length, length_unit, seconds
from napari_sam2.readers.raw import RawStack, guessed_axes, lazy
from napari_sam2.tracking.errors import InputError

_ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr group or array."""
    return any((path / name).exists() for name in _ZARR_FILES)


def read_zarr(path: Path) -> RawStack:
    """Open the image of a group, of its only child, or an array; at full resolution."""
    # Paths, not text: a name with "::" would be taken for an address.
    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        return _bare_array(node, path)
    if _multiscales(node):
        return _read_multiscales(node)
    if "plate" in _ome(node):
        raise InputError(f"{path.name} is a plate; give one of its images, e.g. {path.name}/A/1/0")
    images = {name: group for name, group in node.groups() if _multiscales(group)}
    if len(images) == 1:
        return _read_multiscales(next(iter(images.values())))
    arrays = dict(node.arrays())
    if not images and len(arrays) == 1:
        return _bare_array(next(iter(arrays.values())), path)
    names = ", ".join(sorted(images or arrays)) or "none"
    raise InputError(f"{path.name} holds no single image (found: {names}); give one of them")


def _ome(group: zarr.Group) -> dict[str, Any]:
    attributes = dict(group.attrs)
    nested = attributes.get("ome")  # since version 0.5
    return nested if isinstance(nested, dict) else attributes


def _multiscales(group: zarr.Group) -> list[dict[str, Any]]:
    found = _ome(group).get("multiscales")
    return found if isinstance(found, list) else []


def _read_multiscales(group: zarr.Group) -> RawStack:
    multiscale = _multiscales(group)[0]
    level = multiscale["datasets"][0]
    array = group[level["path"]]
    if not isinstance(array, zarr.Array):
        raise InputError(f"its metadata names {level['path']!r}, which is no array; fix it")
    # Version 0.1 and 0.2 name no axes: always TCZYX. Version 0.3 names them by strings.
    named = multiscale.get("axes") or list("tczyx"[-array.ndim :])
    entries = [{"name": axis} if isinstance(axis, str) else axis for axis in named]
    axes = "".join(_letter(str(axis["name"])) for axis in entries)
    if len(axes) != array.ndim:
        raise InputError(f"its metadata names {len(axes)} axes, its array has {array.ndim}; fix it")
    steps = np.ones(array.ndim)
    for transform in (
        *level.get("coordinateTransformations", ()),
        *multiscale.get("coordinateTransformations", ()),
    ):
        if transform.get("type") == "scale" and "scale" in transform:
            steps *= transform["scale"]
    units = [axis.get("unit") for axis in entries]
    unit = length_unit(units[axes.index("X")])
    scale = tuple(
        seconds(step, name) if letter == "T" else convert_length(step, name, unit)
        for letter, step, name in zip(axes, steps.tolist(), units, strict=True)
    )
    return RawStack(lazy(array, axes), axes, scale, unit)


def _bare_array(array: zarr.Array[Any], path: Path) -> RawStack:
    """Open an array alone: by its group's axes, its own names, or its shape."""
    if is_zarr(path.parent):
        parent = zarr.open(path.parent, mode="r")
        if isinstance(parent, zarr.Group):
            levels = _multiscales(parent)[:1]
            if levels and levels[0]["datasets"][0]["path"] == path.name:
                return _read_multiscales(parent)
    names = getattr(array.metadata, "dimension_names", None)
    axes = "".join(_letter(name or "?") for name in names) if names else ""
    if not {"Y", "X"} <= set(axes):
        axes = guessed_axes(array.shape, array.dtype)
    return RawStack(lazy(array, axes), axes, (1.0,) * array.ndim, None)


def _letter(name: str) -> str:
    letter = name[:1].upper()
    return letter if letter in tuple("TZCYX") else "Q"
