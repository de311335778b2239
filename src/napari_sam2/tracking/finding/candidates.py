"""The masks that clicks may mean: all that the network answers with, at every magnification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
from torch import Tensor

from napari_sam2.tracking.masks.finishing import generous
from napari_sam2.tracking.masks.resampling import Patch, patches_to_data
from napari_sam2.tracking.masks.thin_mask import Place, place_of
from napari_sam2.tracking.masks.tidying import tidied
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.network.hypotheses import Hypotheses
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.windows import Geometry, Window

_USUAL_CELLS = (40, 700)  # of 4 px: radii of 14 to 60 px, where small models can be relied on
# What the finest octave holds for tiny is looked at finer still, and may be smaller than usual
# there; the coarser octaves see nothing but what is around it.
_TINY = 64  # cells on the finest octave
_SURE = 0.5  # least predicted IoU there; in noise, each speck is held for something
_LEAST_OF_TINY = (20, 50)  # cells on the finest octave, and finer
_OCTAVES_OF_TINY = 2

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One mask that clicks may mean.

    Parameters
    ----------
    window, logits : where it was seen, and its logits (4 h, 4 w).
    iou : predicted IoU.
    place, mask : its bounding box in the frame, and the mask there, in data pixels.
    hypotheses, index : what it is one of.
    least : cells of 4 px that it has if it is of use.
    """

    window: Window
    logits: Tensor
    iou: float
    place: Place
    mask: Mask
    hypotheses: Hypotheses | None = None
    index: int = 0
    least: int = _USUAL_CELLS[0]

    @property
    def cells(self) -> int:
        """Its area in cells of 4 model pixels."""
        return int((self.logits > 0).sum())

    @property
    def usual(self) -> bool:
        """Whether it was seen at a size that the network knows."""
        return self.least <= self.cells <= _USUAL_CELLS[1]

    def heeds(self, prompt: Prompt) -> bool:
        """Whether every click is on the right side of its outline."""
        rows, columns = self.place
        for (y, x), wanted in zip(np.rint(prompt.points).astype(int), prompt.positive, strict=True):
            inside = rows.start <= y < rows.stop and columns.start <= x < columns.stop
            held = inside and bool(self.mask[y - rows.start, x - columns.start])
            if held != wanted:
                return False
        return True


def candidates_of(engine: Engine, frame: int, prompt: Prompt) -> list[Candidate]:
    """All masks that clicks may mean, on every octave of magnification, or what is tiny finer."""
    octaves = _answers(engine, frame, prompt, engine.octaves)
    if not _tiny(octaves[0], prompt):
        return [*chain(*octaves)]
    finer = _answers(engine, frame, prompt, engine.finer)
    small = [replace(c, least=_LEAST_OF_TINY[0]) for c in octaves[0]]
    smaller = [replace(c, least=_LEAST_OF_TINY[1]) for c in chain(*finer)]
    return [*smaller, *small, *chain(*octaves[1:_OCTAVES_OF_TINY])]


def _answers(
    engine: Engine, frame: int, prompt: Prompt, levels: Sequence[Geometry]
) -> list[list[Candidate]]:
    """Return what clicks may mean on some levels, for each of them."""
    # Mask 0 is for several clicks; a single one is ambiguous.
    first = 0 if len(prompt.points) > 1 else 1
    found = []
    for seen in engine.hypotheses(frame, prompt, levels):
        masks = tidied(generous(seen.logits[first:]))
        candidates = as_candidates(engine, seen.window, masks, seen.iou[first:].tolist())
        found.append(
            [replace(c, hypotheses=seen, index=i) for i, c in enumerate(candidates, start=first)]
        )
    return found


def _tiny(finest: Sequence[Candidate], prompt: Prompt) -> bool:
    """Whether the surest mask of the finest octave is smaller than the network is good at."""
    held = [c for c in finest if c.heeds(prompt)]
    if not held:
        return False
    best = max(held, key=lambda c: c.iou)
    return best.iou >= _SURE and best.cells <= _TINY


def as_candidates(
    engine: Engine, window: Window, logits_nhw: Tensor, ious: Sequence[float]
) -> list[Candidate]:
    """Turn masks in a window into candidates."""
    kept = [Estimate.of(window, logits, Quality(0, 0, 0)) for logits in logits_nhw]
    patches = [Patch(window, one.corner, one.kept) for one in kept if one.kept.size]
    laid = iter(patches_to_data(engine.geometry(window), patches))
    found = []
    for logits, iou, one in zip(logits_nhw, ious, kept, strict=True):
        place, mask = (slice(0, 0), slice(0, 0)), np.zeros((0, 0), bool)
        if one.kept.size:
            around, values = next(laid)
            place, mask = _cut(around, values > 0)
        found.append(Candidate(window, logits, iou, place, mask))
    return found


def _cut(place: Place, mask: Mask) -> tuple[Place, Mask]:
    """Cut a mask to its bounding box."""
    rows, columns = place_of(mask)
    y, x = place[0].start, place[1].start
    outer = slice(y + rows.start, y + rows.stop), slice(x + columns.start, x + columns.stop)
    return outer, mask[rows, columns]


def surest(candidates: Sequence[Candidate], prompt: Prompt) -> list[tuple[float, Candidate]]:
    """Return those that may be meant, and how well each is supported; the best first.

    A cell is seen alike at neighbouring magnifications; a colony, or a part of the cell, that one
    of them takes for the object is not. Where none heeds the clicks at a size that the network
    knows, the best of all is returned.
    """
    support = support_of(candidates)
    order = sorted(candidates, key=lambda c: support[id(c)], reverse=True)
    fit = [c for c in order if c.usual and c.heeds(prompt)]
    return [(support[id(c)], c) for c in fit or order[:1]]


def support_of(candidates: Sequence[Candidate]) -> dict[int, float]:
    """How sure each is of itself, times how much the others agree with it; by identity."""
    ious = np.array([c.iou for c in candidates])
    alike = np.zeros((len(candidates), len(candidates)))
    for i, a in enumerate(candidates):
        alike[i, i] = float(a.mask.any())
        for j, b in enumerate(candidates[:i]):
            alike[i, j] = alike[j, i] = overlap(a, b)
    return {id(c): float(s) for c, s in zip(candidates, ious * (alike @ ious), strict=True)}


def overlap(a: Candidate, b: Candidate) -> float:
    """IoU of two masks in data pixels."""
    of_a, of_b = [], []
    for p, q in zip(a.place, b.place, strict=True):
        low, high = max(p.start, q.start), min(p.stop, q.stop)
        if low >= high:
            return 0.0
        of_a.append(slice(low - p.start, high - p.start))
        of_b.append(slice(low - q.start, high - q.start))
    shared = np.count_nonzero(a.mask[tuple(of_a)] & b.mask[tuple(of_b)])
    return shared / (np.count_nonzero(a.mask) + np.count_nonzero(b.mask) - shared)
