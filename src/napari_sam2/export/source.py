"""Labels on their way into a file: checked once, then read frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2.export.measured import MeasuredImage
from napari_sam2.physical_units import LENGTHS, length_unit
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.stack.reading import read_plane

if TYPE_CHECKING:
    from napari_sam2.tracking.objects.estimates import Quality

# Object id -> frame -> how sure the network was.
Qualities = Mapping[int, Mapping[int, "Quality"]]
Progress = Callable[[int, int], None]

_HIGH = 2**20  # a table of all labels up to here is small
_PIXELS = ("pixel", "pixels", "px")


class LabelSource:
    """Labels with their axes and scale, never in memory as a whole.

    Parameters
    ----------
    labels
        (T, Y, X) or (Y, X) integers: an array, or `Masklets`.
    axes
        "TYX", "ZYX" or "YX".
    scale
        Step along T in seconds, along Z, Y, X in `unit`; 1.0 where missing.
    unit
        Of the lengths, e.g. "micrometer"; None for pixels.
    name
        What the labels are called inside of files.
    image
        To be measured; see `MeasuredImage`.
    quality
        Object id -> frame -> how sure the network was.
    parents
        Id of the mother by id of the daughter; None: not known.
    passes
        How often the frames will be read.
    progress
        Called after each frame that was read with those done and in all. It may raise, to cancel.

    Raises
    ------
    InputError
        If the labels, axes, scale or unit are unusable, or the image does not fit.
    """

    def __init__(
        self,
        labels: Any,
        axes: str = "TYX",
        scale: Mapping[str, float] | None = None,
        unit: str | None = None,
        *,
        name: str = "labels",
        image: Any = None,
        quality: Qualities | None = None,
        parents: Mapping[int, int] | None = None,
        passes: int = 1,
        progress: Progress | None = None,
    ) -> None:
        self.labels = labels if hasattr(labels, "shape") else np.asarray(labels)
        if self.labels.dtype == object:
            what = type(labels).__name__
            raise InputError(f"labels are an array (T, Y, X) of integers, not {what}")
        self.axes = axes.upper()
        # As given: (T, Y, X) or (Y, X).
        self.shape = tuple(int(n) for n in self.labels.shape)
        self.unit = _checked_unit(unit)
        dtype = np.dtype(self.labels.dtype)
        if self.axes not in ("TYX", "ZYX", "YX") or len(self.axes) != len(self.shape):
            fitting = {2: "give the axes YX", 3: "give the axes TYX or ZYX"}
            remedy = fitting.get(len(self.shape), "they are (T, Y, X), (Z, Y, X) or (Y, X)")
            raise InputError(f"labels of shape {self.shape} cannot have axes {axes!r}; {remedy}")
        if 0 in self.shape:
            raise InputError(
                f"the labels are empty (shape {self.shape}); there is nothing to write"
            )
        if dtype.kind not in "bui":
            raise InputError(f"labels must be integers, not {dtype}; convert them")
        # The two types that Fiji, napari and the challenges all read as labels.
        small = dtype.itemsize <= 2
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if small else np.uint32)
        self.scale = _checked_scale({} if scale is None else scale, self.axes)
        self.name = name
        self.image = None if image is None else MeasuredImage(image, self.shape)
        self.quality: Qualities = _checked_quality(quality or {})
        self.parents = parents
        # What the format could not hold, in words: for whoever writes.
        self.remarks: list[str] = []
        self._total = passes * len(self)
        self._done = 0
        self._progress = progress

    def __len__(self) -> int:
        return self.shape[0] if len(self.shape) == 3 else 1

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(Y, X)."""
        return self.shape[-2], self.shape[-1]

    def place(self, frame: int) -> Any:
        """Return the index of a frame in arrays of the labels' axes."""
        return frame if len(self.shape) == 3 else ...

    def planes(self, dtype: npt.DTypeLike | None = None) -> Iterator[npt.NDArray[Any]]:
        """Yield the labels (Y, X) of each frame as `dtype`, `self.dtype` unless given.

        Raises
        ------
        InputError
            If a frame cannot be read, or holds an id that does not fit.
        """
        target = self.dtype if dtype is None else np.dtype(dtype)
        highest = np.iinfo(target).max
        for index in range(len(self)):
            plane = read_plane(self.labels, self.place(index), "labels")
            if plane.min() < 0 or plane.max() > highest:
                raise InputError(
                    f"labels {plane.min()}..{plane.max()} in frame {index} cannot be written; "
                    f"use 0 to {highest}"
                )
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total)
            yield plane.astype(target)


def _checked_unit(unit: str | None) -> str | None:
    """Return the canonical name of a unit that readers know; None for pixels."""
    known = length_unit(unit)
    if known is None and unit is not None and unit.lower() not in _PIXELS:
        raise InputError(f"unit {unit!r} is no known one; use {', '.join(LENGTHS)}, or None")
    return known


def _checked_scale(scale: Any, axes: str) -> dict[str, float]:
    if not isinstance(scale, Mapping):
        raise InputError(f'the scale has names: {{"T": 60, "Y": 0.3, "X": 0.3}}, not {scale!r}')
    for letter, step in scale.items():
        if letter not in tuple("TZYX"):
            raise InputError(f"scale has no axis {letter!r}; its axes are T, Z, Y and X")
        if not (isinstance(step, Real) and 0 < float(step) < math.inf):
            raise InputError(f"the scale of {letter} must be a number above 0, not {step!r}")
    return {letter: float(scale.get(letter, 1.0)) for letter in axes}


def _checked_quality(quality: Qualities) -> Qualities:
    if not all(isinstance(frames, Mapping) for frames in quality.values()):
        raise InputError("the quality is by object id and frame, as session.qualities() has it")
    return quality


def frames_of_objects(source: LabelSource) -> dict[int, list[int]]:
    """Read all frames once and return, by object id in rising order, the frames it is on."""
    found: dict[int, list[int]] = {}
    for frame, plane in enumerate(source.planes()):
        for i in np.unique(plane).tolist():
            if i:
                found.setdefault(i, []).append(frame)
    return dict(sorted(found.items()))


def numbered(labels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """Return the labels that an image has, rising, and which of them each pixel is.

    As `np.unique`, which sorts millions of pixels for it: here it is for very high labels only.
    """
    few = labels.dtype.kind in "iu" and labels.min(initial=0) >= 0
    if not few or labels.max(initial=0) > _HIGH:
        ids, numbers = np.unique(labels, return_inverse=True)
        return ids, numbers.reshape(labels.shape)
    there = np.zeros(int(labels.max(initial=0)) + 1, bool)
    there[labels] = True
    return np.flatnonzero(there).astype(labels.dtype), (np.cumsum(there) - 1)[labels]
