"""Brush strokes in the labels, until somebody is told of them."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.widgets.drawing import planes_before, strokes
from napari_sam2.widgets.layer_adapters import StackGeometry
from napari_sam2.widgets.layer_states import Key

Plane = npt.NDArray[Any]


@dataclass(frozen=True)
class Stroke:
    """What was painted on a frame.

    Parameters
    ----------
    before, after
        The labels (Y, X).
    began
        When, by `time.monotonic`.
    """

    before: Plane
    after: Plane
    began: float

    def then(self, newer: Stroke) -> Stroke:
        """Return this and a newer one on the same frame as one."""
        return Stroke(self.before, newer.after, self.began)

    def without(self, plane: Plane) -> Plane:
        """Return labels (Y, X) without the stroke, if they show it."""
        drawn = self.before != self.after
        shown = bool((plane == self.after)[drawn].all())
        return np.where(drawn, self.before, plane) if shown else plane


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
        self._begun: dict[int, tuple[Plane, float]] = {}
        self._strokes: dict[int, Stroke] = {}
        self.drawn: set[Key] = set()
        """Object and frame of what was read, and whose mask the labels still show."""

    def add(self, atoms: list[Any]) -> None:
        """Note a stroke, in napari's form; it may not be done yet."""
        self._touched |= {(i, t) for t, i in strokes(atoms, self._geometry)}
        now = time.monotonic()
        for frame, plane in planes_before(atoms, self._labels.data, self._geometry).items():
            self._begun.setdefault(frame, (plane, now))

    def read(self) -> list[tuple[Key, npt.NDArray[np.bool_]]]:
        """Return objects and frames with new strokes, and what the labels (Y, X) show of each."""
        for frame in self._begun.keys() - self._strokes.keys():
            before, began = self._begun[frame]
            self._strokes[frame] = Stroke(before, self._plane(frame).copy(), began)
        touched, self._touched = self._touched, set()
        self.drawn |= touched
        return [((i, t), self._plane(t) == i) for i, t in sorted(touched)]

    def _plane(self, frame: int) -> Plane:
        return np.asarray(self._labels.data[self._geometry.index(frame)])

    def forget(self, keys: Collection[Key]) -> None:
        """Note that the labels may not show these masks any more."""
        self.drawn -= set(keys)

    def take_drawn(self) -> set[Key]:
        """Return `drawn`, and begin anew with it."""
        drawn, self.drawn = self.drawn, set()
        return drawn

    def take(self) -> dict[int, Stroke]:
        """Return what was painted, by frame; nothing is noted any more then."""
        taken, self._strokes, self._begun = self._strokes, {}, {}
        return taken
