"""Colours for scores from 0 to 1: dark orange, yellow, blue; told apart by all eyes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_STOPS = (0.0, 0.4, 0.6, 0.72, 1.0)
# Orange against blue, darker towards the ends only, and little of the grey that stands for nothing.
_COLOURS = ((168, 60, 0), (240, 140, 40), (253, 212, 110), (160, 200, 240), (40, 105, 190))
NOTHING = {True: (62, 66, 74), False: (216, 216, 216)}
"""Where there is no mask, on a dark and on a light background."""


def score_colours(scores: npt.ArrayLike) -> npt.NDArray[np.uint8]:
    """RGB (…, 3) of scores (…)."""
    scores = np.asarray(scores, float)
    channels = [np.interp(scores, _STOPS, channel) for channel in zip(*_COLOURS, strict=True)]
    return np.round(np.stack(channels, axis=-1)).astype(np.uint8)
