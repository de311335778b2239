"""Memory attention: the frame looks at what is remembered of an object (SAM 2, section 4).

Self-attention and cross-attention with rotary positions; object pointers take part in the
cross-attention as tokens without a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.attention import Grids, attend, attend_to_grids, attention, grids_pay
from napari_sam2.model.layers import Attention, add_feedforward
from napari_sam2.model.positions import rotate
from napari_sam2.model.products import Linear

Phases = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class MemoryTokens:
    """What N objects remember, as M tokens.

    Parameters
    ----------
    read_nmc : memories and pointers, what is read.
    raw_nmc : the same with their positions in space and time added; their projections are compared.
    phases : rotary phases of the tokens, N or 1.
    grids : (T, h, w) if the tokens begin with T memories that lie on one grid.
    """

    read_nmc: Tensor
    raw_nmc: Tensor
    phases: Phases
    grids: tuple[int, int, int] | None = None


class MemoryAttentionLayer(nn.Module):
    """Self-attention, attention to the memories, and a feed-forward step, each pre-normalised."""

    def __init__(self, width: int, memory: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads=1)
        self.cross_attn_image = Attention(width, heads=1, memory=memory)
        self.linear1 = Linear(width, feedforward)
        self.linear2 = Linear(feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def look(self, x_nlc: Tensor, phases: Phases) -> Tensor:
        """Return the frame's tokens (N, L, C) after they have seen each other."""
        attn, x = self.self_attn, self.norm1(x_nlc)
        q = rotate(attn.split(attn.q_proj(x)), phases)
        k = rotate(attn.split(attn.k_proj(x)), phases)
        v = attn.split(attn.v_proj(x))
        return x_nlc + attn.merge(attention(q, k, v))

    def recall(self, x_nlc: Tensor, memory: MemoryTokens, phases: Phases) -> Tensor:
        """Return the tokens (N, L, C) after they have seen the memories.

        Parameters
        ----------
        x_nlc : tokens from `look`; N or, if all objects look at the same, 1.
        memory : what is seen.
        phases : rotary phases of the frame's tokens.
        """
        x = x_nlc.expand(len(memory.read_nmc), -1, -1)
        x = x + self._attend(self.norm2(x), memory, phases)
        rows = x.flatten(0, 1)
        return add_feedforward(rows, self.norm3, self.linear1, self.linear2, "relu").view_as(x)

    def _attend(self, x: Tensor, memory: MemoryTokens, phases: Phases) -> Tensor:
        attn, read = self.cross_attn_image, memory.read_nmc
        q = rotate(attn.split(attn.q_proj(x)), phases)

        def keys(rows: slice, tokens: slice) -> Tensor:
            k = attn.split(attn.k_proj(memory.raw_nmc[rows, tokens]))
            cos, sin = (p[rows if len(p) > 1 else slice(None), :, tokens] for p in memory.phases)
            return rotate(k, (cos, sin))[:, 0]

        if torch.is_grad_enabled() or x.device.type != "cpu":
            k, v = keys(slice(None), slice(None))[:, None], attn.split(attn.v_proj(read))
            return attn.merge(F.scaled_dot_product_attention(q, k, v))
        grids = _grids(attn.k_proj, memory)
        if grids is None:
            found = attend(q[:, 0], keys, read)
        else:
            found = attend_to_grids(q[:, 0], keys, read, grids)
        out: Tensor = attn.out_proj(attn.v_proj(found))
        return out


def _grids(projection: nn.Linear, memory: MemoryTokens) -> Grids | None:
    """Turn the keys' projection for each column and row of the memories' grid, where that pays."""
    if memory.grids is None:
        return None
    count, height, across = memory.grids
    width, raw = projection.weight.shape
    if not grids_pay(count, (height, across), raw, width):
        return None
    weights = torch.cat([projection.weight.t(), projection.bias[None]])[None, None]
    left, right = weights.chunk(2, dim=3)
    cos, sin = (p[:, 0, : height * across].view(len(p), height, across, -1) for p in memory.phases)
    (cos_x, cos_y), (sin_x, sin_y) = cos.chunk(2, dim=3), sin.chunk(2, dim=3)
    return Grids(
        memory.raw_nmc,
        count,
        rotate(left, (cos_x[:, 0, :, None], sin_x[:, 0, :, None])),
        rotate(right, (cos_y[:, :, 0, None], sin_y[:, :, 0, None])),
    )


class MemoryAttention(nn.Module):
    """A stack of memory attention layers."""

    def __init__(self, width: int, memory: int, layers: int, feedforward: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MemoryAttentionLayer(width, memory, feedforward) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    @property
    def _layers(self) -> Sequence[MemoryAttentionLayer]:
        return cast("Sequence[MemoryAttentionLayer]", self.layers)

    def prepare(self, x_nlc: Tensor, place_nlc: Tensor, phases: Phases) -> Tensor:
        """Return what the first layer makes of a frame before any memory is seen, (N, L, C).

        Parameters
        ----------
        x_nlc, place_nlc : tokens of the frame and their sine positions; N or 1.
        phases : their rotary phases.
        """
        return self._layers[0].look(x_nlc + 0.1 * place_nlc, phases)

    def forward(self, prepared_nlc: Tensor, memory: MemoryTokens, phases: Phases) -> Tensor:
        """Return the frame's tokens (N, L, C), conditioned on the memories.

        Parameters
        ----------
        prepared_nlc : from `prepare`; N or, if all objects look at the same, 1.
        memory : what is remembered.
        phases : rotary phases of the frame's tokens.
        """
        x = prepared_nlc
        for k, layer in enumerate(self._layers):
            x = layer.recall(layer.look(x, phases) if k else x, memory, phases)
        out: Tensor = self.norm(x)
        return out
