"""Of the outlines that a mask's logits hold, the one that fits a box.

Where an outline runs is a matter of taste, and a network has one of its own. A box shows the
annotator's: logits are shifted so that the mask fills it as well as it can. But people draw boxes
a little large rather than small, so a mask grows for one less readily than it shrinks.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

_FINER = 4  # places between two cells at which an outline may end
_STEP, _FARTHEST = 0.25, 3.0  # logits
_TO_GROW, _TO_SHRINK = 0.1, 0.03  # overlap with the box that each logit has to bring


def fitted(logits_hw: Tensor, box_22: npt.NDArray[np.float64]) -> Tensor:
    """Return logits, all shifted by the same, whose largest piece fits a box.

    Parameters
    ----------
    logits_hw : of a mask.
    box_22 : edges (y0, x0), (y1, x1) in cells of `logits_hw`; the first cell is from 0 to 1.
    """
    fine = F.interpolate(logits_hw[None, None], scale_factor=_FINER, mode="bilinear")[0, 0].numpy()
    edges = _FINER * box_22
    best, shift = _overlap(fine > 0, edges), 0.0
    for sign, price in ((1.0, _TO_GROW), (-1.0, _TO_SHRINK)):
        for amount in np.arange(_STEP, _FARTHEST + _STEP / 2, _STEP):
            if 1 - price * amount <= best:
                break  # not even a perfect fit would be worth it
            worth = _overlap(fine > -sign * amount, edges) - price * amount
            if worth > best:
                best, shift = worth, sign * float(amount)
    return logits_hw + shift


def _overlap(mask: npt.NDArray[np.bool_], edges: npt.NDArray[np.float64]) -> float:
    """IoU of a box with the bounding box of a mask's largest piece."""
    pieces, count = ndimage.label(mask)
    if not count:
        return 0.0
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    rows, columns = ndimage.find_objects(pieces)[int(sizes.argmax()) - 1]
    low, high = np.array([rows.start, columns.start]), np.array([rows.stop, columns.stop])
    shared = np.prod(np.clip(np.minimum(high, edges[1]) - np.maximum(low, edges[0]), 0, None))
    return float(shared / (np.prod(high - low) + np.prod(edges[1] - edges[0]) - shared))
