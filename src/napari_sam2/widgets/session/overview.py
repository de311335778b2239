"""What is known of all objects over all frames: the numbers behind the panels. No Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.tracking.objects.examined import Examined
from napari_sam2.widgets.notes import Notes

if TYPE_CHECKING:
    from napari_sam2.tracking.results import Trace


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


class Overview(Examined):
    """All objects, with what the user noted on them; see `Examined`.

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
        ids = {*traces, *prompted, *others}
        settled = {i: {*prompted.get(i, ()), *notes.approved.get(i, ())} for i in ids}
        super().__init__(length, traces, settled, ids)
        self.prompted = self._marks(prompted)
        self.approved = self._marks(notes.approved)
        self._notes = notes
        self.parents = dict(parents or {})
        """The mother's id by the daughter's."""
        self.summaries = self._sum_up()
        """One for each object, by id."""

    def frames_at(self, place: int) -> str:
        """Name the frames at a place of `order`: "7", or "12–40"."""
        first, last = self.spans[place].tolist()
        return str(first) if first == last else f"{first}–{last}"

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
