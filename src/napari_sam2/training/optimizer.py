"""Muon for the matrices, AdamW for the rest: half as many steps to the same loss as AdamW alone.

Jordan et al. 2024, *Muon: an optimizer for hidden layers in neural networks*. Decision 004 has the
comparison.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_RMS = 0.2  # of a step over the rate, as AdamW's is
_QUINTIC = (3.4445, -4.775, 2.0315)  # Jordan et al.: a x + b x^3 + c x^5
_ROUNDS = 5
_MAPS = Path("/proc/self/maps")  # Linux: the files that are loaded into this process


class Muon(torch.optim.Optimizer):
    """Steps along the nearest orthogonal matrix to the momentum (Jordan et al. 2024).

    torch's own multiplies in bfloat16, also on processors that only emulate it, where it took
    several times as long as all the rest of training. This one multiplies in float32, matrices of
    one shape at once.

    Parameters
    ----------
    matrices : what is learnt, each (rows, columns).
    weight_decay : apart from the gradient.
    """

    def __init__(self, matrices: list[Tensor], weight_decay: float) -> None:
        super().__init__(matrices, {"lr": 0.0, "weight_decay": weight_decay})

    @torch.no_grad()
    # torch's may also be given a closure, and is overloaded for it; this one takes none.
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step."""
        for group in self.param_groups:
            alike = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[matrix.shape].append((matrix, self._direction(matrix)))
            for (rows, columns), pairs in alike.items():
                steps = orthogonal(torch.stack([direction for _, direction in pairs]))
                length = group["lr"] * _RMS * max(rows, columns) ** 0.5
                for (matrix, _), step in zip(pairs, steps, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(step, alpha=-length)

    def _direction(self, matrix: Tensor) -> Tensor:
        """Nesterov's momentum."""
        state, gradient = self.state[matrix], matrix.grad
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - _MOMENTUM)
        return gradient.lerp(momentum, _MOMENTUM)


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring all singular values near 1: (N, rows, columns) -> the same; zeros stay."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Optimizer:
    """Both optimisers as one.

    Parameters
    ----------
    modules : what is learnt.
    decay : of weights that are matrices or kernels.
    """

    def __init__(self, modules: list[nn.Module], decay: float) -> None:
        _prepare()
        parameters = {id(p): p for module in modules for p in module.parameters()}
        matrices = {
            id(layer.weight): layer.weight
            for module in modules
            for layer in module.modules()
            if isinstance(layer, nn.Linear)
        }
        rest = [p for key, p in parameters.items() if key not in matrices]
        self._parts: list[torch.optim.Optimizer] = [
            Muon(list(matrices.values()), decay),
            torch.optim.AdamW(
                [
                    {"params": [p for p in rest if p.ndim > 1], "weight_decay": decay},
                    {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
                ],
                betas=(0.9, 0.98),
            ),
        ]

    def step(self, rate: float) -> None:
        """Take a step with this learning rate, and forget the gradients."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
        self.forget()

    def forget(self) -> None:
        """Drop the gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the state of both, for a checkpoint."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from `state_dict`."""
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


def _prepare() -> None:
    """Load the compiler that torch's optimisers load, without triton where that ends the process.

    Triton brings an LLVM of its own. Where Mesa has loaded another one, as it does when the
    processor draws napari's window, the two do not bear each other. Nothing here is compiled.
    """
    if "triton" in sys.modules or not _MAPS.is_file() or b"libLLVM" not in _MAPS.read_bytes():
        return
    sys.modules["triton"] = None  # type: ignore[assignment]  # it cannot be imported meanwhile
    try:
        import torch._dynamo  # noqa: F401
    finally:
        del sys.modules["triton"]
