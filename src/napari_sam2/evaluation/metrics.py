"""Scores of masks and masklets against a truth.

J (region overlap) and F (boundary accuracy) are those of the DAVIS benchmark (Perazzi et al., CVPR
2016). SEG and TRA are those of the Cell Tracking Challenge, in `ctc.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from napari_sam2.evaluation.ctc import seg_score, tra_score
from napari_sam2.evaluation.overlap import Overlap, overlap
from napari_sam2.export.ctc import Track
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.masks.thin_mask import places_of

__all__ = [
    "LabelScores",
    "ObjectScores",
    "boundary_f",
    "evaluate_labels",
    "frame_boundary_f",
    "j_and_f",
    "jaccard",
    "match_objects",
    "seg_score",
    "tra_score",
]

BOUNDARY_TOLERANCE = 0.008  # of the image's diagonal, as DAVIS has it
_HIGHEST = 2**32 - 1  # see `overlap`


def jaccard(mask: NDArray[Any], truth: NDArray[Any]) -> float:
    """Intersection over union of two masks of one shape; 1 when both are empty."""
    mask, truth = np.asarray(mask, bool), np.asarray(truth, bool)
    _same_shape(mask, truth)
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def boundary_f(
    mask: NDArray[Any], truth: NDArray[Any], tolerance: float = BOUNDARY_TOLERANCE
) -> float:
    """Agreement of two outlines: harmonic mean of boundary precision and recall.

    Parameters
    ----------
    mask, truth
        (Y, X) masks.
    tolerance
        How far a boundary pixel may lie from the other outline and still count as found, as a
        fraction of the image's diagonal (rounded up to whole pixels).

    Returns
    -------
    0..1; 1 when neither mask has an outline, 0 when only one has.
    """
    mask, truth = np.asarray(mask, bool), np.asarray(truth, bool)
    _same_shape(mask, truth)
    return _boundary_f(mask, truth, _tolerance_px(mask.shape, tolerance))


def frame_boundary_f(
    pred: NDArray[Any], truth: NDArray[Any], matches: Mapping[int, int]
) -> dict[int, float]:
    """`boundary_f` of the objects of one frame.

    Parameters
    ----------
    pred, truth
        Labels (Y, X).
    matches
        True id -> predicted id.

    Returns
    -------
    By true id, for the objects that are in the truth or whose match is in the prediction.
    """
    radius = _tolerance_px(truth.shape, BOUNDARY_TOLERANCE)
    truth_of = {p: t for t, p in matches.items()}
    pred_boxes, truth_boxes = places_of(pred), places_of(truth)
    scores = {}
    for i in truth_boxes.keys() | {truth_of[p] for p in pred_boxes if p in truth_of}:
        p = matches.get(i)
        scores[i] = 0.0
        if p in pred_boxes and i in truth_boxes:
            area = _surrounding(pred_boxes[p], truth_boxes[i])
            scores[i] = _boundary_f(pred[area] == p, truth[area] == i, radius)
    return scores


def j_and_f(mask: NDArray[Any], truth: NDArray[Any]) -> float:
    """Mean of `jaccard` and `boundary_f`, the headline number of video segmentation."""
    return (jaccard(mask, truth) + boundary_f(mask, truth)) / 2


@dataclass(frozen=True)
class ObjectScores:
    """One object of the truth: the id it was matched to (None: not found), mean J and F."""

    id: int
    predicted_id: int | None
    j: float
    f: float


@dataclass(frozen=True)
class LabelScores:
    """What `evaluate_labels` found; `as_dict` is ready for JSON.

    `extra_ids` are predicted ids matched to no object of the truth; they cost nothing in J and F.
    """

    objects: tuple[ObjectScores, ...]
    j: float
    f: float
    j_and_f: float
    seg: float
    tra: float
    extra_ids: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries."""
        return asdict(self)


def evaluate_labels(
    pred: NDArray[Any],
    truth: NDArray[Any],
    *,
    pred_tracks: Sequence[Track] | None = None,
    truth_tracks: Sequence[Track] | None = None,
) -> LabelScores:
    """Score predicted masklets against true ones.

    Ids need not agree: objects are matched one to one by their overlap over the whole sequence.
    An object's J and F are means over the frames in which it or its match is present.

    Parameters
    ----------
    pred, truth
        (T, Y, X) label images, 0 is background; (Y, X) is one frame.
    pred_tracks, truth_tracks
        Divisions, for TRA; without them every id is a track of its own.

    Raises
    ------
    InputError
        The shapes differ, values are not whole numbers from 0 to 2^32 - 1, or the truth has no
        object.
    """
    pred, truth = _as_stack(pred, "prediction"), _as_stack(truth, "truth")
    _same_shape(pred, truth)
    overlaps = [overlap(p, t) for p, t in zip(pred, truth, strict=True)]
    truth_ids = sorted({i for o in overlaps for i in o.truth})
    if not truth_ids:
        raise InputError("the truth holds no object: every pixel is 0. Give a label image.")
    matches = match_objects(overlaps)
    boundaries = _boundary_scores(pred, truth, matches)
    objects = tuple(
        ObjectScores(i, matches.get(i), _mean_j(overlaps, i, matches.get(i)), boundaries[i])
        for i in truth_ids
    )
    j, f = (float(np.mean([getattr(o, name) for o in objects])) for name in ("j", "f"))
    predicted_ids = {i for o in overlaps for i in o.predicted}
    return LabelScores(
        objects=objects,
        j=j,
        f=f,
        j_and_f=(j + f) / 2,
        seg=seg_score(overlaps),
        tra=tra_score(overlaps, pred_tracks, truth_tracks),
        extra_ids=tuple(sorted(predicted_ids - set(matches.values()))),
    )


def match_objects(overlaps: Sequence[Overlap]) -> dict[int, int]:
    """Match ids one to one so that their summed IoU over the sequence is the greatest.

    Returns
    -------
    Truth id -> predicted id, for objects that share at least one pixel.
    """
    totals = Overlap.total(overlaps)
    truth_ids, pred_ids = sorted(totals.truth), sorted(totals.predicted)
    row = {i: n for n, i in enumerate(truth_ids)}
    column = {i: n for n, i in enumerate(pred_ids)}
    iou = np.zeros((len(truth_ids), len(pred_ids)))
    for p, t in totals.shared:
        iou[row[t], column[p]] = totals.iou(p, t)
    pairs = zip(*linear_sum_assignment(iou, maximize=True), strict=True)
    return {truth_ids[r]: pred_ids[c] for r, c in pairs if iou[r, c] > 0}


def _mean_j(overlaps: Sequence[Overlap], truth_id: int, pred_id: int | None) -> float:
    present = [o for o in overlaps if truth_id in o.truth or pred_id in o.predicted]
    if pred_id is None:
        return 0.0
    return float(np.mean([o.iou(pred_id, truth_id) for o in present]))


def _boundary_scores(
    pred: NDArray[Any], truth: NDArray[Any], matches: dict[int, int]
) -> dict[int, float]:
    """Mean F per truth id over the frames in which it or its match is present."""
    scores: dict[int, list[float]] = {}
    for pred_frame, truth_frame in zip(pred, truth, strict=True):
        for i, score in frame_boundary_f(pred_frame, truth_frame, matches).items():
            scores.setdefault(i, []).append(score)
    return {i: float(np.mean(values)) for i, values in scores.items()}


def _boundary_f(mask: NDArray[np.bool_], truth: NDArray[np.bool_], radius: int) -> float:
    outline, true_outline = _outline(mask), _outline(truth)
    if not (outline.any() and true_outline.any()):
        return float(outline.any() == true_outline.any())
    precision = np.mean(_distance_to(true_outline)[outline] <= radius)
    recall = np.mean(_distance_to(outline)[true_outline] <= radius)
    total = precision + recall
    return float(2 * precision * recall / total) if total else 0.0


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    # The edge of the image is no outline: nobody can know where the object goes on.
    inner: NDArray[np.bool_] = ndimage.binary_erosion(mask, border_value=1)
    return mask & ~inner


def _distance_to(outline: NDArray[np.bool_]) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = ndimage.distance_transform_edt(~outline)
    return distance


def _tolerance_px(shape: tuple[int, ...], tolerance: float) -> int:
    return math.ceil(tolerance * math.hypot(*shape))


def _surrounding(*boxes: tuple[slice, ...]) -> tuple[slice, ...]:
    """Smallest area that holds the boxes, one pixel wider so that outlines are whole."""
    return tuple(
        slice(max(0, min(s.start for s in sides) - 1), max(s.stop for s in sides) + 1)
        for sides in zip(*boxes, strict=True)
    )


def _as_stack(labels: NDArray[Any], name: str) -> NDArray[Any]:
    labels = np.asarray(labels)
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if labels.ndim not in (2, 3):
        raise InputError(
            f"the {name} has shape {labels.shape}; a label image is (T, Y, X) or (Y, X)."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"the {name} holds {labels.dtype} values; labels are whole numbers.")
    if labels.size and labels.min() < 0:
        raise InputError(f"the {name} holds negative labels; use 0 for background and ids above.")
    if labels.size and labels.max() > _HIGHEST:
        raise InputError(f"the {name} holds labels above {_HIGHEST}; renumber them.")
    return labels if labels.ndim == 3 else labels[None]


def _same_shape(pred: NDArray[Any], truth: NDArray[Any]) -> None:
    if pred.shape != truth.shape:
        raise InputError(
            f"prediction {pred.shape} and truth {truth.shape} differ in shape; "
            "score the same frames at the same size."
        )
