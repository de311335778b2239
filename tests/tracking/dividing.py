"""A nucleus that divides, to be drawn where no real sequence is at hand, and sessions on it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.lineage_steps import Divide
from napari_sam2.tracking.kept.steps import Propagate, SetPrompt
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.results import FrameResult
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.toy import SHAPE, a_session, disk

DIVIDES = 6  # the first frame with two
FRAMES = 12
_RADIUS = 8.0


def centres(frame: int) -> list[tuple[float, float]]:
    """Centres (y, x) of the cells: one, or the upper and the lower daughter."""
    x = 30.0 + 2 * frame
    apart = _apart(frame)
    return [(32.0, x)] if frame < DIVIDES else [(32 - apart, x), (32 + apart, x)]


def _apart(frame: int) -> float:
    """Half the way between the halves of the cell, which grows long before it divides."""
    return max(_RADIUS + 0.8 + 1.6 * (frame - DIVIDES), 0)


def dividing_cell(frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Return images (T, Y, X) uint8 and truth: 1, and its daughters 2 (above) and 3 (below)."""
    images = np.random.default_rng(0).integers(0, 40, (frames, *SHAPE)).astype(np.uint8)
    truth = np.zeros(images.shape, np.uint16)
    for t in range(frames):
        for k, side in enumerate((-1, 1)):
            half = disk(32 + side * _apart(t), 30.0 + 2 * t, _RADIUS)
            truth[t][half] = 1 if t < DIVIDES else 2 + k
    images[truth > 0] += 180
    return images, truth


def start(model: SAM2, attention: str | None = None) -> History:
    return History(a_session(model, attention, dividing_cell()[0]))


def square(n: int) -> np.ndarray:
    """One of six masks that do not touch."""
    mask = np.zeros(SHAPE, bool)
    mask[8 + 30 * (n % 2) :, 8 + 28 * (n // 2) :][:16, :16] = True
    return mask


def painted(model: SAM2, first: dict[int, int]) -> TrackingSession:
    """Objects by id, each painted on the one frame that is given."""
    session = start(model).session
    for i, frame in first.items():
        session.add_mask(i, frame, square(i % 6))
    return session


def on(session: TrackingSession, object_id: int) -> list[int]:
    return [t for t in range(FRAMES) if (session.result(t).labels == object_id).any()]


def run(results: Iterable[FrameResult]) -> list[int]:
    return [result.frame for result in results]


def everything(session: TrackingSession) -> list[object]:
    """What must be the same of two sessions that did the same."""
    results = [session.result(t) for t in range(FRAMES)]
    stale = dict(sorted(session.stale_frames().items()))
    births = {i: session._objects[i].birth for i in sorted(session.object_ids)}
    return [[r.labels.tobytes() for r in results], session.prompts, stale, births]


def dividing(model: SAM2, attention: str | None = None) -> History:
    """The mother is followed through the stack, divides, and both daughters are clicked."""
    history = start(model, attention)
    history.do(SetPrompt(1, 0, Prompt([centres(0)[0]], [True])))
    history.do(Propagate("both"))
    history.do(Divide(1, DIVIDES, (2, 3)))
    for i, centre in zip((2, 3), centres(DIVIDES), strict=True):
        history.do(SetPrompt(i, DIVIDES, Prompt([centre], [True])))
    return history
