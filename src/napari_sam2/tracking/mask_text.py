"""A mask as a few characters of JSON: cut to where it is, one bit a pixel, compressed."""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
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
    packed = zlib.compress(np.packbits(mask[y0:y1, x0:x1]).tobytes(), 9)
    return {
        "shape": list(mask.shape),
        "corner": [y0, x0],
        "size": [y1 - y0, x1 - x0],
        "bits": b64encode(packed).decode("ascii"),
    }


def mask_of(text: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """Return the mask (Y, X) that `mask_text` wrote.

    Raises
    ------
    InputError
        If it was not written so.
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
    mask = np.zeros((height, width), dtype=bool)
    values = np.unpackbits(np.frombuffer(bits, np.uint8), count=h * w)
    mask[y : y + h, x : x + w] = values.reshape(h, w)
    return mask
