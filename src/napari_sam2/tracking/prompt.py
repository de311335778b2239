"""What a user says about one object on one frame: points, a box, a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.masks.thin_mask import ThinMask

# object id -> frame -> prompt
Prompts = dict[int, dict[int, "Prompt"]]


def _no_points() -> npt.NDArray[np.float64]:
    return np.zeros((0, 2))


class _Mask:
    """A mask of a prompt: kept cut to where it is, laid out for whoever asks for it."""

    @overload
    def __get__(self, prompt: None, owner: type[Prompt]) -> None: ...

    @overload
    def __get__(self, prompt: Prompt, owner: type[Prompt]) -> npt.NDArray[np.bool_] | None: ...

    def __get__(self, prompt: Prompt | None, owner: type[Prompt]) -> npt.NDArray[np.bool_] | None:
        if prompt is None:  # the default, as `dataclass` asks for it
            return None
        return None if prompt.thin is None else prompt.thin.whole()

    def __set__(self, prompt: Prompt, mask: npt.NDArray[Any] | ThinMask | None) -> None:
        prompt.__dict__["_thin"] = None if mask is None else _thin(mask)


@dataclass(frozen=True, eq=False, repr=False)
class Prompt:
    """Points, a box and a mask for one object on one frame; (y, x) in data pixels.

    The centre of the first pixel is (0, 0). The arrays are copied and read-only.

    Parameters
    ----------
    points
        (K, 2) float, (y, x); one point may be given as (2,).
    positive
        (K,) bool: on the object (True) or on what is not the object (False). By default all are on
        it.
    box
        (2, 2) float, two opposite corners: the outermost pixels that it holds. Stored as
        [[y0, x0], [y1, x1]] with y0 <= y1, x0 <= x1.
    mask
        (Y, X) bool. Only the part of the frame that holds it is kept, as `thin`; each reading lays
        it out anew.
    absent
        The object is not on this frame: it ends here, or is hidden. Says all there is to say.

    Raises
    ------
    InputError
        If an array has the wrong shape or holds NaN or inf.
    """

    points: npt.NDArray[np.float64] = field(default_factory=_no_points)
    positive: npt.NDArray[np.bool_] = None  # type: ignore[assignment]  # an array once it is made
    box: npt.NDArray[np.float64] | None = None
    mask: _Mask = _Mask()
    absent: bool = False

    def __post_init__(self) -> None:
        points = _numbers(self.points, "points")
        points = points.reshape(-1, 2) if points.size == 0 or points.shape == (2,) else points
        if points.ndim != 2 or points.shape[1] != 2:
            raise InputError(
                f"points must be (y, x) pairs, [[y, x], ...], not an array of shape {points.shape}"
            )
        given: Any = self.positive
        given = np.ones(len(points), dtype=bool) if given is None else given
        positive = _truths(given, "positive").reshape(-1)
        if len(positive) != len(points):
            raise InputError(
                f"points and positive differ in length, {len(points)} and {len(positive)}; give "
                "True (on the object) or False for each point"
            )
        _freeze(self, "points", points)
        _freeze(self, "positive", positive)
        if self.box is not None:
            box = _numbers(self.box, "box")
            if box.shape != (2, 2):
                raise InputError(f"a box is [[y0, x0], [y1, x1]], not an array of {box.shape}")
            _freeze(self, "box", np.sort(box, axis=0))

    def __repr__(self) -> str:
        said = []
        if len(self.points):
            said += [f"points={self.points.tolist()}", f"positive={self.positive.tolist()}"]
        if self.box is not None:
            said.append(f"box={self.box.tolist()}")
        if self.thin is not None:
            said.append(f"mask of {self.thin.area} px")
        if self.absent:
            said.append("absent")
        return f"Prompt({', '.join(said)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prompt):
            return NotImplemented
        return self is other or (
            np.array_equal(self.points, other.points)
            and np.array_equal(self.positive, other.positive)
            and _same(self.box, other.box)
            and self.thin == other.thin
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
        return clicks and self.box is None and self.thin is None

    @property
    def only_mask(self) -> bool:
        """Whether it consists of nothing but a mask."""
        return self.thin is not None and self.box is None and len(self.points) == 0

    @property
    def painted(self) -> ThinMask | None:
        """The mask, where it is the answer: no click corrects it."""
        return None if len(self.points) else self.thin

    @property
    def thin(self) -> ThinMask | None:
        """The mask, cut to where it is."""
        thin: ThinMask | None = self.__dict__["_thin"]
        return thin

    @property
    def _shows_nothing(self) -> bool:
        return len(self.points) == 0 and self.box is None and self.thin is None

    def add_points(
        self, points: npt.ArrayLike | Sequence[Any], positive: npt.ArrayLike | Sequence[bool]
    ) -> Prompt:
        """Return this prompt with more points, (K, 2) and (K,), after those it has."""
        return self.merged(Prompt(points=np.asarray(points), positive=np.asarray(positive)))

    def with_box(self, box: npt.ArrayLike | None) -> Prompt:
        """Return this prompt with another box (2, 2), or with none."""
        return replace(self, box=None if box is None else np.asarray(box), mask=self.thin)

    def with_mask(self, mask: npt.NDArray[Any] | ThinMask | None) -> Prompt:
        """Return this prompt with another mask (Y, X), or with none."""
        return replace(self, mask=mask)

    def in_turn(self) -> list[Prompt]:
        """Return what is said after each click; what is on the object is said first."""
        order = np.arange(len(self.points))
        if self.positive.any():
            first = int(np.argmax(self.positive))
            order = np.concatenate([[first], np.delete(order, first)])
        parts = [order[:count] for count in range(1, len(order) + 1)]
        return [Prompt(self.points[p], self.positive[p], self.box, self.thin) for p in parts]

    def merged(self, other: Prompt) -> Prompt:
        """Return both prompts in one: all points; the box and the mask of `other` where it has."""
        return Prompt(
            points=np.concatenate([self.points, other.points]),
            positive=np.concatenate([self.positive, other.positive]),
            box=self.box if other.box is None else other.box,
            mask=self.thin if other.thin is None else other.thin,
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
        if self.thin is not None:
            check_mask(shape, self.thin, who)
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


def check_mask(shape: tuple[int, int], mask: ThinMask, who: str) -> None:
    """Refuse a mask that cannot be one of a frame of `shape` (Y, X).

    Raises
    ------
    InputError
        If the shapes differ, or the mask is empty.
    """
    if mask.shape != tuple(shape):
        raise InputError(
            f"{who}: the mask has shape {mask.shape} but the frame is {_size(shape)}; "
            "paint it on this image"
        )
    if mask.is_empty:
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


def _thin(mask: npt.NDArray[Any] | ThinMask) -> ThinMask:
    if isinstance(mask, ThinMask):
        return mask
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise InputError(f"a mask has two axes (Y, X), not shape {mask.shape}")
    if mask.dtype.kind in "ui" and (there := mask[mask != 0]).size and there.min() != there.max():
        raise InputError(
            f"a mask is of one object, but holds values from {there.min()} to {there.max()}; of a "
            f"label image give labels == {there.min()}"
        )
    return ThinMask.of(mask if mask.dtype.kind in "bui" else _truths(mask, "a mask"))


def _freeze(prompt: Prompt, name: str, array: npt.NDArray[Any]) -> None:
    array.setflags(write=False)
    object.__setattr__(prompt, name, array)


def _same(a: npt.NDArray[Any] | None, b: npt.NDArray[Any] | None) -> bool:
    if a is None or b is None or a is b:
        return a is b
    return np.array_equal(a, b)
