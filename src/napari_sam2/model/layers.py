"""Small layers shared by the rooms of the network."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.products import Activation, Linear, linear

PART = 1 << 20  # values that are made at once between the steps of a function
_WHOLE = 1 << 20  # up to so many, memory is used again; above, C libraries ask for fresh pages


def sparing(x: Tensor, values: int) -> bool:
    """Whether something that makes so many values on the way is better done in parts."""
    return not torch.is_grad_enabled() and x.device.type == "cpu" and values > _WHOLE


def in_parts(function: Callable[[Tensor], Tensor], x: Tensor, width: int) -> Tensor:
    """Apply a function that treats all rows alike, a few rows at a time if they are many.

    On a CPU, a large intermediate result costs more than the arithmetic. On other devices, and
    for training, all rows go at once.

    Parameters
    ----------
    function : maps rows to rows.
    x : (rows, ...).
    width : values that one row becomes on the way.
    """
    if not sparing(x, len(x) * width):
        return function(x)
    return torch.cat([function(part) for part in torch.split(x, max(1, PART // width))])


def add_feedforward(
    x_nc: Tensor, norm: nn.LayerNorm, first: nn.Linear, second: nn.Linear, activation: Activation
) -> Tensor:
    """Return x + second(activation(first(norm(x)))); for inference on a CPU in the place of x.

    Parameters
    ----------
    x_nc : (rows, C).
    norm, first, second : the layers.
    activation : "relu" or "gelu".
    """
    if torch.is_grad_enabled() or x_nc.device.type != "cpu":
        return x_nc + _inner(x_nc, norm, first, second, activation)
    for part in torch.split(x_nc, max(1, PART // first.out_features)):
        part.add_(_inner(part, norm, first, second, activation))
    return x_nc


def _inner(
    x_nc: Tensor, norm: nn.LayerNorm, first: nn.Linear, second: nn.Linear, activation: Activation
) -> Tensor:
    inner = linear(norm(x_nc), first.weight, first.bias, activation)
    return linear(inner, second.weight, second.bias)


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of a (N, C, H, W) map."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Return the normalised map, same shape."""
        x_nhwc = x_nchw.permute(0, 2, 3, 1)
        y_nhwc = F.layer_norm(x_nhwc, (x_nhwc.shape[-1],), self.weight, self.bias, self.eps)
        return y_nhwc.permute(0, 3, 1, 2)


class MLP(nn.Module):
    """Linear layers with an activation between them."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        activation: type[nn.Module] = nn.ReLU,
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(n, m) for n, m in pairwise(sizes))
        self.activation = activation()
        self.sigmoid = sigmoid

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., sizes[0]) to (..., sizes[-1])."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        x = self.layers[-1](x)
        return x.sigmoid() if self.sigmoid else x


class Attention(nn.Module):
    """Multi-head attention with separate projections and an inner width of its own.

    Parameters
    ----------
    width : channels of queries and of the result.
    heads : number of heads.
    inner : channels inside; `width` if not given.
    memory : channels of keys and values; `width` if not given.
    """

    def __init__(
        self, width: int, heads: int, inner: int | None = None, memory: int | None = None
    ) -> None:
        super().__init__()
        inner = inner or width
        memory = memory or width
        self.heads = heads
        self.q_proj = Linear(width, inner)
        self.k_proj = Linear(memory, inner)
        self.v_proj = Linear(memory, inner)
        self.out_proj = Linear(inner, width)

    def split(self, x_nlc: Tensor) -> Tensor:
        """(N, L, C) -> (N, heads, L, C / heads)."""
        n, length, _ = x_nlc.shape
        return x_nlc.view(n, length, self.heads, -1).transpose(1, 2)

    def merge(self, x_nhld: Tensor) -> Tensor:
        """(N, heads, L, D) -> (N, L, heads * D), projected to the outer width."""
        out: Tensor = self.out_proj(x_nhld.transpose(1, 2).flatten(2))
        return out

    def forward(self, q_nlc: Tensor, k_nmc: Tensor, v_nmc: Tensor) -> Tensor:
        """Attend from L queries to M keys; returns (N, L, width)."""
        q = self.split(self.q_proj(q_nlc))
        k = self.split(self.k_proj(k_nmc))
        v = self.split(self.v_proj(v_nmc))
        return self.merge(F.scaled_dot_product_attention(q, k, v))
