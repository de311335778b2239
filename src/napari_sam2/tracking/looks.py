"""Objects about to be looked at on a frame: into the network as a batch, and apart again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_sam2.model.positions import TokenGrid
from napari_sam2.model.values import MaskPrediction, Memory, Recollection
from napari_sam2.tracking.estimates import Estimate
from napari_sam2.tracking.memory_bank import MemoryBank, Selection
from napari_sam2.tracking.resampling import moved
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

    def carried(self) -> Tensor:
        """Logits (4 h, 4 w), in the window, of the mask seen last."""
        if self.last is None:
            raise ValueError("no mask to carry over")
        return moved(self.last.logits(), self.last.window, self.window)


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


def recollection(looks: Sequence[Look], hidden: int, device: torch.device) -> Recollection:
    """Gather what objects that are alike remember into one batch.

    Parameters
    ----------
    looks : at least one; see `alike`.
    hidden : width of the pointers.
    device : of the batch.
    """
    first = looks[0].selection
    memories = []
    for k in range(len(first.memories)):
        items = [look.bank[look.selection.memories[k][0]].memory for look in looks]
        parts = [item for item in items if item is not None]
        origins = tuple(part.grid.origins[0] for part in parts)
        origins = origins[:1] if len(set(origins)) == 1 else origins
        grid = TokenGrid(parts[0].grid.height, parts[0].grid.width, origins)
        features = torch.cat([part.features.to(device) for part in parts])
        memories.append(Memory(features, grid))
    none = torch.zeros(0, hidden, device=device)
    pointers = torch.stack([torch.cat([none, *_pointers(look, device)]) for look in looks])
    times = torch.tensor([time for _, time in first.pointers], device=device)
    slots = [slot for _, slot in first.memories]
    return Recollection(memories, slots, pointers, times, first.horizon)


def _pointers(look: Look, device: torch.device) -> list[Tensor]:
    kept = [look.bank[t].pointer for t, _ in look.selection.pointers]
    return [pointer.to(device) for pointer in kept if pointer is not None]


def memory_of(memory: Memory, i: int, window: Window) -> Memory:
    """Return what is kept of the memory of one object of a batch, which was seen in a window."""
    # Half the memory, and the precision that the published predictor keeps.
    features = memory.features[i : i + 1].to(torch.bfloat16)
    return Memory(features, TokenGrid(window.height, window.width, ((window.row, window.column),)))


def prediction_of(prediction: MaskPrediction, i: int) -> MaskPrediction:
    """Return the prediction (N = 1) of one object of a batch."""
    s = slice(i, i + 1)
    return MaskPrediction(
        prediction.logits[s],
        prediction.iou[s],
        prediction.object_score[s],
        prediction.pointer[s],
        prediction.chosen[s],
    )
