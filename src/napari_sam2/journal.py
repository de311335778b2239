"""The session of a run without a window, on disk while it lasts, so that it can go on later."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

import numpy.typing as npt

from napari_sam2.export.files import check_free, remove, taken
from napari_sam2.replacing import patiently
from napari_sam2.target import Outcome, Target
from napari_sam2.tracking.errors import InputError, OutputError, writing
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.results_file import results_path
from napari_sam2.tracking.kept.session_file import SUFFIX, SessionFile
from napari_sam2.tracking.kept.steps import CloseGaps, Propagate, Repair, Step
from napari_sam2.tracking.results import FrameResult

_PAUSE = 60.0  # seconds between two savings, at least
_SHARE = 20  # and so many times as long as the last one took


@dataclass(frozen=True)
class Keep:
    """A session file that a run writes beside its labels.

    Parameters
    ----------
    path
        Where, ends in `.ns2.json`.
    about
        What it says of image and model; its steps are those of the run.
    overwrite
        Replace what is there.
    """

    path: Path
    about: SessionFile
    overwrite: bool = False


class Journal:
    """Does the steps of a run, one after another.

    Where the session is kept, it is in hidden files beside its place until it is finished, from the
    start of the run on and brought up to date every minute or so, and says what is left to do.

    Parameters
    ----------
    history
        Of the session; its steps so far stay.
    steps
        To do.
    keep
        Where the session is kept, if it is.
    first
        Number of the first step, to name steps in messages; None: they are not named.

    Raises
    ------
    OutputError
        If it cannot be written.
    """

    def __init__(
        self,
        history: History,
        steps: Iterable[Step],
        keep: Keep | None = None,
        first: int | None = None,
    ) -> None:
        self._history = history
        self._left = [*steps]
        self._first = first
        self._keep = keep
        self._kept = None if keep is None else KeptSession(_claimed(keep.path))
        self._due = time.monotonic() + _PAUSE
        self._begun = False

    def collect(
        self,
        target: Target,
        dtype: npt.DTypeLike,
        total: int,
        report: Callable[[int, int], None] | None = None,
        before: Iterable[FrameResult] = (),
    ) -> Outcome:
        """Do the steps, and write what comes of them.

        Parameters
        ----------
        target, dtype, total, report
            See `Target.collect`. Frames of the last steps, which close gaps, do not count.
        before
            Results to begin with.

        Raises
        ------
        InputError, OutputError
            If something cannot be written; the session stays in its hidden files.
        """
        main = [step for step in self._left if not isinstance(step, CloseGaps)]
        results, changes = self._run(len(main)), self._run(len(self._left) - len(main))
        with self._noting(), closing(results), closing(changes):
            found = chain(before, self._first_saving(), results)
            outcome = target.collect(found, dtype, total, report, changes)
        if not outcome.done:
            self._discard()
            return outcome
        to_check = tuple(self._history.session.frames_to_check())
        session = self._finished(whole=outcome.failure is None)
        return replace(outcome, session=session, to_check=to_check)

    def _first_saving(self) -> Iterator[FrameResult]:
        """Save before the first step, for a run that is killed in its first minute."""
        self._save(self._history.steps, self._left)
        yield from ()

    def _run(self, steps: int) -> Generator[FrameResult, None, None]:
        """Do so many of the steps; what is stopped half-way and can go on is left for later."""
        for _ in range(steps):
            step = self._left[0]
            try:
                yield from self._next()
            except InputError as error:
                if self._first is None:
                    raise
                raise InputError(f"step {self._first}, {step.describe()}: {error}") from error
            if self._first is not None:
                self._first += 1

    def _next(self) -> Iterator[FrameResult]:
        step, rest = self._left[0], self._left[1:]
        before = self._history.session.object_ids
        left = self._left
        try:
            with closing(self._history.run(step)) as results:
                for yielded, result in enumerate(results, start=1):
                    self._begun = True
                    parts = _parts(step, yielded, before)
                    left = left if parts is None else [parts[1], *rest]
                    yield result
                    if parts is not None and time.monotonic() > self._due:
                        self._save([*self._history.steps, parts[0]], left)
            left = rest
        finally:
            self._left = left
        # Undo is for windows, and would keep what is outdated in memory.
        self._history.settle()

    def _finished(self, whole: bool) -> Path | None:
        """Give the session its name; what is not whole never replaces what is there."""
        if self._keep is None or self._kept is None:
            return None
        path, hidden = self._keep.path, self._kept.path
        with self._noting():
            self._save(self._history.steps, self._left)
            if not whole and taken(path):
                path = next(p for p in _named(path, "{}.partial") if not taken(p))
            check_free(path, self._keep.overwrite)
            with writing(path):
                patiently(lambda: results_path(hidden).replace(results_path(path)))
                patiently(lambda: hidden.replace(path))
        return path

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep the session where something cannot be written, or Ctrl-C stops that; say where."""
        try:
            yield
        except (InputError, OutputError, KeyboardInterrupt) as error:
            if self._kept is None:
                raise
            if not self._begun:
                self._discard()
                raise
            with suppress(OutputError):
                self._save(self._history.steps, self._left)
            left = f"the session is in {self._kept.path}"
            if isinstance(error, KeyboardInterrupt):
                error.add_note(left)
                raise
            raise type(error)(f"{error}; {left}") from error

    def _discard(self) -> None:
        """Delete the hidden files."""
        if self._kept is not None:
            for file in (self._kept.path, results_path(self._kept.path)):
                with suppress(OSError):  # it is hidden, and of no use
                    remove(file)

    def _save(self, steps: Sequence[Step], left: Sequence[Step]) -> None:
        if self._keep is None or self._kept is None:
            return
        began = time.monotonic()
        history = self._history
        history.touched.update(history.session.object_ids)  # as far as they have come
        self._kept.save(history, replace(self._keep.about, steps=tuple(steps), left=tuple(left)))
        took = time.monotonic() - began
        self._due = began + took + max(_PAUSE, _SHARE * took)


def _parts(step: Step, yielded: int, before: Iterable[int]) -> tuple[Step, Step] | None:
    """Return a step as far as it has come and what is left of it, where it can be left so."""
    if isinstance(step, Repair):
        return step.stopped(yielded, before), step
    if not isinstance(step, Propagate):
        return None
    done = step.stopped(yielded, before)
    assert done.rest is not None
    return done, done.rest


def _claimed(path: Path) -> Path:
    """Make a hidden file beside a path, which no other run has."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for hidden in _named(path, ".{}.unfinished"):
            try:
                hidden.touch(exist_ok=False)
            except FileExistsError:
                continue
            return hidden
    raise AssertionError("there is always a further number")


def _named(path: Path, pattern: str) -> Iterator[Path]:
    """Yield names of sessions beside a path, numbered from the second on."""
    stem = pattern.format(path.name[: -len(SUFFIX)])
    return (
        path.with_name(f"{stem}{number}{SUFFIX}")
        for number in chain([""], (f"-{n}" for n in count(2)))
    )
