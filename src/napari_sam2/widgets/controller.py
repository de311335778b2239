"""Between a tracking session and the layers: what happens when. No Qt widgets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from psygnal import Signal

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.widgets.answers import answer
from napari_sam2.widgets.opening import Cancelled, SessionFactory, SessionOpener, SessionRequest
from napari_sam2.widgets.results import ResultWriter
from napari_sam2.widgets.words import in_words
from napari_sam2.widgets.worker import Worker

Direction = Literal["both", "forward", "backward", "repair"]


@dataclass
class Run:
    """One propagation, as the window sees it."""

    total: int = 0
    done: int = 0
    seconds: float = 0.0
    newest: int | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.done / self.seconds if self.seconds else 0.0


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

    def __init__(self, worker: Worker, session_factory: SessionFactory | None = None) -> None:
        self._worker = worker
        self._factory = session_factory or SessionOpener()
        self._writer: ResultWriter | None = None
        self._generation = 0
        self._written: set[int] = set()
        self._lock = threading.Lock()
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

    def open(self, request: SessionRequest, writer: ResultWriter, prompts: Prompts) -> None:
        """Open a session; results go to `writer`; `prompts` made before are given to it."""
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

        def job() -> Any:
            session = self._factory(request, progress)
            if prompts:
                session.add_prompts(prompts)
            return session

        self._worker.submit(
            job,
            done=lambda session: self._opened(session, generation),
            failed=lambda error: self._open_failed(error, generation),
            key="open",
        )

    def _opened(self, session: Any, generation: int) -> None:
        self.download = None
        if generation != self._generation:
            return
        self.session, self.opening = session, False
        self.changed.emit()
        self.opened.emit()

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
        self.session = None
        self._writer = None
        self.changed.emit()

    # --- prompts -------------------------------------------------------------------------

    def set_prompt(
        self, object_id: int, frame: int, prompt: Prompt | None, drawn: bool = False
    ) -> None:
        """Say all that is said about an object on a frame; None takes it back.

        Parameters
        ----------
        drawn
            The mask stands in the labels already, pixel by pixel, and is not to be replaced.
        """
        writer, generation = self._writer, self._generation
        if writer is None:
            return
        if self.session is None and not self.opening:
            self.status.emit(self._obstacle, "error")
            return
        if self.run is not None:
            self.status.emit("The prompt is answered when the propagation ends.", "busy")
        elif prompt is not None:
            self.status.emit(f"Object {object_id}, frame {frame}: looking …", "busy")

        def job() -> str | None:
            if generation != self._generation or self.session is None:
                return None
            return answer(self.session, writer, object_id, frame, prompt, drawn)

        def done(text: str | None) -> None:
            if generation != self._generation or text is None:
                return
            if not drawn:
                self.preview_shown.emit(object_id, frame)
            self.status.emit(text, "done")
            self.changed.emit()

        self._worker.submit(job, done=done, failed=self.tell, key=(generation, object_id, frame))

    def remove_object(self, object_id: int) -> None:
        """Forget an object and erase it from every frame."""
        session, writer = self.session, self._writer
        if writer is None:
            return

        def job() -> None:
            if session is not None and object_id in session.object_ids:
                session.remove_object(object_id)
            writer.erase(object_id)

        def done(_: None) -> None:
            self.preview_shown.emit(object_id, -1)
            self.status.emit(f"Object {object_id} was deleted.", "done")
            self.changed.emit()

        self._worker.submit(job, done=done, failed=self.tell)

    def edit(self, job: Callable[[Any, ResultWriter], Any], done: Callable[[Any], None]) -> None:
        """Change objects: `job` with the session and the writer, then `done` with its result."""
        session, writer, generation = self.session, self._writer, self._generation
        if session is None or writer is None:
            self.status.emit(self._obstacle or "Choose an image first.", "error")
            return

        def finish(result: Any) -> None:
            if generation == self._generation:
                done(result)
                self.changed.emit()

        self._worker.submit(lambda: job(session, writer), done=finish, failed=self.tell)

    # --- propagation ---------------------------------------------------------------------

    def propagate(self, direction: Direction = "both") -> None:
        """Follow all objects through the stack; frames are written as they are done."""
        if self.run is not None:
            return
        session, writer = self.session, self._writer
        if session is None or writer is None:
            self.status.emit(self._obstacle or "Choose an image first.", "error")
            return
        run = self.run = Run()
        self.status.emit("Propagating …", "busy")
        self.changed.emit()
        self._worker.submit(
            lambda: self._propagate(session, writer, direction, run),
            done=lambda _: self._run_over(run, None),
            failed=lambda error: self._run_over(run, error),
        )

    def _propagate(
        self, session: Any, writer: ResultWriter, direction: Direction, run: Run
    ) -> None:
        if direction == "repair":
            stale = session.stale_frames()
            if not stale:
                raise InputError(
                    "nothing to repair: no prompt has changed since its object was propagated"
                )
            run.total = len(set().union(*stale.values()))
            results = session.repair()
        else:
            run.total = session.total_frames(direction)
            results = session.propagate(direction=direction)
        start = time.monotonic()
        try:
            while not run.cancelled.is_set():
                result = next(results, None)
                if result is None:
                    break
                writer.write(result.frame, result.labels, result.quality)
                with self._lock:
                    self._written.add(result.frame)
                run.newest = result.frame
                run.done += 1
                run.seconds = time.monotonic() - start
        finally:
            results.close()

    def _run_over(self, run: Run, error: Exception | None) -> None:
        if self.run is not run:
            return
        self.run = None
        self.run_ended.emit()
        if error is not None:
            self.tell(error)
        elif run.cancelled.is_set():
            self.status.emit(
                f"Cancelled after {run.done} of {run.total} frames; what was done is kept.", "info"
            )
        else:
            frames = "1 frame" if run.done == 1 else f"{run.done} frames"
            self.status.emit(f"Done: {frames}, {run.rate:.1f} per second.", "done")
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

    def take_written(self) -> set[int]:
        """Frames that a propagation wrote since the last call."""
        with self._lock:
            written, self._written = self._written, set()
        return written

    def tell(self, error: Exception) -> None:
        """Say an error in words."""
        self.status.emit(in_words(error), "error")
