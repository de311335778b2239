"""What a user says about one object on one frame: points, a box, a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.mask_text import place_of, thin

# object id -> frame -> prompt
Prompts = dict[int, dict[int, "Prompt"]]


def _no_points() -> npt.NDArray[np.float64]:
    return np.zeros((0, 2))


def _no_signs() -> npt.NDArray[np.bool_]:
    return np.zeros(0, dtype=bool)


@dataclass(frozen=True, eq=False)
class Prompt:
    """Points, a box and a mask for one object on one frame; (y, x) in data pixels.

    The centre of the first pixel is (0, 0). The arrays are copied and read-only; a mask that is
    read-only already, and no view of another array, is shared.

    Parameters
    ----------
    points
        (K, 2) float, (y, x).
    positive
        (K,) bool: on the object (True) or on what is not the object (False).
    box
        (2, 2) float, two opposite corners; stored as [[y0, x0], [y1, x1]] with y0 <= y1, x0 <= x1.
    mask
        (Y, X) bool.
    absent
        The object is not on this frame: it ends here, or is hidden. Says all there is to say.

    Raises
    ------
    InputError
        If an array has the wrong shape or holds NaN or inf.
    """

    points: npt.NDArray[np.float64] = field(default_factory=_no_points)
    positive: npt.NDArray[np.bool_] = field(default_factory=_no_signs)
    box: npt.NDArray[np.float64] | None = None
    mask: npt.NDArray[np.bool_] | None = None
    absent: bool = False

    def __post_init__(self) -> None:
        points = _numbers(self.points, "points")
        points = points.reshape(0, 2) if points.size == 0 else points
        if points.ndim != 2 or points.shape[1] != 2:
            raise InputError(f"points must be (y, x) pairs, not an array of shape {points.shape}")
        positive = _truths(self.positive, "positive").reshape(-1)
        if len(positive) != len(points):
            raise InputError(
                f"{len(points)} points but {len(positive)} values in positive; give one each"
            )
        _freeze(self, "points", points)
        _freeze(self, "positive", positive)
        if self.box is not None:
            box = _numbers(self.box, "box")
            if box.shape != (2, 2):
                raise InputError(f"a box is [[y0, x0], [y1, x1]], not an array of {box.shape}")
            _freeze(self, "box", np.sort(box, axis=0))
        if self.mask is not None:
            mask = np.asarray(self.mask)
            if mask.ndim != 2:
                raise InputError(f"a mask has two axes (Y, X), not shape {mask.shape}")
            if mask.dtype.kind not in "bui":
                mask = _truths(mask, "a mask")
            if mask.flags.writeable or not mask.flags.owndata or mask.dtype != np.bool_:
                mask = thin(mask)
            _freeze(self, "mask", mask)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prompt):
            return NotImplemented
        return (
            np.array_equal(self.points, other.points)
            and np.array_equal(self.positive, other.positive)
            and _same(self.box, other.box)
            and _same(self.mask, other.mask)
            and self.absent == other.absent
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing at all."""
        return not self.absent and self._shows_nothing

    @property
    def only_negative(self) -> bool:
        """Whether it consists of nothing but clicks on what is not the object."""
        clicks = len(self.points) > 0 and not self.positive.any()
        return clicks and self.box is None and self.mask is None

    @property
    def only_mask(self) -> bool:
        """Whether it consists of nothing but a mask."""
        return self.mask is not None and self.box is None and len(self.points) == 0

    @cached_property
    def part(self) -> tuple[tuple[slice, slice], npt.NDArray[np.bool_]]:
        """Rows and columns that hold the mask, and the mask there.

        Raises
        ------
        ValueError
            If there is no mask, or an empty one.
        """
        if self.mask is None:
            raise ValueError("a prompt without a mask")
        place = place_of(self.mask)
        if place[0].start == place[0].stop:
            raise ValueError("an empty mask")
        return place, self.mask[place]

    @property
    def _shows_nothing(self) -> bool:
        return len(self.points) == 0 and self.box is None and self.mask is None

    def add_points(
        self, points: npt.ArrayLike | Sequence[Any], positive: npt.ArrayLike | Sequence[bool]
    ) -> Prompt:
        """Return this prompt with more points, (K, 2) and (K,), after those it has."""
        return self.merged(Prompt(points=np.asarray(points), positive=np.asarray(positive)))

    def with_box(self, box: npt.ArrayLike | None) -> Prompt:
        """Return this prompt with another box (2, 2), or with none."""
        return replace(self, box=None if box is None else np.asarray(box))

    def with_mask(self, mask: npt.ArrayLike | None) -> Prompt:
        """Return this prompt with another mask (Y, X), or with none."""
        return replace(self, mask=None if mask is None else np.asarray(mask))

    def in_turn(self) -> list[Prompt]:
        """Return what is said after each click; what is on the object is said first."""
        order = np.arange(len(self.points))
        if self.positive.any():
            first = int(np.argmax(self.positive))
            order = np.concatenate([[first], np.delete(order, first)])
        parts = [order[:count] for count in range(1, len(order) + 1)]
        return [Prompt(self.points[p], self.positive[p], self.box, self.mask) for p in parts]

    def merged(self, other: Prompt) -> Prompt:
        """Return both prompts in one: all points; the box and the mask of `other` where it has."""
        return Prompt(
            points=np.concatenate([self.points, other.points]),
            positive=np.concatenate([self.positive, other.positive]),
            box=self.box if other.box is None else other.box,
            mask=self.mask if other.mask is None else other.mask,
        )

    def validate(
        self, shape: tuple[int, int], *, object_id: int | None = None, frame: int | None = None
    ) -> Prompt:
        """Check against a frame of `shape` (Y, X); return the prompt, its box clipped to the frame.

        Parameters
        ----------
        shape
            (Y, X) of the frame in pixels.
        object_id, frame
            Named in the error messages.

        Raises
        ------
        InputError
            If the prompt is empty, a point lies outside the frame, the box has no area or lies
            outside, or the mask is empty or of another shape.
        """
        who = described(object_id, frame)
        size = _size(shape)
        limits = np.array(shape, dtype=np.float64) - 0.5
        if self.is_empty:
            raise InputError(f"{who}: the prompt is empty; give points, a box or a mask")
        if self.absent and not self._shows_nothing:
            raise InputError(f"{who}: it cannot be absent and have points, a box or a mask there")
        outside = ((self.points < -0.5) | (self.points > limits)).any(axis=1)
        if outside.any():
            y, x = self.points[outside][0]
            raise InputError(
                f"{who}: the point ({y:g}, {x:g}) lies outside the frame of {size}; "
                "points are (y, x) in pixels"
            )
        if self.mask is not None:
            check_mask(shape, self.mask.shape, self.mask, who)
        if self.box is None:
            return self
        clipped = np.clip(self.box, -0.5, limits)
        if (self.box[1] <= self.box[0]).any():
            raise InputError(f"{who}: the box has no area; draw it around the whole object")
        if (clipped[1] <= clipped[0]).any():
            raise InputError(
                f"{who}: the box {self.box.tolist()} lies outside the frame of {size}; "
                "a box is [[y0, x0], [y1, x1]] in pixels"
            )
        return self if np.array_equal(clipped, self.box) else self.with_box(clipped)


def check_mask(
    shape: tuple[int, int],
    mask_shape: tuple[int, ...],
    part: npt.NDArray[np.bool_],
    who: str,
) -> None:
    """Refuse a mask of `mask_shape` on a frame of `shape` (Y, X); `part` holds all of it.

    Raises
    ------
    InputError
        If the shapes differ, or the mask is empty.
    """
    if mask_shape != tuple(shape):
        raise InputError(
            f"{who}: the mask has shape {mask_shape} but the frame is {_size(shape)}; "
            "paint it on this image"
        )
    if not part.any():
        raise InputError(f"{who}: the mask is empty; paint the object, or leave the mask out")


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]} pixels (Y x X)"


def described(object_id: int | None, frame: int | None) -> str:
    """Name an object and a frame for a message: "object 3 on frame 7"."""
    who = "prompt" if object_id is None else f"object {object_id}"
    return who if frame is None else f"{who} on frame {frame}"


def _numbers(values: Any, name: str) -> npt.NDArray[np.float64]:
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be numbers, (y, x) pairs") from error
    if not np.isfinite(numbers).all():
        raise InputError(f"{name} must be finite numbers, not NaN or inf")
    return numbers


def _truths(values: Any, name: str) -> npt.NDArray[np.bool_]:
    """Return what is said with True and False, or with 1 and 0; logits say neither."""
    found = np.asarray(values)
    if found.dtype.kind != "b" and not (found.dtype.kind in "uif" and np.isin(found, (0, 1)).all()):
        raise InputError(f"{name} holds True and False only; of logits, give logits > 0")
    return found.astype(bool)


def _freeze(prompt: Prompt, name: str, array: npt.NDArray[Any]) -> None:
    array.setflags(write=False)
    object.__setattr__(prompt, name, array)


def _same(a: npt.NDArray[Any] | None, b: npt.NDArray[Any] | None) -> bool:
    if a is None or b is None or a is b:
        return a is b
    return np.array_equal(a, b)
