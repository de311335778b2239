"""Which frames of which objects should be looked at.

A frame of an object is doubtful if one of these holds. What each adds to the doubt is in brackets;
a higher sum is worse.

- The object is there, but the score (predicted IoU times the probability of being there) is below
  0.5 [1 - score].
- The object score is within 1 of zero: it is unclear whether the object is there at all [0.5].
- The area is more than twice, or less than half, of that on the last frame with a mask
  [1 - smaller / larger].
- The centre has moved by more than the object's diameter per frame since then
  [1 - diameter / (2 x way)].
- A gap begins: frames on which the object was looked for in vain before it comes back
  [1 - 1 / (1 + frames)].
- The object vanishes: it is followed on and not found any more, though its last mask was not small
  (at least half of its median area) [0.5].

A frame that goes back to what was there before a jump is no jump. Frames that a person has prompted
or accepted are never doubtful.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_sam2.tracking.results import Trace

SURE = 0.5
UNCLEAR = 1.0
AREA_FACTOR = 2.0

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Entries:
    """What is known of N objects, one entry for each object and frame, by row and then by frame.

    Parameters
    ----------
    row, frame : (n,) where each entry belongs in arrays (N, T).
    score, object_score, area, centre : (n,) and (n, 2), as in `Trace`.
    """

    row: Array
    frame: Array
    score: Array
    object_score: Array
    area: Array
    centre: Array

    @classmethod
    def of(cls, traces: Mapping[int, Trace]) -> Entries:
        """Join traces by row; the rows rise."""
        if not traces:
            index, none = np.zeros(0, np.int64), np.zeros(0, np.float32)
            return cls(index, index, none, none, none, none.reshape(0, 2))
        some = traces.values()
        return cls(
            np.repeat([*traces], [len(trace.frames) for trace in some]),
            np.concatenate([trace.frames for trace in some]),
            np.concatenate([trace.score for trace in some]).astype(np.float32),
            np.concatenate([trace.object_score for trace in some]),
            np.concatenate([trace.area for trace in some]).astype(np.float32),
            np.concatenate([trace.centre for trace in some]).astype(np.float32),
        )

    def only(self, chosen: Array) -> Entries:
        """Return some of the entries."""
        return Entries(
            self.row[chosen],
            self.frame[chosen],
            self.score[chosen],
            self.object_score[chosen],
            self.area[chosen],
            self.centre[chosen],
        )


@dataclass(frozen=True)
class Changes:
    """What differs from one mask of an object to the next, for the n entries with masks.

    Parameters
    ----------
    ratio : area of the larger by that of the smaller; 1 where nothing jumped.
    way : diameters moved per frame; 0 where nothing jumped.
    gap : frames since the last one, on all of which it was looked for in vain.
    vanished : the last of its object, and followed on in vain.
    """

    ratio: Array
    way: Array
    gap: Array
    vanished: Array


def changes(entries: Entries) -> tuple[Entries, Changes]:
    """Compare each mask with the one before; returns the entries with masks, and what changed."""
    shown = entries.only(entries.area > 0)
    ratio, way, gap = _since(shown, 1)
    looked = np.diff(np.flatnonzero(entries.area > 0), prepend=-1) - 1
    gap[gap != looked] = 0
    ratio2, way2, _ = _since(shown, 2)
    jumps = (ratio > AREA_FACTOR) | (way > 1)
    same = (shown.row[2:] == shown.row[:-2]) & (ratio2 <= AREA_FACTOR)[2:] & (way2 <= 1)[2:]
    jumps[2:] &= ~(same & jumps[1:-1])
    return shown, Changes(
        np.where(jumps, ratio, 1),
        np.where(jumps, way, 0),
        gap,
        _vanished(entries, shown),
    )


@dataclass(frozen=True)
class DoubtfulStretches:
    """K stretches of doubtful frames in a row, each of one object, that with the worst frame first.

    Parameters
    ----------
    row, first, last, worst : (K,) object and frames.
    place : (N, T) which stretch a frame belongs to, -1 where there is no doubt.
    """

    row: Array
    first: Array
    last: Array
    worst: Array
    place: Array

    @classmethod
    def of(cls, doubt: Array) -> DoubtfulStretches:
        """Find them in (N, T), where doubtful frames are above 0."""
        rows, frames = np.nonzero(doubt)
        begins = np.ones(len(rows), bool)
        begins[1:] = (np.diff(rows) != 0) | (np.diff(frames) != 1)
        number, starts = np.cumsum(begins) - 1, np.flatnonzero(begins)
        ends = np.append(starts[1:], len(rows)) - 1 if len(rows) else starts
        sizes = doubt[rows, frames]
        # The worst of each stretch, the first one of equals.
        worst = np.lexsort((frames, -sizes, number))[starts]
        order = np.argsort(-sizes[worst], kind="stable")
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order))
        place = np.full(doubt.shape, -1, np.int32)
        place[rows, frames] = rank[number]
        ends = ends[order]
        starts, worst = starts[order], worst[order]
        return cls(rows[starts], frames[starts], frames[ends], frames[worst], place)


def _since(shown: Entries, step: int) -> tuple[Array, Array, Array]:
    """Ratio of areas, way in diameters per frame and frames between, for masks `step` apart."""
    count = len(shown.row)
    ratio, way = np.ones(count, np.float32), np.zeros(count, np.float32)
    between = np.zeros(count, np.int64)
    pairs = np.flatnonzero(shown.row[step:] == shown.row[:-step]) + step
    now, before = shown.area[pairs], shown.area[pairs - step]
    larger = np.maximum(now, before)
    ratio[pairs] = larger / np.minimum(now, before)
    passed = shown.frame[pairs] - shown.frame[pairs - step]
    moved = np.hypot(*(shown.centre[pairs] - shown.centre[pairs - step]).T)
    way[pairs] = moved / (2 * np.sqrt(larger / np.pi)) / passed
    between[pairs] = passed - step
    return ratio, way, between


def _vanished(entries: Entries, shown: Entries) -> Array:
    """Whether an object is looked for on the frame after its last mask, which was not small."""
    out = np.zeros(len(shown.row), bool)
    edges = np.flatnonzero(np.diff(shown.row, prepend=-1, append=-1))
    for start, end in pairwise(edges):
        row, last = shown.row[start], shown.frame[end - 1]
        begin, stop = np.searchsorted(entries.row, [row, row + 1])
        followed = last + 1 in entries.frame[begin:stop]
        large = 2 * shown.area[end - 1] >= np.median(shown.area[start:end])
        out[end - 1] = followed and large
    return out


def doubts(
    entries: Entries, shown: Entries, changed: Changes, shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Add up all that is doubtful, (N, T)."""
    doubt = np.zeros(shape, np.float32)
    unsure = np.where(shown.score < SURE, 1 - shown.score, 0)
    unsure += np.where(changed.ratio > AREA_FACTOR, 1 - 1 / changed.ratio, 0)
    unsure += np.where(changed.way > 1, 1 - 0.5 / np.maximum(changed.way, 1), 0)
    doubt[shown.row, shown.frame] = unsure
    unclear = np.abs(entries.object_score) < UNCLEAR
    doubt[entries.row[unclear], entries.frame[unclear]] += 0.5
    gaps = np.flatnonzero(changed.gap)
    length = changed.gap[gaps]
    doubt[shown.row[gaps], shown.frame[gaps] - length] += 1 - 1 / (1 + length)
    lost = changed.vanished
    doubt[shown.row[lost], shown.frame[lost] + 1] += 0.5
    return doubt
