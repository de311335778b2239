"""One training step: what the network is shown, asked and taught (SAM 2, appendix D.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.checkpoint import load_official, read_checkpoint
from napari_sam2.model.mask_decoder import DecoderOutput
from napari_sam2.model.memory_encoder import ConvNeXtBlock
from napari_sam2.model.positions import TokenGrid
from napari_sam2.model.prompt_encoder import PromptInputs, carried
from napari_sam2.model.sam2 import SAM2
from napari_sam2.model.values import ImageFeatures, Memory, Recollection
from napari_sam2.training.annotators import corrections
from napari_sam2.training.auxiliary import DenseHead
from napari_sam2.training.batches import Batch
from napari_sam2.training.losses import SCORE_SHIFT, FrameLoss, frame_loss

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_DENSE_WEIGHT = 2.0
_CORRECTION_RATE = 0.25  # of later frames that get a correction click
_CORRECTIONS = (0.15, 0.25, 0.3, 0.3)  # how often a single frame gets 0, 1, 2, 3 of them
_UNCARRIED_RATE = 0.4  # of later frames where memory alone has to tell


@dataclass
class StepResult:
    """Loss of a step and scores for the log."""

    loss: Tensor
    scores: dict[str, float] = field(default_factory=dict)


def prepare(model: SAM2, init: Path | None) -> SAM2:
    """Start from weights, or from initial values that let a deep network learn at once."""
    if init is not None:
        load_official(model, read_checkpoint(init)[0])
        shift_score(model, -SCORE_SHIFT)  # finished weights have it
        return model
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    for layer in model.mask_decoder.output_hypernetworks_mlps.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
    for block in model.memory_encoder.fuser:
        if isinstance(block, ConvNeXtBlock):
            nn.init.constant_(block.gamma, 0.1)
    nn.init.trunc_normal_(model.image_encoder.trunk.pos_embed_window, std=0.02)
    return model


def shift_score(model: SAM2, shift: float) -> None:
    """Add to the object score, in place."""
    last = model.mask_decoder.pred_obj_score_head.layers[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias.add_(shift)


def normalise(images_bthw: Tensor) -> Tensor:
    """Grey clips (B, T, S, S), 0 to 1, to network input (B * T, 3, S, S)."""
    mean = images_bthw.new_tensor(MEAN)[:, None, None]
    std = images_bthw.new_tensor(STD)[:, None, None]
    return (images_bthw.flatten(0, 1)[:, None] - mean) / std


def _encode(model: SAM2, batch: Batch, rng: np.random.Generator) -> ImageFeatures:
    """Encode all frames, at a random place of the reference grid: positions must not matter."""
    features = model.encode_image(normalise(batch.images))
    grid = features.grid
    room = model.config.grid - max(grid.height, grid.width)
    origin = (int(rng.integers(room + 1)), int(rng.integers(room + 1)))
    grid = TokenGrid(grid.height, grid.width, (origin,))
    return ImageFeatures(features.stride16, features.stride8, features.stride4, grid)


def _of_objects(features: ImageFeatures, rows: Tensor) -> ImageFeatures:
    return ImageFeatures(
        features.stride16[rows], features.stride8[rows], features.stride4[rows], features.grid
    )


def _place(points: Tensor, grid: TokenGrid) -> Tensor:
    """Move points of a crop to where the crop lies on the reference square."""
    row, column = grid.origins[0]
    return points + points.new_tensor([16.0 * column, 16.0 * row])


def _small(masks: Tensor) -> Tensor:
    return F.avg_pool2d(masks[:, None].float(), 4)[:, 0]


def _shown(output: DecoderOutput, single: bool) -> Tensor:
    """Return the mask that would be shown, (N, 4 h, 4 w)."""
    if single:
        return output.logits[:, 0]
    best = output.iou[:, 1:].argmax(dim=1) + 1
    return output.logits[torch.arange(len(best), device=best.device), best]


@dataclass
class _Answer:
    loss: FrameLoss
    logits: Tensor
    score: Tensor
    pointer: Tensor


def _answer(
    model: SAM2,
    conditioned: Tensor,
    features: ImageFeatures,
    prompts: PromptInputs | None,
    truth: Tensor,
) -> _Answer:
    single = prompts is not None and prompts.points.shape[1] > 1
    output, pointers = model.decode_all(conditioned, features, prompts)
    loss = frame_loss(output, truth, single)
    rows = torch.arange(len(truth), device=truth.device)
    best = output.iou[:, 1:].argmax(dim=1) + 1
    pointer = pointers[:, 0] if single else pointers[rows, best]
    # Whether the object counts as present follows the truth: the score is learnt on the side.
    present = (truth > 0.5).flatten(1).any(1)
    logits = torch.where(present[:, None, None], _shown(output, single).float(), -20.0)
    pointer = torch.where(present[:, None], pointer.float(), model.no_object_pointer)
    return _Answer(loss, logits, torch.where(present, 10.0, -10.0), pointer)


def _asked(batch: Batch, grid: TokenGrid) -> tuple[PromptInputs, Tensor]:
    """Return what is said of the objects on the first frame, and their true masks."""
    return PromptInputs(_place(batch.points, grid), batch.signs), _small(batch.masks(0))


def _corrected(
    answer: _Answer, before: PromptInputs | None, truth: Tensor, grid: TokenGrid,
    rng: np.random.Generator,
) -> PromptInputs:  # fmt: skip
    points, labels = corrections(answer.logits.detach(), truth, rng)
    points = _place(points, grid)
    if before is not None:
        points = torch.cat([before.points, points], dim=1)
        labels = torch.cat([before.labels, labels], dim=1)
    mask = answer.logits.detach()[:, None].clamp(-32, 32)
    return PromptInputs(points, labels, mask)


def image_step(model: SAM2, head: DenseHead, batch: Batch, rng: np.random.Generator) -> StepResult:
    """Single frames: a first prompt, then up to three corrections, each of the last answer."""
    encoded = _encode(model, batch, rng)
    dense = head.loss(encoded, batch.labels.flatten(0, 1))
    features = _of_objects(encoded, batch.owner)
    prompts, truth = _asked(batch, features.grid)
    conditioned = model.recall(features, None)
    answer = _answer(model, conditioned, features, prompts, truth)
    scores = {f"iou_{batch.kind}": float(answer.loss.iou), "dense": float(dense.detach())}
    losses = [answer.loss.total]
    for count in range(int(rng.choice(len(_CORRECTIONS), p=_CORRECTIONS))):
        prompts = _corrected(answer, prompts, truth, features.grid, rng)
        answer = _answer(model, conditioned, features, prompts, truth)
        scores[f"iou_corrected_{count + 1}"] = float(answer.loss.iou)
        losses.append(answer.loss.total)
    return StepResult(torch.stack(losses).mean() + _DENSE_WEIGHT * dense, scores)


@dataclass
class _Track:
    """What the objects of a batch remember, while a clip is played."""

    memories: list[tuple[int, Memory]] = field(default_factory=list)
    pointers: list[tuple[int, Tensor]] = field(default_factory=list)
    prompted: list[int] = field(default_factory=list)

    def recollection(self, model: SAM2, frame: int, horizon: int) -> Recollection:
        last = model.config.num_memories - 1
        kept = [
            (memory, last if t in self.prompted else frame - t - 1)
            for t, memory in self.memories
            if t in self.prompted or frame - t <= last
        ]
        times = torch.tensor([float(frame - t) for t, _ in self.pointers])
        return Recollection(
            memories=[memory for memory, _ in kept],
            slots=[slot for _, slot in kept],
            pointers=torch.stack([p for _, p in self.pointers], dim=1),
            times=times.to(model.device),
            horizon=horizon,
        )


def clip_step(model: SAM2, head: DenseHead, batch: Batch, rng: np.random.Generator) -> StepResult:
    """Clips: a prompt on the first frame, memory from then on, some corrections."""
    frames = batch.images.shape[1]
    encoded = _encode(model, batch, rng)
    horizon = 15 if rng.random() < 0.8 else int(rng.integers(frames - 1, 16))
    track = _Track()
    losses: list[Tensor] = []
    ious: list[float] = []
    for frame in range(frames):
        features = _of_objects(encoded, batch.owner * frames + frame)
        truth = _small(batch.masks(frame))
        prompted = frame == 0
        if frame == 0:
            answer = _first_frame(model, batch, features, truth)
        else:
            conditioned = model.recall(features, track.recollection(model, frame, horizon))
            prompts = None
            if model.config.carried_mask and rng.random() >= _UNCARRIED_RATE:
                prompts = carried(_displaced(answer.logits.detach(), rng))
            answer = _answer(model, conditioned, features, prompts, truth)
            ious.append(float(answer.loss.iou))
            if rng.random() < _CORRECTION_RATE / 2:
                losses.append(answer.loss.total)
                click = _corrected(answer, None, truth, features.grid, rng)
                answer = _answer(model, conditioned, features, click, truth)
                prompted = True
        if answer.loss.total.requires_grad:
            losses.append(answer.loss.total)
        if prompted:
            track.prompted.append(frame)
        memory = model.memorize(
            features, answer.logits, answer.score, prompted and batch.kind == "mask"
        )
        track.memories.append((frame, memory))
        track.pointers.append((frame, answer.pointer))
    dense = head.loss(encoded, batch.labels.flatten(0, 1))
    loss = torch.stack(losses).mean() + _DENSE_WEIGHT * dense
    return StepResult(loss, {"iou_track": float(np.mean(ious)), "iou_last": ious[-1]})


def _displaced(logits: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift and scale masks at random, so that a carried mask is a hint and not the answer."""
    n = len(logits)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = torch.from_numpy(rng.uniform(0.85, 1.15, n)).float()
    cells = torch.from_numpy(rng.normal(0, 1.2, (n, 2))).float().clamp(-3, 3)
    theta[:, :, 2] = 2 * cells / logits.shape[-1]
    centres = _centres(logits > 0).cpu()
    # Scaling about the object, not about the middle of the crop.
    theta[:, :, 2] += (1 - theta[:, :1, 0]) * centres
    grid = F.affine_grid(theta, [n, 1, *logits.shape[-2:]], align_corners=False)
    moved = F.grid_sample(
        logits[:, None], grid.to(logits.device), padding_mode="border", align_corners=False
    )
    return moved[:, 0]


def _centres(masks_nhw: Tensor) -> Tensor:
    """Centres (N, 2), x first, of masks, from -1 to 1; the middle where they are empty."""
    area = masks_nhw.flatten(1).sum(1).clamp(min=1)
    found = []
    for axis in (2, 1):
        count = masks_nhw.shape[axis]
        place = (2 * torch.arange(count, device=masks_nhw.device) + 1) / count - 1
        found.append((masks_nhw.sum(3 - axis) * place).sum(1) / area)
    return torch.stack(found, dim=1)


def _first_frame(model: SAM2, batch: Batch, features: ImageFeatures, truth: Tensor) -> _Answer:
    if batch.kind == "mask":
        masks = batch.masks(0)[:, None].float()
        adopted = model.adopt_masks(features, masks)
        nothing = FrameLoss(truth.new_zeros(()), truth.new_ones(()))
        return _Answer(nothing, adopted.best_logits, adopted.object_score, adopted.pointer)
    prompts, truth = _asked(batch, features.grid)
    return _answer(model, model.recall(features, None), features, prompts, truth)
