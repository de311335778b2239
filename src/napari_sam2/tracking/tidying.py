"""Masks without specks and pinholes: a cell is one piece."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

_LEAST_PART = 0.2  # of the largest piece; smaller pieces are dropped
_LARGEST_HOLE = 0.1  # of the mask; smaller holes are filled
_DOUBT = 0.5  # logit that dropped and filled places get, with its sign


def tidied(logits_nhw: Tensor) -> Tensor:
    """Drop small pieces of masks that lie apart, and fill small holes.

    Parameters
    ----------
    logits_nhw : (N, H, W), above 0 inside.
    """
    values = logits_nhw.float().cpu().numpy()
    found = np.stack([_tidied(plane) for plane in values]) if len(values) else values
    return torch.from_numpy(found).to(logits_nhw)


def _tidied(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    mask = logits > 0
    pieces, count = ndimage.label(mask)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        small = sizes < _LEAST_PART * sizes.max()
        logits = np.where(mask & small[pieces], np.float32(-_DOUBT), logits)
        mask = logits > 0
    holes, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    if count:
        sizes = np.bincount(holes.ravel())
        small = sizes <= _LARGEST_HOLE * mask.sum()
        small[0] = False
        logits = np.where(small[holes], np.float32(_DOUBT), logits)
    return logits
