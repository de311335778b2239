"""Masklets to and from OME-TIFF and OME-Zarr."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
import zarr

from napari_sam2.physical_units import length_symbol, length_unit
from napari_sam2.stacks import open_stack
from napari_sam2.tracking.errors import InputError, writing

_TIFF = (".tif", ".tiff")
_LARGEST_CHUNK = 1024


@dataclass(frozen=True)
class _Layout:
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    steps: dict[str, float]
    unit: str | None


def write_labels(
    path: str | Path,
    labels: Any,
    axes: str = "TYX",
    *,
    scale: Mapping[str, float] | None = None,
    unit: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write labels as OME-TIFF (.tif, .tiff; zlib) or OME-Zarr (.zarr; version 0.5, image-label).

    Frame by frame, so that labels on disk are never in memory as a whole. The file takes its name
    only once it is complete.

    Parameters
    ----------
    path
        Its suffix decides the format; the folder is made where it is missing.
    labels
        (T, Y, X) or (Y, X) integers: an array, or `Masklets`.
    axes
        "TYX", "ZYX" or "YX".
    scale
        Step along T in seconds, along Z, Y, X in `unit`; 1.0 where missing.
    unit
        Of the lengths, e.g. "micrometer"; None for pixels.
    overwrite
        Replace what is at `path`.

    Raises
    ------
    InputError
        If the labels, axes or suffix are unusable, or `path` exists and `overwrite` is false.
    OutputError
        If it cannot be written; the message says whether the disk is full.
    """
    path = Path(path)
    layout = _layout(labels, axes, scale or {}, unit)
    suffix = path.suffix.lower()
    if suffix not in (*_TIFF, ".zarr"):
        raise InputError(f"{path.name}: labels are written as .tif, .tiff or .zarr; choose one")
    _check_free(path, overwrite)
    # Beside the target, so that the move at the end is a mere rename.
    partial = path.with_name(f".{path.stem}.partial{suffix}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write = _write_tiff if suffix in _TIFF else _write_zarr
            write(partial, _planes(labels, layout), layout)
            if path.exists():
                _remove(path)
            partial.replace(path)
        finally:
            _remove(partial)


def read_labels(path: str | Path, axes: str | None = None) -> npt.NDArray[Any]:
    """Read a label image of any kind that `open_stack` opens.

    Returns
    -------
    ndarray
        (T, Y, X) integers.

    Raises
    ------
    InputError
        If it cannot be read, or holds no integers.
    """
    stack = open_stack(path, axes)
    if stack.rgb or stack.data.dtype.kind not in "bui":
        kind = "an RGB image" if stack.rgb else f"of dtype {stack.data.dtype}"
        raise InputError(
            f"{Path(path).name} is {kind}, but labels are integers; give a label image"
        )
    labels = np.asarray(stack.data)
    native = np.uint8 if labels.dtype == np.bool_ else labels.dtype.newbyteorder("=")
    return labels.astype(native)


def _layout(labels: Any, axes: str, scale: Mapping[str, float], unit: str | None) -> _Layout:
    shape = tuple(int(n) for n in labels.shape)
    letters = axes.upper()
    if letters not in ("TYX", "ZYX", "YX") or len(letters) != len(shape):
        raise InputError(f"labels of shape {shape} cannot have axes {axes!r}; use TYX, ZYX or YX")
    if 0 in shape:
        raise InputError(f"the labels are empty (shape {shape}); there is nothing to write")
    dtype = np.dtype(labels.dtype)
    if dtype.kind not in "bui":
        raise InputError(f"labels must be integers, not {dtype}; convert them")
    # The two types that Fiji, napari and the challenges all read as labels.
    small = dtype.kind in "bu" and dtype.itemsize <= 2
    target = np.dtype(np.uint16 if small else np.uint32)
    steps = {letter: float(scale.get(letter, 1.0)) for letter in letters}
    return _Layout(letters, shape, target, steps, unit)


def _check_free(path: Path, overwrite: bool) -> None:
    if not path.exists():
        return
    if not overwrite:
        raise InputError(f"{path} exists already; choose another name, or allow to overwrite it")
    # Only what this function could have written is ever deleted.
    ours = path.is_file() if path.suffix.lower() in _TIFF else _is_zarr_folder(path)
    if not ours:
        raise InputError(f"{path} exists and is something else than labels; choose another name")


def _is_zarr_folder(path: Path) -> bool:
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray"))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _planes(labels: Any, layout: _Layout) -> Iterator[npt.NDArray[Any]]:
    highest = np.iinfo(layout.dtype).max
    for index in range(layout.shape[0]) if len(layout.shape) == 3 else [...]:
        plane = np.asarray(labels[index])
        if plane.min() < 0 or plane.max() > highest:
            raise InputError(
                f"labels {plane.min()}..{plane.max()} in frame {index} cannot be written; "
                f"use 0 to {highest}"
            )
        yield plane.astype(layout.dtype)


def _write_tiff(path: Path, planes: Iterator[npt.NDArray[Any]], layout: _Layout) -> None:
    metadata: dict[str, Any] = {"axes": layout.axes, "Name": "labels"}
    for letter, step in layout.steps.items():
        if letter == "T":
            metadata |= {"TimeIncrement": step, "TimeIncrementUnit": "s"}
        else:
            metadata |= {
                f"PhysicalSize{letter}": step,
                f"PhysicalSize{letter}Unit": length_symbol(layout.unit),
            }
    with tifffile.TiffWriter(path, ome=True, bigtiff=_is_big(layout)) as tiff:
        tiff.write(
            planes,
            shape=layout.shape,
            dtype=layout.dtype,
            compression="zlib",
            photometric="minisblack",
            metadata=metadata,
        )


def _is_big(layout: _Layout) -> bool:
    """Whether it might not fit a classic TIFF of 4 GB, even uncompressed."""
    return math.prod(layout.shape) * layout.dtype.itemsize > 2**32 - 2**25


def _write_zarr(path: Path, planes: Iterator[npt.NDArray[Any]], layout: _Layout) -> None:
    multiscale = {
        "name": "labels",
        "axes": [_ngff_axis(letter, layout.unit) for letter in layout.axes],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [
                    {"type": "scale", "scale": list(layout.steps.values())}
                ],
            }
        ],
    }
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale], "image-label": {}}}
    group = zarr.create_group(store=str(path), attributes=attributes, overwrite=True)
    in_plane = tuple(min(n, _LARGEST_CHUNK) for n in layout.shape[-2:])
    array = group.create_array(
        "0",
        shape=layout.shape,
        chunks=(1,) * (len(layout.shape) - 2) + in_plane,
        dtype=layout.dtype,
        fill_value=0,
        dimension_names=[letter.lower() for letter in layout.axes],
    )
    for index, plane in enumerate(planes):
        array[index if len(layout.shape) == 3 else ...] = plane


def _ngff_axis(letter: str, unit: str | None) -> dict[str, str]:
    if letter == "T":
        return {"name": "t", "type": "time", "unit": "second"}
    axis = {"name": letter.lower(), "type": "space"}
    name = length_unit(unit)
    return axis if name is None else {**axis, "unit": name}
