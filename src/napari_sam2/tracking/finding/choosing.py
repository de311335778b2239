"""Which of many overlapping masks of one frame are the cells.

Every mask is the answer to a click, and the clicks vote: an object is seen alike by clicks on other
parts of it and at other magnifications; a colony, or a part of a cell, is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from napari_sam2.tracking.masks.thin_mask import Place, ThinMask

_ALIKE = 0.7  # IoU of two masks that mean the same object
_MOST_SHARED = 0.3  # of the smaller of two masks; beyond, only the better one is kept
_SECOND, _SHARE = 0.4, 0.15  # weights of the witnesses, beside 1 for the predicted IoU
_OCTAVE = 0.1  # quality lost for each octave between a mask's size and the expected one
_RASTER = 1024  # cells along the longer side, on which masks are compared

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Answer:
    """The mask that one click got.

    Parameters
    ----------
    point : (y, x) of the click in data pixels.
    zoom : magnification at which it was answered.
    iou : predicted IoU, 0 to 1.
    corner : (y, x) of `mask` in the frame.
    mask : bool, cut to where it is.
    """

    point: tuple[float, float]
    zoom: float
    iou: float
    corner: tuple[int, int]
    mask: Mask

    @property
    def place(self) -> Place:
        """The part of the frame that `mask` covers."""
        (y, x), (h, w) = self.corner, self.mask.shape
        return slice(y, y + h), slice(x, x + w)


@dataclass(frozen=True, eq=False)
class Cell:
    """One object of a frame.

    Parameters
    ----------
    thin : its mask, cut to where it is.
    quality : 0 to 1, from the predicted IoU and from how many answers agree.
    """

    thin: ThinMask
    quality: float

    @property
    def mask(self) -> Mask:
        """(Y, X) bool, read-only; laid out anew by each reading."""
        return self.thin.whole()


def choose(
    answers: Sequence[Answer], taken: Mask, least_quality: float, diameter: float | None = None
) -> list[Cell]:
    """Return the cells that the answers speak of, the best first; no two share a pixel.

    Parameters
    ----------
    answers : to clicks all over the frame.
    taken : (Y, X), pixels of objects that are there already; they are left out.
    least_quality : of a cell, 0 to 1.
    diameter : of a typical cell in data pixels; others count for less.
    """
    answers = [a for a in answers if taken[a.place][a.mask].mean() <= _MOST_SHARED]
    if not answers:
        return []
    overlap = _Overlap.of(answers, taken.shape)
    quality = _qualities(answers, overlap)
    if diameter is not None:
        radii = np.sqrt([4 * a.mask.sum() / np.pi for a in answers])
        quality = quality - _OCTAVE * np.minimum(np.abs(np.log2(radii / diameter)), 2)
    free = ~taken
    cells = []
    for i in _best(quality, overlap, least_quality):
        alike, ious = overlap.row(i)
        place, part = _vote([answers[k] for k in alike[ious >= _ALIKE]])
        part = _largest_piece(part & free[place])
        if part.any():
            free[place] &= ~part
            mask = ThinMask.at(taken.shape, place, part)
            cells.append(Cell(mask, float(np.clip(quality[i], 0, 1))))
    return cells


@dataclass(frozen=True, eq=False)
class _Overlap:
    """How masks overlap each other and each other's clicks, on a raster of the frame.

    Parameters
    ----------
    areas : (N,) in cells of the raster.
    shared : (N, N) sparse, cells in common.
    ious : (N, N) sparse.
    clicked : (N, N) sparse, 1 where mask i holds the click of answer k.
    """

    areas: npt.NDArray[np.float32]
    shared: sparse.csr_array
    ious: sparse.csr_array
    clicked: sparse.csr_array

    @classmethod
    def of(cls, answers: Sequence[Answer], shape: tuple[int, int]) -> _Overlap:
        step = -(-max(shape) // _RASTER)
        width = -(-shape[1] // step)
        places = [_raster_cells(a, step, width) for a in answers]
        indptr = np.concatenate([[0], np.cumsum([len(p) for p in places])])
        size = (len(answers), -(-shape[0] // step) * width)
        masks = sparse.csr_array(
            (np.ones(indptr[-1], np.float32), np.concatenate(places), indptr), size
        )
        areas = np.diff(indptr).astype(np.float32)
        shared = (masks @ masks.T).tocsr()
        pairs = shared.tocoo()
        rows, columns = pairs.coords
        values = pairs.data / (areas[rows] + areas[columns] - pairs.data)
        ious = sparse.csr_array((values, (rows, columns)), shared.shape)
        points = np.array([a.point for a in answers])
        points = np.rint(np.clip(points, 0, np.array(shape) - 1)).astype(int) // step
        clicks = points[:, 0] * width + points[:, 1]
        clicked = masks[:, clicks].tocsr()
        return cls(areas, shared, ious, clicked)

    def row(self, i: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
        """Answers that overlap answer i, and the IoUs."""
        part = slice(self.ious.indptr[i], self.ious.indptr[i + 1])
        return self.ious.indices[part], self.ious.data[part]


def _raster_cells(answer: Answer, step: int, width: int) -> npt.NDArray[np.intp]:
    ys, xs = np.nonzero(answer.mask)
    ys, xs = ys + answer.corner[0], xs + answer.corner[1]
    if step == 1:
        return ys * width + xs
    return np.unique(ys // step * width + xs // step)


def _qualities(answers: Sequence[Answer], overlap: _Overlap) -> npt.NDArray[np.float64]:
    """Weigh what the network predicts, the best witness and the share of clicks that agree."""
    iou = np.array([a.iou for a in answers])
    zoom = np.array([a.zoom for a in answers])
    inside = (overlap.clicked * overlap.ious).tocoo()  # answers to clicks inside the mask
    mask, other = inside.coords
    # Where everything is seen at one magnification, another click has to do.
    apart = zoom[mask] != zoom[other] if len(set(zoom)) > 1 else mask != other
    second, alike = np.zeros(len(iou)), np.zeros(len(iou))
    np.maximum.at(second, mask[apart], inside.data[apart] * iou[other[apart]])
    np.add.at(alike, mask, inside.data >= _ALIKE)
    clicks = np.maximum(np.asarray(overlap.clicked.sum(axis=1)).ravel(), 1)
    total = iou + _SECOND * second + _SHARE * alike / clicks
    result: npt.NDArray[np.float64] = total / (1 + _SECOND + _SHARE)
    return result


def _best(quality: npt.NDArray[np.float64], overlap: _Overlap, least_quality: float) -> list[int]:
    """Non-maximum suppression: the best first, none that is much of another or holds one."""
    kept = []
    free = quality >= least_quality
    for i in np.argsort(-quality, kind="stable"):
        if not free[i]:
            continue
        kept.append(int(i))
        part = slice(overlap.shared.indptr[i], overlap.shared.indptr[i + 1])
        others, shared = overlap.shared.indices[part], overlap.shared.data[part]
        smaller = np.minimum(overlap.areas[others], overlap.areas[i])
        free[others[shared > _MOST_SHARED * smaller]] = False
    return kept


def _vote(alike: Sequence[Answer]) -> tuple[Place, Mask]:
    """Return where most of the answers, weighted by how sure they are, see the object.

    It is cut to the part of the frame that the answers cover.
    """
    corners = np.array([answer.corner for answer in alike])
    top, left = corners.min(axis=0)
    bottom, right = (corners + [answer.mask.shape for answer in alike]).max(axis=0)
    votes = np.zeros((bottom - top, right - left), np.float32)
    for answer in alike:
        y, x = answer.corner[0] - top, answer.corner[1] - left
        height, width = answer.mask.shape
        votes[y : y + height, x : x + width] += answer.iou**4 * answer.mask
    seen = votes > 0.5 * sum(answer.iou**4 for answer in alike)
    return (slice(int(top), int(bottom)), slice(int(left), int(right))), seen


def _largest_piece(mask: Mask) -> Mask:
    pieces, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == sizes.argmax())
