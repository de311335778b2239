"""Objects about to be looked at on a frame: into the network as a batch, and apart again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_sam2.model.positions import TokenGrid, sent
from napari_sam2.model.values import Memory, Recollection
from napari_sam2.tracking.masks.resampling import BACKGROUND, moved
from napari_sam2.tracking.memory_bank import MemoryBank, Selection
from napari_sam2.tracking.objects.estimates import Estimate
from napari_sam2.tracking.windows import Window


@dataclass(frozen=True)
class Look:
    """One object about to be looked at on a frame.

    Parameters
    ----------
    bank, selection : what it remembers, and which of it the frame gets to see.
    window : where it is looked for.
    last : the mask seen last.
    """

    bank: MemoryBank
    window: Window
    selection: Selection
    last: Estimate | None = None


def last_masks(looks: Sequence[Look]) -> Tensor:
    """Logits (N, 4 h, 4 w), in windows of one size, of the masks seen last."""
    masks = [look.last for look in looks if look.last is not None]
    windows = [look.window for look in looks]
    first = windows[0]
    found = np.full((len(looks), 4 * first.height, 4 * first.width), BACKGROUND, np.float32)
    for into, last, window in zip(found, masks, windows, strict=True):
        if last.window.grid != window.grid or not last.kept.size:
            into[:] = moved(last.logits(), last.window, window).numpy()
            continue
        row = last.corner[0] + 4 * (last.window.row - window.row)
        column = last.corner[1] + 4 * (last.window.column - window.column)
        kept = last.kept[max(-row, 0) :, max(-column, 0) :]
        part = into[max(row, 0) :, max(column, 0) :][: len(kept), : kept.shape[1]]
        part[:] = kept[: len(part), : part.shape[1]]
    return torch.from_numpy(found)


def alike(looks: Sequence[Look]) -> list[list[int]]:
    """Group objects, by index, that can go through the network together."""
    groups: dict[object, list[int]] = {}
    for i, look in enumerate(looks):
        # Memories of windows of other sizes make other shapes.
        sizes = tuple(
            (m.grid.height, m.grid.width)
            for t, _ in look.selection.memories
            if (m := look.bank[t].memory) is not None
        )
        shape = (look.window.height, look.window.width, look.window.grid)
        groups.setdefault((look.selection.signature, sizes, shape), []).append(i)
    return [*groups.values()]


def recollection(
    looks: Sequence[Look],
    hidden: int,
    device: torch.device,
    moved: Callable[[Look, int], tuple[int, int]],
) -> Recollection:
    """Gather what objects that are alike remember into one batch.

    Parameters
    ----------
    looks : at least one; see `alike`.
    hidden : width of the pointers.
    device : of the batch.
    moved : by how many tokens (rows, columns) an object has jumped since a frame.
    """
    first = looks[0].selection
    memories = []
    for k in range(len(first.memories)):
        times = [look.selection.memories[k][0] for look in looks]
        items = [look.bank[t].memory for look, t in zip(looks, times, strict=True)]
        parts = [item for item in items if item is not None]
        moves = [moved(look, t) for look, t in zip(looks, times, strict=True)]
        origins = tuple(
            (part.grid.origins[0][0] + rows, part.grid.origins[0][1] + columns)
            for part, (rows, columns) in zip(parts, moves, strict=True)
        )
        origins = origins[:1] if len(set(origins)) == 1 else origins
        grid = TokenGrid(parts[0].grid.height, parts[0].grid.width, origins)
        memories.append(Memory(_joined([part.features for part in parts], device), grid))
    kept = [look.bank[t].pointer for look in looks for t, _ in look.selection.pointers]
    pointers = [pointer for pointer in kept if pointer is not None]
    none = torch.zeros(0, hidden, device=device)
    laid = _joined(pointers, device) if pointers else none
    since = sent([time for _, time in first.pointers], device)
    slots = [slot for _, slot in first.memories]
    shape = len(looks), len(first.pointers), hidden
    return Recollection(memories, slots, laid.view(shape), since, first.horizon)


def _joined(parts: Sequence[Tensor], device: torch.device) -> Tensor:
    # Some may have been left on a GPU whose memory ran out.
    return torch.cat([part if part.device == device else part.to(device) for part in parts])


def memories_of(memory: Memory, windows: Sequence[Window]) -> list[Memory]:
    """Return what is kept of the memory of each object of a batch, which were seen in windows."""
    # Half the memory, and the precision that the published predictor keeps.
    features = memory.features.to(torch.bfloat16)
    return [
        Memory(one.clone(), TokenGrid(w.height, w.width, ((w.row, w.column),)))
        for one, w in zip(torch.split(features, 1), windows, strict=True)
    ]
