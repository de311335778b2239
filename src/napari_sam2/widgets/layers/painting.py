"""Brush strokes in the labels, until somebody is told of them."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.masks.thin_mask import ThinMask, place_of
from napari_sam2.widgets.layers.drawing import Edit, planes_before, put_back, strokes
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.layers.layer_states import Key

Plane = npt.NDArray[Any]


@dataclass(frozen=True)
class Stroke:
    """What was painted on a frame, without a break.

    Parameters
    ----------
    before, after
        The labels (Y, X), or the part of them at `place`.
    began
        When, by `time.perf_counter`; other clocks of Windows tick 64 times a second.
    """

    before: Plane
    after: Plane
    began: float
    place: tuple[slice, slice] = (slice(None), slice(None))

    def without(self, plane: Plane) -> Plane:
        """Return labels (Y, X) without what they show of the stroke."""
        out = plane.copy()
        part = out[self.place]
        shown = (self.before != self.after) & (part == self.after)
        part[shown] = self.before[shown]
        return out

    def cut(self) -> Stroke:
        """Return the stroke with no more of the labels than it changed."""
        place = place_of(self.before != self.after)
        return Stroke(self.before[place].copy(), self.after[place].copy(), self.began, place)


class Painting:
    """What was painted since the last time that it was told.

    Parameters
    ----------
    labels
        The Labels layer.
    geometry
        Which of its axes are what.
    """

    def __init__(self, labels: Any, geometry: StackGeometry) -> None:
        self._labels, self._geometry = labels, geometry
        self._touched: set[Key] = set()
        self._covered: set[Key] = set()
        self._begun: dict[int, tuple[Plane, float]] = {}
        self._strokes: dict[int, list[Stroke]] = {}
        self._drawn: set[Key] = set()
        self._beside: list[Edit] = []

    def add(self, atoms: list[Any]) -> None:
        """Note a stroke, in napari's form; it may not be done yet."""
        edits = [Edit.of(atom) for atom in atoms]
        touched, covered = strokes(edits, self._geometry)
        self._touched |= touched
        self._covered |= covered
        if self._geometry.fixed:
            self._beside += edits
        now = time.perf_counter()
        for frame, plane in planes_before(edits, self._labels.data, self._geometry).items():
            self._end(frame, plane)
            self._begun[frame] = (plane, now)

    def _end(self, frame: int, after: Plane) -> None:
        if frame in self._begun:
            before, began = self._begun.pop(frame)
            self._strokes.setdefault(frame, []).append(Stroke(before, after, began))

    def put_back(self) -> str:
        """Take back what was painted in other planes of a volume, and say why; "" if nothing was.

        Once the stroke is done: before, napari may still write it.
        """
        edits, self._beside = self._beside, []
        edit = put_back(edits, self._labels.data, self._geometry)
        if edit is None:
            return ""
        place = np.argwhere(edit.elsewhere(self._geometry))[0] + edit.place
        return self._geometry.complaint(place) or ""

    def read(self, painted: Collection[Key]) -> list[tuple[Key, ThinMask, bool]]:
        """Return the objects and frames with new strokes, and what the labels show of each.

        The last of the three says whether the strokes are about the object, and did not only cover
        it.

        Parameters
        ----------
        painted
            Those that were painted before: where another one was painted over them, they lose what
            it covers.
        """
        for frame in [*self._begun]:
            self._end(frame, self._plane(frame).copy())
        own = self._touched
        keys = own | (self._covered & set(painted))
        self._touched, self._covered = set(), set()
        self._drawn |= keys
        return [((i, t), ThinMask.of(self._plane(t) == i), (i, t) in own) for i, t in sorted(keys)]

    def _plane(self, frame: int) -> Plane:
        return np.asarray(self._labels.data[self._geometry.index(frame)])

    def forget(self, keys: Collection[Key]) -> None:
        """Note that the labels may not show these masks any more."""
        self._drawn -= set(keys)

    def take_drawn(self) -> set[Key]:
        """Return what was read, and whose masks the labels still show; begins anew with it."""
        drawn, self._drawn = self._drawn, set()
        return drawn

    def take(self) -> dict[int, list[Stroke]]:
        """Return what was painted, by frame; nothing is noted any more then."""
        taken, self._strokes = self._strokes, {}
        return taken
