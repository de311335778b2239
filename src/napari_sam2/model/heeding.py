"""The last layer bent to corrections: what looks like the clicked place changes with it.

A mask is a weighted sum of maps of the frame, and a network decides on the weights. Where its mask
contradicts a click, the weights are moved by as little as makes it agree there and stays as it
was over the rest of the window, by least squares. So a correction reaches what the network sees
as alike, without being learnt. The idea is that of backpropagating refinement (Jang and Kim
2019; Sofiiuk et al. 2020), taken at the last layer, where it needs no iteration.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_sam2.model.prompt_encoder import NEGATIVE, POSITIVE

_SURE = 1.5  # logit that clicked places should have at least
_STEADY = 5.0  # weight of staying as it was, against that of all clicks together
_DISC = 1.0  # cells around a click that are meant with it
_LEAST_DEPTH = 0.7  # cells; finer errors are not told apart by the maps, only around the click


def clicked_cells(
    points_k2: Tensor, labels_k: Tensor, origin: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Find the clicks among prompts: (K, 2), (y, x) in cells of a window, and which are positive.

    Parameters
    ----------
    points_k2, labels_k : see `PromptInputs`, of one object.
    origin : the window's first row and column, in tokens.
    """
    clicks = (labels_k == POSITIVE) | (labels_k == NEGATIVE)
    corner = torch.tensor([origin[1], origin[0]])
    cells = (points_k2[clicks] - 1.5) / 4 - 4 * corner  # as prompts are drawn
    return cells.flip(1), labels_k[clicks] == POSITIVE


def heeding(
    logits_hw: Tensor, maps_chw: Tensor, earlier_hw: Tensor, cells_k2: Tensor, positive_k: Tensor
) -> Tensor:
    """Return logits that agree with clicks, and change where the maps are as they are there.

    Parameters
    ----------
    logits_hw : of the mask, a weighted sum of the maps; all is on the host.
    maps_chw : what masks are sums of.
    earlier_hw : logits of the mask that the clicks correct.
    cells_k2 : (K, 2) clicks, (y, x) in cells of `logits_hw`; those outside are left alone.
    positive_k : (K,) which of them are on the object.
    """
    rows, columns = (torch.arange(n) for n in logits_hw.shape)
    apart = (rows[:, None] - cells_k2[:, 0, None, None]) ** 2
    apart = (apart + (columns - cells_k2[:, 1, None, None]) ** 2).flatten(1)
    if not _contradicts(earlier_hw.flatten(), apart, positive_k):
        return logits_hw
    discs = (apart <= _DISC**2).to(maps_chw.dtype)
    discs = discs / discs.sum(dim=1, keepdim=True).clamp(min=1) / len(discs)
    signs = torch.where(positive_k, 1.0, -1.0)[:, None]
    missing = signs * (_SURE - signs * logits_hw.flatten()).clamp(min=0)
    maps = torch.cat([maps_chw.flatten(1), torch.ones_like(maps_chw[:1].flatten(1))])
    usual = maps @ maps.T / maps.shape[1]
    held = (maps * discs.sum(dim=0)) @ maps.T
    system = (held + _STEADY * usual).double()
    system += 1e-4 * system.trace() / len(system) * torch.eye(len(system), dtype=system.dtype)
    change = torch.linalg.solve(system, (maps @ (discs * missing).sum(dim=0)).double())
    moved: Tensor = change.float() @ maps
    return logits_hw + moved.view_as(logits_hw)


def _contradicts(earlier: Tensor, apart_kc: Tensor, positive_k: Tensor) -> bool:
    """Whether a click says that the earlier mask is wrong, and not just beside its outline."""
    nearest = apart_kc.min(dim=1)
    agrees = (earlier > 0) == positive_k[:, None]
    wrong = ~agrees.gather(1, nearest.indices[:, None])[:, 0] & (nearest.values < 1)
    depth = apart_kc.masked_fill(~agrees, torch.inf).amin(dim=1)
    return bool((wrong & (depth >= _LEAST_DEPTH**2)).any())
