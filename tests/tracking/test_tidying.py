from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam2 import Frames, TrackingPolicy, TrackingSession
from napari_sam2.model.values import MaskPrediction
from napari_sam2.tracking.masks.finishing import blended, doubted
from napari_sam2.tracking.masks.tidying import tidied
from tests.tracking.toy import moving_disk, toy_model


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
    assert found.logits.shape == (2, 1, 4, 4)
    assert torch.equal(found.iou, iou[:, :1])


def test_what_is_hardly_believed_counts_as_gone():
    logits = torch.full((3, 3, 4, 4), 8.0)
    iou = torch.tensor([[0.9, 0.1, 0.1], [0.2, 0.1, 0.1], [0.45, 0.1, 0.1]])
    score = torch.tensor([5.0, 5.0, 0.1])  # all present, the last one just so
    chosen = torch.zeros(3, dtype=torch.long)
    found = MaskPrediction(logits, iou, score, torch.ones(3, 2), chosen)
    gone = doubted(found)
    assert gone.tolist() == [False, True, True]
    left = found.without(gone, torch.zeros(2))
    assert torch.equal(left.object_score, score * torch.tensor([1, -1, -1]))
    assert torch.equal(left.without(gone, torch.zeros(2)).object_score, left.object_score)
    assert (left.best_logits.amax(dim=(1, 2)) > 0).tolist() == [True, False, False]
    assert left.pointer.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert torch.equal(left.logits[0], logits[0])
    assert torch.equal(left.iou, iou)


@pytest.mark.parametrize("attention", ["exact", "windowed"])
def test_only_windowed_tracking_lets_go_of_what_is_doubted(attention):
    model = toy_model()
    head = model.mask_decoder.iou_prediction_head.layers[-1]
    head.weight.zero_()
    head.bias.fill_(-2.0)  # every mask is 12 % sure
    session = TrackingSession(model, Frames(moving_disk(4)), TrackingPolicy(attention=attention))
    mask = np.zeros((64, 96), bool)
    mask[22:38, 12:28] = True
    session.add_mask(1, 0, mask)
    shown = [(result.labels == 1).any() for result in session.propagate("forward")]
    assert shown[0]
    assert any(shown[1:]) == (attention == "exact")
