"""Masks cut to where they are: in memory, and as a few characters of JSON, a bit a pixel."""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from napari_sam2.tracking.errors import InputError

Place = tuple[slice, slice]  # rows and columns
_FEW = 2**20  # `find_objects` lists all numbers up to the highest


def place_of(mask: npt.NDArray[Any]) -> Place:
    """Return the rows and columns that hold a mask (Y, X); none, from 0 to 0, if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def places_of(labels: npt.NDArray[Any]) -> dict[int, Place]:
    """Return the rows and columns that hold each label of an image (Y, X), by rising id.

    0 is background, and no label is negative.
    """
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if labels.max(initial=0) <= _FEW:
        found = enumerate(find_objects(labels), start=1)
        return {i: place for i, place in found if place is not None}
    ids, numbers = np.unique(labels, return_inverse=True)
    above = numbers.reshape(labels.shape) + int(ids[0] > 0)  # 0 is the background
    return dict(zip(ids[ids > 0].tolist(), find_objects(above), strict=True))


def thin(mask: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where a mask (Y, X) is not 0, as `laid_out`."""
    place = place_of(mask)
    return laid_out(mask.shape, place, mask[place] != 0)


def laid_out(
    shape: tuple[int, ...], place: Place, part: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return a mask (Y, X), read-only, that is False but for a part.

    Only the rows of that part take memory, because nothing else is ever written to.
    """
    mask = np.zeros(shape, dtype=bool)
    mask[place] = part
    mask.setflags(write=False)
    return mask


def mask_text(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (Y, X) as JSON values.

    Returns
    -------
    dict
        "shape" of the frame, "corner" and "size" of the part that holds the mask, and its "bits":
        rows of pixels, packed eight to a byte, zlib, base64.
    """
    place = place_of(mask)
    return part_text(mask.shape, (place[0].start, place[1].start), mask[place])


def part_text(
    shape: tuple[int, ...], corner: tuple[int, int], part: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """Return what `mask_text` does, from a part of a mask of this shape and the part's corner."""
    packed = zlib.compress(np.packbits(part).tobytes(), 9)
    return {
        "shape": list(shape),
        "corner": list(corner),
        "size": list(part.shape),
        "bits": b64encode(packed).decode("ascii"),
    }


def mask_of(text: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """Return the mask (Y, X) that `mask_text` wrote, read-only.

    Raises
    ------
    InputError
        If it was not written so.
    """
    return laid_out(*part_of(text))


def part_of(
    text: Mapping[str, Any],
) -> tuple[tuple[int, int], Place, npt.NDArray[np.bool_]]:
    """Return the shape of the frame, the place of the part that holds a mask, and that part.

    Raises
    ------
    InputError
        If `mask_text` did not write it.
    """
    try:
        (height, width), (y, x), (h, w) = (
            map(int, text[key]) for key in ("shape", "corner", "size")
        )
        if min(y, x, h, w) < 0 or y + h > height or x + w > width:
            raise ValueError("it lies outside its frame")
        limit = (h * w + 7) // 8
        bits = zlib.decompressobj().decompress(b64decode(text["bits"], validate=True), limit + 1)
        if len(bits) != limit:
            raise ValueError("it is of another size")
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise InputError(f"a mask in the file cannot be read ({error})") from error
    values = np.unpackbits(np.frombuffer(bits, np.uint8), count=h * w)
    place = (slice(y, y + h), slice(x, x + w))
    return (height, width), place, values.reshape(h, w).astype(bool)
