"""What can be done to objects as a whole: rename, lock, hide, merge, split. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from napari_sam2.tracking.kept.steps import (
    CloseGaps,
    LockObject,
    MergeObjects,
    RemoveObject,
    SplitObject,
    Step,
)
from napari_sam2.tracking.prompt import Prompts
from napari_sam2.widgets.notes import Noted
from napari_sam2.widgets.verbs.acting import act
from napari_sam2.widgets.words import COMMAND

if TYPE_CHECKING:
    from napari_sam2.widgets.session.record import Record
    from napari_sam2.widgets.workbench import Workbench

T = TypeVar("T")
LayersOf = Callable[[Prompts], Any]


class ObjectEditor:
    """Changes objects in the session, the layers and the notes alike.

    Parameters
    ----------
    bench
        Joins them.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def rename(self, object_id: int, name: str) -> None:
        """Give an object a name; an empty one takes it away."""
        names = self._bench.notes.names
        names.pop(object_id, None)
        if name.strip():
            names[object_id] = name.strip()
        self._bench.changed.emit()
        self._bench.controller.save()

    def lock(self, object_ids: Iterable[int], locked: bool) -> None:
        """Protect masks of objects from propagation, or allow these to be followed again."""
        ids, bench = [*object_ids], self._bench
        if self._busy() or not ids:
            return
        one = len(ids) == 1
        who = f"{bench.notes.name(ids[0])} is" if one else f"{len(ids)} objects are"
        its = "its" if one else "their"

        def done() -> None:
            noted = bench.notes.locked
            (noted.update if locked else noted.difference_update)(ids)
            bench.status.emit(
                f"{who} locked: propagation leaves {its} masks as they are."
                if locked
                else f"{who} followed again.",
                "info",
            )

        self._change(LockObject(ids[0], locked, tuple(ids[1:]) or None), None, done)

    def show(self, object_ids: Iterable[int], visible: bool) -> None:
        """Show or hide objects in the Labels layer; their masks stay."""
        hidden = self._bench.notes.hidden
        (hidden.difference_update if visible else hidden.update)(object_ids)
        self._bench.changed.emit()
        self._bench.controller.save()

    def delete(self, object_ids: Iterable[int]) -> None:
        """Delete objects, their prompts and masks; one step to undo."""
        ids, bench, writer = [*object_ids], self._bench, self._bench.writer
        if self._busy() or not ids:
            return
        step, kept = RemoveObject(ids[0], tuple(ids[1:]) or None), dict[int, Noted]()

        def job(record: Record, layers_of: LayersOf) -> None:
            _run(record, step, layers_of, kept)
            if writer is not None:
                writer.erase(ids)

        def done(_: None) -> None:
            bench.notes.done(step, kept)
            what = f"Object {ids[0]} was" if len(ids) == 1 else f"{len(ids)} objects were"
            bench.status.emit(f"{what} deleted.", "done")

        self._do(job, done)

    def merge(self, object_ids: Iterable[int]) -> None:
        """Give the masks and prompts of the objects with higher ids to that with the lowest."""
        kept, *others = sorted(object_ids)
        if not others:
            self._bench.status.emit(
                f"Select two rows with {COMMAND} or Shift to merge them.", "info"
            )
        elif not self._busy():
            self._merge(kept, *others)

    def _merge(self, kept: int, *absorbed: int) -> None:
        bench = self._bench

        def done() -> None:
            bench.set_object(kept)
            one = len(absorbed) == 1
            who = f"Object {absorbed[0]} is" if one else f"{len(absorbed)} objects are"
            bench.status.emit(
                f"{who} now part of {bench.notes.name(kept)}. The prompts count for all of it "
                "from the next propagation on.",
                "done",
            )

        step = MergeObjects(kept, absorbed[0], absorbed[1:] or None)
        self._change(step, (absorbed, kept, 0), done)

    def split(self) -> None:
        """Make the current object from the frame on screen on a new object."""
        bench = self._bench
        if bench.require_plane() is None or self._busy():
            return
        old, frame, new = bench.object_id, bench.frame_on_screen, bench.free_ids()
        if new is None:
            return

        def done() -> None:
            bench.set_object(new)
            bench.status.emit(
                f"{bench.notes.name(old)} ends before frame {frame}; from there on it is object "
                f"{new}. Lock both to keep a propagation from following the first further.",
                "done",
            )

        self._change(SplitObject(old, frame, new), ([old], new, frame), done)

    def close_gaps(self, longest: int = 1) -> None:
        """Fill up to so many frames on which an object was not found between two masks of it."""
        if self._busy():
            return
        step = CloseGaps(longest)
        frames = "a single frame" if longest == 1 else f"{longest} frames or fewer"

        def job(record: Record, layers_of: LayersOf) -> int:
            def missing() -> int:
                found = record.history.session.gaps(step.longest)
                return sum(len(frames) for frames in found.values())

            before = missing()
            if before:  # else there is nothing to undo
                _run(record, step, layers_of)
            return before - missing()  # between shapes unlike each other nothing is found

        def done(count: int) -> None:
            self._bench.status.emit(
                f"{'1 mask was' if count == 1 else f'{count} masks were'} filled in between the "
                f"masks on either side. {COMMAND}+Z takes that back."
                if count
                else f"No object is missing on {frames} between two masks.",
                "done" if count else "info",
            )

        self._do(job, done)

    def _change(
        self,
        step: Step,
        relabel: tuple[Collection[int], int, int] | None,
        then: Callable[[], None],
    ) -> None:
        """Do a step, follow it in the notes, then tell what it changed.

        Parameters
        ----------
        relabel
            (old, new, first frame): what else has an old label gets the new one.
        """
        writer, notes, kept = self._bench.writer, self._bench.notes, dict[int, Noted]()

        def job(record: Record, layers_of: LayersOf) -> None:
            _run(record, step, layers_of, kept)
            if writer is not None and relabel is not None:
                writer.relabel(*relabel)

        def done(_: None) -> None:
            notes.done(step, kept)
            then()

        self._do(job, done)

    def _do(self, job: Callable[[Record, LayersOf], T], then: Callable[[T], None]) -> None:
        """Do a job on the worker's thread, then show the layers and tell how it went."""
        bench, controller = self._bench, self._bench.controller
        layers = bench.require_layers()
        if layers is None:
            return
        layers.read()
        record, layers_of = controller.require_record(), layers.state_of
        if record is None:
            return

        def done(result: T) -> None:
            bench.show_layers(record.layers)
            then(result)
            bench.changed.emit()
            controller.save()

        act(bench, lambda: job(record, layers_of), done)

    def _busy(self) -> bool:
        if self._bench.controller.run is not None:
            self._bench.status.emit("Cancel the propagation first.", "error")
            self._bench.changed.emit()  # what was ticked is not so
        return self._bench.controller.run is not None


def _run(
    record: Record, step: Step, layers_of: LayersOf, notes: dict[int, Noted] | None = None
) -> None:
    for _ in record.run(step, layers_of=layers_of, notes=notes):
        pass
