"""What can be done to objects as a whole: rename, lock, hide, merge, split. No Qt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari_sam2.tracking.steps import CloseGaps, LockObject, MergeObjects, SplitObject

if TYPE_CHECKING:
    from napari_sam2.widgets.workbench import Workbench


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

    def lock(self, object_id: int, locked: bool) -> None:
        """Protect an object's masks from propagation, or allow it to be followed again."""
        bench = self._bench
        if self._busy():
            return
        name = bench.notes.name(object_id)

        def done() -> None:
            (bench.notes.locked.add if locked else bench.notes.locked.discard)(object_id)
            bench.status.emit(
                f"{name} is locked: propagation leaves its masks as they are."
                if locked
                else f"{name} is followed again.",
                "info",
            )

        bench.edit(LockObject(object_id, locked), None, done)

    def show(self, object_ids: Iterable[int], visible: bool) -> None:
        """Show or hide objects in the Labels layer; their masks stay."""
        hidden = self._bench.notes.hidden
        (hidden.difference_update if visible else hidden.update)(object_ids)
        self._bench.changed.emit()

    def delete(self, object_ids: Iterable[int]) -> None:
        """Delete objects, their prompts and masks."""
        for object_id in object_ids:
            self._bench.delete_object(object_id)

    def merge(self, object_ids: Iterable[int]) -> None:
        """Give the masks and prompts of the objects with higher ids to that with the lowest."""
        kept, *others = sorted(object_ids)
        if not others:
            self._bench.status.emit("Select two rows with Ctrl or Shift to merge them.", "info")
        elif not self._busy():
            for absorbed in others:
                self._merge(kept, absorbed)

    def _merge(self, kept: int, absorbed: int) -> None:
        bench = self._bench

        def done() -> None:
            bench.notes.merged(kept, absorbed)
            bench.set_object(kept)
            bench.status.emit(
                f"Object {absorbed} is now part of {bench.notes.name(kept)}. Its prompts count "
                "for both from the next propagation on.",
                "done",
            )

        bench.edit(MergeObjects(kept, absorbed), (absorbed, kept, 0), done)

    def split(self) -> None:
        """Make the current object from the frame on screen on a new object."""
        bench = self._bench
        if bench.layers is None:
            bench.say_what_to_do()
            return
        if self._busy():
            return
        old, frame, new = bench.object_id, bench.frame_on_screen, max(bench.used_ids, default=0) + 1

        def done() -> None:
            bench.notes.split(old, frame, new)
            bench.set_object(new)
            bench.status.emit(
                f"{bench.notes.name(old)} ends before frame {frame}; from there on it is object "
                f"{new}. Lock both to keep a propagation from following the first further.",
                "done",
            )

        bench.edit(SplitObject(old, frame, new), (old, new, frame), done)

    def close_gaps(self) -> None:
        """Fill single frames on which an object was not found between two masks of it."""
        bench, session = self._bench, self._bench.controller.session
        if bench.layers is None or session is None:
            bench.say_what_to_do()
            return
        if self._busy():
            return
        step = CloseGaps()
        count = sum(len(frames) for frames in session.gaps(step.longest).values())
        if not count:
            bench.status.emit("No object is missing on a single frame between two masks.", "info")
            return

        def done() -> None:
            bench.status.emit(
                f"{'1 frame was' if count == 1 else f'{count} frames were'} filled in between the "
                "masks on either side. Ctrl+Z takes that back.",
                "done",
            )

        bench.edit(step, None, done)

    def _busy(self) -> bool:
        if self._bench.controller.run is not None:
            self._bench.status.emit("Cancel the propagation first.", "error")
            self._bench.changed.emit()  # what was ticked is not so
        return self._bench.controller.run is not None
