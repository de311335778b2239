"""A small network with random weights, fast enough to track in tests, and what it tracks."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from napari_sam2.model.config import MICRO, HieraConfig
from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.session import TrackingSession

SHAPE = (64, 96)
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


def moving_disk(frames: int = 12, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A bright disk that moves to the right, uint8 (T, Y, X)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    stack = np.random.default_rng(0).integers(0, 40, (frames, *shape)).astype(np.uint8)
    for t in range(frames):
        stack[t][(y - 30) ** 2 + (x - 20 - 3 * t) ** 2 < 100] += 180
    return stack


def a_session(
    model: SAM2, attention: str | None = "windowed", stack: np.ndarray | None = None
) -> TrackingSession:
    """On a disk that moves, or on another stack of uint8."""
    frames = Frames(moving_disk() if stack is None else stack, contrast=(0, 255))
    return TrackingSession(model, frames, TrackingPolicy(attention=attention))


def disk(y: float, x: float, radius: float, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """A disk, bool (Y, X)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def drawn(
    box: tuple[int, int, int, int] = (20, 10, 40, 30), shape: tuple[int, int] = SHAPE
) -> np.ndarray:
    """A rectangle from its first corner to its last, bool (Y, X)."""
    mask = np.zeros(shape, bool)
    mask[box[0] : box[2], box[1] : box[3]] = True
    return mask
