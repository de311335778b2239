"""Whether a predicted quality means something: it should order masks as their true IoU does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

FAILED = 0.5  # a mask of less IoU has failed


@dataclass(frozen=True)
class Calibration:
    """Agreement of predicted with true IoU over masks.

    Parameters
    ----------
    count : masks.
    spearman : rank correlation, -1 to 1; NaN where either is constant.
    caught : part of the failed masks (true IoU below 0.5) that are among the tenth with the lowest
        predicted IoU; NaN where none failed.
    possible : the largest value that `caught` could have: a tenth may hold fewer than failed.
    """

    count: int
    spearman: float
    caught: float
    possible: float


def calibration(predicted: ArrayLike, true: ArrayLike) -> Calibration:
    """Compare predicted with true IoU, one value for each object and frame.

    Raises
    ------
    ValueError
        They are not of one length, or there are none.
    """
    guess, real = np.asarray(predicted, float), np.asarray(true, float)
    if guess.shape != real.shape or guess.size == 0:
        raise ValueError(f"{guess.size} predicted and {real.size} true values")
    order = np.argsort(guess, kind="stable")
    lowest = order[: max(1, round(len(order) / 10))]
    failed = real < FAILED
    constant = np.ptp(guess) == 0 or np.ptp(real) == 0
    return Calibration(
        count=len(guess),
        spearman=float("nan") if constant else float(spearmanr(guess, real).statistic),
        caught=float(failed[lowest].sum() / failed.sum()) if failed.any() else float("nan"),
        possible=float(min(1, len(lowest) / failed.sum())) if failed.any() else float("nan"),
    )
