from __future__ import annotations

import torch

from napari_sam2.model.values import MaskPrediction
from napari_sam2.tracking.finishing import blended
from napari_sam2.tracking.tidying import tidied


def plane(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    logits = torch.full((40, 40), -4.0)
    for y0, y1, x0, x1 in boxes:
        logits[y0:y1, x0:x1] = 3.0
    return logits


def test_specks_go_and_pinholes_close_and_nothing_else_changes():
    clean = plane((5, 25, 5, 25))
    specked = plane((5, 25, 5, 25), (30, 32, 30, 32))
    specked[10:12, 10:12] = -1.0
    found = tidied(torch.stack([specked, clean]))
    assert torch.equal(found > 0, torch.stack([clean, clean]) > 0)
    assert torch.equal(found[1], clean)
    assert torch.equal(found[0, :9], specked[:9])


def test_large_parts_and_rings_stay():
    parts = plane((5, 20, 5, 20), (25, 35, 25, 35))
    ring = plane((5, 25, 5, 25))
    ring[8:22, 8:22] = -2.0
    both = torch.stack([parts, ring])
    assert torch.equal(tidied(both), both)


def test_absent_objects_stay_absent():
    empty = torch.full((2, 8, 8), -1024.0)
    assert torch.equal(tidied(empty), empty)
    assert tidied(empty[:0]).shape == (0, 8, 8)


def test_all_masks_vote_on_the_chosen_one_by_their_quality():
    logits = torch.tensor([8.0, -8.0, -8.0])[None, :, None, None].expand(2, 3, 4, 4)
    iou = torch.tensor([[0.9, 0.3, 0.3], [0.9, 0.85, 0.85]])
    chosen = torch.zeros(2, dtype=torch.long)
    score, pointer = torch.ones(2), torch.zeros(2, 1)
    found = blended(MaskPrediction(logits, iou, score, pointer, chosen))
    assert (found.best_logits[0] > 7).all()  # the others are hardly believed
    assert (found.best_logits[1] < 0).all()  # together they are surer
    assert torch.equal(found.logits[:, 1:], logits[:, 1:])
    assert torch.equal(found.iou, iou)
