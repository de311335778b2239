"""Clicks are obeyed: a mask that ignores one is bent around it, and changes only there.

Small networks leave many corrections unheeded. Logits are then raised (lowered) around the click,
as far out as the click lies from the outline: whoever clicks into the middle of an error means
about that much. What the network held for likely flips first, so its outlines still show.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

_SURE = 0.5  # logit that a clicked place should have at least
_NEAREST, _FARTHEST = 0.7, 16.0  # cells
_ROUNDS = 3  # a later click may undo an earlier one


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
    inside = ((points_yx > -0.5) & (points_yx < np.array(logits.shape) - 0.5)).all(axis=1)
    signs = np.where(positive, 1.0, -1.0)
    for _ in range(_ROUNDS):
        for k in np.flatnonzero(inside):
            others = points_yx[inside & (positive != positive[k])]
            _bend(logits, points_yx[k], signs[k], others)
    return logits


def changed_at(
    earlier_hw: npt.NDArray[np.float32],
    logits_hw: npt.NDArray[np.float32],
    points_yx: npt.NDArray[np.float64],
) -> npt.NDArray[np.float32]:
    """Return new logits where pieces that changed hold a click, and the earlier ones elsewhere.

    A correction is about one place; what was right stays right (progressive merging: Chen et al.
    2022, FocalClick).

    Parameters
    ----------
    earlier_hw, logits_hw : of the mask before and after.
    points_yx : (K, 2) clicks in cells.
    """
    changed = (logits_hw > 0) != (earlier_hw > 0)
    pieces, _ = ndimage.label(changed, np.ones((3, 3)))
    clicked = set()
    for row, column in np.rint(points_yx).astype(int):
        around = pieces[max(row - 1, 0) : max(row + 2, 0), max(column - 1, 0) : max(column + 2, 0)]
        clicked.update(around.ravel().tolist())
    kept = changed & ~np.isin(pieces, list(clicked - {0}))
    return np.where(kept, earlier_hw, logits_hw)


def _bend(
    logits: npt.NDArray[np.float32],
    point: npt.NDArray[np.float64],
    sign: float,
    others: npt.NDArray[np.float64],
) -> None:
    rows, columns = np.ogrid[: logits.shape[0], : logits.shape[1]]
    apart = (rows - point[0]) ** 2 + (columns - point[1]) ** 2
    wrong = sign * float(
        ndimage.map_coordinates(logits, point[:, None], order=1, mode="nearest")[0]
    )
    if wrong >= _SURE:
        return
    right = apart[sign * logits > 0]
    reach = np.sqrt(right.min()) if right.size else 3.0
    if len(others):
        reach = min(reach, np.sqrt(((others - point) ** 2).sum(axis=1).min()) / 2)
    reach = min(max(float(reach), _NEAREST), _FARTHEST)
    height = 1.5 * (_SURE - wrong) + _SURE
    logits += (sign * height * np.exp(-0.5 * apart / reach**2)).astype(np.float32)
