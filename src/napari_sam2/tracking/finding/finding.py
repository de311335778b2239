"""Prompts on an object that is not known yet: several magnifications are asked, and vote.

A click says nothing of the object's size. So the network is asked on every octave of
magnification, and all of its answers, resampled to data pixels, are candidates. The best of them
are looked at again, each with the box around it. A box of the user tells the size; there the
outlines that neighbouring magnifications see are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from napari_sam2.model.values import MaskPrediction
from napari_sam2.tracking.finding.candidates import (
    Candidate,
    as_candidates,
    candidates_of,
    overlap,
    support_of,
    surest,
)
from napari_sam2.tracking.masks.finishing import fit_box, generous, obey, tidy
from napari_sam2.tracking.masks.resampling import moved
from napari_sam2.tracking.masks.tidying import tidied
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.network.placement import OCTAVE
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.windows import Window

_THERE = 1.0  # least object score of what was clicked on: nobody clicks on what is not there
_CERTAIN = 6.0  # logit beyond which no magnification outvotes the others
_LOOKED_AT_AGAIN = 3  # candidates


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
    supported = surest(candidates_of(engine, frame, prompt), prompt)[:_LOOKED_AT_AGAIN]
    best = supported[0][1] if len(supported) == 1 else _seen_again(engine, frame, supported)
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
    prediction = replace(prediction, logits=generous(prediction.logits))
    prediction = obey(prediction, engine.geometry(window), window, prompt, known.within(window))
    if not prompt.positive.any():
        return window, prediction  # what is not the object does not say what is
    (present,) = as_candidates(engine, window, prediction.best_logits, prediction.best_iou.tolist())
    first = int(np.argmax(prompt.positive))
    alone = Prompt(points=prompt.points[first][None], positive=prompt.positive[first][None])
    anew = [*candidates_of(engine, frame, prompt), *candidates_of(engine, frame, alone)]
    rivals = [present, *(c for c in anew if c.usual and c.heeds(prompt))]
    support = support_of([*anew, present])
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
    window, prediction = _averaged(engine, frame, prompt, None, level, OCTAVE)
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
            weight = 1 / (1 + abs(at - here) / OCTAVE)
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


def _seen_again(
    engine: Engine, frame: int, supported: Sequence[tuple[float, Candidate]]
) -> Candidate:
    """Return the best supported candidate that is also what the box around it is answered with.

    Where an outline is arbitrary, the box that it happens to have means something else.
    """
    windows = [candidate.window for _, candidate in supported]
    boxes = [np.array([(p.start, p.stop - 1) for p in c.place], float).T for _, c in supported]
    answers = engine.boxed(frame, windows, boxes)
    best, most = supported[0][1], -1.0
    for (support, candidate), (logits, iou) in zip(supported, answers, strict=True):
        masks = tidied(generous(logits[None]))
        (again,) = as_candidates(engine, candidate.window, masks, [iou])
        agreed = support * overlap(candidate, again)
        if agreed > most:
            best, most = candidate, agreed
    return best


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
