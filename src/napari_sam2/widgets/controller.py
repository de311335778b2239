"""Between a tracking session and the layers: what happens when. No Qt widgets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from psygnal import Signal

from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.tracking.session_file import SessionFile
from napari_sam2.tracking.steps import AddPrompts, AdoptMasks, RemoveObject, SetPrompt, Step
from napari_sam2.widgets.exporting import Export
from napari_sam2.widgets.opening import Cancelled, SessionFactory, SessionOpener, SessionRequest
from napari_sam2.widgets.record import LayerChange, Record, Undone
from napari_sam2.widgets.results import ResultWriter
from napari_sam2.widgets.runs import Run, Wish, planned
from napari_sam2.widgets.saving import Found, SessionKeeper
from napari_sam2.widgets.words import in_words
from napari_sam2.widgets.worker import Worker

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_sam2.tracking.everything import Found as Everything
    from napari_sam2.tracking.views import View


@dataclass(frozen=True)
class _Opened:
    record: Record
    keeper: SessionKeeper
    found: Found | None


class Controller:
    """Turns prompts into previews and propagations into masklets, on the worker's thread.

    Parameters
    ----------
    worker
        Every call of the session runs there.
    session_factory
        Makes a session; by default the real one.
    """

    status = Signal(str, str)
    """A sentence for the user and its kind: info, busy, done or error."""
    changed = Signal()
    """What can be done now has changed."""
    opened = Signal()
    """A session is open."""
    preview_shown = Signal(int, int)
    """Object id and frame (-1: all) whose mask was written."""
    run_ended = Signal()
    """A propagation is over, in whatever way."""
    layers_changed = Signal(object)
    """The prompt layers shall be brought into this state, by undo say."""
    found = Signal(object)
    """The image was worked on before: `Found`."""

    def __init__(self, worker: Worker, session_factory: SessionFactory | None = None) -> None:
        self._worker = worker
        self._factory = session_factory or SessionOpener()
        self._writer: ResultWriter | None = None
        self._generation = 0
        self._record: Record | None = None
        self._keeper: SessionKeeper | None = None
        self._unsaved = False
        self.notes: Callable[[], dict[int, dict[str, Any]]] = dict
        """Returns names of objects and the like, for the session file."""
        self.session: Any = None
        self.opening = False
        self._obstacle = ""
        self.download: tuple[int, int | None] | None = None
        self.run: Run | None = None

    @property
    def ready(self) -> bool:
        """Whether a session is open."""
        return self.session is not None

    # --- opening -------------------------------------------------------------------------

    def open(
        self,
        request: SessionRequest,
        writer: ResultWriter,
        prompts: Prompts,
        layers: Any = None,
        saved: Found | None = None,
    ) -> None:
        """Open a session; results go to `writer`; `prompts` made before are given to it.

        Parameters
        ----------
        layers
            The prompt layers as they are now, to come back to on undo.
        saved
            The session file that will be done again in it.
        """
        self.close()
        self._writer = writer
        self.opening = True
        self._obstacle = "The model is still loading; try again in a moment."
        self.status.emit(f"Loading the model {request.model} …", "busy")
        self.changed.emit()
        generation = self._generation

        def progress(have: int, total: int | None) -> None:
            if generation != self._generation:
                raise Cancelled
            self.download = (have, total)

        def job() -> _Opened:
            record = Record(self._factory(request, progress), writer, layers)
            keeper = SessionKeeper(record.history, request)
            if saved is not None:
                saved.content.check(record.history.session)
                keeper.path = saved.path
                return _Opened(record, keeper, None)
            if prompts:
                record.history.do(AddPrompts(prompts))
                record.history.settle()
                return _Opened(record, keeper, None)
            return _Opened(record, keeper, keeper.found())

        self._worker.submit(
            job,
            done=lambda opened: self._opened(opened, generation),
            failed=lambda error: self._open_failed(error, generation),
            key="open",
        )

    def _opened(self, opened: _Opened, generation: int) -> None:
        self.download = None
        if generation != self._generation:
            return
        self._record, self._keeper = opened.record, opened.keeper
        self.session, self.opening = opened.record.history.session, False
        self.changed.emit()
        self.opened.emit()
        if opened.found is not None:
            self.found.emit(opened.found)

    def _open_failed(self, error: Exception, generation: int) -> None:
        self.download = None
        if generation != self._generation:
            return
        self.opening = False
        self._obstacle = in_words(error)
        self.status.emit(self._obstacle, "error")
        self.changed.emit()

    def close(self) -> None:
        """Leave the session; what was written stays."""
        self._generation += 1
        self.opening, self.download = False, None
        self.cancel()
        if self.run is not None:
            self.run = None
            self.run_ended.emit()
        self.session = self._record = self._keeper = self._writer = None
        self.changed.emit()

    # --- prompts -------------------------------------------------------------------------

    def set_prompt(
        self,
        object_id: int,
        frame: int,
        prompt: Prompt | None,
        drawn: bool = False,
        change: LayerChange | None = None,
        text: str = "",
    ) -> None:
        """Say all that is said about an object on a frame; None takes it back.

        Parameters
        ----------
        drawn
            The mask stands in the labels already, pixel by pixel, and is not to be replaced.
        change
            What was done in the layers for it.
        text
            What to say when it is done; by default how sure the answer is.
        """
        generation = self._generation
        if self._writer is None:
            return
        if self.session is None and not self.opening:
            self.status.emit(self._obstacle, "error")
            return
        if self.run is not None:
            self.status.emit("The prompt is answered when the propagation ends.", "busy")
        elif prompt is not None:
            self.status.emit(f"Object {object_id}, frame {frame}: looking …", "busy")

        def job() -> str | None:
            if generation != self._generation or self._record is None:
                return None
            return self._record.prompt(SetPrompt(object_id, frame, prompt), change, drawn)

        def done(answer: str | None) -> None:
            if generation != self._generation or answer is None:
                return
            if not drawn:
                self.preview_shown.emit(object_id, frame)
            self.status.emit(text or answer, "done")
            self.changed.emit()
            self.save()

        def failed(error: Exception) -> None:
            if generation == self._generation:
                self._show_layers()  # the session knows nothing of it, so nor may they
                self.tell(error)

        self._worker.submit(job, done=done, failed=failed, key=(generation, object_id, frame))

    def add_prompts(self, prompts: Prompts, change: LayerChange | None = None) -> None:
        """Answer the prompts of many objects at once, as one step."""
        count = len(prompts)

        def work(record: Record, run: Run) -> None:
            run.total, run.follow = len({t for some in prompts.values() for t in some}), False
            run.consume(record.run(AddPrompts(prompts), change))

        def said(run: Run) -> str:
            objects = "1 object is" if count == 1 else f"{count} objects are"
            return f"{objects} new. G follows them; Ctrl+Z takes them back."

        self._start(work, f"Looking at {count} objects …", said=said)

    def adopt(
        self,
        masks: Callable[[], dict[int, dict[int, Any]]],
        layers_of: Callable[[Prompts], Any],
    ) -> None:
        """Make objects of masks that another program found; `masks` runs on the worker's thread."""

        def work(record: Record, run: Run) -> None:
            run.follow = False
            run.consume(record.run(AdoptMasks(masks()), layers_of=layers_of))

        def said(run: Run) -> str:
            if run.cancelled.is_set():
                return "The import was cancelled; nothing was changed."
            return "Imported. J goes to frames to check; a click corrects, H repairs around it."

        self._start(work, "Importing …", said=said, after=lambda _: self._show_layers())

    def remove_object(self, object_id: int, change: LayerChange | None = None) -> None:
        """Forget an object and erase it from every frame."""
        record, writer = self._record, self._writer
        if writer is None:
            return

        def job() -> None:
            if record is not None:
                for _ in record.run(RemoveObject(object_id), change):
                    pass
            writer.erase(object_id)

        def done(_: None) -> None:
            self.preview_shown.emit(object_id, -1)
            self.status.emit(f"Object {object_id} was deleted.", "done")
            self.changed.emit()
            self.save()

        self._worker.submit(job, done=done, failed=self.tell)

    def edit(
        self,
        step: Step,
        layers_of: Callable[[Prompts], Any],
        relabel: tuple[int, int, int] | None,
        done: Callable[[], None],
    ) -> None:
        """Merge, split or lock objects, then call `done`.

        Parameters
        ----------
        layers_of
            Makes the prompt layers from prompts; runs on the worker's thread.
        relabel
            (old, new, first frame): what else has the old label gets the new one.
        """
        record, writer, generation = self._record, self._writer, self._generation
        if record is None or writer is None:
            self.status.emit(self._obstacle or "Choose an image first.", "error")
            return

        def job() -> None:
            for _ in record.run(step, layers_of=layers_of):
                pass
            if relabel is not None:
                writer.relabel(*relabel)

        def finish(_: None) -> None:
            if generation == self._generation:
                self.layers_changed.emit(record.layers)
                done()
                self.changed.emit()
                self.save()

        self._worker.submit(job, done=finish, failed=self.tell)

    # --- undo ----------------------------------------------------------------------------

    def undo(self) -> None:
        """Take back what was done last: a prompt, a deletion, a propagation."""
        self._turn("undo")

    def redo(self) -> None:
        """Do again what was undone last, without computing it again."""
        self._turn("redo")

    def _turn(self, way: Literal["undo", "redo"]) -> None:
        if self.run is not None:
            self.status.emit("Cancel the propagation first.", "error")
            return
        record, generation = self._record, self._generation
        if record is None:
            self.status.emit(self._obstacle or "There is nothing to undo.", "info")
            return

        def done(undone: Undone | None) -> None:
            if generation != self._generation:
                return
            if undone is None:
                self.status.emit(f"There is nothing to {way}.", "info")
                return
            self.layers_changed.emit(undone.layers)
            word = "Undone" if way == "undo" else "Done again"
            self.status.emit(f"{word}: {undone.text}.", "done")
            self.changed.emit()
            self.save()

        self._worker.submit(getattr(record, way), done=done, failed=self.tell)

    # --- propagation ---------------------------------------------------------------------

    def propagate(self, wish: Wish) -> None:
        """Follow objects through the stack; frames are written as they are done."""

        def work(record: Record, run: Run) -> None:
            step, run.total = planned(record.history.session, wish)
            run.consume(record.run(step))

        self._start(work, "Propagating …")

    def restore(self, content: SessionFile, layers_of: Callable[[Prompts], Any]) -> None:
        """Do all steps of a saved session again.

        Parameters
        ----------
        layers_of
            Makes the prompt layers from prompts; runs on the worker's thread.
        """

        def work(record: Record, run: Run) -> None:
            run.total, run.follow = content.cost(), False
            for step in content.steps:
                run.consume(record.run(step, layers_of=layers_of))
                if run.cancelled.is_set():
                    break

        self._start(work, "Restoring what was done …", after=lambda _: self._show_layers())

    def find_all(
        self, frame: int, taken: npt.NDArray[Any], found: Callable[[Everything], None]
    ) -> None:
        """Look for all cells of a frame that are not taken, then call `found`; changes nothing.

        Parameters
        ----------
        taken
            (Y, X), nonzero where objects are already.
        """
        last: list[Everything] = []

        def work(record: Record, run: Run) -> None:
            run.follow = False
            for now in record.history.session.segment_everything(frame, taken=taken):
                last[:] = [now]
                run.done, run.total = now.done, now.total
                if run.cancelled.is_set():
                    raise Cancelled

        def said(run: Run) -> str:
            return "The search was cancelled." if run.cancelled.is_set() else "Found."

        def after(ended: bool) -> None:
            if ended:
                found(last[0])

        self._start(work, "Looking for all cells of this frame …", said=said, after=after)

    def view(self, object_id: int, frame: int, show: Callable[[View], None]) -> None:
        """Get what the network sees of an object on a frame, then `show` it."""
        record, generation = self._record, self._generation
        if record is None:
            self.status.emit(self._obstacle or "Choose an image first.", "error")
            return

        def done(view: View) -> None:
            if generation == self._generation:
                show(view)

        session = record.history.session
        self._worker.submit(
            lambda: session.view(object_id, frame), done=done, failed=self.tell, key="view"
        )

    def export(self, export: Export) -> None:
        """Write the masklets to a file; cancelling leaves nothing behind."""

        def work(record: Record, run: Run) -> None:
            run.follow = False
            export.run(record.history.session, run)

        def said(run: Run) -> str:
            if run.cancelled.is_set():
                return "The export was cancelled; nothing was written."
            return f"Exported: {export.path}."

        self._start(work, f"Writing {export.path.name} …", said=said)

    def _show_layers(self) -> None:
        if self._record is not None:
            self.layers_changed.emit(self._record.layers)

    def _start(
        self,
        work: Callable[[Record, Run], None],
        text: str,
        said: Callable[[Run], str] | None = None,
        after: Callable[[bool], None] | None = None,
    ) -> None:
        """Begin long work on the worker's thread, if none is going on.

        `after` is told whether it came to its end.
        """
        if self.run is not None:
            return
        record, keeper = self._record, self._keeper
        if record is None or keeper is None:
            self.status.emit(self._obstacle or "Choose an image first.", "error")
            return
        run, notes = Run(), self.notes()
        self.run = run
        self.status.emit(text, "busy")
        self.changed.emit()

        def job() -> None:
            try:
                with suppress(Cancelled):
                    work(record, run)
            finally:
                with suppress(OSError):  # said by the saving below
                    keeper.keep(notes)  # here, because the window may be closing

        def over(error: Exception | None) -> None:
            mine = self.run is run
            self._run_over(run, error, said or _summary)
            if mine and after is not None:
                after(error is None and not run.cancelled.is_set())
            self.save()

        self._worker.submit(job, done=lambda _: over(None), failed=over)

    def _run_over(self, run: Run, error: Exception | None, said: Callable[[Run], str]) -> None:
        if self.run is not run:
            return
        self.run = None
        self.run_ended.emit()
        if error is not None:
            self.tell(error)
        else:
            self.status.emit(said(run), "info" if run.cancelled.is_set() else "done")
        self.changed.emit()

    def pause(self) -> None:
        """Let the propagation rest after the current frame, or go on."""
        run = self.run
        if run is None:
            return
        if run.paused.is_set():
            run.paused.clear()
            self.status.emit("Going on …", "busy")
        else:
            run.paused.set()
            self.status.emit("Paused after this frame; what is done is kept.", "info")
        self.changed.emit()

    def cancel(self) -> None:
        """End the propagation after the current frame, or the loading of a model."""
        if self.opening:
            self._generation += 1  # what comes is not wanted any more; a download ends
            self.opening, self.download = False, None
            self._obstacle = "Loading was cancelled. Choose a model to go on."
            self.status.emit(self._obstacle, "info")
            self.changed.emit()
        if self.run is not None and not self.run.cancelled.is_set():
            self.run.cancelled.set()
            self.status.emit("Cancelling after this frame …", "busy")

    # --- saving --------------------------------------------------------------------------

    def save(self, path: Path | None = None) -> None:
        """Write the session file, soon.

        Parameters
        ----------
        path
            From now on there; None: where it was, at first in the folder of saved sessions.
        """
        keeper, notes = self._keeper, self.notes()
        if keeper is None:
            return

        def job() -> None:
            if path is not None:
                keeper.path = path
            keeper.keep(notes)

        def done(_: None) -> None:
            self._unsaved = False
            if path is not None:
                self.status.emit(f"Saved: {path}.", "done")

        def failed(error: Exception) -> None:
            if path is not None or not self._unsaved:  # not with every click
                self.tell(error)
            self._unsaved = True

        self._worker.submit(job, done=done, failed=failed, key=("save", path))

    def tell(self, error: Exception) -> None:
        """Say an error in words."""
        self.status.emit(in_words(error), "error")


def _summary(run: Run) -> str:
    if run.cancelled.is_set():
        return f"Cancelled after {run.done} of {run.total} frames; what was done is kept."
    frames = "1 frame" if run.done == 1 else f"{run.done} frames"
    return f"Done: {frames}, {run.rate:.1f} per second."
