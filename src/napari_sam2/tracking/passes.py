"""Which frames a propagation visits, in which order, and which objects it follows there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.prompt import Prompt

Direction = Literal["forward", "backward", "both"]


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
    first, end = (0 if start is None else start), (count if stop is None else stop)
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
