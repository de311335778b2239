"""A small network with random weights, fast enough to track in tests."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from napari_sam2.model.config import MICRO, HieraConfig
from napari_sam2.model.sam2 import SAM2

TOY = dataclasses.replace(
    MICRO,
    name="toy",
    trunk=HieraConfig(8, 1, (1, 1, 1, 1), (2,), (8, 4, 8, 4), (1, 1)),
    hidden=32,
    memory=8,
    memory_layers=1,
    memory_feedforward=32,
    decoder_feedforward=32,
    iou_hidden=16,
    input_range=(64, 256),
)


def toy_model(seed: int = 0, **changes: object) -> SAM2:
    """Random weights; objects count as present."""
    torch.manual_seed(seed)
    model = SAM2(dataclasses.replace(TOY, **changes))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(1.5)
        score = model.mask_decoder.pred_obj_score_head.layers[-1]
        assert isinstance(score, torch.nn.Linear)
        score.bias.fill_(3.0)
    return model.eval().requires_grad_(False)


def moving_disk(frames: int = 12, shape: tuple[int, int] = (64, 96)) -> np.ndarray:
    """A bright disk that moves to the right, uint8 (T, Y, X)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    stack = np.random.default_rng(0).integers(0, 40, (frames, *shape)).astype(np.uint8)
    for t in range(frames):
        stack[t][(y - 30) ** 2 + (x - 20 - 3 * t) ** 2 < 100] += 180
    return stack
