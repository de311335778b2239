"""What can be had without a network: the scores a model has to beat.

Threshold, smoothing, watershed on the distance transform, frames linked by overlap. The constants
are ordinary choices for cells and the same for every image. The threshold is Li's minimum cross
entropy, not Otsu's: where bright cells lie beside dim ones Otsu loses the dim, and a baseline
should be as good as its recipe allows.
"""
# mypy: allow-untyped-calls
# (scikit-image is only partly annotated)

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_li, threshold_otsu
from skimage.morphology import disk
from skimage.segmentation import watershed

from napari_sam2.evaluation.overlap import overlap

SMOOTHING = 1.0  # px, of the image and of the distance transform
TEXTURE_WINDOW = 3.0  # px, sigma of the neighbourhood whose variance is taken
SMALLEST = 30  # px
LEAST_IOU = 0.2  # of two objects in successive frames, to be taken for one


def classical(images: Iterable[NDArray[Any]], *, phase: bool = False) -> NDArray[np.int32]:
    """Segment every frame and link the frames.

    Parameters
    ----------
    images
        Frames (Y, X) in order.
    phase
        Threshold the local variance instead of the brightness: for phase contrast, DIC and
        electron micrographs, whose objects are not brighter than what is around them.

    Returns
    -------
    (T, Y, X) labels; an id stands for one object over all frames.
    """
    return link([segment(image, phase=phase) for image in images])


def segment(image: NDArray[Any], *, phase: bool = False) -> NDArray[np.int32]:
    """Label the objects of one frame (Y, X); ids mean nothing beyond it."""
    smooth = gaussian(np.asarray(image, np.float64), SMOOTHING)
    signal = _log_variance(smooth) if phase else smooth
    if signal.min() == signal.max():
        return np.zeros(signal.shape, np.int32)
    foreground = signal > (threshold_otsu(signal) if phase else threshold_li(signal))
    foreground = ndimage.binary_opening(ndimage.binary_fill_holes(foreground), disk(2))
    labels = _split(foreground)
    too_small = np.bincount(labels.ravel()) < SMALLEST
    labels[too_small[labels]] = 0
    return labels


def link(segmented: Iterable[NDArray[Any]]) -> NDArray[np.int32]:
    """Carry ids from frame to frame, one to one, so that the summed IoU is the greatest."""
    linked: list[NDArray[np.int32]] = []
    next_id = 1
    for labels in segmented:
        ids = _matches(linked[-1], labels) if linked else {}
        table = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
        for i in np.unique(labels[labels > 0]).tolist():
            if i not in ids:
                ids[i], next_id = next_id, next_id + 1
            table[i] = ids[i]
        linked.append(table[labels])
    return np.stack(linked)


def classical_from_mask(
    labels: NDArray[Any], mask: NDArray[Any], frame: int = 0
) -> NDArray[np.bool_]:
    """Follow one object through `classical` labels, given its mask on one frame, both ways.

    Each frame's mask is the segment that overlaps the last mask best, whatever its id. Where none
    overlaps it enough, the last mask stays, so that this is never far below copying.

    Parameters
    ----------
    labels
        (T, Y, X) from `classical`.
    mask
        (Y, X) of the object on `frame`.

    Returns
    -------
    (T, Y, X) mask.
    """
    followed = np.zeros(labels.shape, bool)
    followed[frame] = mask
    for order in (range(frame + 1, len(labels)), range(frame - 1, -1, -1)):
        last = followed[frame]
        for t in order:
            best = best_segment(labels[t], last)
            last = last if best is None else labels[t] == best
            followed[t] = last
    return followed


def best_segment(labels: NDArray[Any], mask: NDArray[Any]) -> int | None:
    """Id in labels (Y, X) that overlaps a mask (Y, X) best, None where none does enough."""
    counts = overlap(labels, np.asarray(mask, np.uint8))
    candidates = sorted(p for p, _ in counts.shared)
    best = max(candidates, key=lambda p: counts.iou(p, 1), default=None)
    return best if best is not None and counts.iou(best, 1) >= LEAST_IOU else None


def copy_first(mask: NDArray[Any], frames: int) -> NDArray[Any]:
    """Repeat a mask or label image (Y, X) as (frames, Y, X), read-only: nothing ever moves."""
    mask = np.asarray(mask)
    return np.broadcast_to(mask, (frames, *mask.shape))


def _split(foreground: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Watershed on the distance transform: one label per centre that lies deep enough inside."""
    depth = gaussian(ndimage.distance_transform_edt(foreground), SMOOTHING)
    parts, count = ndimage.label(foreground)
    seeds = np.zeros(foreground.shape, np.int32)
    if count:
        # Centres closer than a typical radius are one object with a bumpy outline.
        radius = float(np.median(ndimage.maximum(depth, parts, range(1, count + 1))))
        centres = peak_local_max(
            depth, min_distance=max(3, round(radius)), labels=parts, exclude_border=False
        )
        seeds[tuple(centres.T)] = np.arange(1, len(centres) + 1)
    labels: NDArray[np.int32] = watershed(-depth, seeds, mask=foreground).astype(np.int32)
    return labels


def _log_variance(image: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = gaussian(image, TEXTURE_WINDOW)
    variance = gaussian(image**2, TEXTURE_WINDOW) - mean**2
    # Flat regions of noise-free images have none: stay clear of the logarithm of 0.
    least = 1e-6 * max(float(variance.max()), np.finfo(float).tiny)
    logarithm: NDArray[np.float64] = np.log(np.maximum(variance, least))
    return logarithm


def _matches(before: NDArray[Any], after: NDArray[Any]) -> dict[int, int]:
    """Id after -> id before, for objects that overlap enough."""
    counts = overlap(before, after)
    old, new = sorted(counts.predicted), sorted(counts.truth)
    iou = np.array([[counts.iou(o, n) for n in new] for o in old]).reshape(len(old), len(new))
    pairs = zip(*linear_sum_assignment(iou, maximize=True), strict=True)
    return {new[c]: old[r] for r, c in pairs if iou[r, c] >= LEAST_IOU}
