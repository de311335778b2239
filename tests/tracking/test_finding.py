"""A click is answered at the magnification that others agree with."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from napari_sam2.tracking.finding import Candidate, surest
from napari_sam2.tracking.windows import Window

WINDOW = Window(0, 0, 12, 12, (12, 12))


def candidate(iou, extent, cells=200):
    logits = torch.full((1, 48, 48), -1.0)
    logits.view(-1)[:cells] = 1
    prediction = SimpleNamespace(best_iou=torch.tensor([iou]), best_logits=logits)
    return Candidate(WINDOW, prediction, extent)


def test_a_cell_seen_at_three_magnifications_beats_the_colony_seen_at_one():
    cells = [candidate(0.8, (10, 10, 20 + k, 20)) for k in range(3)]
    colony = candidate(0.9, (0, 0, 100, 100))
    assert surest([colony, *cells]) in cells
    assert surest([colony, cells[0]]) is colony


def test_masks_of_unknown_sizes_come_last_and_empty_ones_are_no_error():
    tiny, good = candidate(0.95, (10, 10, 12, 12), cells=4), candidate(0.6, (0, 0, 30, 30))
    assert surest([tiny, good, candidate(0.9, None, cells=0)]) is good
    nothing = candidate(0.9, None, cells=0)
    assert surest([nothing]) is nothing
