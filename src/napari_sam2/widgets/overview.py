"""What is known of all objects over all frames: the numbers behind the panels. No Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_sam2.widgets.doubts import AREA_FACTOR, UNCLEAR, Entries, Stretches, changes, doubts
from napari_sam2.widgets.notes import Notes

if TYPE_CHECKING:
    from napari_sam2.tracking.results import Trace

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Summary:
    """One object in a row of the table.

    Parameters
    ----------
    object_id, name : which; the name is empty where the user gave none.
    covered, first, last : how many frames have masks, and which are the first and the last of
        them; None if there are none.
    lowest, lowest_frame : the lowest score and where, among frames that nobody has prompted or
        accepted, if there are such.
    prompted, gaps, jumps, interpolated, doubtful : numbers of frames; a gap counts once.
    locked, visible : as the user chose.
    mother, daughters : ids of objects, where a division was said.
    """

    object_id: int
    name: str
    covered: int
    first: int | None
    last: int | None
    lowest: float | None
    lowest_frame: int | None
    prompted: int
    gaps: int
    jumps: int
    interpolated: int
    doubtful: int
    locked: bool
    visible: bool
    mother: int | None = None
    daughters: tuple[int, ...] = ()


@dataclass(frozen=True)
class Doubt:
    """An object on a frame that should be looked at, and why in words."""

    object_id: int
    frame: int
    size: float
    reasons: str


class Overview:
    """All objects (N) over all frames (T); complete once made, and not changed any more.

    Parameters
    ----------
    length
        T.
    traces
        By object id.
    prompted
        Frames with prompts, by object id.
    notes
        Of the user; a copy.
    others
        Objects that are known for their masks or prompts in the layers only.
    parents
        The mother's id by the daughter's.
    """

    def __init__(
        self,
        length: int,
        traces: Mapping[int, Trace],
        prompted: Mapping[int, Iterable[int]],
        notes: Notes,
        others: Iterable[int] = (),
        parents: Mapping[int, int] | None = None,
    ) -> None:
        self.length = length
        self.ids = sorted({*traces, *prompted, *others})
        self._row = {i: row for row, i in enumerate(self.ids)}
        self._fill(traces)
        self.prompted = self._marks(prompted)
        self.approved = self._marks(notes.approved)
        settled = self.prompted | self.approved
        self.doubt[settled] = 0
        self.jump: Bools = ((self._ratio > AREA_FACTOR) | (self._way > 1)) & ~settled
        self._notes = notes
        self.parents = dict(parents or {})
        """The mother's id by the daughter's."""
        found = Stretches.of(self.doubt)
        self._places = found.place
        self.order = np.stack([np.array(self.ids, np.int64)[found.row], found.worst], axis=1)
        """(K, 2) object id and worst frame of each stretch of doubtful frames, worst first."""
        self.spans = np.stack([found.first, found.last], axis=1)
        """(K, 2) first and last frame of each."""
        self.summaries = self._sum_up()
        """One for each object, by id."""

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
        self.gap: Bools = ~self.covered & seen & again
        self.doubt = doubts(entries, shown, changed, shape)

    def _marks(self, frames: Mapping[int, Iterable[int]]) -> Bools:
        marks = np.zeros((len(self.ids), self.length), bool)
        for object_id, some in frames.items():
            if object_id in self._row:
                marks[self._row[object_id], [t for t in some if t < self.length]] = True
        return marks

    # --- doubts --------------------------------------------------------------------------

    def place_of(self, object_id: int, frame: int) -> int | None:
        """Return where the stretch with an object on a frame stands in `order`."""
        row = self._row.get(object_id)
        if row is None or not 0 <= frame < self.length or self._places[row, frame] < 0:
            return None
        return int(self._places[row, frame])

    def frames_at(self, place: int) -> str:
        """Name the frames at a place of `order`: "7", or "12–40"."""
        first, last = self.spans[place].tolist()
        return str(first) if first == last else f"{first}–{last}"

    def doubt_at(self, object_id: int, frame: int) -> Doubt | None:
        """Return the doubt about an object on a frame, if there is one."""
        row = self._row.get(object_id)
        if row is None or not 0 <= frame < self.length or not self.doubt[row, frame]:
            return None
        return Doubt(
            object_id, frame, float(self.doubt[row, frame]), ", ".join(self._reasons(row, frame))
        )

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

    # --- rows ----------------------------------------------------------------------------

    def row_of(self, object_id: int) -> int | None:
        """Return the row of an object in the arrays."""
        return self._row.get(object_id)

    def _sum_up(self) -> list[Summary]:
        if not self.ids or not self.length:
            return []
        covered = self.covered.sum(axis=1)
        first = self.covered.argmax(axis=1)
        last = self.length - 1 - self.covered[:, ::-1].argmax(axis=1)
        free = self.covered & ~(self.prompted | self.approved)
        candidates = np.where(free.any(axis=1, keepdims=True), free, self.covered)
        scores = np.where(candidates, self.score, np.inf)
        where = scores.argmin(axis=1)
        begins = self.gap & ~np.pad(self.gap[:, :-1], ((0, 0), (1, 0)))
        counts = [
            c.sum(axis=1).tolist()
            for c in (self.prompted, begins, self.jump, self.interpolated, self.doubt > 0)
        ]
        daughters: dict[int, list[int]] = {}
        for daughter, mother in sorted(self.parents.items()):
            daughters.setdefault(mother, []).append(daughter)
        return [
            Summary(
                object_id=i,
                name=self._notes.names.get(i, ""),
                covered=int(covered[n]),
                first=int(first[n]) if covered[n] else None,
                last=int(last[n]) if covered[n] else None,
                lowest=float(scores[n, where[n]]) if covered[n] else None,
                lowest_frame=int(where[n]) if covered[n] else None,
                prompted=counts[0][n],
                gaps=counts[1][n],
                jumps=counts[2][n],
                interpolated=counts[3][n],
                doubtful=counts[4][n],
                locked=i in self._notes.locked,
                visible=i not in self._notes.hidden,
                mother=self.parents.get(i),
                daughters=tuple(daughters.get(i, ())),
            )
            for n, i in enumerate(self.ids)
        ]

    def describe(self, object_id: int, frame: int) -> str:
        """Say all that is known of an object on a frame, for a tooltip."""
        row = self._row.get(object_id)
        if row is None or not 0 <= frame < self.length:
            return ""
        head = f"{self._notes.name(object_id)}, frame {frame}"
        if not self.covered[row, frame]:
            words = ["not found"] if self.known[row, frame] else ["not looked for yet"]
            words += ["gap"] if self.gap[row, frame] else []
        else:
            words = [
                f"{100 * self.score[row, frame]:.0f} % sure",
                f"{self.area[row, frame]:.0f} px",
                *self._jump_words(row, frame),
            ]
        words += ["interpolated"] if self.interpolated[row, frame] else []
        words += ["prompted"] if self.prompted[row, frame] else []
        words += ["accepted"] if self.approved[row, frame] else []
        return f"{head}: {', '.join(words)}"


EMPTY = Overview(0, {}, {}, Notes())
