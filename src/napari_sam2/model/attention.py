"""Attention over memories without projecting their values first, tiled for a CPU's caches.

Attention weights sum to one, so a linear projection of the values may follow the weighted sum:
softmax(Q K') (M W + b) = (softmax(Q K') M) W + b. Memories are four times narrower than their
projection, which saves a third of the operations. torch's fused CPU kernel wants keys and values
of one width, so the tiles are laid here (Dao et al. 2022, FlashAttention; Rabe & Staats 2021).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Keys = Callable[[slice, slice], Tensor]

_QUERIES, _KEYS = 512, 1024  # of a tile: its scores stay in the caches
_AT_ONCE = _QUERIES * _KEYS


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
        return torch.cat([_tiled(q_nld, keys, read_nmv, slice(i, i + 1)) for i in range(n)])
    count = max(1, _AT_ONCE // (length * many))
    found = []
    for some in (slice(i, i + count) for i in range(0, n, count)):
        k = keys(some, slice(None))
        scores = (q_nld[some] * width**-0.5) @ k.transpose(1, 2)
        found.append(scores.softmax(-1) @ read_nmv[some])
    return torch.cat(found)


def _tiled(q_nld: Tensor, keys: Keys, read_nmv: Tensor, one: slice) -> Tensor:
    """Attend for one object, tile by tile, with a running maximum and sum per query."""
    # Powers of two: torch's natural exponential is several times slower, and slower still where
    # results are tiny.
    q_ld = q_nld[one][0] * (math.log2(math.e) / math.sqrt(q_nld.shape[2]))
    top = q_ld.new_full((len(q_ld), 1), -torch.inf)
    total, found = torch.zeros_like(top), q_ld.new_zeros(len(q_ld), read_nmv.shape[2])
    space = q_ld.new_empty(_AT_ONCE)
    for tokens in (slice(j, j + _KEYS) for j in range(0, read_nmv.shape[1], _KEYS)):
        k, read = keys(one, tokens)[0], read_nmv[one, tokens][0]
        for i in range(0, len(q_ld), _QUERIES):
            q, highest, whole, sums = (x[i : i + _QUERIES] for x in (q_ld, top, total, found))
            scores = space[: len(q) * len(k)].view(len(q), -1)
            torch.mm(q, k.t(), out=scores)
            higher = torch.maximum(highest, scores.amax(1, keepdim=True))
            fade = (highest - higher).exp2_()
            highest.copy_(higher)
            scores.sub_(higher).exp2_()
            whole.mul_(fade).add_(scores.sum(1, keepdim=True))
            sums.mul_(fade).addmm_(scores, read)
    found.div_(total)
    return found[None]
