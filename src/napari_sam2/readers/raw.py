"""An image as its file has it, before anything is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np

from napari_sam2.tracking.errors import InputError


@dataclass(frozen=True, eq=False)
class RawStack:
    """An image as its file has it.

    Parameters
    ----------
    data
        numpy (memory map) or dask array.
    axes
        One letter for each axis: T, Z, C, Y, X, S (RGB samples); any other is unknown.
    scale
        One step for each axis: T in seconds, lengths in `unit`, 1.0 if unknown.
    unit
        Canonical name, None if unknown.
    """

    data: Any
    axes: str
    scale: tuple[float, ...]
    unit: str | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of `data`."""
        return tuple(int(n) for n in self.data.shape)


def lazy(array: Any, axes: str) -> Any:
    """Wrap an array on disk, in chunks of one plane, so that it can be sliced and transposed."""
    chunks = tuple(n if letter in "YXS" else 1 for letter, n in zip(axes, array.shape, strict=True))
    from_array: Any = da.from_array  # untyped in dask
    return from_array(array, chunks=chunks, name=False, inline_array=True)


def guessed_axes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Guess axes that nobody named; Q for those that only the user can tell."""
    rgb = shape[-1:] in ((3,), (4,)) and (
        len(shape) == 4 or (len(shape) == 3 and dtype == np.uint8)
    )
    letters = "YXS" if rgb else "YX"
    if len(shape) < len(letters):
        raise InputError(f"an array of shape {shape} is no image; give one with two axes or more")
    return "Q" * (len(shape) - len(letters)) + letters
