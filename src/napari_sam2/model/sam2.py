"""SAM 2: encode a frame, recall memories, predict masks, memorize them.

Four verbs, batched over N objects, without state: what is remembered of an object lives in
`tracking.memory_bank`. `prepare` is the part of `recall` that objects on one frame can share.

Ravi et al. 2024, *SAM 2: Segment Anything in Images and Videos*, section 4 and appendix D.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.config import ModelConfig
from napari_sam2.model.heeding import clicked_cells, heeding
from napari_sam2.model.image_encoder import ImageEncoder
from napari_sam2.model.layers import MLP
from napari_sam2.model.mask_decoder import DecoderOutput, MaskDecoder, choose_single
from napari_sam2.model.memory_attention import MemoryAttention, MemoryTokens
from napari_sam2.model.memory_encoder import MemoryEncoder
from napari_sam2.model.positions import (
    TokenGrid,
    at_once,
    no_rotation,
    rotary_phases,
    sine_positions,
    time_positions,
)
from napari_sam2.model.precision import in_half
from napari_sam2.model.products import Linear
from napari_sam2.model.prompt_encoder import PADDING, PromptEncoder, PromptInputs, draw_prompts
from napari_sam2.model.values import (
    SURE_LOGIT,
    ImageFeatures,
    MaskPrediction,
    Memory,
    Recollection,
)


class SAM2(nn.Module):
    """The network.

    Parameters
    ----------
    config : the variant.

    Attributes
    ----------
    half_precision : compute in bfloat16 on a GPU that has it, as the published models do; masks and
        scores are float32 anyway. Off for small windows, which take longer then.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.half_precision = config.square_input
        hidden, memory = config.hidden, config.memory
        self.image_encoder = ImageEncoder(config.trunk, hidden)
        self.prompt_encoder = PromptEncoder(hidden, config.image_size)
        self.mask_decoder = MaskDecoder(hidden, config.decoder_feedforward, config.iou_hidden)
        self.memory_encoder = MemoryEncoder(hidden, memory)
        self.memory_attention = MemoryAttention(
            hidden, memory, config.memory_layers, config.memory_feedforward
        )
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.pointer_proj = MLP((hidden, hidden, hidden, hidden))
        self.memory_times = nn.Parameter(torch.zeros(config.num_memories, memory))
        self.no_memory = nn.Parameter(torch.zeros(hidden))
        # Trained and shipped by the reference, but without a use where this term is added.
        self.no_memory_position = nn.Parameter(torch.zeros(hidden))
        self.no_object_pointer = nn.Parameter(torch.zeros(hidden))
        for parameter in (self.memory_times, self.no_memory, self.no_object_pointer):
            nn.init.trunc_normal_(parameter, std=0.02)
        if config.absent_embedding:
            self.absent_memory = nn.Parameter(torch.zeros(memory))
            nn.init.trunc_normal_(self.absent_memory, std=0.02)
        if config.pointer_times:
            self.pointer_time_proj = Linear(hidden, memory)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.no_memory.device

    @in_half
    def encode_image(self, image_b3hw: Tensor) -> ImageFeatures:
        """Encode frames, once for all objects.

        Parameters
        ----------
        image_b3hw : normalised RGB, H and W multiples of 32.

        Raises
        ------
        ValueError
            If the size is not a multiple of 32.
        """
        h, w = image_b3hw.shape[-2:]
        if h % 32 or w % 32:
            raise ValueError(f"image size {h} x {w} is not a multiple of 32")
        decoder = self.mask_decoder
        stride16, stride8, stride4 = self.image_encoder(
            image_b3hw, decoder.conv_s1, decoder.conv_s0
        )
        return ImageFeatures(stride16, stride8, stride4, TokenGrid(h // 16, w // 16))

    @in_half
    def prepare(self, features: ImageFeatures) -> Tensor:
        """Return the first part of `recall`, which is the same for all objects: (B, L, C)."""
        device, hidden = self.device, self.config.hidden
        x = features.stride16.flatten(2).transpose(1, 2)
        place = sine_positions(features.grid, hidden, self.config.grid, device)
        phases = rotary_phases(features.grid, hidden, device)
        prepared: Tensor = self.memory_attention.prepare(x, place, phases)
        return prepared

    @in_half
    def recall(
        self,
        features: ImageFeatures,
        recollection: Recollection | None,
        prepared: Tensor | None = None,
    ) -> Tensor:
        """Condition a frame on what N objects remember.

        Parameters
        ----------
        features : the frame, or a window of it for each object.
        recollection : memories and pointers; None on a frame that is seen for the first time,
            which only marks the map as such.
        prepared : from `prepare`, if it is there already.

        Returns
        -------
        (N, C, h, w); N = 1 without memories, unless `features` holds a window per object.
        """
        if recollection is None:
            return features.stride16 + self.no_memory.view(1, -1, 1, 1)
        memory = self._memory_tokens(recollection)
        if prepared is None:
            prepared = self.prepare(features)
        phases = rotary_phases(features.grid, self.config.hidden, self.device)
        out: Tensor = self.memory_attention(prepared, memory, phases)
        return out.transpose(1, 2).reshape(len(out), -1, *features.stride16.shape[-2:])

    def _memory_tokens(self, recollection: Recollection) -> MemoryTokens:
        """Lay memories and pointers out as tokens."""
        memory_width, device = self.config.memory, self.device
        n = recollection.pointers.shape[0]
        tokens, places, phases = [], [], []
        laid = at_once(
            [memory.grid for memory in recollection.memories],
            lambda grid: (
                sine_positions(grid, memory_width, self.config.grid, device),
                *rotary_phases(grid, self.config.hidden, device),
            ),
        )
        for memory, slot in zip(recollection.memories, recollection.slots, strict=True):
            tokens.append(memory.features.to(self.no_memory.dtype).flatten(2).transpose(1, 2))
            place, cos, sin = laid[memory.grid]
            places.append((place + self.memory_times[slot]).expand(n, -1, -1))
            phases.append((cos, sin))
        count = recollection.pointers.shape[1]
        if count:
            # A pointer is wider than a memory: it is cut into several tokens.
            parts = recollection.pointers.reshape(n, -1, memory_width)
            if self.config.pointer_times:
                times = recollection.times[None] / recollection.horizon
                code = self.pointer_time_proj(time_positions(times, self.config.hidden))
                code = code.repeat_interleave(parts.shape[1] // count, dim=1)
            else:
                code = parts.new_zeros(1, parts.shape[1], memory_width)
            tokens.append(parts)
            places.append(code.expand(n, -1, -1))
            phases.append(no_rotation(parts.shape[1], self.config.hidden, device))
        read, grids = torch.cat(tokens, dim=1), {memory.grid for memory in recollection.memories}
        cos, sin = (_join(parts, n) for parts in zip(*phases, strict=True))
        one = grids.pop() if len(grids) == 1 else None
        return MemoryTokens(
            read,
            read + torch.cat(places, dim=1),
            (cos, sin),
            None if one is None else (len(recollection.memories), one.height, one.width),
        )

    @in_half
    def predict_masks(
        self,
        conditioned: Tensor,
        features: ImageFeatures,
        prompts: PromptInputs | None,
    ) -> MaskPrediction:
        """Predict the masks of N objects on a frame.

        Parameters
        ----------
        conditioned : (N, C, h, w) from `recall`.
        features : the same frame or windows; its finer maps go into the decoder.
        prompts : points and earlier masks of the N objects, or None while tracking.

        Returns
        -------
        MaskPrediction
            Three masks for at most one point (a click is ambiguous), else one.
        """
        n = conditioned.shape[0] if prompts is None else prompts.points.shape[0]
        output = self._decode(conditioned.expand(n, -1, -1, -1), features, prompts)
        several = prompts is None or prompts.points.shape[1] <= 1
        return self._choose(output, several)

    @in_half
    def correct_masks(
        self, conditioned: Tensor, features: ImageFeatures, prompts: PromptInputs
    ) -> MaskPrediction:
        """Predict as `predict_masks`, with the last layer bent to clicks that correct a mask.

        Not a part of SAM 2; for small models, which leave many corrections unheeded. Bending is
        many small steps in full precision, best done on the host; masks stay there.

        Parameters
        ----------
        conditioned, features : see `predict_masks`.
        prompts : with the earlier masks.
        """
        assert prompts.mask is not None
        n = len(prompts.points)
        output = self._decode(conditioned.expand(n, -1, -1, -1), features, prompts)
        prediction = self._choose(output, several=prompts.points.shape[1] <= 1).on_host()
        logits, origins = prediction.logits.clone(), features.grid.origins
        maps, earlier = output.maps.float().cpu(), prompts.mask.cpu()
        points, labels = prompts.points.cpu(), prompts.labels.cpu()
        for i in (prediction.object_score > 0).nonzero()[:, 0].tolist():
            clicks = clicked_cells(points[i], labels[i], origins[i % len(origins)])
            best = prediction.best_logits[i]
            logits[i, prediction.chosen[i]] = heeding(best, maps[i], earlier[i, 0], *clicks)
        return replace(prediction, logits=logits)

    @in_half
    def decode_all(
        self, conditioned: Tensor, features: ImageFeatures, prompts: PromptInputs | None
    ) -> tuple[DecoderOutput, Tensor]:
        """Predict all four masks and the four pointers they would leave.

        For training, and to choose among several answers outside of the network.

        Returns
        -------
        the raw output and pointers (N, 4, C), without the replacement for absent objects.
        """
        output = self._decode(conditioned, features, prompts)
        return output, self.pointer_proj(output.tokens).float()

    def _decode(
        self, conditioned: Tensor, features: ImageFeatures, prompts: PromptInputs | None
    ) -> DecoderOutput:
        n, grid = conditioned.shape[0], features.grid
        if prompts is None:
            points = conditioned.new_zeros(n, 1, 2)
            prompts = PromptInputs(points, points.new_full((n, 1), PADDING).long())
        elif self.config.drawn_prompts:
            prompts = PromptInputs(prompts.points, prompts.labels, draw_prompts(prompts, grid))
        sparse, dense = self.prompt_encoder(prompts, grid)
        place = self.prompt_encoder.positions.dense(grid, self.config.grid)
        output: DecoderOutput = self.mask_decoder(
            conditioned, place, sparse, dense, features.stride8, features.stride4
        )
        return output.float()

    def _choose(self, output: DecoderOutput, several: bool) -> MaskPrediction:
        rows = torch.arange(len(output.iou), device=output.iou.device)
        if several:
            logits, iou = output.logits[:, 1:], output.iou[:, 1:]
            chosen = iou.argmax(dim=1)
            token = output.tokens[rows, chosen + 1]
        else:
            index = choose_single(output)
            logits = output.logits[rows, index][:, None]
            iou = output.iou[rows, index][:, None]
            chosen = torch.zeros_like(index)
            token = output.tokens[:, 0]
        seen = MaskPrediction(logits, iou, output.object_score, self.pointer_proj(token), chosen)
        return seen.without(output.object_score <= 0, self.no_object_pointer)

    @in_half
    def adopt_masks(self, features: ImageFeatures, masks_n1hw: Tensor) -> MaskPrediction:
        """Take masks that the user drew as they are; only their pointers are predicted.

        Parameters
        ----------
        features : the frame, or a window for each object.
        masks_n1hw : 0 or 1, at full resolution of `features` (16 h, 16 w), float32.
        """
        n = masks_n1hw.shape[0]
        points = masks_n1hw.new_zeros(n, 1, 2)
        labels = points.new_full((n, 1), PADDING).long()
        prompts = PromptInputs(points, labels, self.mask_downsample(masks_n1hw))
        # Not drawn, whatever the variant: the learned downsampling takes the place of it.
        sparse, dense = self.prompt_encoder(prompts, features.grid)
        place = self.prompt_encoder.positions.dense(features.grid, self.config.grid)
        frame = features.stride16.expand(n, -1, -1, -1)
        output = self.mask_decoder(frame, place, sparse, dense, features.stride8, features.stride4)
        output = output.float()
        present = masks_n1hw.flatten(1).any(dim=1)
        pointer = self._choose(output, several=False).pointer
        return MaskPrediction(
            logits=downscale(masks_n1hw * (2 * SURE_LOGIT) - SURE_LOGIT),
            iou=masks_n1hw.new_ones(n, 1),
            object_score=torch.where(present, SURE_LOGIT, -SURE_LOGIT),
            pointer=torch.where(present[:, None], pointer, self.no_object_pointer),
            chosen=torch.zeros(n, dtype=torch.long, device=masks_n1hw.device),
        )

    @in_half
    def memorize(
        self,
        features: ImageFeatures,
        logits_nhw: Tensor,
        object_score_n: Tensor,
        prompted: bool = False,
    ) -> Memory:
        """Encode the masks of N objects on a frame into memories.

        Parameters
        ----------
        features : the frame, or a window for each object.
        logits_nhw : (N, 4 h, 4 w) logits of the chosen masks.
        object_score_n : (N,) logits; memories of absent objects are marked (SAM 2.1).
        prompted : the user has seen and accepted these masks, so they are remembered as binary.
        """
        h, w = features.stride16.shape[-2:]
        full = F.interpolate(
            logits_nhw[:, None].float(), (16 * h, 16 * w), mode="bilinear", align_corners=False
        )
        mask = (full > 0).to(full.dtype) if prompted else full.sigmoid()
        frame = features.stride16.expand(len(logits_nhw), -1, -1, -1)
        memory = self.memory_encoder(frame, mask * 20.0 - 10.0)
        if self.config.absent_embedding:
            absent = (object_score_n <= 0).to(memory.dtype)[:, None, None, None]
            memory = memory + absent * self.absent_memory.view(1, -1, 1, 1)
        return Memory(memory, features.grid)


def downscale(x_n1hw: Tensor) -> Tensor:
    """Reduce a full-resolution map to stride 4, antialiased."""
    size = (x_n1hw.shape[-2] // 4, x_n1hw.shape[-1] // 4)
    return F.interpolate(x_n1hw, size, mode="bilinear", align_corners=False, antialias=True)


def _join(phases: Sequence[Tensor], n: int) -> Tensor:
    """Concatenate phases along tokens; those of a shared place stand for all N objects."""
    if len({p.shape[0] for p in phases}) > 1:
        phases = [p.expand(n, -1, -1, -1) for p in phases]
    return torch.cat(list(phases), dim=2)
