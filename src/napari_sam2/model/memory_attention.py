"""Memory attention: the frame looks at what is remembered of an object (SAM 2, section 4).

Self-attention and cross-attention with rotary positions; object pointers take part in the
cross-attention as tokens without a place.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.attention import attend
from napari_sam2.model.layers import Attention, add_feedforward
from napari_sam2.model.positions import rotate

Phases = tuple[Tensor, Tensor]


class MemoryAttentionLayer(nn.Module):
    """Self-attention, attention to the memories, and a feed-forward step, each pre-normalised."""

    def __init__(self, width: int, memory: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads=1)
        self.cross_attn_image = Attention(width, heads=1, memory=memory)
        self.linear1 = nn.Linear(width, feedforward)
        self.linear2 = nn.Linear(feedforward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(
        self,
        x_nlc: Tensor,
        memory_nmc: Tensor,
        keys_nmc: Tensor,
        phases: Phases,
        key_phases: Phases,
    ) -> Tensor:
        """Return the updated tokens (N, L, C).

        Parameters
        ----------
        x_nlc : tokens of the frame; N or, if all objects look at the same, 1.
        memory_nmc : memories and pointers, what is read.
        keys_nmc : the same with their positions in space and time added, what is compared.
        phases : rotary phases of the frame's tokens.
        key_phases : those of the memories, N or 1.
        """
        x = x_nlc + self._attend_self(self.norm1(x_nlc), phases)
        x = x.expand(len(memory_nmc), -1, -1)  # until here objects on one frame are alike
        x = x + self._attend_memory(self.norm2(x), memory_nmc, keys_nmc, phases, key_phases)
        rows = x.flatten(0, 1)
        return add_feedforward(rows, self.norm3, self.linear1, self.linear2, "relu").view_as(x)

    def _attend_self(self, x: Tensor, phases: Phases) -> Tensor:
        attn = self.self_attn
        q = rotate(attn.split(attn.q_proj(x)), phases)
        k = rotate(attn.split(attn.k_proj(x)), phases)
        v = attn.split(attn.v_proj(x))
        return attn.merge(F.scaled_dot_product_attention(q, k, v))

    def _attend_memory(
        self, x: Tensor, memory: Tensor, keys: Tensor, phases: Phases, key_phases: Phases
    ) -> Tensor:
        attn = self.cross_attn_image
        q = rotate(attn.split(attn.q_proj(x)), phases)

        def made(rows: slice, tokens: slice) -> Tensor:
            k = attn.split(attn.k_proj(keys[rows, tokens]))
            cos, sin = (p[rows if len(p) > 1 else slice(None), :, tokens] for p in key_phases)
            return rotate(k, (cos, sin))

        if torch.is_grad_enabled() or x.device.type != "cpu":
            v = attn.split(attn.v_proj(memory))
            everything = made(slice(None), slice(None))
            return attn.merge(F.scaled_dot_product_attention(q, everything, v))
        found = attend(q[:, 0], lambda rows, tokens: made(rows, tokens)[:, 0], memory)
        out: Tensor = attn.out_proj(attn.v_proj(found))
        return out


class MemoryAttention(nn.Module):
    """A stack of memory attention layers."""

    def __init__(self, width: int, memory: int, layers: int, feedforward: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            MemoryAttentionLayer(width, memory, feedforward) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        x_nlc: Tensor,
        place_blc: Tensor,
        memory_nmc: Tensor,
        memory_place_nmc: Tensor,
        phases: Phases,
        key_phases: Phases,
    ) -> Tensor:
        """Return the frame's tokens (N, L, C), conditioned on the memories.

        Parameters
        ----------
        x_nlc, place_blc : tokens of the frame and their sine positions; N or 1.
        memory_nmc, memory_place_nmc : memories and their positions in space and time.
        phases, key_phases : as in `MemoryAttentionLayer`.
        """
        x = x_nlc + 0.1 * place_blc
        keys = memory_nmc + memory_place_nmc
        for layer in self.layers:
            x = layer(x, memory_nmc, keys, phases, key_phases)
        out: Tensor = self.norm(x)
        return out
