"""Scores of what was followed: J and F by object and frame, SEG and TRA of a whole task.

Label images found carry the ids of the truth, because the annotator names the objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2.evaluation.ctc import seg_score, tra_score
from napari_sam2.evaluation.metrics import frame_boundary_f
from napari_sam2.evaluation.overlap import overlap
from napari_sam2.evaluation.sequences import Task

ByFrame = dict[int, dict[int, float]]  # object id -> frame -> score
LabelsByFrame = Mapping[int, NDArray[Any]]  # frame -> labels (Y, X)


def regions(
    task: Task,
    found: LabelsByFrame,
    objects: Iterable[int] | None = None,
    *,
    with_seed: bool = False,
) -> ByFrame:
    """J by object and frame, on the frames in which the truth shows the object.

    Parameters
    ----------
    found
        Labels (Y, X) by frame; a frame that is missing holds nothing.
    objects
        Judge only these; None: all of the task.
    with_seed
        Judge the seed frame, too.
    """
    scores: ByFrame = {i: {} for i in objects or task.objects}
    for frame in _judged(task, with_seed):
        truth = task.labels[frame]
        counts = overlap(found.get(frame, np.zeros_like(truth)), truth)
        for i in scores.keys() & counts.truth.keys():
            scores[i][frame] = counts.iou(i, i)
    return scores


def boundaries(task: Task, found: LabelsByFrame, *, with_seed: bool = False) -> ByFrame:
    """F by object and frame; on the same frames as `regions`."""
    scores: ByFrame = {i: {} for i in task.objects}
    for frame in _judged(task, with_seed):
        truth = task.labels[frame]
        present = np.intersect1d(truth, task.objects).tolist()
        here = frame_boundary_f(
            found.get(frame, np.zeros_like(truth)), truth, {i: i for i in present}
        )
        for i in present:
            scores[i][frame] = here[i]
    return scores


def mean_over_objects(scores: ByFrame) -> float:
    """Mean over the frames of each object, then over the objects; NaN where nothing was judged."""
    means = [np.mean(list(frames.values())) for frames in scores.values() if frames]
    return float(np.mean(means)) if means else float("nan")


def ends_kept(task: Task, found: LabelsByFrame) -> float | None:
    """Share of the frames beyond the ends of an object on which it has no mask.

    An object ends before its first and after its last frame in the truth. None where none ends.
    """
    kept = []
    for i, on in _shown(task).items():
        for frame in (t for t in _judged(task, with_seed=False) if not on[0] <= t <= on[-1]):
            labels = found.get(frame)
            kept.append(labels is None or not (labels == i).any())
    return float(np.mean(kept)) if kept else None


def tracking_scores(task: Task, found: LabelsByFrame) -> tuple[float, float]:
    """SEG and TRA of the followed objects alone, without the seed frame.

    The truth is cut down to the followed objects: cells that nobody asked for cost nothing, and
    daughters are nobody's. A mask that goes on after its cell has divided or ended is a false
    detection; one in a gap of the truth is not judged.

    Returns
    -------
    SEG, TRA
    """
    shown = _shown(task)
    counts = []
    for frame in _judged(task, with_seed=False):
        truth = _only(task.labels[frame], task.objects)
        gaps = {i for i, on in shown.items() if on[0] < frame < on[-1] and frame not in on}
        labels = _only(found.get(frame, np.zeros_like(truth)), set(task.objects) - gaps)
        counts.append(overlap(labels, truth))
    return seg_score(counts), tra_score(counts)


def _judged(task: Task, with_seed: bool) -> Iterable[int]:
    return (t for t in range(len(task.labels)) if with_seed or t != task.seed)


def _shown(task: Task) -> dict[int, NDArray[np.intp]]:
    """Frames on which the truth shows each object."""
    return {i: np.flatnonzero((task.labels == i).any(axis=(1, 2))) for i in task.objects}


def _only(labels: NDArray[Any], ids: Iterable[int]) -> NDArray[Any]:
    kept: NDArray[Any] = np.where(np.isin(labels, list(ids)), labels, 0)
    return kept
