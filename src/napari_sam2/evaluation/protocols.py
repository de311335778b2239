"""How a model is examined: simulated annotators, the same rules for all.

Here are the protocols in which an annotator prompts one frame; `interactive` holds those in which
he goes on to correct what was followed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam2.evaluation.annotators import corners_of, next_click
from napari_sam2.evaluation.baseline import classical, classical_from_mask, copy_first
from napari_sam2.evaluation.judging import ByFrame, boundaries, mean_over_objects, regions
from napari_sam2.evaluation.metrics import jaccard
from napari_sam2.evaluation.sequences import Task
from napari_sam2.tracking.following.passes import Direction

FirstFramePrompt = Literal["click", "box", "3-clicks"]
PropagationPrompt = Literal["mask", "click"]


class Session(Protocol):
    """What the protocols ask of a `TrackingSession`; previews have `.mask` (Y, X)."""

    def add_points(self, object_id: int, frame: int, points: Any, positive: Any) -> Any:
        """Add clicks to those there are; returns a preview."""

    def add_box(self, object_id: int, frame: int, box: Any) -> Any:
        """Draw a box; returns a preview."""

    def add_mask(self, object_id: int, frame: int, mask: Any) -> Any:
        """Paint a mask; returns a preview."""

    def propagate(
        self, direction: Direction = "both", start: int | None = None, stop: int | None = None
    ) -> Iterator[Any]:
        """Yield results with `.frame`, `.labels` (Y, X) and `.quality`, by id, with `.iou`."""

    def result(self, frame: int) -> Any:
        """Return what is known of a frame, as `propagate` would."""


MakeSession = Callable[[Any, NDArray[Any]], Session]


def tracking_session(model: Any, images: NDArray[Any]) -> Session:
    """Make the session that users have, with its default policy, over images (T, Y, X)."""
    # Here, so that metrics and baselines can be had without loading torch.
    from napari_sam2.tracking.frames import Frames
    from napari_sam2.tracking.session import TrackingSession

    return TrackingSession(model, Frames(images, axis=0))


def corrections(
    session: Session,
    object_id: int,
    frame: int,
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_],
) -> Iterator[NDArray[np.bool_]]:
    """Click in the centre of the largest error, look at the answer, and so on.

    Parameters
    ----------
    mask
        (Y, X) before the first click; where it is empty, that one is in the object's centre.
    truth
        (Y, X)

    Yields
    ------
    The mask after each click; ends where it agrees with the truth.
    """
    while (click := next_click(mask, truth)) is not None:
        point = [(click.y, click.x)]
        mask = session.add_points(object_id, frame, point, [click.positive]).mask
        yield mask


def from_nothing(session: Session, object_id: int, task: Task) -> Iterator[NDArray[np.bool_]]:
    """`corrections` of an object on the seed frame that has no mask yet."""
    truth = task.seed_mask(object_id)
    return corrections(session, object_id, task.seed, np.zeros_like(truth), truth)


def first_frame_scores(
    model: Any,
    task: Task,
    prompt: FirstFramePrompt = "click",
    make_session: MakeSession = tracking_session,
) -> dict[int, float]:
    """IoU of each object on the seed frame, from one prompt each.

    `click` is one click in the centre, `3-clicks` two more, each in the centre of the largest
    remaining error.
    """
    session = make_session(model, task.images)
    scores = {}
    for i in task.objects:
        truth = task.seed_mask(i)
        if prompt == "box":
            mask = session.add_box(i, task.seed, corners_of(truth)).mask
        else:
            clicks = 3 if prompt == "3-clicks" else 1
            *_, mask = islice(from_nothing(session, i, task), clicks)
        scores[i] = jaccard(mask, truth)
    return scores


def clicks_needed(
    model: Any,
    task: Task,
    iou: float = 0.85,
    cap: int = 20,
    make_session: MakeSession = tracking_session,
) -> dict[int, int]:
    """Clicks on each object of the seed frame until the IoU is reached; the cap if it never is.

    NoC@85 of the literature on interactive segmentation is the mean of it.
    """
    session = make_session(model, task.images)
    return {i: _count_clicks(session, i, task, iou, cap) for i in task.objects}


def _count_clicks(session: Session, object_id: int, task: Task, iou: float, cap: int) -> int:
    truth = task.seed_mask(object_id)
    clicks = 0
    for mask in islice(from_nothing(session, object_id, task), cap):
        clicks += 1
        if jaccard(mask, truth) >= iou:
            break
    return clicks


@dataclass(frozen=True)
class Propagation:
    """What following gave, by object and frame (numbered in the task), without the seed frame.

    Parameters
    ----------
    scores : J.
    seconds_per_frame : of all objects together.
    boundaries : F.
    predicted : IoU as the model predicts it, on the frames that have a J.
    labels : (Y, X) by frame, the seed frame included.
    """

    scores: ByFrame
    seconds_per_frame: float = 0.0
    boundaries: ByFrame = field(default_factory=dict)
    predicted: ByFrame = field(default_factory=dict)
    labels: dict[int, NDArray[Any]] = field(default_factory=dict)

    @property
    def j(self) -> float:
        """Mean over the frames of each object, then over the objects."""
        return mean_over_objects(self.scores)

    @property
    def f(self) -> float:
        """Mean as of `j`."""
        return mean_over_objects(self.boundaries)

    @property
    def j_and_f(self) -> float:
        """Mean of `j` and `f`."""
        return (self.j + self.f) / 2


def propagate(
    model: Any,
    task: Task,
    prompt: PropagationPrompt = "mask",
    make_session: MakeSession = tracking_session,
) -> Propagation:
    """Follow all objects at once from the seed frame, prompted by their true mask or one click."""
    session = make_session(model, task.images)
    for i in task.objects:
        if prompt == "mask":
            session.add_mask(i, task.seed, task.seed_mask(i))
        else:
            next(from_nothing(session, i, task))
    started = time.perf_counter()
    results = {result.frame: result for result in session.propagate(task.direction)}
    seconds = time.perf_counter() - started
    labels = {frame: result.labels for frame, result in results.items()}
    scores = regions(task, labels)
    predicted = {
        i: {t: results[t].quality[i].iou for t in frames if i in results[t].quality}
        for i, frames in scores.items()
    }
    return Propagation(
        scores, seconds / max(1, len(results)), boundaries(task, labels), predicted, labels
    )


def copy_first_propagation(task: Task) -> Propagation:
    """Judge what costs nothing: the true mask of the seed frame, on every frame."""
    copies = copy_first(task.labels[task.seed], len(task.labels))
    return Propagation(regions(task, dict(enumerate(copies))))


def classical_propagation(task: Task, *, phase: bool | None = False) -> Propagation:
    """Judge `classical` labels, followed from the true masks of the seed frame.

    Parameters
    ----------
    phase
        As for `classical`; None: whichever of the two has the higher J.
    """
    if phase is None:
        both = [classical_propagation(task, phase=textured) for textured in (False, True)]
        return max(both, key=lambda found: found.j)
    started = time.perf_counter()
    labels = classical(task.images, phase=phase)
    masks = {i: classical_from_mask(labels, task.seed_mask(i), task.seed) for i in task.objects}
    seconds = time.perf_counter() - started
    # Two objects may follow one segment, so they cannot share a label image.
    scores = {i: regions(task, dict(enumerate(masks[i] * i)), [i])[i] for i in task.objects}
    return Propagation(scores, seconds / len(labels))
