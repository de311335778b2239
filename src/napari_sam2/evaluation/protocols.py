"""How a model is examined: sequences with a truth, simulated annotators, the same rules for all.

Objects are followed from a seed frame in which they are whole: the first frame of a time-lapse,
the slice with most objects of a z-stack (from there both ways). An object is judged on the frames
in which the truth shows it, so until it divides or ends; a gap in the truth is skipped, because
the truth of real sequences is often silver (made by programs and corrected).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sam2.evaluation.annotators import box_of, centre_click, next_click
from napari_sam2.evaluation.baseline import classical, classical_from_mask, copy_first
from napari_sam2.evaluation.metrics import jaccard
from napari_sam2.evaluation.overlap import overlap
from napari_sam2.export.ctc import Track, read_tracks
from napari_sam2.tracking.errors import InputError

MAX_OBJECTS = 12
SMALLEST = 30  # px; below, one pixel of outline decides the score

Direction = Literal["both", "forward", "backward"]
FirstFramePrompt = Literal["click", "box", "3clicks"]
PropagationPrompt = Literal["mask", "click"]


class Session(Protocol):
    """What the protocols ask of a `TrackingSession`; previews have `.mask` (Y, X)."""

    def add_points(self, object_id: int, frame: int, points: Any, positive: Any) -> Any:
        """Add clicks to those there are; returns a preview."""

    def add_box(self, object_id: int, frame: int, box: Any) -> Any:
        """Draw a box; returns a preview."""

    def add_mask(self, object_id: int, frame: int, mask: Any) -> Any:
        """Paint a mask; returns a preview."""

    def propagate(self, direction: Direction = "both") -> Iterator[Any]:
        """Yield results with `.frame`, `.labels` (Y, X) and `.quality`, by id, with `.iou`."""


MakeSession = Callable[[Any, NDArray[Any]], Session]


def tracking_session(model: Any, images: NDArray[Any]) -> Session:
    """Make the session that users have, with its default policy, over images (T, Y, X)."""
    # Here, so that metrics and baselines can be had without loading torch.
    from napari_sam2.tracking.frames import Frames
    from napari_sam2.tracking.session import TrackingSession

    return TrackingSession(model, Frames(images, axis=0))


@dataclass(frozen=True)
class Sequence:
    """Images and true labels (T or Z, Y, X) of one field of view."""

    name: str
    images: NDArray[Any]
    labels: NDArray[Any]
    z_stack: bool = False
    tracks: tuple[Track, ...] = ()


def load_sequence(folder: Path) -> Sequence:
    """Read `images.tif`, `masks.tif` and, where there is one, `tracks.txt`.

    A folder whose name ends in `_z` holds a z-stack, any other a time-lapse.

    Raises
    ------
    InputError
        A file is missing, or images and masks differ in shape.
    """
    for name in ("images.tif", "masks.tif"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} has no {name}; a sequence holds images.tif and masks.tif.")
    images, labels = tifffile.imread(folder / "images.tif"), tifffile.imread(folder / "masks.tif")
    if images.ndim != 3 or images.shape != labels.shape:
        raise InputError(
            f"{folder.name}: images {images.shape} and masks {labels.shape} must be of one shape "
            "(T, Y, X)."
        )
    tracks = folder / "tracks.txt"
    return Sequence(
        name=folder.name,
        images=images,
        labels=labels,
        z_stack=folder.name.endswith("_z"),
        tracks=tuple(read_tracks(tracks)) if tracks.is_file() else (),
    )


def sequence_folders(data_dir: Path) -> list[Path]:
    """Folders of sequences in a folder, by name.

    Raises
    ------
    InputError
        There are none.
    """
    folders = sorted(p.parent for p in data_dir.glob("*/masks.tif"))
    if not folders:
        raise InputError(f"{data_dir} holds no sequence; each is a folder with masks.tif in it.")
    return folders


@dataclass(frozen=True)
class Task:
    """A sequence cut to the frames that are judged, where to start, and which objects to follow."""

    images: NDArray[Any]
    labels: NDArray[Any]
    seed: int
    objects: tuple[int, ...]
    direction: Direction

    def seed_mask(self, object_id: int) -> NDArray[np.bool_]:
        """Truth (Y, X) of an object on the seed frame."""
        mask: NDArray[np.bool_] = self.labels[self.seed] == object_id
        return mask


def prepare(sequence: Sequence, frames: int | None = 20, max_objects: int = MAX_OBJECTS) -> Task:
    """Choose seed frame, objects and the stretch of a sequence.

    Parameters
    ----------
    frames
        How many frames to judge besides the seed frame, where there are as many; None: all. In a
        z-stack they lie on both sides of it.

    Raises
    ------
    InputError
        No object is whole in the seed frame.
    """
    labels = sequence.labels
    seed = 0
    if sequence.z_stack:
        seed = int(np.argmax([len(whole_objects(plane)) for plane in labels]))
    objects = choose_objects(labels[seed], max_objects)
    if not objects:
        raise InputError(f"{sequence.name}: no object is whole in frame {seed}.")
    wanted = len(labels) if frames is None else frames
    first = seed
    if sequence.z_stack:
        first = max(0, min(seed - wanted // 2, len(labels) - 1 - wanted))
    stretch = slice(first, first + wanted + 1)
    return Task(
        images=sequence.images[stretch],
        labels=_within_tracks(labels[stretch], first, sequence.tracks),
        seed=seed - first,
        objects=objects,
        direction="both" if sequence.z_stack else "forward",
    )


def whole_objects(labels: NDArray[Any]) -> dict[int, int]:
    """Areas in px by id of the objects (Y, X) that are not tiny and do not touch the border."""
    cut = {int(i) for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]) for i in edge}
    ids, areas = np.unique(labels[labels > 0], return_counts=True)
    found = zip(ids.tolist(), areas.tolist(), strict=True)
    return {i: area for i, area in found if area >= SMALLEST and i not in cut}


def choose_objects(labels: NDArray[Any], max_objects: int = MAX_OBJECTS) -> tuple[int, ...]:
    """Ids of whole objects of a frame (Y, X); when there are many, evenly over their sizes."""
    areas = whole_objects(labels)
    by_size = sorted(areas, key=lambda i: (areas[i], i))
    if len(by_size) > max_objects:
        picks = np.linspace(0, len(by_size) - 1, max_objects).round().astype(int)
        by_size = [by_size[n] for n in picks]
    return tuple(sorted(by_size))


def first_frame_scores(
    model: Any,
    task: Task,
    prompt: FirstFramePrompt = "click",
    make_session: MakeSession = tracking_session,
) -> dict[int, float]:
    """IoU of each object on the seed frame, from one prompt each.

    `click` is one click in the centre, `3clicks` two more, each in the centre of the largest
    remaining error.
    """
    session = make_session(model, task.images)
    scores = {}
    for i in task.objects:
        truth = task.seed_mask(i)
        if prompt == "box":
            mask = session.add_box(i, task.seed, box_of(truth)).mask
        else:
            clicks = 3 if prompt == "3clicks" else 1
            mask = _click(session, i, task.seed, truth, clicks)
        scores[i] = jaccard(mask, truth)
    return scores


def first_frame_iou(
    model: Any,
    sequence: Sequence,
    prompt: FirstFramePrompt = "click",
    make_session: MakeSession = tracking_session,
) -> float:
    """Mean of `first_frame_scores` over the objects of a sequence."""
    scores = first_frame_scores(model, prepare(sequence), prompt, make_session)
    return float(np.mean(list(scores.values())))


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
    mask = session.add_points(object_id, task.seed, [centre_click(truth)], [True]).mask
    for clicks in range(1, cap):
        correction = next_click(mask, truth)
        if correction is None or jaccard(mask, truth) >= iou:
            return clicks
        point = [(correction.y, correction.x)]
        mask = session.add_points(object_id, task.seed, point, [correction.positive]).mask
    return cap


@dataclass(frozen=True)
class Propagation:
    """What following gave, by object and frame (numbered in the task), without the seed frame.

    Parameters
    ----------
    scores : J.
    seconds_per_frame : of all objects together.
    predicted : IoU as the model predicts it, on the frames that have a J.
    """

    scores: dict[int, dict[int, float]]
    seconds_per_frame: float = 0.0
    predicted: dict[int, dict[int, float]] = field(default_factory=dict)

    @property
    def j(self) -> float:
        """Mean over the frames of each object, then over the objects."""
        means = [np.mean(list(frames.values())) for frames in self.scores.values() if frames]
        return float(np.mean(means)) if means else float("nan")


def propagate(
    model: Any,
    task: Task,
    prompt: PropagationPrompt = "mask",
    make_session: MakeSession = tracking_session,
) -> Propagation:
    """Follow all objects at once from the seed frame, prompted by their true mask or one click."""
    session = make_session(model, task.images)
    for i in task.objects:
        truth = task.seed_mask(i)
        if prompt == "mask":
            session.add_mask(i, task.seed, truth)
        else:
            _click(session, i, task.seed, truth, 1)
    started = time.perf_counter()
    results = {result.frame: result for result in session.propagate(task.direction)}
    seconds = time.perf_counter() - started
    scores = _judge(task, {frame: result.labels for frame, result in results.items()})
    predicted = {
        i: {t: results[t].quality[i].iou for t in frames if i in results[t].quality}
        for i, frames in scores.items()
    }
    return Propagation(scores, seconds / max(1, len(results)), predicted)


def propagation_j(
    model: Any,
    sequence: Sequence,
    frames: int | None = 20,
    prompt: PropagationPrompt = "mask",
    make_session: MakeSession = tracking_session,
) -> float:
    """Mean J of `propagate` over the frames after (around) the seed frame and the objects."""
    return propagate(model, prepare(sequence, frames), prompt, make_session).j


def copy_first_propagation(task: Task) -> Propagation:
    """Judge what costs nothing: the true mask of the seed frame, on every frame."""
    copies = copy_first(task.labels[task.seed], len(task.labels))
    return Propagation(_judge(task, dict(enumerate(copies))))


def classical_propagation(task: Task, *, phase: bool = False) -> Propagation:
    """Judge `classical` labels, followed from the true masks of the seed frame."""
    started = time.perf_counter()
    labels = classical(task.images, phase=phase)
    masks = {i: classical_from_mask(labels, task.seed_mask(i), task.seed) for i in task.objects}
    seconds = time.perf_counter() - started
    # Two objects may follow one segment, so they cannot share a label image.
    scores = {i: _judge(task, dict(enumerate(masks[i] * i)), [i])[i] for i in task.objects}
    return Propagation(scores, seconds / len(labels))


def _click(
    session: Session, object_id: int, frame: int, truth: NDArray[np.bool_], clicks: int
) -> NDArray[np.bool_]:
    """Give up to `clicks` clicks, each after looking at the answer; return the last mask."""
    mask = session.add_points(object_id, frame, [centre_click(truth)], [True]).mask
    for _ in range(clicks - 1):
        correction = next_click(mask, truth)
        if correction is None:
            break
        point = [(correction.y, correction.x)]
        mask = session.add_points(object_id, frame, point, [correction.positive]).mask
    answer: NDArray[np.bool_] = mask
    return answer


def _judge(
    task: Task, found: Mapping[int, NDArray[Any]], objects: Iterable[int] | None = None
) -> dict[int, dict[int, float]]:
    """J by object and frame of the label images found, whose ids are those of the truth."""
    scores: dict[int, dict[int, float]] = {i: {} for i in objects or task.objects}
    nothing = np.zeros_like(task.labels[0])
    for frame, truth in enumerate(task.labels):
        if frame == task.seed:
            continue
        counts = overlap(found.get(frame, nothing), truth)
        for i in scores.keys() & counts.truth.keys():
            scores[i][frame] = counts.iou(i, i)
    return scores


def _within_tracks(labels: NDArray[Any], first: int, tracks: Iterable[Track]) -> NDArray[Any]:
    """Drop what lies outside the frames its track names: there the object has divided or ended."""
    labels = labels.copy()
    for track in tracks:
        for outside in (
            labels[: max(0, track.first - first)],
            labels[max(0, track.last + 1 - first) :],
        ):
            outside[outside == track.id] = 0
    return labels
