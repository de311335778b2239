"""Long work, frame by frame: how far it is, and how it ends early."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.results import FrameResult
from napari_sam2.tracking.steps import Propagate, Repair, Step

Direction = Literal["both", "forward", "backward", "repair"]


@dataclass
class Run:
    """One propagation, as the window sees it."""

    total: int = 0
    done: int = 0
    seconds: float = 0.0
    newest: int | None = None
    follow: bool = True
    cancelled: threading.Event = field(default_factory=threading.Event)
    _written: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.done / self.seconds if self.seconds else 0.0

    def consume(self, results: Generator[FrameResult, None, None]) -> None:
        """Take results until there are no more, or until it is cancelled."""
        start = time.monotonic() - self.seconds
        with closing(results):
            while not self.cancelled.is_set():
                result = next(results, None)
                if result is None:
                    break
                with self._lock:
                    self._written.add(result.frame)
                self.newest = result.frame
                self.done += 1
                self.seconds = time.monotonic() - start

    def take_written(self) -> set[int]:
        """Return the frames that were written since the last call."""
        with self._lock:
            written, self._written = self._written, set()
        return written


def planned(session: Any, direction: Direction) -> tuple[Step, int]:
    """Return a propagation as a step, and how many frames it will yield.

    Raises
    ------
    InputError
        If there is nothing to do.
    """
    if direction != "repair":
        return Propagate(direction), session.total_frames(direction)
    stale = session.stale_frames()
    if not stale:
        raise InputError("nothing to repair: no prompt has changed since its object was propagated")
    return Repair(), len(set().union(*stale.values()))
