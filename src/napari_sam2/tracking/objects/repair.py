"""Which frames have to be computed again after a prompt was changed.

A conditioning frame is an anchor: what lies beyond the next one on either side stays as it is. So
a correction costs the stretch between its neighbours, of the object that it concerns, and no more.
A full propagation would also let frames further away attend to the new memory; that is given up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Stretches:
    """Frames of one object to compute again, in the order in which they are visited.

    Parameters
    ----------
    forward : rising, behind the object's first prompt.
    backward : falling, before it.
    """

    forward: tuple[int, ...] = ()
    backward: tuple[int, ...] = ()


def stretches(
    prompted: Collection[int],
    ends: Collection[int],
    tracked: Mapping[int, bool],
    changed: Iterable[int],
    awaited: Iterable[int] = (),
) -> Stretches:
    """Find the frames that changed prompts concern, or a division.

    Parameters
    ----------
    prompted : frames that carry a prompt now.
    ends : those of them on which the object is not; they concern only the side that it is not on.
    tracked : frames that a propagation has passed.
    changed : frames whose prompt is new, another one, or gone.
    awaited : frames to follow the object to, where that was never done.
    """
    anchors = [t for t in prompted if t not in ends]
    if not anchors:
        return Stretches()
    first = min(anchors)
    again = {t for t in awaited if t not in tracked and t not in prompted}
    for frame in changed:
        left = max((t for t in prompted if t < frame), default=-1)
        right = min((t for t in prompted if t > frame), default=max(tracked, default=0) + 1)
        if frame in ends:
            left, right = (frame, right) if first < frame else (left, frame)
        again.update(t for t in tracked if t not in prompted and left < t < right)
    return Stretches(
        tuple(sorted(t for t in again if t > first)),
        tuple(sorted((t for t in again if t < first), reverse=True)),
    )
