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


# Neighbours within a plane: all planes are labelled at once, each for itself.
_BESIDE = np.zeros((3, 3, 3), bool)
_BESIDE[1] = ndimage.generate_binary_structure(2, 1)

Masks = npt.NDArray[np.bool_]


def tidied(logits_nhw: Tensor) -> Tensor:
    """Drop small pieces of masks that lie apart, and fill small holes.

    Parameters
    ----------
    logits_nhw : (N, H, W), above 0 inside.
    """
    if not len(logits_nhw):
        return logits_nhw
    values = logits_nhw.float().cpu().numpy()
    mask = values > 0
    specks = _specks(mask)
    mask &= ~specks
    pinholes = _pinholes(mask)
    if not (specks.any() or pinholes.any()):
        return logits_nhw
    found = np.where(specks, np.float32(-_DOUBT), values)
    return torch.from_numpy(np.where(pinholes, np.float32(_DOUBT), found)).to(logits_nhw)


def _specks(mask_nhw: Masks) -> Masks:
    pieces, sizes, planes = _pieces(mask_nhw)
    largest = np.zeros(len(mask_nhw), sizes.dtype)
    np.maximum.at(largest, planes, sizes)
    small = sizes < _LEAST_PART * largest[planes]
    small[0] = False  # outside
    return np.asarray(small[pieces])


def _pinholes(mask_nhw: Masks) -> Masks:
    holes, sizes, planes = _pieces(~mask_nhw)
    small = sizes <= _LARGEST_HOLE * np.count_nonzero(mask_nhw, axis=(1, 2))[planes]
    small[0] = False  # inside
    for side in (holes[:, 0], holes[:, -1], holes[:, :, 0], holes[:, :, -1]):
        small[side] = False  # open ground
    return np.asarray(small[holes])


def _pieces(
    mask_nhw: Masks,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return maps of numbered pieces of masks, their sizes and their planes.

    Pieces count from 1; what is outside of the masks has the number, size and plane 0.
    """
    pieces, count = ndimage.label(mask_nhw, _BESIDE)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    planes = np.zeros(count + 1, np.intp)
    at = np.flatnonzero(mask_nhw)
    planes[pieces.ravel()[at]] = at // max(mask_nhw.shape[1] * mask_nhw.shape[2], 1)
    return pieces, sizes, planes
