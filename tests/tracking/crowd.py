"""A session with objects on, over and under each other, and steps that change some of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import torch

from napari_sam2.model.config import Attention
from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.kept.lineage_steps import Divide
from napari_sam2.tracking.kept.steps import (
    MergeObjects,
    RemoveObject,
    SetPrompt,
    SplitObject,
    Step,
)
from napari_sam2.tracking.masks.mask_text import mask_text
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.windows import Window, whole
from tests.tracking.toy import SHAPE, a_session

FRAMES = 3


def ellipse(rng: np.random.Generator, shape: tuple[int, int], most: float) -> np.ndarray:
    """How far pixels lie within an ellipse, above 0 inside; float (Y, X)."""
    y, x = np.indices(shape)
    y0, x0, ry, rx = (*rng.uniform(0, shape), *rng.uniform(1, most, 2))
    inside = 4 - 4 * np.hypot((y - y0) / ry, (x - x0) / rx)
    return np.asarray(inside + rng.normal(0, 0.5, shape))


def estimate(rng: np.random.Generator, session: TrackingSession) -> Estimate:
    """A random mask in a random window of any level."""
    levels = [*session._engine.levels.values()]
    geometry = levels[rng.integers(len(levels))]
    rows, columns = geometry.tokens
    window = whole(geometry)
    if session._engine.windowed:
        h, w = min(rows, int(rng.integers(1, 5))), min(columns, int(rng.integers(1, 5)))
        y, x = int(rng.integers(0, rows - h + 1)), int(rng.integers(0, columns - w + 1))
        window = Window(y, x, h, w, geometry.tokens)
    logits = ellipse(rng, (4 * window.height, 4 * window.width), 10)
    quality = Quality(0.8, 2.0, 0.9, bool(rng.random() < 0.2))
    return Estimate.of(window, torch.from_numpy(logits.astype(np.float32)), quality)


def crowd(model: SAM2, seed: int, attention: Attention) -> TrackingSession:
    """Objects on, over and under each other: followed, clicked, painted, given; some locked."""
    rng = np.random.default_rng(seed)
    session = a_session(model, attention)
    for i in range(1, 13):
        painted = ellipse(rng, SHAPE, 25) > 0
        painted[rng.integers(SHAPE[0]), rng.integers(SHAPE[1])] = True
        session.add_mask(i, int(rng.integers(FRAMES)), painted)
    for obj, t in product(session._objects.values(), range(FRAMES)):
        if t in obj.prompts and rng.random() < 0.6:  # as if the network had answered a click
            obj.estimates[t] = replace(estimate(rng, session), window=obj.estimates[t].window)
            obj.prompts[t] = Prompt([[1, 1]], [True])
        elif t not in obj.prompts and rng.random() < 0.8:
            obj.estimates[t] = estimate(rng, session)
            obj.tracked[t] = False
            if rng.random() < 0.3:
                obj.given[t] = mask_text(ellipse(rng, SHAPE, 25) > 0)
    session.lock_objects(i for i in [*session._objects] if rng.random() < 0.2)
    return session


def shown(session: TrackingSession) -> list[np.ndarray]:
    """The labels of all frames, composed as a whole."""
    return [session.result(t).labels for t in range(FRAMES)]


def steps(rng: np.random.Generator) -> list[Step]:
    """Each is to be done to the crowd; some cannot."""
    i, other = (int(n) for n in rng.permutation(12)[:2] + 1)
    frame = int(rng.integers(FRAMES))
    return [
        RemoveObject(i),
        RemoveObject(i, (other,)),
        MergeObjects(i, other),
        SplitObject(i, 1 + frame % 2, 20),
        SetPrompt(i, frame, Prompt(mask=ellipse(rng, SHAPE, 20) > -1)),
        SetPrompt(i, frame, None),
        Divide(i, 1 + frame % 2, (20, 21)),
    ]
