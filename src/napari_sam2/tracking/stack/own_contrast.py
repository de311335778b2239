"""The contrast in which small models see a part of a picture."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

# Of a part of a picture: means of squares of so many pixels a side say how dark and bright it is,
# so that single pixels do not; and a contrast below the least is noise.
_SQUARE, _LEAST_RANGE = 8, 1 / 64


def own_contrast(parts: Tensor) -> Tensor:
    """Show each part of a picture half of the way from the stack's contrast to its own.

    One bright thing anywhere in a stack leaves little contrast to dim cells, and small models are
    trained on crops that each have their own. Black and white move together, and what lies between
    them keeps its order; the darkest and brightest squares of a part stay within.

    Parameters
    ----------
    parts : (N, C, h, w), 0 to 1, each at least 8 pixels high and wide.

    Returns
    -------
    Tensor
        As `parts`.
    """
    squares = F.avg_pool2d(parts, _SQUARE).flatten(1)
    darkest, brightest = squares.amin(1), squares.amax(1)
    span = (brightest - darkest).clamp(min=_LEAST_RANGE)
    wide = span.sqrt()
    black = darkest.minimum(1 - span) / (1 + wide)
    shape = -1, 1, 1, 1
    return (parts - black.view(shape)).div_(wide.view(shape)).clamp_(0, 1)
