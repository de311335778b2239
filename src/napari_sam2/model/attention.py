"""Attention over memories without projecting their values first, tiled for a CPU's caches.

Attention weights sum to one, so a linear projection of the values may follow the weighted sum:
softmax(Q K') (M W + b) = (softmax(Q K') M) W + b. Memories are four times narrower than their
projection, which saves a third of the operations. torch's fused CPU kernel wants keys and values
of one width, so the tiles are laid here (Dao et al. 2022, FlashAttention; Rabe & Staats 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor

_QUERIES, _KEYS = 512, 1024  # of a tile: its scores stay in the second cache
_AT_ONCE = _QUERIES * _KEYS


def attend(q_nld: Tensor, k_nmd: Tensor, read_nmv: Tensor) -> Tensor:
    """Return softmax(q k' / sqrt(D)) read, for inference.

    Parameters
    ----------
    q_nld : N x L queries.
    k_nmd : M keys; N or 1.
    read_nmv : what is read, of any width; N or 1.

    Returns
    -------
    (N, L, V)
    """
    n, length, width = q_nld.shape
    many = k_nmd.shape[1]
    q = q_nld * width**-0.5
    k, read = k_nmd.expand(n, -1, -1), read_nmv.expand(n, -1, -1)
    if length * many > _AT_ONCE:
        return torch.stack([_tiled(q[i], k[i], read[i]) for i in range(n)])
    rows = max(1, _AT_ONCE // (length * many))
    parts = zip(*(torch.split(x, rows) for x in (q, k, read)), strict=True)
    return torch.cat([(a @ b.transpose(1, 2)).softmax(-1) @ c for a, b, c in parts])


def _tiled(q_ld: Tensor, k_md: Tensor, read_mv: Tensor) -> Tensor:
    """Attend for one object, tile by tile, with a running maximum and sum per query."""
    keys = k_md.t().contiguous()
    out = q_ld.new_empty(len(q_ld), read_mv.shape[1])
    space = q_ld.new_empty(_AT_ONCE)
    for i in range(0, len(q_ld), _QUERIES):
        q = q_ld[i : i + _QUERIES]
        top = q.new_full((len(q), 1), -torch.inf)
        total, found = torch.zeros_like(top), q.new_zeros(len(q), read_mv.shape[1])
        for j in range(0, keys.shape[1], _KEYS):
            part = keys[:, j : j + _KEYS]
            scores = space[: len(q) * part.shape[1]].view(len(q), -1)
            torch.mm(q, part, out=scores)
            higher = torch.maximum(top, scores.amax(1, keepdim=True))
            fade = (top - higher).exp_()
            top = higher
            scores.sub_(top).exp_()
            total.mul_(fade).add_(scores.sum(1, keepdim=True))
            found.mul_(fade).addmm_(scores, read_mv[j : j + _KEYS])
        torch.div(found, total, out=out[i : i + _QUERIES])
    return out
