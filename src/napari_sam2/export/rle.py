"""Run-length encoded masks as COCO has them.

Counts are the lengths of runs of 0, 1, 0, ... down the columns, the first one of 0. Compressed,
each count but the first three is written as its difference to the one two before, in groups of five
bits, the lowest first, each as a character from '0' on; a sixth bit says that more follow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.errors import InputError


@dataclass(frozen=True, eq=False)
class Region:
    """One object in one label image: the pixels where it is, down the columns.

    Parameters
    ----------
    id
        Its value in the image.
    flat
        (N,) indices into the columns put one after another, rising.
    shape
        (Y, X) of the image.
    """

    id: int
    flat: npt.NDArray[np.intp]
    shape: tuple[int, int]

    def counts(self) -> list[int]:
        """Lengths of the runs of 0, 1, 0, ..."""
        if not self.flat.size:
            return [self.shape[0] * self.shape[1]]
        breaks = np.flatnonzero(np.diff(self.flat) != 1)
        starts = self.flat[np.r_[0, breaks + 1]]
        stops = self.flat[np.r_[breaks, -1]] + 1
        edges = np.column_stack([starts, stops]).ravel()
        runs = np.diff(edges, prepend=0).tolist()
        rest = self.shape[0] * self.shape[1] - int(edges[-1])
        return [*runs, rest] if rest else runs

    def rle(self) -> dict[str, Any]:
        """Return the mask as COCO's JSON has it, compressed."""
        return {"size": list(self.shape), "counts": compress(self.counts())}

    def patch(self) -> tuple[tuple[int, int], npt.NDArray[np.bool_]]:
        """Return the first corner (y, x) of the box around it, and the mask (Y, X) in the box."""
        left, top, width, height = self.box()
        x, y = np.divmod(self.flat, self.shape[0])
        mask = np.zeros((height, width), bool)
        mask[y - top, x - left] = True
        return (top, left), mask

    def box(self) -> tuple[int, int, int, int]:
        """Return (x, y, width, height)."""
        x, y = np.divmod(self.flat, self.shape[0])
        return (
            int(x.min()),
            int(y.min()),
            int(x.max() - x.min()) + 1,
            int(y.max() - y.min()) + 1,
        )


def regions(plane: npt.NDArray[Any]) -> Iterator[Region]:
    """Yield the objects of a label image (Y, X) by rising id."""
    columns = plane.T.ravel()
    inside = np.flatnonzero(columns)
    ids = columns[inside]
    order = np.argsort(ids, kind="stable")  # keeps each object's pixels rising
    present, starts = np.unique(ids[order], return_index=True)
    for i, flat in zip(present.tolist(), np.split(inside[order], starts[1:]), strict=False):
        yield Region(i, flat, (plane.shape[0], plane.shape[1]))


def compress(counts: Sequence[int]) -> str:
    """Write counts as COCO's string."""
    characters = []
    for index, count in enumerate(counts):
        rest = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            group = rest & 31
            rest >>= 5
            # Done once all that is left is the sign, which the group's highest bit says, too.
            more = rest != (-1 if group & 16 else 0)
            characters.append(chr(48 + (group | 32 if more else group)))
    return "".join(characters)


def decompress(text: str) -> list[int]:
    """Read COCO's string.

    Raises
    ------
    InputError
        If it ends within a number or holds other characters.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise InputError(f"a compressed mask holds the character {character!r}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise InputError("a compressed mask ends in the middle of a number")
    return counts


def paint(columns: npt.NDArray[Any], counts: Sequence[int], value: int) -> None:
    """Set the runs of 1 to `value`.

    Parameters
    ----------
    columns
        (X * Y,) the columns of an image, one after another; written to.
    counts
        As from `decompress`.

    Raises
    ------
    InputError
        If the counts do not add up to the size of the image.
    """
    edges = np.cumsum(counts, dtype=np.int64)
    if min(counts, default=0) < 0 or not edges.size or edges[-1] != columns.size:
        total = int(edges[-1]) if edges.size else 0
        raise InputError(f"a mask has {total} pixels, but its frame has {columns.size}")
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=False):
        columns[start:stop] = value
