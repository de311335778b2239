"""Masks cut to where they are: a frame has millions of pixels, and hundreds of cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

Place = tuple[slice, slice]  # rows and columns
_FEW = 2**20  # `find_objects` lists all numbers up to the highest


@dataclass(frozen=True, eq=False, repr=False)
class ThinMask:
    """A mask of a frame, cut to where it is.

    Parameters
    ----------
    shape
        (Y, X) of the frame.
    place
        Rows and columns that hold the mask; none, from 0 to 0, if it is empty.
    part
        The mask there, bool, read-only.
    """

    shape: tuple[int, int]
    place: Place
    part: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, mask: npt.NDArray[Any] | Self) -> Self:
        """Cut a mask (Y, X) of anything that is not 0; what is cut already stays as it is."""
        if isinstance(mask, cls):
            return mask
        assert isinstance(mask, np.ndarray)
        return cls.at(mask.shape, (slice(0, None), slice(0, None)), mask)

    @classmethod
    def at(cls, shape: tuple[int, ...], place: Place, part: npt.NDArray[Any]) -> Self:
        """Cut a mask, given as a part of a frame of `shape` (Y, X) and where that begins."""
        rows, columns = place_of(part)
        cut = np.array(part[rows, columns], dtype=bool)
        cut.setflags(write=False)
        y, x = (start.start if cut.size else 0 for start in place)
        there = (
            slice(rows.start + y, rows.stop + y),
            slice(columns.start + x, columns.stop + x),
        )
        return cls((shape[0], shape[1]), there, cut)

    def __repr__(self) -> str:
        return f"ThinMask({self.area} px of {self.shape[0]} x {self.shape[1]})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ThinMask):
            return NotImplemented
        return self is other or (
            self.shape == other.shape
            and self.place == other.place
            and np.array_equal(self.part, other.part)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel in it."""
        return not self.part.size

    @property
    def area(self) -> int:
        """Number of its pixels."""
        return int(np.count_nonzero(self.part))

    def whole(self) -> npt.NDArray[np.bool_]:
        """Lay it out on the frame (Y, X), read-only."""
        mask = np.zeros(self.shape, dtype=bool)
        mask[self.place] = self.part
        mask.setflags(write=False)
        return mask


def place_of(mask: npt.NDArray[Any]) -> Place:
    """Return the rows and columns that hold a mask (Y, X); none, from 0 to 0, if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def masks_of(labels: npt.NDArray[Any]) -> dict[int, ThinMask]:
    """Return the mask of each label of an image (Y, X), by rising id."""
    return {
        i: ThinMask.at(labels.shape, place, labels[place] == i)
        for i, place in places_of(labels).items()
    }


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
