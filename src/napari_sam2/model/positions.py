"""Positions: where a token lies on the frame, as sines, random Fourier features and rotations.

Everything is computed from absolute token coordinates on a reference grid (64 x 64 tokens of
16 px for the published models). A map that covers only a window of the frame therefore gets
the very same numbers as that part of the whole frame's map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
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
        origin serves a batch of any size. Of what lies beyond the frame by now, they are negative.
    """

    height: int
    width: int
    origins: tuple[tuple[int, int], ...] = ((0, 0),)

    @property
    def reach(self) -> tuple[int, int]:
        """First and last place, exclusive, of an axis that holds all windows; in steps of 64."""
        rows = max(row for row, _ in self.origins) + self.height
        columns = max(column for _, column in self.origins) + self.width
        least = min(0, *(place for origin in self.origins for place in origin))
        return 64 * (least // 64), 64 * -(-max(rows, columns) // 64)

    def places(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Numbers of the rows (B, height) and columns (B, width), int64."""
        if len(self.origins) == 1:
            ((row, column),) = self.origins
            rows = torch.arange(row, row + self.height, device=device)
            return rows[None], torch.arange(column, column + self.width, device=device)[None]
        start = sent(self.origins, device)
        rows = start[:, :1] + torch.arange(self.height, device=device)
        return rows, start[:, 1:] + torch.arange(self.width, device=device)


def sent(
    values: Tensor | Sequence[float] | Sequence[Sequence[float]], device: torch.device
) -> Tensor:
    """Return numbers on a device, without waiting for what a GPU does."""
    return torch.as_tensor(values).to(device, non_blocking=device.type == "cuda")


def _tokens(first_bxyd: Tensor, second_bxyd: Tensor) -> Tensor:
    """Lay codes of rows beside those of columns, as tokens (B, h * w, 2 D)."""
    shape = [max(a, b) for a, b in zip(first_bxyd.shape, second_bxyd.shape, strict=True)]
    return torch.cat([first_bxyd.expand(shape), second_bxyd.expand(shape)], dim=-1).flatten(1, 2)


def _interleaved_sines(values_l: Tensor, dim: int) -> Tensor:
    index = torch.arange(dim, device=values_l.device, dtype=torch.float32)
    angle = values_l[..., None] / _TEMPERATURE ** (2 * (index // 2) / dim)
    return torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], dim=-1).flatten(-2)


def sine_positions(grid: TokenGrid, dim: int, reference: int, device: torch.device) -> Tensor:
    """Sine positions of the tokens of a grid (Vaswani et al. 2017, in two dimensions).

    Parameters
    ----------
    grid : the tokens.
    dim : channels, even; the first half codes the row, the second the column.
    reference : side of the reference grid; its last token is at angle 2 pi.
    device : where they are needed.

    Returns
    -------
    (B, h * w, dim) float32
    """
    table = _sine_table(grid.reach, dim // 2, reference, device)
    rows, columns = (table[places] for places in _on_axis(grid, device))
    return _tokens(rows[:, :, None], columns[:, None])


def rotary_phases(grid: TokenGrid, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of axial rotary positions (SAM 2, appendix D.1; Heo et al. 2024).

    Returns
    -------
    two float32 tensors (B, 1, h * w, dim / 2): the first half of the pairs turns with the
    column, the second with the row.
    """
    rows, columns = _on_axis(grid, device)
    cos, sin = (
        _tokens(table[columns][:, None], table[rows][:, :, None])[:, None]
        for table in _rotary_tables(grid.reach, dim, device)
    )
    return cos, sin


def _on_axis(grid: TokenGrid, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return where the places of a grid are in tables that begin with its reach."""
    (first, _), (rows, columns) = grid.reach, grid.places(device)
    return (rows - first, columns - first) if first else (rows, columns)


def at_once(
    grids: Iterable[TokenGrid], lay: Callable[[TokenGrid], Sequence[Tensor]]
) -> dict[TokenGrid, list[Tensor]]:
    """Lay positions for several grids; those of one size share a call.

    Parameters
    ----------
    grids : any, in any number.
    lay : makes tensors, B long, of a grid.

    Returns
    -------
    what `lay` makes of each grid.
    """
    sizes: dict[tuple[int, int], list[TokenGrid]] = {}
    for grid in dict.fromkeys(grids):
        sizes.setdefault((grid.height, grid.width), []).append(grid)
    found: dict[TokenGrid, list[Tensor]] = {}
    for size, some in sizes.items():
        laid = lay(TokenGrid(*size, tuple(origin for grid in some for origin in grid.origins)))
        lengths = [len(grid.origins) for grid in some]
        parts = [torch.split(one, lengths) for one in laid]
        found |= dict(zip(some, map(list, zip(*parts, strict=True)), strict=True))
    return found


def no_rotation(count: int, dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Phases of tokens without a place, two (1, 1, count, dim / 2): nothing turns."""
    cos = torch.ones(1, 1, count, dim // 2, device=device)
    return cos, torch.zeros_like(cos)


# One axis: windows that wander about do not fill the caches, and get the very same numbers.
@lru_cache(maxsize=8)
def _sine_table(reach: tuple[int, int], dim: int, reference: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        scale = 2 * math.pi / (reference + 1e-6)
        place = torch.arange(*reach, device=device, dtype=torch.float32)
        return _interleaved_sines((place + 1) * scale, dim)


@lru_cache(maxsize=8)
def _rotary_tables(reach: tuple[int, int], dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.no_grad():
        speed = _TEMPERATURE ** -(torch.arange(0, dim, 4, device=device, dtype=torch.float32) / dim)
        angle = torch.arange(*reach, device=device, dtype=torch.float32)[:, None] * speed
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
        rows, columns = grid.places(device)
        y = ((rows + 0.5) / reference)[:, :, None].expand(-1, -1, grid.width)
        x = ((columns + 0.5) / reference)[:, None].expand(-1, grid.height, -1)
        features: Tensor = self(torch.stack([x, y], dim=-1))
        return features.permute(0, 3, 1, 2)
