"""Attention over memories without projecting them first, tiled for a CPU's caches.

Values: attention weights sum to one, so a linear projection may follow the weighted sum:
softmax(Q K') (M W + b) = (softmax(Q K') M) W + b. Memories are four times narrower than their
projection.

Keys: one half of their channels is turned by the token's column, the other half by its row. For
all tokens m of a column x, q (R_x W m) = (q R_x W) m: projection and turn move to the queries, once
for all memories of one grid, and what is compared is again four times narrower.

torch's fused CPU kernel wants keys and values of one width, so the tiles are laid here (Dao et al.
2022, FlashAttention; Rabe & Staats 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.model.products import available, linear, pays

Keys = Callable[[slice, slice], Tensor]

_QUERIES, _KEYS = 512, 1024  # of a tile: its scores stay in the caches
_AT_ONCE = _QUERIES * _KEYS
_GRID_QUERIES, _SIDE = 256, 16  # of a tile of grids: 16 x 16 tokens of every memory


@dataclass(frozen=True)
class Grids:
    """Memories that lie on one grid, and the projections that turn their tokens into keys.

    Parameters
    ----------
    raw_nmc : T h w tokens, memory by memory and row by row, then those without a place.
    memories : T.
    columns_bwcd, rows_bhcd : weights (C + 1, D / 2), the bias last, that make keys of the tokens
        of each column and of each row: the first and the second half of a key; B is N or 1.
    """

    raw_nmc: Tensor
    memories: int
    columns_bwcd: Tensor
    rows_bhcd: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(h, w)."""
        return self.rows_bhcd.shape[1], self.columns_bwcd.shape[1]


def grids_pay(memories: int, size: tuple[int, int], raw: int, width: int) -> bool:
    """Whether `attend_to_grids` saves more than it costs to move projections to the queries.

    Not with oneDNN, which is at its best where matrices are large.

    Parameters
    ----------
    memories, size : T and (h, w).
    raw, width : channels of memories and of keys.
    """
    if available():
        return False
    saved = memories * math.prod(size) * (width - 2 * raw)
    cost = sum(size) * raw * width / 2
    return saved > 2 * cost  # the matrices become narrower, and so slower


def attention(q_nhld: Tensor, k_nhmd: Tensor, v_nhmd: Tensor) -> Tensor:
    """Return softmax(q k' / sqrt(D)) v for each head: torch's own, or by oneDNN where that pays."""
    n, heads, length, _ = q_nhld.shape
    if not pays(q_nhld) or length * k_nhmd.shape[2] <= _AT_ONCE:
        return F.scaled_dot_product_attention(q_nhld, k_nhmd, v_nhmd)
    q, k, v = (x.flatten(0, 1) for x in (q_nhld, k_nhmd, v_nhmd))
    return attend(q, lambda some, tokens: k[some, tokens], v).view(n, heads, length, -1)


def attend(q_nld: Tensor, keys: Keys, read_nmv: Tensor) -> Tensor:
    """Return softmax(q k' / sqrt(D)) read, for inference.

    Parameters
    ----------
    q_nld : N x L queries.
    keys : makes the keys (n, m, D) of some objects and tokens. All keys of a large memory, written
        out and read again, would cost more than the making of them.
    read_nmv : what is read, M tokens of any width.

    Returns
    -------
    (N, L, V)
    """
    n, length, width = q_nld.shape
    many = read_nmv.shape[1]
    if length * many > _AT_ONCE:
        return torch.stack([_attend_in_tiles(q_nld, keys, read_nmv, i) for i in range(n)])
    count = max(1, _AT_ONCE // (length * many))
    found = []
    for some in (slice(i, i + count) for i in range(0, n, count)):
        k = keys(some, slice(None))
        scores = (q_nld[some] * width**-0.5) @ k.transpose(1, 2)
        found.append(scores.softmax(-1) @ read_nmv[some])
    return torch.cat(found)


def attend_to_grids(q_nld: Tensor, keys: Keys, read_nmv: Tensor, grids: Grids) -> Tensor:
    """Return what `attend` does, without making keys of the tokens that lie on grids."""
    return torch.stack(
        [_attend_to_grids(q_nld, keys, read_nmv, grids, i) for i in range(len(q_nld))]
    )


class _Reading:
    """softmax(scores) read, for some queries and scores that come tile by tile.

    Powers of two: torch's natural exponential is several times slower, and slower still where
    results are tiny.
    """

    def __init__(self, q_ld: Tensor, width: int) -> None:
        self.q_ld = q_ld * (math.log2(math.e) / math.sqrt(q_ld.shape[1]))
        self.highest = q_ld.new_full((1, len(q_ld)), -torch.inf)
        self.total = torch.zeros_like(self.highest)
        self.sums = q_ld.new_zeros(width, len(q_ld))

    def add(self, scores_ml: Tensor, read_mv: Tensor) -> None:
        """Take in a tile; its scores are overwritten."""
        highest = torch.maximum(self.highest, scores_ml.amax(0, keepdim=True))
        fade = (self.highest - highest).exp2_()
        self.highest = highest
        scores_ml.sub_(highest).exp2_()
        self.total.mul_(fade).add_(scores_ml.sum(0, keepdim=True))
        self.sums.mul_(fade).add_(linear(read_mv.t(), scores_ml.t()))

    def result(self) -> Tensor:
        """(L, V)."""
        return (self.sums / self.total).t()


def _attend_in_tiles(q_nld: Tensor, keys: Keys, read_nmv: Tensor, i: int) -> Tensor:
    """Attend for one object, some keys at a time."""
    readings = [_Reading(q, read_nmv.shape[2]) for q in torch.split(q_nld[i], _QUERIES)]
    for tokens in (slice(j, j + _KEYS) for j in range(0, read_nmv.shape[1], _KEYS)):
        k = keys(slice(i, i + 1), tokens)[0]
        for reading in readings:
            reading.add(linear(k, reading.q_ld), read_nmv[i, tokens])
    return torch.cat([reading.result() for reading in readings])


def _attend_to_grids(q_nld: Tensor, keys: Keys, read_nmv: Tensor, grids: Grids, i: int) -> Tensor:
    """Attend for one object, some queries at a time: what is made of these takes much memory."""
    blocks = list(_blocks(grids, read_nmv[i], i))
    space = q_nld.new_empty(max(k.shape[:3].numel() for _, _, k, _ in blocks) * _GRID_QUERIES)
    halves = [w[i if len(w) > 1 else 0] for w in (grids.columns_bwcd, grids.rows_bhcd)]
    loose = slice(grids.memories * math.prod(grids.size), None)
    found = []
    for part in torch.split(q_nld[i], _GRID_QUERIES):
        reading = _Reading(part, read_nmv.shape[2])
        by_column, by_row = (
            linear(w.flatten(0, 1), q).view(len(w), -1, len(part))
            for w, q in zip(halves, reading.q_ld.chunk(2, dim=1), strict=True)
        )
        for top, left, k, read in blocks:
            rows, _, columns, _ = k.shape
            scores = _compare(k, by_column[left : left + columns], by_row[top : top + rows], space)
            reading.add(scores, read)
        if len(read_nmv[i, loose]):
            reading.add(linear(keys(slice(i, i + 1), loose)[0], reading.q_ld), read_nmv[i, loose])
        found.append(reading.result())
    return torch.cat(found)


def _blocks(grids: Grids, read_mv: Tensor, i: int) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """Cut grids into tiles: top row, left column, (rows, T, columns, C + 1), what is read."""
    shape = grids.memories, *grids.size
    placed = math.prod(shape)
    raw = F.pad(grids.raw_nmc[i, :placed], (0, 1), value=1.0)  # meets the bias
    raw, read = (x.reshape(*shape, -1).transpose(0, 1) for x in (raw, read_mv[:placed]))
    for top in range(0, shape[1], _SIDE):
        for left in range(0, shape[2], _SIDE):
            part = slice(top, top + _SIDE), slice(None), slice(left, left + _SIDE)
            yield top, left, raw[part].contiguous(), read[part].flatten(0, 2)


def _compare(k: Tensor, by_column: Tensor, by_row: Tensor, space: Tensor) -> Tensor:
    """Return scores (rows T columns, L) of a tile: what the rows' halves say, and the columns'."""
    rows, memories, columns, _ = k.shape
    length = by_row.shape[2]
    scores = space[: rows * memories * columns * length].view(-1, length)
    torch.bmm(k.flatten(1, 2), by_row, out=scores.view(rows, -1, length))
    for x, q in enumerate(by_column):
        scores.view(rows * memories, columns, length)[:, x].addmm_(k[:, :, x].flatten(0, 1), q)
    return scores
