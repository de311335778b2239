"""Read image files and folders lazily, with the axes and scale that they name themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_sam2.readers.images import PICTURES, TIFF, read_folder, read_picture
from napari_sam2.readers.ome_zarr import is_zarr, read_zarr
from napari_sam2.readers.raw import RawStack, guessed_axes
from napari_sam2.readers.tiff import read_tiff
from napari_sam2.tracking.errors import InputError, reading

__all__ = ["RawStack", "read_raw"]

_READABLE = "a TIFF, an OME-Zarr, a .npy file, or a folder of TIFF, PNG, JPEG or BMP images"


def read_raw(path: Path) -> RawStack:
    """Open a file or folder without reading its pixels.

    Raises
    ------
    InputError
        If it is missing, damaged, of no known kind or closed to the user.
    """
    with reading(path):
        reader = _reader(path)
        try:
            raw = reader(path)
        except (InputError, PermissionError):
            raise
        except Exception as error:  # the libraries share no base for what a damaged file raises
            raise InputError(
                f"cannot read {path} ({type(error).__name__}: {error}); it may be damaged, "
                f"or not what its name says. Give {_READABLE}"
            ) from error
    return replace(raw, scale=tuple(_step(float(step)) for step in raw.scale))


def _step(step: float) -> float:
    """Return a step as it can be used: some files have steps backward, of 0 or NaN."""
    return abs(step) if step and math.isfinite(step) else 1.0


def _reader(path: Path) -> Callable[[Path], RawStack]:
    """Return what opens a file or folder, or refuse it."""
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    suffix = path.suffix.lower()
    if path.is_dir():
        return read_zarr if is_zarr(path) else read_folder
    if suffix in TIFF:
        return read_tiff
    if suffix in PICTURES:
        return read_picture
    if suffix == ".npy":
        return _read_npy
    raise InputError(f"{path.name} is of no known kind; give {_READABLE}")


def _read_npy(path: Path) -> RawStack:
    data = np.load(path, mmap_mode="r", allow_pickle=False)
    return RawStack(data, guessed_axes(data.shape, data.dtype), (1.0,) * data.ndim, None)
