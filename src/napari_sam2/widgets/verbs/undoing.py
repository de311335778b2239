"""Going back and forth through what was done in the window. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_sam2.tracking.kept.lineage_steps import Divide
from napari_sam2.tracking.kept.steps import SplitObject
from napari_sam2.widgets.session.record import Undone
from napari_sam2.widgets.verbs.acting import act

if TYPE_CHECKING:
    from napari_sam2.widgets.workbench import Workbench


class Undoing:
    """Takes steps back and does them again, in the session, the labels and the layers alike.

    Parameters
    ----------
    bench
        Has them.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def undo(self) -> None:
        """Take back what was done last: a prompt, a stroke, a deletion, a propagation."""
        self._turn("undo")

    def redo(self) -> None:
        """Do again what was undone last, without computing it again."""
        self._turn("redo")

    def _turn(self, way: Literal["undo", "redo"]) -> None:
        bench, controller = self._bench, self._bench.controller
        layers = bench.require_layers()
        if layers is None:
            return
        if layers.drop_drawing():
            bench.status.emit("The unfinished shape was discarded; nothing else changed.", "info")
            return
        layers.read()
        if controller.run is not None:
            bench.status.emit("Cancel the propagation first.", "error")
            return
        record = controller.record
        if record is None:
            bench.status.emit(controller.obstacle or "There is nothing to undo.", "info")
            return
        ids = bench.used_ids

        def done(undone: Undone | None) -> None:
            if undone is None:
                bench.status.emit(f"There is nothing to {way}.", "info")
                return
            before = layers.prompts
            if way == "undo":
                bench.notes.undone(undone.notes)
            else:
                bench.notes.done(undone.step, undone.notes)
            bench.show_layers(undone.layers)
            bench.notes.follow(before, layers.prompts)
            if way == "undo":
                bench.notes.unmade(ids - bench.used_ids)
            else:
                bench.notes.made_again(bench.used_ids - ids)
            if isinstance(undone.step, Divide):  # on with the one that is there now
                mother, (daughter, _) = undone.step.object_id, undone.step.daughters
                bench.set_object(mother if way == "undo" else daughter)
            step, gone = undone.step, way == "undo"
            if gone and isinstance(step, SplitObject) and bench.object_id == step.new_id:
                bench.set_object(step.object_id)
            word = "Undone" if way == "undo" else "Done again"
            bench.status.emit(f"{word}: {undone.step.describe()}.", "done")
            bench.changed.emit()
            controller.save()

        act(bench, record.undo if way == "undo" else record.redo, done)
