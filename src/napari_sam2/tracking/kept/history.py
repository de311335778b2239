"""What was done to a session, so that it can be undone, done again, and written down."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam2.tracking.kept.steps import (
    AddPrompts,
    CloseGaps,
    Propagate,
    Repair,
    SetPrompt,
    Step,
)
from napari_sam2.tracking.prompt import Prompts

if TYPE_CHECKING:
    from napari_sam2.tracking.results import FrameResult
    from napari_sam2.tracking.roster import Snapshot
    from napari_sam2.tracking.session import TrackingSession

_MOST_STEPS = 100
_MOST_BYTES = 1 << 30  # of what only undo still needs
_ENTRY_BYTES = 40  # of a dict


@dataclass
class Done:
    """A step that was done, and how to leave it.

    Parameters
    ----------
    step : what was done; a propagation that was ended early says after how many frames.
    before, after : the objects concerned, at either end of the step; `after` once it was undone.
    extra : whatever the owner needs to undo on its side.
    """

    step: Step
    before: Snapshot
    after: Snapshot | None = None
    extra: Any = None


class History:
    """Does steps to a session and takes them back.

    Not for several threads: as the session, it belongs to one.

    Parameters
    ----------
    session : changed only through this history from now on, or undo brings back what is outdated.
    """

    def __init__(self, session: TrackingSession) -> None:
        self.session = session
        self._past: list[Done] = []
        self._future: list[Done] = []
        self._settled: list[Step] = []
        self.touched: set[int] = set()
        """Objects that were changed; whoever writes them down empties it."""

    @property
    def steps(self) -> list[Step]:
        """All steps that lead from an empty session to what there is now."""
        return [*self._settled, *(done.step for done in self._past)]

    @property
    def newest_first(self) -> Iterator[Done]:
        """All that `undo` would take back, one after another."""
        return reversed(self._past)

    @property
    def object_ids(self) -> set[int]:
        """Objects that what can be undone or done again is about, whether they are there or not."""
        return {i for done in (*self._past, *self._future) for i in done.before}

    @property
    def last(self) -> Done | None:
        """What `undo` would take back."""
        return self._past[-1] if self._past else None

    @property
    def next(self) -> Done | None:
        """What `redo` would do again."""
        return self._future[-1] if self._future else None

    def run(
        self, step: Step, extra: Any = None, parts: bool = False
    ) -> Generator[FrameResult, None, None]:
        """Do a step, frame by frame.

        A propagation may be ended by closing the iterator: what it did until then is one step,
        and can be undone. A step that fails leaves the session as it was, except for the frames
        of a propagation that were yielded.

        Parameters
        ----------
        extra : see `Done`.
        parts : of a step that changes a few objects, yield only the parts of frames where these
            are, which takes less time.

        Raises
        ------
        InputError
            As the session does.
        """
        known = self.session.object_ids
        done = Done(step, self.session.snapshot(step.touches(self.session)), extra=extra)
        self.touched.update(done.before)
        yielded = 0
        ended = False
        try:
            with closing(step.run(self.session)) as results:
                for result in results:
                    yielded += 1
                    part = parts or result.place is None
                    yield result if part else self.session.result(result.frame)
            ended = True
        finally:
            new = set(self.session.object_ids).difference(known)  # a step may find objects
            done.before = {**dict.fromkeys(new), **done.before}
            self.touched.update(new)
            if ended:
                self._note(done)
            elif yielded and isinstance(step, Propagate | Repair):
                done.step = step.stopped(yielded, known)
                self._note(done)
            else:
                self.session.restore(done.before)

    def do(self, step: Step, extra: Any = None) -> list[FrameResult]:
        """Do a step to its end."""
        return list(self.run(step, extra))

    def settle(self) -> None:
        """Make all that was done until now the ground that undo does not go below."""
        self._settled = self.steps
        self._past.clear()
        self._future.clear()

    def resume(self, steps: Iterable[Step]) -> None:
        """Take over a session that is as it was after `steps`; undo does not go below."""
        self._settled = list(steps)
        self._past.clear()
        self._future.clear()
        self.touched.clear()

    def undo(self) -> Done | None:
        """Take back the last step; returns it, or None if there is none."""
        if not self._past:
            return None
        done = self._past.pop()
        self.touched.update(done.before)
        done.after = self.session.snapshot(done.before)
        self.session.restore(done.before)
        self._future.append(done)
        return done

    def redo(self) -> Done | None:
        """Do again what was undone last, without computing; returns it, or None."""
        if not self._future:
            return None
        done = self._future.pop()
        assert done.after is not None
        self.touched.update(done.after)
        self.session.restore(done.after)
        self._past.append(done)
        return done

    def _note(self, done: Done) -> None:
        self._future.clear()
        self._past.append(done)
        while len(self._past) > 1 and (
            len(self._past) > _MOST_STEPS or _bytes(self._past) > _MOST_BYTES
        ):
            self._settled.append(self._past.pop(0).step)


def unfinished(steps: Sequence[Step], prompts: Prompts) -> Propagate | None:
    """Return what is left of a propagation that was ended early, if it is the last one.

    Corrections may come after it, and other objects; not what changes where those that it follows
    begin, or which there are.

    Parameters
    ----------
    steps : that were done.
    prompts : as they are now.
    """
    last = next((n for n, s in reversed([*enumerate(steps)]) if isinstance(s, Propagate)), None)
    if last is None:
        return None
    stopped = steps[last]
    assert isinstance(stopped, Propagate)
    if (rest := stopped.rest) is None:
        return None
    ids = set(rest.object_ids or ())
    said = {(i, t) for step in steps[:last] for i, t in _prompted(step)}
    for step in steps[last + 1 :]:
        if isinstance(step, SetPrompt | AddPrompts):
            for i, t in _prompted(step):
                if i in ids and (not prompts.get(i) or t == min(prompts[i])) and (i, t) not in said:
                    return None
            if isinstance(step, SetPrompt) and step.prompt is None and step.object_id in ids:
                return None
        elif not isinstance(step, Repair | CloseGaps):
            return None
    return rest


def _prompted(step: Step) -> Iterator[tuple[int, int]]:
    """Yield the objects and frames that a step prompts."""
    if isinstance(step, SetPrompt):
        yield step.object_id, step.frame
    elif isinstance(step, AddPrompts):
        yield from ((i, t) for i, by_frame in step.prompts.items() for t in by_frame)


def _bytes(past: list[Done]) -> int:
    """Bytes of all snapshots: their memories, of which what they share counts once, and lists."""
    sizes: dict[int, int] = {}
    entries = 0
    for done in past:
        for obj in done.before.values():
            if obj is None:
                continue
            entries += obj.entries
            for item in (*obj.bank.conditioning.values(), *obj.bank.tracked.values()):
                spatial = None if item.memory is None else item.memory.features
                for tensor in (spatial, item.logits):
                    if tensor is not None:
                        sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
    return sum(sizes.values()) + _ENTRY_BYTES * entries
