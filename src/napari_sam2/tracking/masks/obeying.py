"""Clicks are obeyed: a mask that ignores one is bent around it, and changes only there.

Small networks leave many corrections unheeded. Logits are then raised (lowered) around the click,
as far out as the click lies from the outline: whoever clicks into the middle of an error means
about that much. What the network held for likely flips first, so its outlines still show. And a
click only ever adds or only ever takes away, around itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_SURE = 0.5  # logit that a clicked place should have at least
_NEAREST, _FARTHEST = 0.7, 16.0  # cells
_ROUNDS = 3  # a later click may undo an earlier one
_MEANT = 0.7  # of the way to the outline is meant by a click; few hit the middle of an error


def obeying(
    logits_hw: npt.NDArray[np.float32],
    points_yx: npt.NDArray[np.float64],
    positive: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32]:
    """Return logits that are positive at positive clicks and negative at negative ones.

    Parameters
    ----------
    logits_hw : of a mask.
    points_yx : (K, 2) clicks, in cells of `logits_hw`; those outside are left alone.
    positive : (K,) which of them are on the object.
    """
    logits = logits_hw.copy()
    inside = _inside(logits.shape, points_yx)
    signs = np.where(positive, 1.0, -1.0)
    for _ in range(_ROUNDS):
        for k in np.flatnonzero(inside):
            others = points_yx[inside & (positive != positive[k])]
            _bend(logits, points_yx[k], signs[k], others)
    return logits


def unanswered(
    earlier_hw: npt.NDArray[np.float32],
    points_yx: npt.NDArray[np.float64],
    positive: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Return which clicks the earlier mask contradicts, and the last one in any case.

    The others have been answered. The last one may be finer than the cells.

    Parameters
    ----------
    earlier_hw, points_yx, positive : see `changed_at`.
    """
    values = ndimage.map_coordinates(earlier_hw, points_yx.T, order=0, mode="nearest")
    new = _inside(earlier_hw.shape, points_yx) & ((values > 0) != positive)
    new[-1:] = True
    return np.asarray(new)


def changed_at(
    earlier_hw: npt.NDArray[np.float32],
    logits_hw: npt.NDArray[np.float32],
    points_yx: npt.NDArray[np.float64],
    positive: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32]:
    """Return new logits where clicks changed the mask as they say, and the earlier ones elsewhere.

    A correction is about one place; what was right stays right (progressive merging: Chen et al.
    2022, FocalClick). A positive click stands for a piece that is added, a negative one for a piece
    that is taken away.

    Parameters
    ----------
    earlier_hw, logits_hw : of the mask before and after.
    points_yx : (K, 2) clicks in cells.
    positive : (K,) which of them are on the object.
    """
    before, after = earlier_hw > 0, logits_hw > 0
    meant = np.zeros_like(before)
    for sign, changed in ((True, after & ~before), (False, before & ~after)):
        pieces, _ = ndimage.label(changed, np.ones((3, 3)))
        clicked = set()
        for row, column in np.rint(points_yx[positive == sign]).astype(int):
            near = (
                slice(max(row - 1, 0), max(row + 2, 0)),
                slice(max(column - 1, 0), max(column + 2, 0)),
            )
            clicked.update(pieces[near].ravel().tolist())
        meant |= np.isin(pieces, list(clicked - {0}))
    return np.where((before != after) & ~meant, earlier_hw, logits_hw)


def changed_around(
    earlier_hw: npt.NDArray[np.float32],
    logits_hw: npt.NDArray[np.float32],
    points_yx: npt.NDArray[np.float64],
    positive: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float32]:
    """Return logits that also follow each click on an error in a disc around it.

    An error that is clicked in its middle reaches at least as far as the earlier outline.

    Parameters
    ----------
    earlier_hw, logits_hw, points_yx, positive : see `changed_at`.
    """
    before, logits = earlier_hw > 0, logits_hw.copy()
    inside = _inside(before.shape, points_yx)
    for k in np.flatnonzero(inside):
        row, column = np.rint(points_yx[k]).astype(int)
        apart = _apart(before.shape, points_yx[k])
        outline = apart[before == positive[k]]
        if before[row, column] == positive[k] or not outline.size:
            continue
        others = points_yx[inside & (positive != positive[k])]
        disc = apart < (_MEANT * min(np.sqrt(outline.min()), _half_way(points_yx[k], others))) ** 2
        bound = np.maximum if positive[k] else np.minimum
        logits[disc] = bound(logits[disc], np.float32(_SURE if positive[k] else -_SURE))
    return logits


def _inside(shape: tuple[int, ...], points: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which points lie on a cell."""
    return np.asarray(((points > -0.5) & (points < np.array(shape) - 0.5)).all(axis=1))


def _apart(shape: tuple[int, ...], point: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Squared distance of every cell from a point."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows - point[0]) ** 2 + (columns - point[1]) ** 2)


def _half_way(point: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> float:
    """Half of the way to the nearest of other clicks."""
    if not len(others):
        return np.inf
    return float(np.sqrt(((others - point) ** 2).sum(axis=1).min()) / 2)


def _bend(
    logits: npt.NDArray[np.float32],
    point: npt.NDArray[np.float64],
    sign: float,
    others: npt.NDArray[np.float64],
) -> None:
    apart = _apart(logits.shape, point)
    wrong = sign * float(
        ndimage.map_coordinates(logits, point[:, None], order=1, mode="nearest")[0]
    )
    if wrong >= _SURE:
        return
    right = apart[sign * logits > 0]
    reach = np.sqrt(right.min()) if right.size else 3.0
    reach = min(max(float(min(reach, _half_way(point, others))), _NEAREST), _FARTHEST)
    height = 1.5 * (_SURE - wrong) + _SURE
    logits += (sign * height * np.exp(-0.5 * apart / reach**2)).astype(np.float32)
