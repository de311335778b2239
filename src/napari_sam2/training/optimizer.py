"""Muon for the matrices, AdamW for the rest: half as many steps to the same loss as AdamW alone.

Jordan et al. 2024, *Muon: an optimizer for hidden layers in neural networks*. Decision 004 has the
comparison.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Optimizer:
    """Both optimisers as one.

    Parameters
    ----------
    modules : what is learnt.
    decay : of weights that are matrices or kernels.

    Raises
    ------
    ImportError
        If torch is older than 2.9, which brought Muon.
    """

    def __init__(self, modules: list[nn.Module], decay: float) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise ImportError("training needs torch 2.9 or newer")
        parameters = {id(p): p for module in modules for p in module.parameters()}
        matrices = {
            id(layer.weight): layer.weight
            for module in modules
            for layer in module.modules()
            if isinstance(layer, nn.Linear)
        }
        rest = [p for key, p in parameters.items() if key not in matrices]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                list(matrices.values()), weight_decay=decay, adjust_lr_fn="match_rms_adamw"
            ),
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
