"""Products of matrices by oneDNN, where torch's own are slower.

On x86 torch multiplies matrices by MKL, which leaves half of the speed of processors that are not
Intel's unused: there it computes with vectors of 256 bits, whatever they have. oneDNN, which torch
brings for convolutions, has no such preference. torch offers its products under a name that is not
meant for users; where that is missing, or works otherwise, torch's own take their place.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SWITCH = "NAPARI_SAM2_ONEDNN"  # environment variable: 0 never, 1 whatever the processor
_GAINING = ("AuthenticAMD", "HygonGenuine")

_LEAST = 1 << 21  # multiplications, below which calling oneDNN takes longer than it saves

Activation = Literal["none", "relu", "gelu"]


class Linear(nn.Linear):
    """`torch.nn.Linear`, by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., D)."""
        return linear(x, self.weight, self.bias)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: Activation = "none"
) -> Tensor:
    """Return activation(x weight' + bias).

    Parameters
    ----------
    x : (..., C).
    weight : (D, C), of any strides.
    bias : (D,).
    activation : of the result.
    """
    if x.numel() * len(weight) >= _LEAST and pays(x):
        algorithm = "none" if activation == "gelu" else ""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            _dense(x), _dense(weight), bias, activation, [], algorithm
        )
        return out
    out = F.linear(x, weight, bias)
    if activation == "none":
        return out
    return F.relu(out) if activation == "relu" else F.gelu(out)


def _dense(x: Tensor) -> Tensor:
    """Copy what has gaps between its rows: oneDNN's way with these is thousands of times slower."""
    return x if x.is_contiguous() or (x.ndim == 2 and x.t().is_contiguous()) else x.contiguous()


def pays(x: Tensor) -> bool:
    """Whether something is multiplied by oneDNN: for inference in single precision, on a CPU."""
    there = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0
    return there and not torch.is_grad_enabled() and available()


@cache
def available() -> bool:
    """Whether this processor gains by oneDNN, or the user says so, and this torch has it."""
    said = os.environ.get(SWITCH)
    wanted = _maker() in _GAINING if said not in ("0", "1") else said == "1"
    return wanted and _works()


def _maker() -> str:
    """Name of an x86 processor's maker, as it tells it."""
    if platform.system() == "Windows":
        return platform.processor().rpartition(" ")[2]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="ignore").splitlines()
    except OSError:
        return ""
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id"))
    return next(found, "")


def _works() -> bool:
    """Whether torch's product by oneDNN is there and what it was when this was written."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    x, weight, bias = torch.arange(6.0).view(3, 2) - 2, torch.arange(8.0).view(4, 2), torch.ones(4)
    try:
        with torch.inference_mode():
            found = [
                torch.ops.mkldnn._linear_pointwise(x, weight, bias, name, [], algorithm)
                for name, algorithm in (("none", ""), ("relu", ""), ("gelu", "none"))
            ]
    except (AttributeError, RuntimeError, TypeError):
        return False
    plain = F.linear(x, weight, bias)
    wanted = [plain, F.relu(plain), F.gelu(plain)]
    return all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, wanted, strict=True))
