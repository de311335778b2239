"""Objects of the window by name: deleted, merged, locked, approved; mothers and daughters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.whole_numbers import whole_number

if TYPE_CHECKING:
    from napari_sam2.widgets.dock import MaskletsWidget
    from napari_sam2.widgets.layers.layer_adapters import StackGeometry
    from napari_sam2.widgets.layers.prompt_layers import PromptLayers
    from napari_sam2.widgets.verbs.object_editor import ObjectEditor

_CLOSED = (
    "the window was closed, and what was done is saved; attach to one that is open, with the same "
    "image, and restore it there"
)


class LiveObjects:
    """What is done to objects as a whole; see `LiveSession`.

    Parameters
    ----------
    widget
        The dock widget.
    """

    def __init__(self, widget: MaskletsWidget) -> None:
        self._widget = widget

    @property
    def widget(self) -> MaskletsWidget:
        """The dock widget; refused where it was closed, since nothing would ever answer."""
        if self._widget.closed:
            raise InputError(_CLOSED)
        return self._widget

    def __repr__(self) -> str:
        if self._widget.closed:
            return "LiveSession(closed)"
        bench = self.widget.workbench
        image = "no image" if bench.image is None else repr(bench.image.name)
        return f"LiveSession({image}, objects: {len(bench.used_ids)})"

    def delete(self, object_ids: int | Iterable[int]) -> None:
        """Delete an object, or several in one step, with their prompts and masks.

        Raises
        ------
        InputError
            If there is no such object.
        """
        with self._carried_out():
            self._editor.delete(self._known(object_ids))

    def lock(self, object_ids: int | Iterable[int], locked: bool = True) -> None:
        """Keep the masks of an object, or of several, as they are when objects are followed.

        Parameters
        ----------
        locked
            False: they are followed again.

        Raises
        ------
        InputError
            If there is no such object.
        """
        with self._carried_out():
            self._editor.lock(self._known(object_ids), locked)

    def merge(self, object_ids: Iterable[int]) -> int:
        """Make several objects one.

        Returns
        -------
        Its id, the lowest of theirs.

        Raises
        ------
        InputError
            If there is no such object, or only one is given.
        """
        ids = self._known(object_ids)
        if len(ids) < 2:
            raise InputError("give the ids of two objects or more to merge them")
        with self._carried_out():
            self._editor.merge(ids)
        return ids[0]

    def split(self, object_id: int, frame: int) -> int:
        """Make an object from a frame on a new object.

        Returns
        -------
        The id of the new object.

        Raises
        ------
        InputError
            If there is no such object or frame, or the object has no masks on one of the sides.
        """
        (known,) = self._known(object_id)
        bench = self.widget.workbench
        before = bench.used_ids
        self._go_to(frame)
        bench.set_object(known)
        with self._carried_out():
            self._editor.split()
        return min(bench.used_ids - before)

    def close_gaps(self, longest: int = 1) -> None:
        """Fill frames on which an object was lost between two masks of it, see `TrackingSession`.

        Parameters
        ----------
        longest
            Frames in a row; longer gaps stay.

        Raises
        ------
        InputError
            If `longest` is below 1.
        """
        with self._carried_out():
            self._editor.close_gaps(longest)

    def rename(self, object_id: int, name: str | None) -> None:
        """Give an object a name, for the table; an empty one, or None, takes it away.

        Raises
        ------
        InputError
            If there is no such object, or the name is no text.
        """
        (known,) = self._known(object_id)
        if not isinstance(name, str | None):
            raise InputError(f"a name is text, not {name!r}")
        self._editor.rename(known, name or "")

    def divide(self, object_id: int, frame: int, find: bool = False) -> tuple[int, int]:
        """Say that an object divides: it ends before a frame, where two daughters begin.

        Click on the daughters next, and `repair` follows them.

        Parameters
        ----------
        frame
            The first one with two cells.
        find
            Look for them, as the key D does; the upper one is the first. None may be found:
            `prompts` tells.

        Returns
        -------
        The ids of the daughters.

        Raises
        ------
        InputError
            If the object does not exist or cannot divide there; the message says why.
        """
        before, (mother,) = set(self.parents), self._known(object_id)
        self.widget.workbench.dividing.divide(mother, self._frame(frame), find)
        self.wait()
        daughters = sorted(set(self.parents) - before)
        if len(daughters) != 2:
            raise InputError(self.status)
        return daughters[0], daughters[1]

    def set_parent(self, object_id: int, parent: int | None) -> None:
        """Say whose daughter an object is; None: nobody's.

        Raises
        ------
        InputError
            If an object does not exist, or it cannot be; the message says why.
        """
        object_id, parent = self._id(object_id), None if parent is None else self._id(parent)
        self.widget.workbench.dividing.set_mother([object_id], parent)
        self.wait()
        if self.parents.get(object_id) != parent:
            raise InputError(self.status)

    @property
    def parents(self) -> dict[int, int]:
        """The mother's id by the daughter's."""
        return self.widget.workbench.dividing.parents

    def approve(self, object_id: int, frame: int) -> None:
        """Say that a mask is right: it becomes a prompt, which nothing overwrites.

        Raises
        ------
        InputError
            If there is no such mask.
        """
        object_id, frame = self._id(object_id), self._frame(frame)
        if not (self.masklets[self._geometry().index(frame)] == object_id).any():
            raise InputError(f"object {object_id} has no mask on frame {frame}")
        with self._carried_out():
            self.widget.workbench.prompting.approve(object_id, frame)

    def wait(self, seconds: float = 24 * 3600) -> None:
        """Process events until all work is done.

        Raises
        ------
        InputError
            If the window was closed meanwhile, which ends the work.
        """
        self.widget.wait(seconds)
        if self._widget.closed:
            raise InputError(_CLOSED)

    @property
    def masklets(self) -> Any:
        """The labels, an array of the shape of the image without channels."""
        return self._layers().labels.data

    @property
    def _editor(self) -> ObjectEditor:
        return self.widget.panels.editor

    def _known(self, object_ids: int | Iterable[int]) -> list[int]:
        """Return ids in rising order, each once; refuse those of no object."""
        given = object_ids if isinstance(object_ids, Iterable) else [object_ids]
        ids = sorted({self._id(i) for i in given})
        for i in ids:
            if i not in self.widget.workbench.used_ids:
                raise InputError(f"there is no object {i}")
        return ids

    @staticmethod
    def _id(object_id: object) -> int:
        return whole_number(object_id, "an object id")

    def _frame(self, frame: object) -> int:
        """Return a frame of the stack; refuse all else."""
        known, length = whole_number(frame, "a frame"), self._geometry().length
        if not 0 <= known < length:
            raise InputError(f"frame {known} does not exist; there are frames 0 to {length - 1}")
        return known

    @property
    def status(self) -> str:
        """What the window says."""
        return _CLOSED if self._widget.closed else str(self.widget.form.status.text())

    @contextmanager
    def _carried_out(self) -> Iterator[None]:
        """Wait for what is begun within, and raise what the window says was wrong with it."""
        wrong: list[str] = []

        def note(text: str, kind: str) -> None:
            if kind == "error":
                wrong.append(text)

        status = self.widget.workbench.status
        status.connect(note)
        try:
            yield
            self.wait()
        finally:
            status.disconnect(note)
        if wrong:
            raise InputError(wrong[-1])

    def _go_to(self, frame: int) -> None:
        """Show a frame."""
        self.widget.workbench.go_to_frame(self._frame(frame))

    def _layers(self) -> PromptLayers:
        layers = self.widget.workbench.layers
        if layers is None:
            raise InputError("choose an image first: attach(viewer, viewer.layers['name'])")
        return layers

    def _geometry(self) -> StackGeometry:
        return self._layers().geometry
