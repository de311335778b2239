"""How a session trades exactness, speed and memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args

from napari_sam2.model.config import Attention
from napari_sam2.tracking.errors import InputError


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

    Raises
    ------
    InputError
        If any of it is something else.
    """

    attention: Attention | None = None
    zoom: float | None = None
    cached_frames: int = 4
    batch_tokens: int | None = None
    encodings: Path | None = None

    def __post_init__(self) -> None:
        if self.attention not in (None, *get_args(Attention)):
            known = " or ".join(repr(one) for one in get_args(Attention))
            raise InputError(f"attention is {known}, not {self.attention!r}; or leave it out")
        if self.zoom is not None and not _is_length(self.zoom):
            raise InputError(
                f"zoom is a number above 0, of model pixels per data pixel, not {self.zoom!r}; or "
                "leave it out"
            )
        _check_count("cached_frames", self.cached_frames, 0)
        if self.batch_tokens is not None:
            _check_count("batch_tokens", self.batch_tokens, 1)


def _is_length(value: Any) -> bool:
    return isinstance(value, Real) and 0 < float(value) < math.inf


def _check_count(name: str, value: Any, least: int) -> None:
    if not isinstance(value, Integral) or int(value) < least:
        raise InputError(f"{name} is a whole number, {least} or more, not {value!r}")
