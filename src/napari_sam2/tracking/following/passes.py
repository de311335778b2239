"""Which frames a propagation visits, in which order, and which objects it follows there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.whole_numbers import whole_number

if TYPE_CHECKING:
    from napari_sam2.tracking.prompt import Prompt

Direction = Literal["both", "forward", "backward"]


@dataclass(frozen=True)
class Pass:
    """One way through the stack."""

    frames: range
    reverse: bool
    from_last: bool  # objects are followed from their last prompt on, not from their first

    def follows(self, prompts: Mapping[int, Prompt], frame: int) -> bool:
        """Whether an object with these prompts is followed to a frame."""
        start = max(prompts) if self.from_last else min(prompts)
        return frame <= start if self.reverse else frame >= start

    def comes_to(self, prompts: Mapping[int, Prompt], frame: int) -> bool:
        """Whether an object with these prompts is followed to a frame from the one passed before.

        It is not where it begins.
        """
        return self.follows(prompts, frame + 1 if self.reverse else frame - 1)


def passes(
    direction: Direction,
    start: int | None,
    stop: int | None,
    count: int,
    prompted: Sequence[Mapping[int, Prompt]],
) -> list[Pass]:
    """Lay out a propagation.

    Parameters
    ----------
    direction, start, stop : as in `TrackingSession.propagate`.
    count : frames of the stack.
    prompted : the prompts of each object to follow, by frame.

    Raises
    ------
    InputError
        If the range or the direction does not exist.
    """
    first = 0 if start is None else whole_number(start, "the first frame")
    end = count if stop is None else whole_number(stop, "the end of the range")
    if not 0 <= first < end <= count:
        raise InputError(f"no frames from {first} to {end}: the stack has 0 to {count - 1}")
    if direction not in ("forward", "backward", "both"):
        raise InputError(f"direction is forward, backward or both, not {direction!r}")
    firsts = [min(prompts) for prompts in prompted]
    ways = []
    if direction != "backward":
        forward = range(max(first, min(firsts)), end)
        ways.append(Pass(forward, reverse=False, from_last=False))
    if direction == "backward":
        last = max(max(prompts) for prompts in prompted)
        ways.append(Pass(range(min(last, end - 1), first - 1, -1), reverse=True, from_last=True))
    if direction == "both":
        # Where all objects start on one frame, that needs no second visit.
        top = min(max(firsts) - (len(set(firsts)) == 1), end - 1)
        ways.append(Pass(range(top, first - 1, -1), reverse=True, from_last=False))
    return ways


def checked_after(after: int) -> int:
    """Return how many results there were before a propagation goes on.

    Raises
    ------
    InputError
        If there cannot have been so many.
    """
    after = whole_number(after, "the number of results that there were")
    if after < 0:
        raise InputError(f"it goes on after so many results, 0 or more, not {after}")
    return after


def results_of(length: int, find_every: int = 0) -> int:
    """Return how many results a pass over so many frames has.

    Parameters
    ----------
    length : frames of the pass.
    find_every : frames from one look for new cells to the next, after which those between come
        again; 0 for none.
    """
    return length + (max(length - 1, 0) // find_every * find_every if find_every else 0)


@dataclass(frozen=True)
class Made:
    """What there is of a pass that was stopped.

    Parameters
    ----------
    visits : frames that were visited.
    unshown : of the frames that come again after the last look, those that did not yet.
    left : results beyond this pass, of those behind it.
    """

    visits: int
    unshown: int
    left: int


def made(length: int, results: int, find_every: int = 0) -> Made:
    """Return what there is of a pass after so many results of it, and perhaps of those behind it.

    Parameters
    ----------
    length, find_every : as for `results_of`.
    results : that there have been.
    """
    whole = results_of(length, find_every)
    if results >= whole:
        return Made(length, 0, results - whole)
    if not find_every or results == 0:
        return Made(results, 0, 0)
    looks = (results - 1 + find_every) // (2 * find_every)
    since = results - 1 - 2 * looks * find_every  # below 0: not all have come again
    return Made(looks * find_every + 1 + max(since, 0), max(-since, 0), 0)
