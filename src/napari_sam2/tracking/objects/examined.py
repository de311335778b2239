"""All objects over all frames: what is known of them, and what of it should be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.objects.doubts import (
    AREA_FACTOR,
    UNCLEAR,
    DoubtfulStretches,
    Entries,
    changes,
    doubts,
)

if TYPE_CHECKING:
    from napari_sam2.tracking.results import Trace

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ToCheck:
    """Frames in a row of one object that should be looked at.

    Parameters
    ----------
    object_id : of the object.
    first, last, worst : frames.
    doubt : about the worst one, see `tracking/objects/doubts.py`; more is worse.
    reasons : why, in words.
    """

    object_id: int
    first: int
    last: int
    worst: int
    doubt: float
    reasons: str


class Examined:
    """N objects over T frames; complete once made, and not changed any more.

    Parameters
    ----------
    length
        T.
    traces
        By object id.
    settled
        Frames that a person has prompted or accepted, by object id: there is no doubt about them.
    others
        Objects of which nothing else is known.
    """

    def __init__(
        self,
        length: int,
        traces: Mapping[int, Trace],
        settled: Mapping[int, Iterable[int]],
        others: Iterable[int] = (),
    ) -> None:
        self.length = length
        self.ids = sorted({*traces, *others})
        self._row = {i: row for row, i in enumerate(self.ids)}
        self._fill(traces)
        done = self._marks(settled)
        self.doubt[done] = 0
        self.jump: Bools = ((self._ratio > AREA_FACTOR) | (self._way > 1)) & ~done
        found = DoubtfulStretches.of(self.doubt)
        self._places = found.place
        self.order = np.stack([np.array(self.ids, np.int64)[found.row], found.worst], axis=1)
        """(K, 2) object id and worst frame of each stretch of doubtful frames, worst first."""
        self.spans = np.stack([found.first, found.last], axis=1)
        """(K, 2) first and last frame of each."""

    def _fill(self, traces: Mapping[int, Trace]) -> None:
        shape = (len(self.ids), self.length)
        entries = Entries.of({self._row[i]: traces[i] for i in self.ids if i in traces})
        shown, changed = changes(entries)
        place, masks = (entries.row, entries.frame), (shown.row, shown.frame)
        self.known: Bools = np.zeros(shape, bool)
        """Whether the object was looked for."""
        self.score: Floats = np.zeros(shape, np.float32)
        self.area: Floats = np.zeros(shape, np.float32)
        """Data pixels; 0 where there is no mask."""
        self.unclear: Bools = np.zeros(shape, bool)
        """Whether the object may be there or not."""
        self.interpolated: Bools = np.zeros(shape, bool)
        """Whether the mask is no answer of the network, but lies between its neighbours."""
        self._ratio: Floats = np.ones(shape, np.float32)
        self._way: Floats = np.zeros(shape, np.float32)
        self.known[place] = True
        self.score[place] = entries.score
        self.area[place] = entries.area
        for i, trace in traces.items():
            self.interpolated[self._row[i], trace.frames] = trace.interpolated
        self.unclear[place] = np.abs(entries.object_score) < UNCLEAR
        self._ratio[masks], self._way[masks] = changed.ratio, changed.way
        self.covered: Bools = self.area > 0
        seen = np.maximum.accumulate(self.covered, axis=1)
        again = np.maximum.accumulate(self.covered[:, ::-1], axis=1)[:, ::-1]
        self.gap: Bools = self.known & ~self.covered & seen & again
        self.doubt = doubts(entries, shown, changed, shape)

    def _marks(self, frames: Mapping[int, Iterable[int]]) -> Bools:
        marks = np.zeros((len(self.ids), self.length), bool)
        for object_id, some in frames.items():
            if object_id in self._row:
                marks[self._row[object_id], [t for t in some if t < self.length]] = True
        return marks

    @property
    def to_check(self) -> list[ToCheck]:
        """All stretches of doubtful frames, worst first."""
        return [
            ToCheck(i, first, last, worst, self.doubt_at(i, worst), self.reasons_at(i, worst))
            for (i, worst), (first, last) in zip(
                self.order.tolist(), self.spans.tolist(), strict=True
            )
        ]

    def row_of(self, object_id: int) -> int | None:
        """Return the row of an object in the arrays."""
        return self._row.get(object_id)

    def place_of(self, object_id: int, frame: int) -> int | None:
        """Return where the stretch with an object on a frame stands in `order`."""
        row = self._row.get(object_id)
        if row is None or not 0 <= frame < self.length or self._places[row, frame] < 0:
            return None
        return int(self._places[row, frame])

    def doubt_at(self, object_id: int, frame: int) -> float:
        """Return the doubt about an object on a frame; 0 where there is none."""
        row = self._row.get(object_id)
        if row is None or not 0 <= frame < self.length:
            return 0.0
        return float(self.doubt[row, frame])

    def reasons_at(self, object_id: int, frame: int) -> str:
        """Say why an object on a frame is doubtful; "" where it is not."""
        if not self.doubt_at(object_id, frame):
            return ""
        return ", ".join(self._reasons(self._row[object_id], frame))

    def _reasons(self, row: int, frame: int) -> list[str]:
        covered = self.covered[row, frame]
        words = [f"{100 * self.score[row, frame]:.0f} % sure"] if covered else []
        if self.gap[row, frame] and self.covered[row, frame - 1]:
            count = int(self.covered[row, frame:].argmax())
            words.append("not found here" if count == 1 else f"not found on {count} frames")
        elif not covered and frame and self.covered[row, frame - 1]:
            words.append("not found from here on")
        if self.unclear[row, frame]:
            words.append("may be absent" if covered else "may be there")
        return words + self._jump_words(row, frame)

    def _jump_words(self, row: int, frame: int) -> list[str]:
        words = []
        if self._ratio[row, frame] > AREA_FACTOR:
            ratio, before = self._ratio[row, frame], self.area[row, :frame]
            fell = before[before > 0][-1] > self.area[row, frame]
            words.append(f"area fell to {100 / ratio:.0f} %" if fell else f"area x {ratio:.1f}")
        if self._way[row, frame] > 1:
            words.append(f"moved by {self._way[row, frame]:.1f} diameters")
        return words
