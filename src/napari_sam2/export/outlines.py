"""Masks as closed lines along the edges of their pixels, and back, without loss."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from skimage.draw import polygon

_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # each to the right of the one before
_TURNS = (1, 0, 3)  # right, straight on, left


def outlines(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.intp]]:
    """Return the lines around the pieces of a mask and around their holes.

    Parameters
    ----------
    mask
        (Y, X)

    Returns
    -------
    list
        Of (N, 2) corners (y, x); pixel (0, 0) lies between (0, 0) and (1, 1). The last corner is
        joined to the first. Pixels that only touch at a corner are different pieces.
    """
    edges = _edges(mask)
    lines = []
    for first in sorted(edges):
        if first not in edges:
            continue
        edge, line = first, []
        while True:
            y, x, heading = edge
            y, x = y + _STEPS[heading][0], x + _STEPS[heading][1]
            # The mask is on the right, so turning right first stays at the same pixel.
            onward = ((y, x, (heading + turn) % 4) for turn in _TURNS)
            edge = next(candidate for candidate in onward if candidate in edges)
            if edge[2] != heading:
                line.append((y, x))
            edges.remove(edge)
            if edge == first:
                break
        lines.append(np.array(line))
    return lines


def _edges(mask: npt.NDArray[np.bool_]) -> set[tuple[int, int, int]]:
    """Return where an edge between inside and outside begins, (y, x), and its step."""
    inside = np.pad(mask, 1)
    middle = inside[1:-1, 1:-1]
    # The neighbour that is outside, and the corner that the edge begins at, for each step.
    sides = (
        (inside[:-2, 1:-1], (0, 0)),
        (inside[1:-1, 2:], (0, 1)),
        (inside[2:, 1:-1], (1, 1)),
        (inside[1:-1, :-2], (1, 0)),
    )
    edges: set[tuple[int, int, int]] = set()
    for heading, (neighbour, (dy, dx)) in enumerate(sides):
        corners = np.argwhere(middle & ~neighbour) + np.array((dy, dx))
        edges.update((y, x, heading) for y, x in corners.tolist())
    return edges


def filled(lines: Iterable[npt.ArrayLike], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the mask (Y, X) of the pixels with an odd number of lines around their middle.

    Parameters
    ----------
    lines
        As from `outlines`; corners may lie anywhere.
    shape
        (Y, X)
    """
    mask = np.zeros(shape, bool)
    for line in lines:
        y, x = np.transpose(np.asarray(line, float) - 0.5)
        mask[polygon(y, x, shape)] ^= True
    return mask
