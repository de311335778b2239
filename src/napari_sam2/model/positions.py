"""Positions: where a token lies on the frame, as sines, random Fourier features and rotations.

Everything is computed from absolute token coordinates on a reference grid (64 x 64 tokens of
16 px for the published models). A map that covers only a window of the frame therefore gets
the very same numbers as that part of the whole frame's map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

_TEMPERATURE = 10_000.0


@dataclass(frozen=True)
class TokenGrid:
    """Where token maps of one size lie on the frame's token grid.

    Parameters
    ----------
    height, width : size of the maps, in tokens of 16 px.
    origins : (row, column) of the upper left token, one for each map of a batch; a single
        origin serves a batch of any size.
    """

    height: int
    width: int
    origins: tuple[tuple[int, int], ...] = ((0, 0),)

    @property
    def reach(self) -> tuple[int, int]:
        """Size of a map, from the frame's corner, that holds all windows; in steps of 64."""
        rows = max(row for row, _ in self.origins) + self.height
        columns = max(column for _, column in self.origins) + self.width
        return 64 * -(-rows // 64), 64 * -(-columns // 64)

    def rows(self, device: torch.device) -> Tensor:
        """Row coordinates (B, height), float32."""
        start = torch.tensor([[float(r)] for r, _ in self.origins], device=device)
        return start + torch.arange(self.height, device=device, dtype=torch.float32)

    def columns(self, device: torch.device) -> Tensor:
        """Column coordinates (B, width), float32."""
        start = torch.tensor([[float(c)] for _, c in self.origins], device=device)
        return start + torch.arange(self.width, device=device, dtype=torch.float32)


def _spread(y_bhd: Tensor, x_bwd: Tensor) -> Tensor:
    """Combine row and column codes into maps (B, 2 D, h, w), rows first."""
    b, h, d = y_bhd.shape
    w = x_bwd.shape[1]
    y = y_bhd.transpose(1, 2)[:, :, :, None].expand(b, d, h, w)
    x = x_bwd.transpose(1, 2)[:, :, None, :].expand(b, d, h, w)
    return torch.cat([y, x], dim=1)


def _interleaved_sines(values_bl: Tensor, dim: int) -> Tensor:
    index = torch.arange(dim, device=values_bl.device, dtype=torch.float32)
    angle = values_bl[..., None] / _TEMPERATURE ** (2 * (index // 2) / dim)
    return torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], dim=-1).flatten(-2)


def sine_positions(grid: TokenGrid, dim: int, reference: int, device: torch.device) -> Tensor:
    """Sine position map of a grid (Vaswani et al. 2017, in two dimensions).

    Parameters
    ----------
    grid : the tokens.
    dim : channels, even; the first half codes the row, the second the column.
    reference : side of the reference grid; its last token is at angle 2 pi.
    device : where the map is needed.

    Returns
    -------
    (B, dim, h, w) float32
    """
    return _cut(_sine_map(grid.reach, dim, reference, device), grid)


def rotary_phases(grid: TokenGrid, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of axial rotary positions (SAM 2, appendix D.1; Heo et al. 2024).

    Returns
    -------
    two float32 tensors (B, 1, h * w, dim / 2): the first half of the pairs turns with the
    column, the second with the row.
    """
    whole = _rotary_map(grid.reach, dim, device)
    cos, sin = (_cut(part, grid).flatten(2).transpose(1, 2)[:, None] for part in whole)
    return cos.contiguous(), sin.contiguous()


def no_rotation(count: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Phases of tokens without a place, two (1, 1, count, dim / 2): nothing turns."""
    cos = torch.ones(1, 1, count, dim // 2, device=device)
    return cos, torch.zeros_like(cos)


def _cut(map_1dhw: Tensor, grid: TokenGrid) -> Tensor:
    """Cut the windows of a grid out of the map of the whole frame."""
    h, w = grid.height, grid.width
    return torch.cat([map_1dhw[:, :, r : r + h, c : c + w] for r, c in grid.origins])


# Whole maps only, so that windows that wander about do not fill the caches.
@lru_cache(maxsize=8)
def _sine_map(size: tuple[int, int], dim: int, reference: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        grid = TokenGrid(*size)
        scale = 2 * math.pi / (reference + 1e-6)
        y = _interleaved_sines((grid.rows(device) + 1) * scale, dim // 2)
        x = _interleaved_sines((grid.columns(device) + 1) * scale, dim // 2)
        return _spread(y, x)


@lru_cache(maxsize=8)
def _rotary_map(size: tuple[int, int], dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.no_grad():
        grid = TokenGrid(*size)
        speed = _TEMPERATURE ** -(torch.arange(0, dim, 4, device=device, dtype=torch.float32) / dim)
        rows = grid.rows(device)[..., None] * speed
        columns = grid.columns(device)[..., None] * speed
        angle = _spread(rows, columns).roll(speed.numel(), dims=1)  # columns first
        return angle.cos(), angle.sin()


def rotate(x_nhld: Tensor, phases: tuple[Tensor, Tensor]) -> Tensor:
    """Turn neighbouring pairs of channels of (N, heads, L, D) by the phases of their tokens."""
    cos, sin = phases
    pairs = x_nhld.view(*x_nhld.shape[:-1], -1, 2)
    if x_nhld.dtype == torch.float32 and x_nhld.device.type != "mps":
        # The same numbers as below, in one pass over the memory in place of five.
        turned = torch.view_as_complex(pairs) * torch.complex(cos, sin)
        return torch.view_as_real(turned).flatten(-2)
    even, odd = pairs.unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


def time_positions(times_np: Tensor, dim: int) -> Tensor:
    """Sine code of times: (N, P) -> (N, P, dim), sines first, then cosines."""
    half = dim // 2
    index = torch.arange(half, device=times_np.device, dtype=torch.float32)
    angle = times_np[..., None] / _TEMPERATURE ** (2 * (index // 2) / half)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class FourierPositions(nn.Module):
    """Random Fourier features of positions in the unit square (Tancik et al. 2020).

    Shared by prompts and by the dense map they are matched with.
    """

    matrix: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.randn(2, dim // 2))

    def forward(self, xy: Tensor) -> Tensor:
        """Encode (..., 2) positions, x first, 0 to 1 over the reference square: (..., dim)."""
        # No product of matrices: half precision would move positions by pixels.
        x, y = (2 * xy - 1)[..., None].unbind(-2)
        angle = 2 * math.pi * (x * self.matrix[0] + y * self.matrix[1])
        return torch.cat([angle.sin(), angle.cos()], dim=-1)

    def dense(self, grid: TokenGrid, reference: int) -> Tensor:
        """Encode the centres of a grid's tokens: (B, dim, h, w)."""
        device = self.matrix.device
        y = ((grid.rows(device) + 0.5) / reference)[:, :, None].expand(-1, -1, grid.width)
        x = ((grid.columns(device) + 0.5) / reference)[:, None, :].expand(-1, grid.height, -1)
        features: Tensor = self(torch.stack([x, y], dim=-1))
        return features.permute(0, 3, 1, 2)
