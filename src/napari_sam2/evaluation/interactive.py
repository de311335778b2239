"""Correcting what was followed: the two ways of the SAM 2 paper to examine a video model.

An annotator gives three clicks to each object on the seed frame, has it followed, and corrects it
with three clicks on a frame that went wrong, on up to eight frames an object. Offline he has seen
everything and takes the worst frame, then the stack is followed anew; online he stops where the
mask has become bad, and goes on from there. All objects are followed in one session, and each
has frames of its own. Scores hold the seed frame and the corrected frames, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2.evaluation.judging import ByFrame, boundaries, mean_over_objects, regions
from napari_sam2.evaluation.overlap import overlap
from napari_sam2.evaluation.protocols import (
    MakeSession,
    Session,
    corrections,
    from_nothing,
    tracking_session,
)
from napari_sam2.evaluation.sequences import Task
from napari_sam2.tracking.following.passes import Direction

MAX_FRAMES = 8  # with clicks, an object; the seed frame is the first
CLICKS = 3  # on each of them
GOOD_IOU = 0.75  # online, a mask below it is corrected


@dataclass(frozen=True)
class Round:
    """What was known at a time: mean J and F of the objects, and where each was clicked.

    Parameters
    ----------
    j, f : means over the frames of each object, then over the objects.
    frames : object id -> frames with clicks, in the order in which they were given.
    """

    j: float
    f: float
    frames: dict[int, tuple[int, ...]]

    @property
    def j_and_f(self) -> float:
        """Mean of `j` and `f`."""
        return (self.j + self.f) / 2

    @property
    def frames_per_object(self) -> float:
        """Mean number of frames with clicks."""
        return float(np.mean([len(frames) for frames in self.frames.values()]))


def offline(
    model: Any,
    task: Task,
    max_frames: int = MAX_FRAMES,
    make_session: MakeSession = tracking_session,
) -> list[Round]:
    """Follow, correct each object on its worst frame, follow again.

    The worst frame is the one with the lowest IoU among those without clicks (a tie goes to the
    earliest).

    Returns
    -------
    One round for each number of frames with clicks, from 1. An object that has no frame left to
    correct stays as it is; there are fewer rounds than `max_frames` where that is true of all.
    """
    session = make_session(model, task.images)
    frames = {i: [task.seed] for i in task.objects}
    for i in task.objects:
        _exhaust(islice(from_nothing(session, i, task), CLICKS))
    rounds: list[Round] = []
    while True:
        labels = {result.frame: result.labels for result in session.propagate(task.direction)}
        scores = regions(task, labels, with_seed=True)
        rounds.append(_round(task, labels, scores, frames))
        if len(rounds) == max_frames:
            return rounds
        worst = {i: _worst(scores[i], frames[i]) for i in task.objects}
        todo = {i: frame for i, frame in worst.items() if frame is not None}
        if not todo:
            return rounds
        # Frame by frame, so that each is encoded once.
        for i, frame in sorted(todo.items(), key=lambda item: (item[1], item[0])):
            _correct(session, i, frame, labels[frame], task)
            frames[i].append(frame)


def online(
    model: Any,
    task: Task,
    max_frames: int = MAX_FRAMES,
    make_session: MakeSession = tracking_session,
) -> Round:
    """Follow once, and stop to correct where the IoU of an object falls below 0.75.

    A z-stack is gone through from the seed frame to its end, then from the seed frame to its start.
    What has been passed stays as it is.
    """
    session = make_session(model, task.images)
    frames = {i: [task.seed] for i in task.objects}
    for i in task.objects:
        _exhaust(islice(from_nothing(session, i, task), CLICKS))
    labels: dict[int, NDArray[Any]] = {}
    ways: list[tuple[Direction, range]] = [("forward", range(task.seed, len(task.images)))]
    if task.direction == "both":
        ways.append(("backward", range(task.seed - 1, -1, -1)))
    for direction, rest in ways:
        while rest:
            bad: list[int] = []
            for result in session.propagate(direction, min(rest), max(rest) + 1):
                frame, rest = result.frame, rest[1:]
                labels[frame] = result.labels
                bad = _bad(result.labels, frame, task, frames, max_frames)
                if bad:
                    break
            for i in bad:
                _correct(session, i, frame, labels[frame], task)
                frames[i].append(frame)
            if bad:
                labels[frame] = session.result(frame).labels
    return _round(task, labels, regions(task, labels, with_seed=True), frames)


def _bad(
    labels: NDArray[Any], frame: int, task: Task, frames: dict[int, list[int]], most: int
) -> list[int]:
    """Objects whose mask on a frame should be corrected, and may be."""
    counts = overlap(labels, task.labels[frame])
    return [
        i
        for i in task.objects
        if i in counts.truth
        and counts.iou(i, i) < GOOD_IOU
        and len(frames[i]) < most
        and frame not in frames[i]
    ]


def _worst(scores: dict[int, float], clicked: list[int]) -> int | None:
    """Frame of the lowest score, None where nothing can be gained."""
    open_ = {t: score for t, score in sorted(scores.items()) if t not in clicked and score < 1}
    return min(open_, key=open_.__getitem__, default=None)


def _correct(
    session: Session, object_id: int, frame: int, labels: NDArray[Any], task: Task
) -> None:
    truth = task.labels[frame] == object_id
    _exhaust(islice(corrections(session, object_id, frame, labels == object_id, truth), CLICKS))


def _exhaust(clicks: Iterator[Any]) -> None:
    for _ in clicks:
        pass


def _round(
    task: Task, labels: dict[int, NDArray[Any]], scores: ByFrame, frames: dict[int, list[int]]
) -> Round:
    return Round(
        mean_over_objects(scores),
        mean_over_objects(boundaries(task, labels, with_seed=True)),
        {i: tuple(some) for i, some in frames.items()},
    )
