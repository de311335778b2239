"""The daughters of a cell that divides, without a click: two cells of half its size, around it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.finding.choosing import Cell, Mask
from napari_sam2.tracking.finding.everything import everything
from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.results import Trace

_BEFORE = 6  # frames; in mitosis a cell is smaller than it was
_REACH = 2.5  # radii of the mother, in which her daughters lie
_QUALITY = 0.4  # least of a daughter; that there are two says as much
_AREAS = (0.12, 1.1)  # of a daughter, over the mother's
_ASTRAY = 0.6  # radii of the mother; daughters lie on both sides of her place
_UNLIKE = 0.5  # difference of the logarithms of their areas
_LEAST = 0.1  # of how well they suit, 1 at best


@dataclass(frozen=True)
class Mother:
    """A cell before it divides.

    Parameters
    ----------
    centre : (y, x) in data pixels, where it was last.
    area : in data pixels, before it rounded up.
    """

    centre: npt.NDArray[np.float64]
    area: float

    @property
    def radius(self) -> float:
        """Of a disc of her area, in data pixels."""
        return float(np.sqrt(self.area / np.pi))

    @classmethod
    def of(cls, trace: Trace, frame: int) -> Mother | None:
        """Look up a mother on the last frames before one; None if she has no mask there."""
        seen = (trace.frames < frame) & (trace.frames >= frame - _BEFORE) & (trace.area > 0)
        if not seen.any():
            return None
        return cls(trace.centre[seen][-1], float(trace.area[seen].max()))


def find_daughters(
    engine: Engine, frame: int, mother: Mother, others: Mask
) -> tuple[ThinMask, ThinMask] | None:
    """Look for two cells that a mother may have become, the upper one first; None without.

    Parameters
    ----------
    engine : the network on the stack.
    frame : the first one with two cells.
    mother : as she was before.
    others : (Y, X), where other objects are.
    """
    rows, columns = np.ogrid[: others.shape[0], : others.shape[1]]
    apart = np.hypot(rows - mother.centre[0], columns - mother.centre[1])
    near = apart <= _REACH * mother.radius
    diameter = max(1.0, np.sqrt(2) * mother.radius)  # of half of her area
    cells: Sequence[Cell] = ()
    for found in everything(
        engine, frame, taken=others, diameter=diameter, least_quality=_QUALITY, within=near
    ):
        cells = found.cells
    pairs = list(itertools.combinations((cell for cell in cells if _possible(cell, mother)), 2))
    if not pairs:
        return None
    a, b = max(pairs, key=lambda pair: _likely(pair[0], pair[1], mother))
    if _likely(a, b, mother) < _LEAST:
        return None
    upper, lower = sorted((a.thin, b.thin), key=lambda mask: tuple(_centre(mask)))
    return upper, lower


def _possible(cell: Cell, mother: Mother) -> bool:
    """Whether one cell alone may be a daughter, by its size and place."""
    least, most = (share * mother.area for share in _AREAS)
    away = float(np.hypot(*(_centre(cell.thin) - mother.centre)))
    return bool(least <= cell.thin.area <= most) and away <= _REACH * mother.radius


def _likely(one: Cell, other: Cell, mother: Mother) -> float:
    """How well two cells suit as daughters: sure, alike in size, and around their mother."""
    middle = (_centre(one.thin) + _centre(other.thin)) / 2
    astray = float(np.hypot(*(middle - mother.centre))) / mother.radius
    unlike = float(np.log(one.thin.area / other.thin.area))
    return (
        one.quality
        * other.quality
        * float(np.exp(-0.5 * ((astray / _ASTRAY) ** 2 + (unlike / _UNLIKE) ** 2)))
    )


def _centre(mask: ThinMask) -> npt.NDArray[np.float64]:
    corner = np.array([along.start for along in mask.place], dtype=float)
    centre: npt.NDArray[np.float64] = corner + np.argwhere(mask.part).mean(axis=0)
    return centre
