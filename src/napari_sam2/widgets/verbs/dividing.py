"""Divisions in the window: an object ends, its daughters begin; mothers said by hand. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from napari_sam2.layer_data import PARENTS_KEY
from napari_sam2.tracking.kept.lineage_steps import Divide, SetParents
from napari_sam2.tracking.kept.steps import Step
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.verbs.acting import act
from napari_sam2.widgets.words import COMMAND

if TYPE_CHECKING:
    from napari_sam2.widgets.layers.layer_change import LayerChange
    from napari_sam2.widgets.session.record import Record
    from napari_sam2.widgets.workbench import Workbench


class Dividing:
    """Says of the objects of a workbench who is whose daughter.

    Parameters
    ----------
    bench
        Has the layers and the session.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        bench.changed.connect(self._note)

    @property
    def parents(self) -> dict[int, int]:
        """The mother's id by the daughter's."""
        session = self._bench.controller.session
        return {} if session is None else dict(session.parents)

    @property
    def waiting(self) -> list[int]:
        """Daughters that nobody has shown yet."""
        session = self._bench.controller.session
        return [] if session is None else list(session.waiting_daughters)

    def divide(
        self, object_id: int | None = None, frame: int | None = None, find: bool = True
    ) -> None:
        """End an object, and make two daughters that begin there.

        Where they are not found, the next click shows one.

        Parameters
        ----------
        object_id
            The mother; by default the current object.
        frame
            The first with two cells; by default the one on screen.
        find
            Look for the daughters, if the model is fast.
        """
        bench = self._bench
        if self._ready() is None or bench.layers is None:
            return
        if frame is None and bench.require_plane() is None:
            return
        mother = bench.object_id if object_id is None else object_id
        at = bench.frame_on_screen if frame is None else frame
        bench.layers.when_free(lambda: self._divide(mother, at, find))

    def _divide(self, mother: int, frame: int, find: bool) -> None:
        bench, record = self._bench, self._bench.controller.record
        first = bench.free_ids(2)
        if record is None or bench.layers is None or first is None:
            return
        step = Divide(mother, frame, (first, first + 1))
        length = bench.layers.geometry.length
        if not 0 <= frame < length:
            there = f"there are frames 0 to {length - 1}"
            bench.status.emit(f"Frame {frame} does not exist; {there}.", "error")
            return

        def done() -> None:
            bench.set_object(first)
            bench.set_positive(True)
            if bench.tools.current is None:
                bench.tools.use("point")
            if found:
                self._show(mother, frame, dict(zip(step.daughters, found[0], strict=True)))
                return
            bench.status.emit(
                f"{bench.notes.name(mother)} ends before frame {frame}. Click on one of its "
                f"daughters, object {first}; then N, and click on the other one.",
                "done",
            )

        def look() -> None:
            session = record.history.session
            if find and session.answers_fast(frame):
                pair = session.find_daughters(mother, frame)
                found.extend([] if pair is None else [pair])

        found: list[tuple[Prompt, Prompt]] = []
        change = bench.layers.put({mother: {frame: Prompt(absent=True)}})
        self._run(record, step, change, done, look)

    def _show(self, mother: int, frame: int, daughters: Mapping[int, Prompt]) -> None:
        """Show the daughters that were found; a step of its own, which undo takes back first."""
        bench, (one, other) = self._bench, daughters
        text = (
            f"{bench.notes.name(mother)} ends before frame {frame}, and objects {one} and {other} "
            f"are its daughters. Wrong? Correct them, or {COMMAND}+Z and click. H follows them."
        )
        bench.prompting.add({i: {frame: prompt} for i, prompt in daughters.items()}, text)

    def set_mother(self, object_ids: Iterable[int], mother: int | None) -> None:
        """Say whose daughters objects are; None: nobody's."""
        bench, ids = self._bench, sorted(object_ids)
        record = self._ready()
        if record is None or not ids:
            return

        def done() -> None:
            names = " and ".join(bench.notes.name(i) for i in ids)
            one, many = ("is a daughter", "are daughters") if mother else ("has", "have")
            whose = f"of {bench.notes.name(mother)}" if mother else "no mother any more"
            bench.status.emit(f"{names} {one if len(ids) == 1 else many} {whose}.", "done")

        self._run(record, SetParents(dict.fromkeys(ids, mother)), None, done)

    def next_daughter(self) -> int | None:
        """Return the sister of the current object that is still to be shown, if there is one."""
        current, parents, waiting = self._bench.object_id, self.parents, self.waiting
        if current not in parents:
            return None
        # From one that waits itself only on, so that whoever goes on comes to a new object.
        after = current if current in waiting else 0
        sisters = (i for i in waiting if parents.get(i) == parents[current] and i != current)
        return next((i for i in sorted(sisters) if i > after), None)

    def _ready(self) -> Record | None:
        """Read the layers; returns the record, or tells why nothing can be done now."""
        bench, layers = self._bench, self._bench.require_layers()
        if layers is None:
            return None
        layers.read()
        if bench.controller.run is not None:
            bench.status.emit("Cancel the propagation first.", "error")
            return None
        return bench.controller.require_record()

    def _run(
        self,
        record: Record,
        step: Step,
        change: LayerChange | None,
        then: Callable[[], None],
        look: Callable[[], None] | None = None,
    ) -> None:
        """Do a step, and then what else needs the session (`look`) or the window (`then`)."""
        bench = self._bench

        def job() -> None:
            for _ in record.run(step, change):
                pass
            if look is not None:
                look()

        def done(_: None) -> None:
            bench.show_layers(record.layers)
            bench.controller.save()
            then()
            bench.changed.emit()

        def failed(error: Exception) -> None:
            bench.show_layers(record.layers)  # the session knows nothing of it
            bench.controller.tell(error)

        act(bench, job, done, failed)

    def _note(self) -> None:
        """Keep the lineage with the labels, for whoever saves them with napari's File menu."""
        if self._bench.layers is not None:
            self._bench.layers.labels.metadata[PARENTS_KEY] = self.parents
