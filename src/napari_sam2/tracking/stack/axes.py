"""Which axes of an array are what, and which of its channels are read."""

from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.stack.channels import Channels, checked_channels

DEPTH_NAMES = ("z", "depth", "slice", "plane")  # what axes through a volume are called


def as_array(data: Any) -> npt.NDArray[Any]:
    """Return data as an array.

    Raises
    ------
    InputError
        If it is not regular, or the name of a file.
    """
    if isinstance(data, str | os.PathLike) or hasattr(data, "frames"):
        raise InputError("frames are made of an array; of a file, open_stack(path).frames() is")
    try:
        return np.asarray(data)
    except ValueError as error:
        raise InputError(f"the image is no regular array ({error}); pass one array") from error


def checked_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype of an image.

    Raises
    ------
    InputError
        If images cannot be of it.
    """
    try:
        checked: np.dtype[Any] = np.dtype(dtype)
    except TypeError as error:
        raise InputError(f"images of dtype {dtype} cannot be used; pass a numpy array") from error
    if checked.kind not in "buif":
        raise InputError(
            f"images of dtype {checked} cannot be used; convert to integers or real numbers"
        )
    return checked


def normalised(axis: Any, ndim: int, name: str) -> int:
    """Return the number of an axis of `ndim`, from 0; `name` stands for it in messages.

    Raises
    ------
    InputError
        If there is no such axis.
    """
    try:
        number = operator.index(axis)
    except TypeError as error:
        raise InputError(
            f"{name} is the number of an axis, counted from 0, not {axis!r}"
        ) from error
    if not -ndim <= number < ndim:
        raise InputError(f"{name} {axis} does not exist; the image has {ndim} axes")
    return number % ndim


def guessed_channel_axis(
    sizes: tuple[int, ...], dtype: np.dtype[Any], axis: int, channel_axis: int | None
) -> int | None:
    """Return the axis of the channels, given or guessed; None if there is none.

    Parameters
    ----------
    sizes, dtype : of the array.
    axis : frames lie along.
    channel_axis : as the user said, if so.
    """
    ndim = len(sizes)
    if channel_axis is not None:
        return normalised(channel_axis, ndim, "channel_axis")
    looks_rgb = ndim == 4 or (ndim == 3 and dtype == np.uint8)
    if looks_rgb and sizes[-1] in (3, 4) and axis not in (-1, ndim - 1):
        return ndim - 1
    return None


def picked_channels(
    sizes: tuple[int, ...], channel_axis: int | None, channel: Channels | None
) -> tuple[bool, Channels | None]:
    """Tell whether the frames are RGB, and the channels to read if they are not all.

    Raises
    ------
    InputError
        If the channel does not exist, or one has to be chosen.
    """
    if channel_axis is None:
        if channel is not None:
            raise InputError(f"channel {channel} was asked for; say which axis with channel_axis=")
        return False, None
    count = sizes[channel_axis]
    if channel is not None:
        picked = checked_channels(channel, count)
        return isinstance(picked, tuple), picked
    if count in (3, 4):
        return True, None
    if count == 1:
        return False, 0
    raise InputError(f"the image has {count} channels; pick one with channel=0 to {count - 1}")
