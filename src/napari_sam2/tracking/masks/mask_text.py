"""Masks as a few characters of JSON, a bit a pixel."""

from __future__ import annotations

import binascii
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.masks.thin_mask import ThinMask, masks_of

# Of one object, by frame.
GivenMasks = Mapping[int, Mapping[str, Any]]


def masks_text(planes: Iterable[npt.NDArray[Any]]) -> dict[int, GivenMasks]:
    """Return the masks of each label of some frames (Y, X), by label, as `mask_text` does."""
    masks: dict[int, dict[int, Mapping[str, Any]]] = {}
    for frame, plane in enumerate(planes):
        for label, mask in masks_of(plane).items():
            masks.setdefault(label, {})[frame] = mask_text(mask)
    return {**masks}


def mask_text(mask: npt.NDArray[np.bool_] | ThinMask) -> dict[str, Any]:
    """Return a mask (Y, X) as JSON values.

    Returns
    -------
    dict
        "shape" of the frame, "corner" and "size" of the part that holds the mask, and its "bits":
        rows of pixels, packed eight to a byte, zlib, base64.
    """
    thin = ThinMask.of(mask)
    packed = zlib.compress(np.packbits(thin.part).tobytes(), 9)
    return {
        "shape": list(thin.shape),
        "corner": [along.start for along in thin.place],
        "size": list(thin.part.shape),
        "bits": b64encode(packed).decode("ascii"),
    }


def mask_of(text: Mapping[str, Any]) -> ThinMask:
    """Return the mask that `mask_text` wrote.

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
    values = np.unpackbits(np.frombuffer(bits, np.uint8), count=h * w)
    place = (slice(y, y + h), slice(x, x + w))
    return ThinMask.at((height, width), place, values.reshape(h, w))
