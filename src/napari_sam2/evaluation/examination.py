"""Examine a model on many sequences, by one or several protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from napari_sam2.evaluation.interactive import MAX_FRAMES, offline, online
from napari_sam2.evaluation.judging import ends_kept, tracking_scores
from napari_sam2.evaluation.protocols import (
    MakeSession,
    clicks_needed,
    first_frame_scores,
    propagate,
    tracking_session,
)
from napari_sam2.evaluation.sequences import (
    MAX_OBJECTS,
    Task,
    load_sequence,
    prepare,
)

Numbers = dict[str, float]

T = TypeVar("T")


@dataclass(frozen=True)
class Extent:
    """How much of each sequence is examined.

    Parameters
    ----------
    frames : judged besides the seed frame; None: all.
    objects : followed at most.
    rounds : frames with clicks an object, at most; `offline` and `online` only.
    """

    frames: int | None = 20
    objects: int = MAX_OBJECTS
    rounds: int = MAX_FRAMES


@dataclass
class Examinations(Generic[T]):
    """What came of the sequences; those that failed, by name, and whether the user stopped it."""

    done: list[T] = field(default_factory=list)
    failures: dict[str, Exception] = field(default_factory=dict)
    stopped: bool = False


@dataclass(frozen=True)
class SequenceNumbers:
    """Numbers of one sequence, by protocol; `frames` without the seed frame."""

    sequence: str
    objects: int
    frames: int
    numbers: dict[str, Numbers]


def for_each(
    folders: Sequence[Path],
    extent: Extent,
    examine: Callable[[str, Task], T],
    progress: Callable[[int, int], None] | None = None,
) -> Examinations[T]:
    """Load and examine one sequence after the other; one that fails does not stop the others.

    Parameters
    ----------
    folders
        Of the sequences, from `sequence_folders`.
    examine
        Called with a sequence's name and what of it is examined.
    progress
        Called with what is done and what there is in all.

    Returns
    -------
    What was examined until the end, or until Ctrl-C.
    """
    outcome: Examinations[T] = Examinations()
    try:
        for number, folder in enumerate(folders):
            if progress is not None:
                progress(number, len(folders))
            try:
                task = prepare(load_sequence(folder), extent.frames, extent.objects)
                outcome.done.append(examine(folder.name, task))
            except Exception as error:
                outcome.failures[folder.name] = error
        if progress is not None:
            progress(len(folders), len(folders))
    except KeyboardInterrupt:
        outcome.stopped = True
    return outcome


def by_protocols(
    model: Any,
    protocols: Iterable[str],
    extent: Extent,
    make_session: MakeSession = tracking_session,
) -> Callable[[str, Task], SequenceNumbers]:
    """Make the function that puts a model through protocols on one sequence."""
    chosen = list(dict.fromkeys(protocols))

    def examine(name: str, task: Task) -> SequenceNumbers:
        numbers = {p: PROTOCOLS[p](model, task, extent, make_session) for p in chosen}
        return SequenceNumbers(name, len(task.objects), len(task.images) - 1, numbers)

    return examine


def mean_numbers(numbers: Iterable[Numbers]) -> Numbers:
    """Mean of each column over the sequences that have it."""
    columns: dict[str, list[float]] = {}
    for one in numbers:
        for name, value in one.items():
            columns.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in columns.items()}


def _first_frame(prompt: Literal["click", "3-clicks", "box"]) -> Callable[..., Numbers]:
    def measured(model: Any, task: Task, extent: Extent, make_session: MakeSession) -> Numbers:
        scores = first_frame_scores(model, task, prompt, make_session)
        return {"IoU": float(np.mean(list(scores.values())))}

    return measured


def _mask(model: Any, task: Task, extent: Extent, make_session: MakeSession) -> Numbers:
    found = propagate(model, task, "mask", make_session)
    numbers = {"J": found.j, "F": found.f, "J&F": found.j_and_f}
    if task.tracked:
        numbers["SEG"], numbers["TRA"] = tracking_scores(task, found.labels)
    ends = ends_kept(task, found.labels)
    return numbers if ends is None else {**numbers, "ends": ends}


def _noc(model: Any, task: Task, extent: Extent, make_session: MakeSession) -> Numbers:
    counts = clicks_needed(model, task, 0.85, 20, make_session)
    return {"NoC@85": float(np.mean(list(counts.values())))}


def _offline(model: Any, task: Task, extent: Extent, make_session: MakeSession) -> Numbers:
    rounds = offline(model, task, extent.rounds, make_session)
    # Where nothing was left to correct, more rounds would change nothing.
    rounds += [rounds[-1]] * (extent.rounds - len(rounds))
    return {f"J&F {n}": one.j_and_f for n, one in enumerate(rounds, start=1)}


def _online(model: Any, task: Task, extent: Extent, make_session: MakeSession) -> Numbers:
    found = online(model, task, extent.rounds, make_session)
    return {
        "J": found.j,
        "F": found.f,
        "J&F": found.j_and_f,
        "frames clicked": found.frames_per_object,
    }


PROTOCOLS: dict[str, Callable[[Any, Task, Extent, MakeSession], Numbers]] = {
    "click": _first_frame("click"),
    "3-clicks": _first_frame("3-clicks"),
    "box": _first_frame("box"),
    "mask": _mask,
    "noc": _noc,
    "offline": _offline,
    "online": _online,
}
