"""A mask as a few characters of JSON: cut to where it is, one bit a pixel, compressed."""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.errors import InputError


def mask_text(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (Y, X) as JSON values.

    Returns
    -------
    dict
        "shape" of the frame, "corner" and "size" of the part that holds the mask, and its "bits":
        rows of pixels, packed eight to a byte, zlib, base64.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y0, y1 = (int(rows[0]), int(rows[-1]) + 1) if rows.size else (0, 0)
    x0, x1 = (int(columns[0]), int(columns[-1]) + 1) if columns.size else (0, 0)
    return part_text(mask.shape, (y0, x0), mask[y0:y1, x0:x1])


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
    shape, place, part = part_of(text)
    mask = np.zeros(shape, dtype=bool)
    mask[place] = part
    mask.setflags(write=False)
    return mask


def part_of(
    text: Mapping[str, Any],
) -> tuple[tuple[int, int], tuple[slice, slice], npt.NDArray[np.bool_]]:
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
