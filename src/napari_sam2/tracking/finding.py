"""Prompts on an object that is not known yet: several magnifications are asked, and vote.

A click says nothing of the object's size. So the network is asked on every octave of
magnification, and all of its answers, resampled to data pixels, are candidates. A box tells the
size; there the outlines that neighbouring magnifications see are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sam2.model.values import MaskPrediction
from napari_sam2.tracking.engine import Engine
from napari_sam2.tracking.estimates import Estimate, Quality
from napari_sam2.tracking.finishing import fit_box, obey, tidy
from napari_sam2.tracking.hypotheses import Hypotheses
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.resampling import Patch, moved, patches_to_data
from napari_sam2.tracking.thin_mask import Place, place_of
from napari_sam2.tracking.tidying import tidied
from napari_sam2.tracking.windows import Window

_USUAL_CELLS = (40, 700)  # of 4 px: radii of 14 to 60 px, where small models can be relied on
_THERE = 1.0  # least object score of what was clicked on: nobody clicks on what is not there
_OCTAVE = 2  # levels
_CERTAIN = 6.0  # logit beyond which no magnification outvotes the others

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
    """

    window: Window
    logits: Tensor
    iou: float
    place: Place
    mask: Mask
    hypotheses: Hypotheses | None = None
    index: int = 0

    @property
    def usual(self) -> bool:
        """Whether it was seen at a size that the network knows."""
        return _USUAL_CELLS[0] <= int((self.logits > 0).sum()) <= _USUAL_CELLS[1]

    def heeds(self, prompt: Prompt) -> bool:
        """Whether every click is on the right side of its outline."""
        rows, columns = self.place
        for (y, x), wanted in zip(np.rint(prompt.points).astype(int), prompt.positive, strict=True):
            inside = rows.start <= y < rows.stop and columns.start <= x < columns.stop
            held = inside and bool(self.mask[y - rows.start, x - columns.start])
            if held != wanted:
                return False
        return True


@dataclass(frozen=True, eq=False)
class Known:
    """A mask that is corrected.

    Parameters
    ----------
    estimate : where it is.
    logits : of the estimate's window, as exactly as they are known.
    """

    estimate: Estimate
    logits: Tensor

    def within(self, window: Window) -> Tensor:
        """Logits (4 h, 4 w) in another window."""
        return moved(self.logits, self.estimate.window, window)


def find(
    engine: Engine, frame: int, prompt: Prompt, level: tuple[int, int] | None
) -> tuple[Window, MaskPrediction]:
    """Answer clicks on an object of unknown size.

    Parameters
    ----------
    engine : the network on the stack.
    frame : where was clicked.
    prompt : clicks and nothing else.
    level : the level on which the object is followed already, if it is.

    Returns
    -------
    the window, on the level where the object is to be followed, and the prediction there.
    """
    best = surest(list(_candidates(engine, frame, prompt)), prompt)
    return _settled(engine, frame, prompt, best, level)


def correct(
    engine: Engine, frame: int, prompt: Prompt, level: tuple[int, int] | None, known: Known
) -> tuple[Window, MaskPrediction]:
    """Answer clicks that correct a mask, which may say that another object was meant.

    The first click, which may have been misunderstood, and all clicks together are answered anew
    on all levels. Of these masks, those that heed every click compete with the corrected one.

    Parameters
    ----------
    engine, frame, prompt, level : see `find`.
    known : the mask that is corrected.
    """
    window, prediction = _averaged(engine, frame, prompt, known, known.estimate.window.grid, 1)
    prediction = obey(prediction, engine.geometry(window), window, prompt, known.within(window))
    if not prompt.positive.any():
        return window, prediction  # what is not the object does not say what is
    (present,) = _seen(engine, window, prediction.best_logits, prediction.best_iou.tolist())
    first = int(np.argmax(prompt.positive))
    alone = Prompt(points=prompt.points[first][None], positive=prompt.positive[first][None])
    anew = [*_candidates(engine, frame, prompt), *_candidates(engine, frame, alone)]
    rivals = [present, *(c for c in anew if c.usual and c.heeds(prompt))]
    support = _support([*anew, present])
    best = max(rivals, key=lambda candidate: support[id(candidate)])
    if best is present:
        return window, prediction
    return _settled(engine, frame, prompt, best, level)


def outline(
    engine: Engine, frame: int, prompt: Prompt, level: tuple[int, int] | None
) -> tuple[Window, MaskPrediction]:
    """Answer a box, which tells how large the object is.

    Parameters
    ----------
    engine, frame, level : see `find`.
    prompt : a box, perhaps with clicks.
    """
    window, prediction = _averaged(engine, frame, prompt, None, level, _OCTAVE)
    geometry = engine.geometry(window)
    prediction = tidy(fit_box(prediction, geometry, window, prompt))
    return window, obey(prediction, geometry, window, prompt, None)


def _averaged(
    engine: Engine,
    frame: int,
    prompt: Prompt,
    known: Known | None,
    level: tuple[int, int] | None,
    reach: int,
) -> tuple[Window, MaskPrediction]:
    """Answer on one level, with logits that are the mean over it and its neighbours.

    Parameters
    ----------
    known : the mask that the prompt corrects, if any.
    reach : levels to either side; the outer ones count for less.
    """

    def ask(grid: tuple[int, int] | None) -> tuple[Window, MaskPrediction]:
        window = engine.prompt_window(prompt, None if known is None else known.estimate, grid)
        earlier = None if known is None else known.within(window)
        return window, engine.answer(frame, window, prompt, None, earlier)

    window, prediction = ask(level)
    levels = [*engine.levels.values()]
    here = levels.index(engine.geometry(window))
    total, weights = prediction.best_logits[0].clamp(-_CERTAIN, _CERTAIN), 1.0
    for at in range(max(here - reach, 0), min(here + reach + 1, len(levels))):
        if at != here:
            place, other = ask(levels[at].tokens)
            weight = 1 / (1 + abs(at - here) / _OCTAVE)
            total = total + weight * moved(
                other.best_logits[0].clamp(-_CERTAIN, _CERTAIN), place, window
            )
            weights += weight
    there = prediction.object_score.clamp(min=_THERE)
    return window, replace(
        prediction,
        logits=(total / weights)[None, None],
        object_score=there,
        chosen=torch.zeros_like(prediction.chosen),
    )


def surest(candidates: Sequence[Candidate], prompt: Prompt) -> Candidate:
    """Return the candidate that is sure of itself and that the others agree with.

    A cell is seen alike at neighbouring magnifications; a colony, or a part of the cell, that one
    of them takes for the object is not.
    """
    support = _support(candidates)

    def order(candidate: Candidate) -> tuple[bool, float]:
        return candidate.usual and candidate.heeds(prompt), support[id(candidate)]

    return max(candidates, key=order)


def _support(candidates: Sequence[Candidate]) -> dict[int, float]:
    """How sure each is of itself, times how much the others agree with it; by identity."""
    ious = np.array([c.iou for c in candidates])
    alike = np.zeros((len(candidates), len(candidates)))
    for i, a in enumerate(candidates):
        alike[i, i] = float(a.mask.any())
        for j, b in enumerate(candidates[:i]):
            alike[i, j] = alike[j, i] = _overlap(a, b)
    return {id(c): float(s) for c, s in zip(candidates, ious * (alike @ ious), strict=True)}


def _overlap(a: Candidate, b: Candidate) -> float:
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


def _candidates(engine: Engine, frame: int, prompt: Prompt) -> list[Candidate]:
    """All masks that clicks may mean, on every octave of magnification."""
    # Mask 0 is for several clicks; a single one is ambiguous.
    first = 0 if len(prompt.points) > 1 else 1
    found = []
    for seen in engine.hypotheses(frame, prompt, [*engine.levels.values()][::-1][::_OCTAVE]):
        masks = tidied(seen.logits[first:])
        candidates = _seen(engine, seen.window, masks, seen.iou[first:].tolist())
        for index, candidate in enumerate(candidates, start=first):
            found.append(replace(candidate, hypotheses=seen, index=index))
    return found


def _seen(
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


def _settled(
    engine: Engine, frame: int, prompt: Prompt, best: Candidate, level: tuple[int, int] | None
) -> tuple[Window, MaskPrediction]:
    """Lay a mask on the level where the object is to be followed, bent to the clicks."""
    assert best.hypotheses is not None
    window, logits = best.window, best.logits
    score, pointer = best.hypotheses.object_score, best.hypotheses.pointers[best.index]
    estimate = Estimate.of(window, logits, Quality(best.iou, _THERE, 1.0))
    extent = engine.extent(estimate)
    if extent is not None:
        target = engine.fitting(extent) if level is None else engine.levels[level]
        if target.tokens != window.grid:
            window = engine.window_on(target, extent)
            logits = moved(estimate.logits(), best.window, window)
            # What is remembered of the object is taken from where it will be seen.
            again = engine.answer(frame, window, prompt, None, logits)
            score, pointer = again.object_score, again.pointer[0]
    prediction = MaskPrediction(
        logits=logits[None, None],
        iou=torch.full((1, 1), best.iou),
        object_score=score.reshape(1).clamp(min=_THERE),
        pointer=pointer[None],
        chosen=torch.zeros(1, dtype=torch.long),
    )
    return window, obey(prediction, engine.geometry(window), window, prompt, None)
