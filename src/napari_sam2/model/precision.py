"""In which precision the network computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar, cast

import torch

Verb = TypeVar("Verb", bound=Callable[..., Any])

_BFLOAT16_SINCE = (8, 0)  # compute capability: Ampere


@cache
def halved(device: torch.device) -> bool:
    """Whether a device has units for bfloat16, which SAM 2 was trained and published with."""
    if device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device) >= _BFLOAT16_SINCE


def in_half(verb: Verb) -> Verb:
    """Let a method of the network compute in bfloat16, where it is allowed and pays.

    Never while gradients are wanted: training chooses for itself.
    """

    @wraps(verb)
    def run(model: Any, *args: Any, **kwargs: Any) -> Any:
        half = model.half_precision and not torch.is_grad_enabled() and halved(model.device)
        if not half:
            return verb(model, *args, **kwargs)
        with torch.autocast(model.device.type, torch.bfloat16):
            return verb(model, *args, **kwargs)

    return cast("Verb", run)
