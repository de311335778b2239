"""Whole numbers that come from outside, as Python's own."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from napari_sam2.tracking.errors import InputError


def whole_number(value: object, what: str) -> int:
    """Return a whole number as Python's integer; one of NumPy would overflow, or not be written.

    Parameters
    ----------
    what : names it in the message.

    Raises
    ------
    InputError
        If it is none.
    """
    if not isinstance(value, SupportsIndex):
        raise InputError(f"{what} is an integer, not {value!r}")
    try:
        return operator.index(value)
    except TypeError as error:  # an array of numbers, say
        raise InputError(f"{what} is an integer, not {value!r}") from error
