"""Following objects through the current image, and the frames on screen meanwhile. No Qt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_sam2.tracking.following.passes import results_of
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.history import unfinished
from napari_sam2.tracking.kept.steps import Propagate, Step
from napari_sam2.widgets.ids import HIGHEST
from napari_sam2.widgets.session.record import Record
from napari_sam2.widgets.session.runs import Finding, Run, Way, Wish, planned, summary, total_of
from napari_sam2.widgets.verbs.acting import act_long

if TYPE_CHECKING:
    from napari_sam2.widgets.workbench import Workbench


_REST = 4  # drawing a volume may take a fifth of the time


class Pulse:
    """Tells when to draw what is slow to draw; asked regularly, by a timer."""

    def __init__(self) -> None:
        self._wanted = False
        self._began: float | None = None
        self._next = 0.0

    def due(self, wanted: bool) -> bool:
        """Whether to draw now.

        Parameters
        ----------
        wanted
            Whether there is something new since the last call.
        """
        now = time.monotonic()
        if self._began is not None:  # the window was drawn since: that took until now
            self._next, self._began = now + _REST * (now - self._began), None
        self._wanted |= wanted
        if not self._wanted or now < self._next:
            return False
        self._wanted, self._began = False, now
        return True


class Looking(NamedTuple):
    """How cells are looked for: every so many frames (0: never), of which diameter, if known."""

    every: int
    diameter: float | None


class Following:
    """Propagates, and moves the slider along with what is done.

    Parameters
    ----------
    bench
        Has the layers and the session.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.on_screen = True
        """Whether frames are shown as they are done."""
        self.only_stale = False
        """Whether only objects are followed that are new or have changed since they were."""
        self.frame_range: tuple[int | None, int | None] = (None, None)
        """First frame to follow objects to, and the one after the last; None: the ends."""
        self.looking = Looking(0, None)
        """How new cells are looked for while all objects are followed."""
        self.finding = False
        """Whether objects are being found that take the next free ids."""
        self._origin = 0
        self._followed: int | None = None
        self._volume = Pulse()
        bench.controller.run_ended.connect(self._on_run_ended)

    def propagate(
        self,
        direction: Way,
        object_ids: tuple[int, ...] | None = None,
        looking: Looking | None = None,
    ) -> None:
        """Follow objects, by default all, over the chosen frames; returns at once.

        Parameters
        ----------
        looking
            How new objects are found on the way; by default as chosen.
        """
        layers = self._bench.require_layers()
        if layers is None:
            return
        layers.read()
        wish = self.wish(direction, object_ids, looking)
        text = "Repairing …" if direction == "repair" else "Propagating …"
        self._begin(lambda session: planned(session, wish), wish.finding is not None, text)

    @property
    def left(self) -> Propagate | None:
        """What is left of the last propagation, where it was cancelled and can go on."""
        record = self._bench.controller.record
        return None if record is None else unfinished(record.history.steps, record.layers.prompts)

    def progress(self, left: Propagate) -> tuple[int, int]:
        """Return how many frames were done of what can go on, and about how many there are."""
        layers = self._bench.layers
        length = 1 if layers is None else layers.geometry.length
        frames = range(length)[left.start : left.stop]
        every = left.every if isinstance(left, PropagateAndFind) else 0
        return left.after, max(results_of(len(frames), every), left.after + 1)

    def go_on(self) -> None:
        """Do what is left of a propagation that was cancelled; returns at once."""
        layers, left = self._bench.require_layers(), self.left
        if layers is None:
            return
        layers.read()
        if left is None:
            self._bench.status.emit("There is nothing to go on with; follow objects anew.", "info")
            return
        finding = isinstance(left, PropagateAndFind)
        self._begin(lambda session: (left, total_of(session, left) - left.after), finding)

    def _begin(
        self, plan: Callable[[Any], tuple[Step, int]], finding: bool, text: str = "Propagating …"
    ) -> None:
        """Do a step that the plan returns, of so many frames."""
        if finding:
            self._propagate_and_find(plan)
            return

        def work(record: Record, run: Run) -> None:
            session = record.history.session
            step, run.total = plan(session)
            run.consume(record.run(step))
            run.to_check = len(session.frames_to_check())

        if self._bench.controller.start(work, text, said=self._said):
            self.leave_from_here()

    def _said(self, run: Run) -> str:
        more = " 'Go on' does the rest." if run.cancelled.is_set() and self.left else ""
        return summary(run) + more

    def _propagate_and_find(self, plan: Callable[[Any], tuple[Step, int]]) -> None:
        """Follow all objects; those that are found on the way get prompts in the layers."""
        bench, record = self._bench, self._bench.controller.require_record()
        if record is None or bench.layers is None:
            return
        layers_of, before = bench.layers.state_of, set(bench.used_ids)

        def work(record: Record, run: Run) -> None:
            session = record.history.session
            step, run.total = plan(session)
            with session.checking(run.check):
                run.consume(record.run(step, layers_of=layers_of))
            run.to_check = len(session.frames_to_check())

        def said(run: Run) -> str:
            count = len(set(record.history.session.object_ids) - before)
            new = "1 new cell was" if count == 1 else f"{count or 'no'} new cells were"
            return f"{self._said(run)} {new[0].upper()}{new[1:]} found on the way."

        def after(_ended: bool) -> None:
            bench.show_layers(record.layers)

        if act_long(bench, work, "Propagating, and looking for new cells …", said, after):
            self.leave_from_here()
            self.finding = True

    def wish(
        self,
        direction: Way,
        object_ids: tuple[int, ...] | None = None,
        looking: Looking | None = None,
    ) -> Wish:
        """Return what `propagate` would be asked for."""
        only_stale, finding = self.only_stale and object_ids is None, None
        every, diameter = looking or self.looking
        if every and direction != "repair" and object_ids is None and not only_stale:
            first = max({*self._bench.used_ids, self._bench.object_id}) + 1
            finding = Finding(every, diameter, first, HIGHEST, self._in_time)
        return Wish(direction, object_ids, *self.frame_range, only_stale, finding)

    @property
    def _in_time(self) -> bool:
        """Whether the frames may be such that cells divide from one to another."""
        layers, source = self._bench.layers, self._bench.source
        return bool(layers and source and source.frame_axis(layers.geometry) == "T")

    def leave_from_here(self) -> None:
        """Come back to the frame on screen when the work that has just begun is over."""
        self._origin = self._followed = self._bench.frame_on_screen

    def refresh(self) -> None:
        """Show what was written since the last time, if it is on screen."""
        bench = self._bench
        if bench.layers is None:
            return
        run = bench.controller.run
        written = set() if run is None else run.take_written()
        here = bench.frame_on_screen
        if bench.space.deep:  # all frames are on screen, and drawing them may take long
            if self._volume.due(bool(written)):
                bench.layers.show_labels(thumbnail=False)
            written = set()
        if (
            run is not None
            and run.follow
            and self.on_screen
            and run.newest is not None
            and here == self._followed
        ):
            self._followed = run.newest
            if here != run.newest:  # moving the slider draws the labels anew
                bench.show_frame(run.newest)
                return
        if here in written:
            bench.layers.show_labels(thumbnail=False)

    def _on_run_ended(self) -> None:
        bench, self.finding = self._bench, False
        if bench.layers is None:
            return
        if self.on_screen and bench.frame_on_screen == self._followed:  # back to the prompts
            bench.show_frame(self._origin)
        bench.show_labels()
