"""The trunk of the image encoder: Hiera, a hierarchical vision transformer.

Four stages at strides 4, 8, 16 and 32. Attention runs in windows, and over the whole frame in
a few blocks of the third stage; the first block of a stage pools its queries, which halves the
resolution (Ryali et al. 2023; window position embeddings: Bolya et al. 2023).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.attention import attention
from napari_sam2.model.config import HieraConfig
from napari_sam2.model.layers import MLP, PART, add_feedforward, sparing
from napari_sam2.model.products import Linear


def _pool(x_bhwc: Tensor) -> Tensor:
    # Pooling is slow on the strides that a part of `qkv` has.
    x = x_bhwc.contiguous().permute(0, 3, 1, 2)
    return F.max_pool2d(x, 2, 2).permute(0, 2, 3, 1)


def _bicubic(old: int, new: int, like: Tensor) -> Tensor:
    """Matrix (old, new) that interpolates a line of `old` values to `new`."""
    basis = torch.eye(old, device=like.device, dtype=like.dtype)[None, :, :, None]
    return F.interpolate(basis, size=(new, 1), mode="bicubic")[0, :, :, 0]


def to_windows(x_bhwc: Tensor, size: int) -> Tensor:
    """Cut a map into windows (B * n, size, size, C), padded with zeros at the lower right."""
    b, h, w, c = x_bhwc.shape
    x = F.pad(x_bhwc, (0, 0, 0, -w % size, 0, -h % size))
    x = x.view(b, x.shape[1] // size, size, x.shape[2] // size, size, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, size, size, c)


def from_windows(x_nssc: Tensor, height: int, width: int) -> Tensor:
    """Undo `to_windows`, dropping the padding: (B, height, width, C)."""
    size = x_nssc.shape[1]
    rows, columns = -(-height // size), -(-width // size)
    x = x_nssc.view(-1, rows, columns, size, size, x_nssc.shape[-1])
    x = x.permute(0, 1, 3, 2, 4, 5).reshape(x.shape[0], rows * size, columns * size, -1)
    return x[:, :height, :width]


class WindowAttention(nn.Module):
    """Multi-head self-attention over (B, h, w, C), with pooled queries at a change of stage."""

    def __init__(self, width: int, width_out: int, heads: int, pool: bool) -> None:
        super().__init__()
        self.heads = heads
        self.pool = pool
        self.qkv = Linear(width, 3 * width_out)
        self.proj = Linear(width_out, width_out)

    def forward(self, x_bhwc: Tensor) -> Tensor:
        """Return (B, h, w, C'), or half of h and w where queries are pooled."""
        b, h, w, _ = x_bhwc.shape
        q, k, v = self.qkv(x_bhwc).chunk(3, dim=-1)
        if self.pool:
            q = _pool(q)
            h, w = q.shape[1:3]

        def heads(t: Tensor) -> Tensor:
            return t.reshape(b, -1, self.heads, t.shape[-1] // self.heads).transpose(1, 2)

        y = attention(heads(q), heads(k), heads(v))
        out: Tensor = self.proj(y.transpose(1, 2).reshape(b, h, w, -1))
        return out


class Block(nn.Module):
    """One block of the trunk: attention in windows (0: over the whole frame), then an MLP."""

    def __init__(self, width: int, width_out: int, heads: int, window: int, pool: bool) -> None:
        super().__init__()
        self.window = window
        self.pool = pool
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = WindowAttention(width, width_out, heads, pool)
        self.norm2 = nn.LayerNorm(width_out, eps=1e-6)
        self.mlp = MLP((width_out, 4 * width_out, width_out), nn.GELU)
        self.proj = Linear(width, width_out) if width != width_out else None

    def forward(self, x_bhwc: Tensor) -> Tensor:
        """Return (B, h, w, C'), or half of h and w where the block pools.

        On a CPU, for inference, the result may lie where `x_bhwc` was.
        """
        b, h, w, _ = x_bhwc.shape
        values = 4 * h * w * self.norm2.weight.shape[0]  # of an image, between its steps
        if not sparing(x_bhwc, b * values) or (b == 1 and not self.window):
            return self._whole(x_bhwc)
        step = 2 if self.pool else 1
        out = x_bhwc
        if self.proj is not None:
            out = x_bhwc.new_empty(b, h // step, w // step, self.proj.out_features)
        # What goes through together stays in the caches of a CPU, from the first norm to the last
        # sum: some images, or a strip of one, if it is large. Windows do not know of each other.
        count = max(1, PART // values)
        rows = h if not self.window else self.window * max(1, PART * h // values // self.window)
        for first in range(0, b, count):
            images, results = x_bhwc[first : first + count], out[first : first + count]
            for top in range(0, h, rows):
                place = results[:, top // step : (top + rows) // step]
                place.copy_(self._whole(images[:, top : top + rows]))
        return out

    def _whole(self, x_bhwc: Tensor) -> Tensor:
        normed = self.norm1(x_bhwc)
        shortcut = x_bhwc
        if self.proj is not None:
            shortcut = self.proj(normed)
            shortcut = _pool(shortcut) if self.pool else shortcut
        if self.window:
            height, width = shortcut.shape[1:3]
            y = from_windows(self.attn(to_windows(normed, self.window)), height, width)
        else:
            y = self.attn(normed)
        x = shortcut + y
        first, second = self.mlp.layers
        assert isinstance(first, nn.Linear)
        assert isinstance(second, nn.Linear)
        return add_feedforward(x.flatten(0, 2), self.norm2, first, second, "gelu").view_as(x)


class Hiera(nn.Module):
    """The trunk.

    Parameters
    ----------
    config : widths, depths, windows.
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, config.width, kernel_size=7, stride=4, padding=3)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.width, *config.background))
        window = config.windows[0]
        self.pos_embed_window = nn.Parameter(torch.zeros(1, config.width, window, window))
        self.blocks = nn.ModuleList()
        self.stage_ends: list[int] = []
        width, heads = config.width, config.heads
        for stage, depth in enumerate(config.stages):
            for i in range(depth):
                first = stage > 0 and i == 0
                # The first block of a stage still sees the tokens of the one before.
                size = config.windows[stage - 1 if first else stage]
                if len(self.blocks) in config.global_blocks:
                    size = 0
                grow = 2 if first else 1
                heads *= grow
                self.blocks.append(Block(width, width * grow, heads, size, pool=first))
                width *= grow
            self.stage_ends.append(len(self.blocks) - 1)
        self.widths = tuple(config.width * 2**stage for stage in range(4))

    def positions(self, height: int, width: int) -> Tensor:
        """Position embedding (1, height, width, C): a coarse map plus one repeated per window."""
        rows, columns = (
            _bicubic(old, new, self.pos_embed)
            for old, new in zip(self.pos_embed.shape[2:], (height, width), strict=True)
        )
        # Rows and columns one after the other, and channels last at once: several times faster
        # than torch's bicubic interpolation of the map.
        wide = torch.einsum("cij,jw->iwc", self.pos_embed[0], columns)
        coarse = torch.einsum("ih,iwc->hwc", rows, wide)
        window = self.pos_embed_window[0].permute(1, 2, 0)
        size = window.shape[0]
        tiles = window.tile(-(-height // size), -(-width // size), 1)
        return (coarse + tiles[:height, :width])[None]

    def forward(self, image_b3hw: Tensor) -> list[Tensor]:
        """Return the maps of the four stages, (B, C * 2^i, H / 2^(i+2), W / 2^(i+2))."""
        # Channels last from the start, as the blocks want them.
        image = image_b3hw.contiguous(memory_format=torch.channels_last)
        x = self.patch_embed(image).permute(0, 2, 3, 1)
        x = x + self.positions(x.shape[1], x.shape[2])
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.stage_ends:
                maps.append(x.permute(0, 3, 1, 2))
        return maps
