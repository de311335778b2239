"""The session of an image, on the worker's thread: opening, short and long work, saving. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import ref

from psygnal import Signal

from napari_sam2.tracking.kept.pace import Pace
from napari_sam2.tracking.kept.steps import AddPrompts
from napari_sam2.tracking.prompt import Prompts
from napari_sam2.widgets.layers.results import ResultWriter
from napari_sam2.widgets.session.handing_on import HandedOn
from napari_sam2.widgets.session.opening import SessionFactory, SessionOpener, SessionRequest
from napari_sam2.widgets.session.record import Record
from napari_sam2.widgets.session.runs import Cancelled, Run, summary
from napari_sam2.widgets.session.saving import SavedSession, SessionKeeper
from napari_sam2.widgets.session.worker import Worker
from napari_sam2.widgets.words import in_words


@dataclass(frozen=True)
class _Opened:
    record: Record
    keeper: SessionKeeper
    found: SavedSession | None


class Controller:
    """Opens a session and runs everything that is done with it on the worker's thread.

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
    run_ended = Signal()
    """Long work is over, in whatever way."""
    found = Signal(object)
    """The image was worked on before: `SavedSession`."""

    def __init__(self, worker: Worker, session_factory: SessionFactory | None = None) -> None:
        self._worker = worker
        self._factory = session_factory or SessionOpener()
        self._generation = 0
        self.keeper: SessionKeeper | None = None
        """Writes the session to disk, while one is open."""
        self._unsaved = False
        self.notes: Callable[[], dict[int, dict[str, Any]]] = dict
        """Returns names of objects and the like, for the session file."""
        self.record: Record | None = None
        """What was done in the session, while one is open."""
        self._made: tuple[int, Record] | None = None
        self._handed_on = HandedOn()  # where no model could be loaded, from the session before
        self.opening = False
        self.left_behind = 0
        """Objects whose imported masks the session does not know, as it was opened anew."""
        self.obstacle = ""
        """Why there is no session, in words; "" where none was asked for."""
        self.download: tuple[int, int | None] | None = None
        self.run: Run | None = None

    @property
    def session(self) -> Any:
        """The session, or None while there is none."""
        return None if self.record is None else self.record.history.session

    @property
    def newest(self) -> Record | None:
        """As `record`, for the worker's thread: it comes to what was clicked while the model was
        loaded before the window is told that it is.
        """  # noqa: D205
        made = self._made
        return made[1] if made is not None and made[0] == self._generation else None

    @property
    def pace(self) -> Pace | None:
        """What was measured of the session's speed; for the worker's thread."""
        return None if self.record is None else self.record.pace

    # --- opening -------------------------------------------------------------------------

    def open(
        self,
        request: SessionRequest,
        writer: ResultWriter,
        prompts: Prompts,
        layers: Any = None,
        saved: SavedSession | None = None,
    ) -> None:
        """Open a session; results go to `writer`; `prompts` made before are given to it.

        Parameters
        ----------
        layers
            The prompt layers as they are now, to come back to on undo.
        saved
            The session file that will be done again in it.
        """
        if self.record is not None:
            self._handed_on = HandedOn.of(self.record, writer)
        elif self._handed_on.writer() is not writer:
            self._handed_on = HandedOn(ref(writer))
        known = self._handed_on
        self.left_behind = len(known.imported & prompts.keys() - known.locked)
        self.close()
        self.opening = True
        self.obstacle = "The model is still loading; try again in a moment."
        self.status.emit(f"Loading the model {request.model} …", "busy")
        self.changed.emit()
        generation = self._generation

        def check() -> None:
            if generation != self._generation:
                raise Cancelled

        def progress(have: int, total: int | None) -> None:
            check()
            self.download = (have, total)

        def job() -> _Opened:
            record = Record(self._factory(request, progress), writer, layers)
            self._made = (generation, record)
            keeper = SessionKeeper(record.history, request)
            if saved is not None:
                saved.content.check(record.history.session)
                return _Opened(record, keeper, None)
            if prompts:
                with record.history.session.checking(check):
                    record.history.do(AddPrompts(prompts))
                known.to(record)
                record.settle()
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
        self.record, self.keeper, self.opening = opened.record, opened.keeper, False
        self.changed.emit()
        self.opened.emit()
        if opened.found is not None:
            self.found.emit(opened.found)

    def _open_failed(self, error: Exception, generation: int) -> None:
        self.download = None
        if generation != self._generation:
            return
        self.opening = False
        self.obstacle = in_words(error)
        self.status.emit(self.obstacle, "error")
        self.changed.emit()

    def close(self) -> None:
        """Leave the session; what was done until now is saved."""
        self._save_at_last()
        self._generation += 1
        self.opening, self.download = False, None
        self.cancel()
        if self.run is not None:
            self.run = None
            self.run_ended.emit()
        self.record = self.keeper = self._made = None
        self.changed.emit()

    def require_record(self) -> Record | None:
        """Return what was done in the session; where there is none, tell the user why."""
        if self.record is None:
            self.status.emit(self.obstacle or "Choose an image first.", "error")
        return self.record

    # --- work ----------------------------------------------------------------------------

    def submit(
        self,
        job: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None] | None = None,
        key: Hashable = None,
    ) -> None:
        """Do short work on the worker's thread.

        Parameters
        ----------
        done, failed
            Told here how it went, unless the session was left meanwhile; by default, an error is
            said in words.
        key
            Of work that replaces earlier work of this session with the same key.
        """
        generation = self._generation

        def now(function: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda value: function(value) if generation == self._generation else None

        self._worker.submit(
            job,
            done=now(done),
            failed=now(failed or self.tell),
            key=None if key is None else (generation, key),
        )

    def start(
        self,
        work: Callable[[Record, Run], None],
        text: str,
        said: Callable[[Run], str] | None = None,
        after: Callable[[bool], None] | None = None,
    ) -> bool:
        """Begin long work on the worker's thread; returns whether it began.

        Where other work is going on or there is no session, the user is told.

        Parameters
        ----------
        work
            Counts in the run how far it is, and ends early when that is cancelled.
        text
            What to say meanwhile.
        said
            Returns what to say at the end; by default how many frames were done.
        after
            Told whether it came to its end.
        """
        if self.run is not None:
            self.status.emit("Cancel the propagation first.", "error")
            return False
        record, keeper = self.require_record(), self.keeper
        if record is None or keeper is None:
            return False
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
            self._run_over(run, error, said or summary)
            if mine and after is not None:
                after(error is None and not run.cancelled.is_set())
            self.save()

        self._worker.submit(job, done=lambda _: over(None), failed=over)
        return True

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
            self.obstacle = "Loading was cancelled. Choose a model to go on."
            self.status.emit(self.obstacle, "info")
            self.changed.emit()
        if self.run is not None and not self.run.cancelled.is_set():
            self.run.cancelled.set()
            self.status.emit("Cancelling after this frame …", "busy")

    def tell(self, error: Exception) -> None:
        """Say an error in words."""
        self.status.emit(in_words(error), "error")

    # --- saving --------------------------------------------------------------------------

    def save(self, path: Path | None = None) -> None:
        """Write the session file, soon.

        Parameters
        ----------
        path
            From now on there; None: where it was, at first in the folder of saved sessions.
        """
        keeper, notes = self.keeper, self.notes()
        if keeper is None:
            if path is not None:
                self.require_record()
            return

        def job() -> None:
            if path is None:
                keeper.keep(notes)
            else:
                keeper.keep_as(path, notes)

        def done(_: None) -> None:
            self._unsaved = False
            moved, keeper.moved = keeper.moved, None
            if path is not None:
                self.status.emit(f"Saved: {path}.", "done")
            elif moved is not None:
                text = f"Another window saved this session, too; this one goes to {moved} now."
                self.status.emit(text, "info")

        def failed(error: Exception) -> None:
            if path is not None or not self._unsaved:  # not with every click
                self.tell(error)
            self._unsaved = self._unsaved or path is None

        self._worker.submit(job, done=done, failed=failed, key=("save", path))

    def _save_at_last(self) -> None:
        """Save what was answered before, but not told here yet; also where the window closes."""
        keeper, notes = self.keeper, self.notes()
        if keeper is None:
            return

        def job() -> None:
            with suppress(OSError):
                keeper.keep(notes)

        self._worker.submit(job, surely=True)
