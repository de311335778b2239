"""Label images: OME-TIFF, ImageJ TIFF and OME-Zarr."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
import zarr

from napari_sam2.export.source import LabelSource
from napari_sam2.physical_units import length_symbol, length_unit
from napari_sam2.stacks import Stack, open_stack
from napari_sam2.tracking.errors import InputError

TIFF = (".tif", ".tiff")
ZARR = (".zarr",)
_LARGEST_CHUNK = 1024
_MANY, _SPECK = 50, 5  # labels, pixels
# Of the pixels of real labels 0.88 and more have the same label as the one on their left, of values
# of images taken for labels 0.43 and less: all sequences of the model card.
_TOGETHER = 0.5
# With room for the headers of a classic TIFF.
_CLASSIC_TIFF = 2**32 - 2**25


def open_labels(
    path: str | Path, axes: str | None = None, select: Mapping[str, int] | None = None
) -> Stack:
    """Open a label image of any kind that `open_stack` opens, lazily.

    Raises
    ------
    InputError
        If it cannot be read, or holds no integers.
    """
    stack = open_stack(path, axes, select=select)
    if stack.rgb or stack.data.dtype.kind not in "bui":
        kind = "an RGB image" if stack.rgb else f"of dtype {stack.data.dtype}"
        raise InputError(
            f"{Path(path).name} is {kind}, but labels are integers; give a label image"
        )
    return stack


def read_labels(
    path: str | Path, axes: str | None = None, select: Mapping[str, int] | None = None
) -> npt.NDArray[Any]:
    """Read what `open_labels` opens, all of it.

    Returns
    -------
    ndarray
        (T, Y, X) integers.

    Raises
    ------
    InputError
        If it cannot be read, or holds no integers.
    """
    return as_numbers(open_labels(path, axes, select).data)


def as_numbers(labels: Any) -> npt.NDArray[Any]:
    """Read all of some labels: True is 1, and bytes are in the order of this machine."""
    read = np.asarray(labels)
    return read.astype(np.uint8 if read.dtype == np.bool_ else read.dtype.newbyteorder("="))


def check_image(labels: npt.NDArray[Any], name: str) -> None:
    """Warn of labels (Y, X) of a file that are more likely the values of an image."""
    areas = np.unique(labels[labels > 0], return_counts=True)[1]
    if len(areas) <= _MANY:
        return
    together = (labels[:, 1:] == labels[:, :-1])[labels[:, 1:] > 0]
    if np.median(areas) < _SPECK or (together.size and together.mean() < _TOGETHER):
        warnings.warn(
            f"the {len(areas)} labels of {name} are as small or scattered as the values of an "
            "image; is it an image and not one of labels?",
            stacklevel=2,
        )


def is_label_zarr(path: Path) -> bool:
    """Whether a folder is an OME-Zarr of labels, by its metadata: no image, no bare array."""
    try:
        attributes = dict(zarr.open_group(path, mode="r").attrs)
    except Exception:  # the library has many errors for what is no group
        return False
    nested = attributes.get("ome")  # since version 0.5
    return "image-label" in (nested if isinstance(nested, dict) else attributes)


def write_ome_tiff(path: Path, source: LabelSource) -> None:
    """Write one page per frame, compressed with zlib."""
    metadata: dict[str, Any] = {"axes": source.axes, "Name": "labels"}
    for letter, step in source.scale.items():
        if letter == "T":
            metadata |= {"TimeIncrement": step, "TimeIncrementUnit": "s"}
        else:
            metadata |= {
                f"PhysicalSize{letter}": step,
                f"PhysicalSize{letter}Unit": length_symbol(source.unit),
            }
    # It might not fit a classic TIFF of 4 GB, even uncompressed.
    big = math.prod(source.shape) * source.dtype.itemsize > _CLASSIC_TIFF
    with tifffile.TiffWriter(path, ome=True, bigtiff=big) as tiff:
        tiff.write(
            source.planes(),
            shape=source.shape,
            dtype=source.dtype,
            compression="zlib",
            photometric="minisblack",
            metadata=metadata,
        )


def write_imagej_tiff(path: Path, source: LabelSource) -> None:
    """Write a stack that ImageJ opens itself: uint16, not compressed, up to 4 GB.

    Raises
    ------
    InputError
        If it would be larger, or an id is above 65535.
    """
    weight = math.prod(source.shape) * 2
    if weight > _CLASSIC_TIFF:
        raise InputError(
            f"an ImageJ TIFF holds up to 4 GB, but these labels take {weight / 1e9:.1f} GB; "
            "write them as tiff or zarr"
        )
    scale = source.scale
    size = dict(zip(source.axes, source.shape, strict=True))
    metadata: dict[str, Any] = {"unit": _imagej_unit(source.unit)}
    if "T" in scale:
        metadata |= {"finterval": scale["T"], "tunit": "sec"}
    if "Z" in scale:
        metadata["spacing"] = scale["Z"]
    with tifffile.TiffWriter(path, imagej=True) as tiff:
        tiff.write(
            source.planes(np.uint16),
            shape=[size.get(letter, 1) for letter in "TZCYXS"],  # all: the last may be 1, too
            dtype=np.dtype(np.uint16),
            resolution=(1 / scale["X"], 1 / scale["Y"]),
            metadata=metadata,
        )


def _imagej_unit(unit: str | None) -> str:
    """Return the unit as ImageJ writes it itself; its files are ASCII."""
    return "micron" if unit == "micrometer" else unit or "pixel"


def write_ome_zarr(path: Path, source: LabelSource) -> None:
    """Write a group with one array, in chunks of one frame or less."""
    multiscale = {
        "name": "labels",
        "axes": [_ngff_axis(letter, source.unit) for letter in source.axes],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [
                    {"type": "scale", "scale": list(source.scale.values())}
                ],
            }
        ],
    }
    attributes = {"ome": {"version": "0.5", "multiscales": [multiscale], "image-label": {}}}
    zarr.create_group(store=path, attributes=attributes, overwrite=True)
    in_plane = tuple(min(n, _LARGEST_CHUNK) for n in source.frame_shape)
    # Not by the group, which makes hard links; many shares and USB disks have none.
    array = zarr.create_array(
        store=path / "0",
        shape=source.shape,
        chunks=(1,) * (len(source.shape) - 2) + in_plane,
        dtype=source.dtype,
        fill_value=0,
        dimension_names=[letter.lower() for letter in source.axes],
    )
    for index, plane in enumerate(source.planes()):
        array[index if len(source.shape) == 3 else ...] = plane


def _ngff_axis(letter: str, unit: str | None) -> dict[str, str]:
    if letter == "T":
        return {"name": "t", "type": "time", "unit": "second"}
    axis = {"name": letter.lower(), "type": "space"}
    name = length_unit(unit)
    return axis if name is None else {**axis, "unit": name}
