"""The one thread on which a session lives, and the way back to the thread of the window."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from qtpy.QtCore import QEventLoop, QObject, Qt, Signal  # type: ignore[attr-defined]

logger = logging.getLogger(__name__)

_NICE = 10
_guard = threading.Lock()
_at_work = 0  # jobs that run now, of all workers

Deliver = Callable[[Callable[[], None]], None]


class Worker:
    """Runs jobs one after the other on a thread of its own; a session is not thread-safe.

    Parameters
    ----------
    deliver
        Runs a function on the thread that results are wanted on.
    """

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._threads = ThreadPoolExecutor(1, "napari-sam2", initializer=_step_back)
        self._newest: dict[Hashable, int] = {}
        self._tickets = 0
        self._pending = 0
        self._urgent = 0
        self._lock = threading.Lock()
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a job is waiting, running, or its result is on the way."""
        return self._pending > 0

    @property
    def wanted(self) -> bool:
        """Whether a job that does not give way is waiting or running; from any thread."""
        return self._urgent > 0

    def submit(
        self,
        job: Callable[[], Any],
        *,
        done: Callable[[Any], None] | None = None,
        failed: Callable[[Exception], None] | None = None,
        key: Hashable = None,
        gives_way: bool = False,
        surely: bool = False,
    ) -> None:
        """Queue a job; with a `key`, it replaces earlier jobs of the same key.

        A replaced job that waits is not run; the result of one that runs is dropped. A job that
        gives way ends by itself as soon as another one is `wanted`. What is done `surely` is
        done even if the worker is closed meanwhile.
        """
        if self._closed:
            return
        with self._lock:
            self._tickets += 1
            ticket = self._tickets
            self._pending += 1
            self._urgent += not gives_way
            if key is not None:
                self._newest[key] = ticket
        try:
            self._threads.submit(self._run, job, done, failed, key, ticket, gives_way, surely)
        except RuntimeError:  # Python ends, and has waited for the thread: nobody else works
            self._closed = True
            if surely:
                with suppress(Exception):
                    job()

    def close(self) -> None:
        """Drop what waits and take no more jobs; the running one ends by itself."""
        self._closed = True
        self._threads.shutdown(wait=False)  # what waits sees that it is closed

    def _current(self, key: Hashable, ticket: int) -> bool:
        return not self._closed and (key is None or self._newest.get(key) == ticket)

    def _run(
        self,
        job: Callable[[], Any],
        done: Callable[[Any], None] | None,
        failed: Callable[[Exception], None] | None,
        key: Hashable,
        ticket: int,
        gives_way: bool,
        surely: bool,
    ) -> None:
        result: Any = None
        error: Exception | None = None
        if surely or self._current(key, ticket):
            try:
                with _undisturbed():
                    result = job()
            except BaseException as caught:  # the thread goes on, whatever a job does
                error = caught if isinstance(caught, Exception) else RuntimeError(repr(caught))
        else:
            done = failed = None
        with self._lock:
            self._urgent -= not gives_way

        def finish() -> None:
            nonlocal error
            # It leads to the frame that has it: together they would keep all that the job had at
            # hand, for Python seldom looks for such rings in what was frozen.
            raised, error = error, None
            with self._lock:
                self._pending -= 1
            if not self._current(key, ticket):
                return
            if raised is not None and failed is not None:
                failed(raised)
            elif raised is None and done is not None:
                done(result)

        if not self._closed:
            self._deliver(finish)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep what exists already out of Python's garbage collection.

    napari, Qt and torch are half a million objects: going through them takes 0.3 s, for which the
    window stood still in the middle of a propagation. It is there once for all workers.
    """
    global _at_work
    with _guard:
        _at_work += 1
        if _at_work == 1:
            gc.freeze()
    try:
        yield
    finally:
        with _guard:
            _at_work -= 1
            if not _at_work:
                gc.unfreeze()


def _step_back() -> None:
    """Let the window's thread go first, where a thread can be told so: on Linux.

    The threads that torch makes for its work inherit it.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def process_events() -> None:
    """Let the window do what waits.

    Not by `QCoreApplication.processEvents`: in PySide6 6.12.0 each call takes a reference of None
    away, and on Python 3.11 some ten thousand end the process.
    """
    QEventLoop().processEvents()


class WindowThread(QObject):
    """Runs functions on the thread it was made on, from any thread."""

    _call = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._call.connect(self._run, Qt.ConnectionType.QueuedConnection)

    def __call__(self, function: Callable[[], None]) -> None:
        """Run `function` there, soon."""
        try:
            self._call.emit(function)
        except RuntimeError:  # the window is gone
            logger.debug("a result came after the window was closed")

    def _run(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception:
            logger.exception("a result could not be shown")
