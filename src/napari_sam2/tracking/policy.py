"""How a session trades exactness, speed and memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_sam2.model.config import Attention


@dataclass(frozen=True)
class TrackingPolicy:
    """How a session trades exactness, speed and memory.

    Parameters
    ----------
    attention : "exact" looks at whole frames, as published; "windowed" looks at each object in a
        window that follows it. None: what suits the model.
    zoom : model pixels per data pixel, for windows. None: for each object by its size.
    cached_frames : encodings kept: so many whole frames, or as much as some hundred windows each.
    batch_tokens : tokens of all objects that go through the network together. None: on a CPU those
        of one whole frame, more would only take memory; on a GPU what half of its free memory
        holds.
    encodings : folder in which the encodings of whole frames are kept, 8 MB each for the published
        models, at most 20 GB: a stack that is opened again is not encoded again. None: not kept.
    """

    attention: Attention | None = None
    zoom: float | None = None
    cached_frames: int = 4
    batch_tokens: int | None = None
    encodings: Path | None = None
