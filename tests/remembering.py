"""A network that computes what it is asked once, however many tests ask it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from napari_sam2.model.sam2 import SAM2

VERBS = (
    "encode_image",
    "prepare",
    "recall",
    "predict_masks",
    "correct_masks",
    "decode_all",
    "adopt_masks",
    "memorize",
)
ROOM = 200_000_000  # bytes of answers; the oldest go first


def remembering(model: SAM2) -> SAM2:
    """Let a network give the answer it gave before to what is the same bit by bit.

    Tests follow the same cells again and again: to compare, to undo, to go on. The verbs have no
    state, so nothing but time is saved; answers are copies, so that no test writes into another's.
    """
    known: dict[bytes, Any] = {}
    held = 0

    def wrapped(name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*args: Any, **kwargs: Any) -> Any:
            nonlocal held
            if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
                return verb(*args, **kwargs)
            digest = hashlib.sha1(name.encode())
            _digest(digest, [args, sorted(kwargs.items())])
            key = digest.digest()
            if key in known:
                return _copy(known[key])
            found = verb(*args, **kwargs)
            known[key] = _copy(found)
            held += _size(found)
            while held > ROOM:
                held -= _size(known.pop(next(iter(known))))
            return found

        return answer

    for name in VERBS:
        setattr(model, name, wrapped(name, getattr(model, name)))
    return model


def _fields(value: Any) -> list[Any]:
    return [getattr(value, field.name) for field in dataclasses.fields(value)]


def _digest(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.flatten().contiguous().view(torch.uint8).numpy())
    elif dataclasses.is_dataclass(value) or isinstance(value, (tuple, list)):
        parts = value if isinstance(value, (tuple, list)) else _fields(value)
        digest.update(f"{type(value).__name__}{len(parts)}".encode())
        for part in parts:
            _digest(digest, part)
    else:
        assert value is None or isinstance(value, (bool, int, float, str)), type(value)
        digest.update(repr(value).encode())


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple):
        return tuple(map(_copy, value))
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return type(value)(**{name: _copy(getattr(value, name)) for name in names})
    return value


def _size(value: Any) -> int:
    if isinstance(value, Tensor):
        return int(value.nbytes)
    if isinstance(value, tuple):
        return sum(map(_size, value))
    return sum(map(_size, _fields(value))) if dataclasses.is_dataclass(value) else 0
