"""Long work, frame by frame: how far it is, and how it ends early."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.following.passes import Direction
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.steps import Propagate, Repair, Step
from napari_sam2.widgets.words import duration

if TYPE_CHECKING:
    from napari_sam2.tracking.results import FrameResult

_RECENT = 9  # frames that tell how long the next ones take


class Cancelled(Exception):
    """The user does not want the answer any more."""


Way = Literal[Direction, "repair"]


@dataclass
class Run:
    """One propagation, or other long work, as the window sees it."""

    total: int = 0
    done: int = 0
    label: str = ""
    to_check: int = 0
    seconds: float = 0.0
    newest: int | None = None
    follow: bool = True
    cancelled: threading.Event = field(default_factory=threading.Event)
    paused: threading.Event = field(default_factory=threading.Event)
    _written: set[int] = field(default_factory=set)
    _frames: set[int] = field(default_factory=set)
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _rested: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def left(self) -> float | None:
        """Seconds until the end at the rate of the last frames, once that can be told."""
        if self.done < 3 or len(self._times) < 3:
            return None
        times = [*self._times]
        each = (times[-1] - times[0]) / (len(times) - 1)
        return max(self.total - self.done, 0) * each

    @property
    def frames(self) -> int:
        """How many frames were done, each counted once."""
        return len(self._frames)

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.done / self.seconds if self.seconds else 0.0

    def consume(self, results: Generator[FrameResult, None, None]) -> bool:
        """Take results until there are no more (True), or until it is cancelled (False)."""
        start = time.monotonic() - self.seconds
        self._rested = 0.0
        with closing(results):
            while not self.cancelled.is_set():
                result = next(results, None)
                if result is None:
                    return True
                self.seconds = time.monotonic() - start - self._rested
                self.note(result.frame)
                self._rest()
        return False

    def note(self, frame: int) -> None:
        """Take note that a frame was written."""
        with self._lock:
            self._written.add(frame)
        self._frames.add(frame)
        self.newest = frame
        self.count()

    def count(self) -> None:
        """Take note that one more is done."""
        self._times.append(self.seconds)
        self.done += 1

    def _rest(self) -> None:
        """Wait while it is paused."""
        start = time.monotonic()
        while self.paused.is_set() and not self.cancelled.is_set():
            time.sleep(0.02)
        self._rested += time.monotonic() - start

    def check(self) -> None:
        """Wait while it is paused, and end what goes on if it is cancelled."""
        self._rest()
        if self.cancelled.is_set():
            raise Cancelled

    def take_written(self) -> set[int]:
        """Return the frames that were written since the last call."""
        with self._lock:
            written, self._written = self._written, set()
        return written


@dataclass(frozen=True)
class Finding:
    """How new objects are found on the way.

    Parameters
    ----------
    every
        Frames between two looks.
    diameter
        Of a typical cell in pixels; None: found out.
    first_id, last_id
        What they may be called.
    dividing
        Say whose daughters they are.
    """

    every: int
    diameter: float | None = None
    first_id: int = 1
    last_id: int | None = None
    dividing: bool = False


@dataclass(frozen=True)
class Wish:
    """What to propagate.

    Parameters
    ----------
    direction
        Which way, or "repair".
    object_ids
        Only these objects; None: all.
    start, stop
        Only frames from `start` on and before `stop`; None: to the ends. Repair ignores it.
    only_stale
        Only objects whose masks are not what their prompts say. Repair never does others.
    finding
        Where all objects are followed: find new ones on the way.
    """

    direction: Way = "both"
    object_ids: tuple[int, ...] | None = None
    start: int | None = None
    stop: int | None = None
    only_stale: bool = False
    finding: Finding | None = None


def planned(session: Any, wish: Wish) -> tuple[Step, int]:
    """Return a propagation as a step, and how many frames it yields.

    Raises
    ------
    InputError
        If there is nothing to do.
    """
    direction, object_ids = wish.direction, wish.object_ids
    if direction != "repair":
        if wish.only_stale:
            object_ids = tuple(session.stale_objects())
            if not object_ids:
                raise InputError(
                    "no object has changed since it was followed; untick 'Only changed' "
                    "to follow all of them again"
                )
        step = Propagate(direction, wish.start, wish.stop, object_ids)
        if wish.finding is not None and object_ids is None:
            step = PropagateAndFind(direction, wish.start, wish.stop, **asdict(wish.finding))
        total = total_of(session, step)
        if not total:
            raise InputError(f"no frame of those chosen lies {direction} from the prompts")
        return step, total
    stale = session.stale_frames()
    if object_ids is not None:
        stale = {i: frames for i, frames in stale.items() if i in object_ids}
    if not stale:
        raise InputError("nothing to repair: no prompt has changed since its object was propagated")
    return Repair(object_ids), session.total_repaired(object_ids)


def total_of(session: Any, step: Propagate) -> int:
    """Return how many frames a propagation yields from its beginning to its end."""
    more = {"find_every": step.every} if isinstance(step, PropagateAndFind) else {}
    total: int = session.total_frames(
        step.direction, step.start, step.stop, step.object_ids, **more
    )
    return total


def summary(run: Run) -> str:
    """Say how far a run came."""
    if run.cancelled.is_set():
        return f"Cancelled after {run.done} of {run.total} frames; what was done is kept."
    frames = "1 frame" if run.frames == 1 else f"{run.frames} frames"
    more = f" {run.to_check} to check: J goes through them." if run.to_check else ""
    return f"Done: {frames} in {duration(run.seconds)}.{more}"
