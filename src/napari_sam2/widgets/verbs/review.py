"""Looking through what was found: the overview kept up to date, doubts one by one. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

from psygnal import Signal

from napari_sam2.widgets.canvas.in_view import bring_into_view
from napari_sam2.widgets.session.overview import EMPTY, Overview

if TYPE_CHECKING:
    from napari_sam2.widgets.layers.prompt_layers import PromptLayers
    from napari_sam2.widgets.workbench import Workbench

Compute = Callable[[Callable[[], Any], Callable[[Any], None]], None]
"""Runs a function elsewhere, then another one with its result here; newer calls replace older."""


class Review:
    """What is doubtful in the results of a workbench, and the way through it.

    Parameters
    ----------
    bench
        Has the results.
    compute
        The overview of many objects takes longer than the window may stand still.
    """

    changed = Signal()
    """There is a new overview."""

    def __init__(self, bench: Workbench, compute: Compute) -> None:
        self._bench = bench
        self._compute = compute
        self._found: Overview = EMPTY
        self._of: Callable[[], PromptLayers | None] = lambda: None
        self._place = 0

    @property
    def overview(self) -> Overview:
        """What is known of the objects; nothing, until the first one of an image is there."""
        return self._found if self._of() is self._bench.layers else EMPTY

    def refresh(self) -> None:
        """Make the overview anew; `changed` tells when it is there."""
        bench, session, notes = self._bench, self._bench.controller.session, self._bench.notes
        layers = bench.layers
        if layers is None:
            self._show(EMPTY)
            return
        length, others, prompts = layers.geometry.length, bench.used_ids, layers.prompts
        frozen = notes.copy()

        def job() -> Overview:
            traces = {} if session is None else session.traces()
            parents = {} if session is None else session.parents
            return Overview(length, traces, prompts, frozen, others, parents)

        self._compute(job, lambda found: self._show(found) if layers is bench.layers else None)

    def _show(self, overview: Overview) -> None:
        layers = self._bench.layers
        self._of = (lambda: None) if layers is None else ref(layers)
        self._found = overview
        self.changed.emit()

    def go_to(self, object_id: int, frame: int | None = None) -> None:
        """Make an object the current one and show a frame, and the object if it is there."""
        self._bench.set_object(object_id)
        if frame is not None:
            self._bench.go_to_frame(frame)
        bring_into_view(self._bench)

    def visit(self, place: int) -> None:
        """Show what is at a place of the list of doubts, and say why."""
        object_id, frame = (int(n) for n in self.overview.order[place])
        self._place = place
        self.go_to(object_id, frame)
        reasons = self.overview.reasons_at(object_id, frame)
        name, frames = self._bench.notes.name(object_id), self.overview.frames_at(place)
        where = f"frame {frame}"
        if frames != str(frame):
            where = f"frames {frames}, of which {frame} is the worst"
        self._bench.status.emit(f"{name}, {where}: {reasons}.", "info")

    @property
    def place(self) -> int | None:
        """Where the current object on the frame on screen stands in the list of doubts."""
        if self._bench.layers is None or not len(self.overview.order):
            return None
        return self.overview.place_of(self._bench.object_id, self._bench.frame_on_screen)

    def step(self, way: int) -> None:
        """Go to the next (1) or previous (-1) doubt in the list, worst first."""
        here, order = self.place, self.overview.order
        place = here + way if here is not None else self._place - (way < 0)
        while 0 <= place < len(order) and self._accepted(*order[place]):
            place += way
        if 0 <= place < len(order):
            self.visit(place)
        elif not len(order):
            self._bench.status.emit("There are no frames to check.", "info")
        else:
            end = "last one: all other frames look fine" if way > 0 else "first one, the worst"
            self._bench.status.emit(f"That was the {end}.", "info")

    def _accepted(self, object_id: int, frame: int) -> bool:
        return int(frame) in self._bench.notes.approved.get(int(object_id), ())

    def accept(self) -> None:
        """Accept the current object's mask on the frame on screen, or take that back.

        An accepted mask is a prompt: nothing overwrites it, and repair starts from it.
        """
        bench, layers = self._bench, self._bench.require_plane()
        if layers is None:
            return
        object_id, frame = bench.object_id, bench.frame_on_screen
        name = f"{bench.notes.name(object_id)}, frame {frame}"
        row = self.overview.row_of(object_id)
        if row is None or not self.overview.known[row, frame]:
            bench.status.emit(f"{name}: nothing is known there yet.", "info")
            return
        prompt = layers.prompts.get(object_id, {}).get(frame)
        if bench.notes.toggle_approved(object_id, frame):
            if prompt is None and self.overview.covered[row, frame]:
                bench.prompting.approve(object_id, frame)
            else:
                bench.status.emit(f"{name} is accepted. J goes to the next frame to check.", "done")
        else:
            if prompt is not None and prompt.painted is not None:
                bench.notes.withdraw(object_id, frame, prompt)
                bench.prompting.unsay(object_id, frame)
            bench.status.emit(f"{name} is not accepted any more.", "info")
        bench.changed.emit()
        bench.controller.save()
