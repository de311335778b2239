"""What is measured in masklets: one image, or several channels with names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.stack.reading import read_plane


class MeasuredImage:
    """An image with as many frames, of the same size, as labels have.

    Parameters
    ----------
    image
        (T, Y, X) or (T, Y, X, C), or such arrays (T, Y, X) by the name of the channel.
    shape
        Of the labels, (T, Y, X) or (Y, X).

    Attributes
    ----------
    suffixes
        What the names of a channel's columns end in, for each of them; one that is empty where
        there is one channel without a name.

    Raises
    ------
    InputError
        If it does not fit.
    """

    def __init__(self, image: Any, shape: tuple[int, ...]) -> None:
        named = isinstance(image, Mapping)
        self._parts = [_array(part) for part in (image.values() if named else [image])]
        self._stacked = named
        if not self._parts:
            raise InputError("there is no channel to measure; give at least one, or no image")
        for part in self._parts:
            sizes = tuple(int(n) for n in part.shape)
            if sizes[: len(shape)] != shape or len(sizes) > len(shape) + (not named):
                raise InputError(
                    f"an image of shape {sizes} does not fit labels of shape {shape}; give the "
                    "image that the labels belong to"
                )
        count = 0 if len(self._parts[0].shape) == len(shape) else int(self._parts[0].shape[-1])
        names = image if named else range(count)
        self.suffixes = _suffixes(names) or [""]

    def plane(self, index: Any) -> npt.NDArray[Any]:
        """Read a frame, or all with `...`: (Y, X), or (Y, X, C) where channels have names."""
        planes = [read_plane(part, index, "image") for part in self._parts]
        return np.stack(planes, axis=-1) if self._stacked else planes[0]


def _array(part: Any) -> Any:
    return part if hasattr(part, "shape") else np.asarray(part)


def _suffixes(names: Iterable[Any]) -> list[str]:
    """Return names as columns can have them: letters and digits of ASCII, none of them twice."""
    found: list[str] = []
    for k, name in enumerate(names):
        plain = re.sub(r"[^0-9A-Za-z]+", "_", str(name)).strip("_")
        suffix = f"_{plain or k}"
        found.append(suffix if suffix not in found else f"{suffix}_{k}")
    return found
