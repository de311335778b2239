"""Mask decoder: a two-way transformer between prompt tokens and the frame (SAM 2, appendix D.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_sam2.model.layers import MLP, Attention, LayerNorm2d

NUM_MASKS = 3
_STABILITY_DELTA = 0.05
_STABILITY_THRESHOLD = 0.98


class TwoWayBlock(nn.Module):
    """Tokens attend to themselves and to the frame; then the frame attends to the tokens."""

    def __init__(self, width: int, heads: int, feedforward: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP((width, feedforward, width))
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, width // 2)

    def forward(
        self, tokens: Tensor, image: Tensor, tokens_place: Tensor, image_place: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return updated tokens (N, K, C) and frame (N, h w, C)."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + tokens_place
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        placed = image + image_place
        tokens = tokens + self.cross_attn_token_to_image(tokens + tokens_place, placed, image)
        tokens = self.norm2(tokens)
        tokens = self.norm3(tokens + self.mlp(tokens))
        update = self.cross_attn_image_to_token(placed, tokens + tokens_place, tokens)
        return tokens, self.norm4(image + update)


class TwoWayTransformer(nn.Module):
    """Two blocks and a last look of the tokens at the frame."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(width, heads, feedforward, first=i == 0) for i in range(2)
        )
        self.final_attn_token_to_image = Attention(width, heads, width // 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, image: Tensor, image_place: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Frame (N, h w, C), its positions and tokens (N, K, C) -> tokens, frame."""
        place = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, place, image_place)
        update = self.final_attn_token_to_image(tokens + place, image + image_place, image)
        return self.norm_final_attn(tokens + update), image


@dataclass(frozen=True)
class DecoderOutput:
    """What the decoder makes of N objects: all four masks, before any choice.

    Parameters
    ----------
    logits : (N, 4, 4 h, 4 w); mask 0 is the single answer, 1 to 3 the ambiguous ones.
    iou : (N, 4) predicted IoU, 0 to 1.
    tokens : (N, 4, C) output tokens of the masks.
    object_score : (N,) logit of the object being in the frame.
    maps : (N, C / 8, 4 h, 4 w) what masks are weighted sums of.
    """

    logits: Tensor
    iou: Tensor
    tokens: Tensor
    object_score: Tensor
    maps: Tensor

    def float(self) -> DecoderOutput:
        """Return the same in single precision; the maps, seldom asked for, as they are."""
        return DecoderOutput(
            self.logits.float(),
            self.iou.float(),
            self.tokens.float(),
            self.object_score.float(),
            self.maps,
        )


class MaskDecoder(nn.Module):
    """Masks, their predicted IoU and an object score from a conditioned frame and prompts."""

    def __init__(self, hidden: int, feedforward: int, iou_hidden: int) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(hidden, 8, feedforward)
        self.iou_token = nn.Embedding(1, hidden)
        self.mask_tokens = nn.Embedding(NUM_MASKS + 1, hidden)
        self.obj_score_token = nn.Embedding(1, hidden)
        self.upscale1 = nn.ConvTranspose2d(hidden, hidden // 4, kernel_size=2, stride=2)
        self.upscale_norm = LayerNorm2d(hidden // 4)
        self.upscale2 = nn.ConvTranspose2d(hidden // 4, hidden // 8, kernel_size=2, stride=2)
        self.activation = nn.GELU()
        self.conv_s0 = nn.Conv2d(hidden, hidden // 8, 1)
        self.conv_s1 = nn.Conv2d(hidden, hidden // 4, 1)
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP((hidden, hidden, hidden, hidden // 8)) for _ in range(NUM_MASKS + 1)
        )
        self.iou_prediction_head = MLP(
            (hidden, iou_hidden, iou_hidden, NUM_MASKS + 1), sigmoid=True
        )
        self.pred_obj_score_head = MLP((hidden, hidden, hidden, 1))

    def forward(
        self,
        frame_nchw: Tensor,
        place_bchw: Tensor,
        sparse_nkc: Tensor,
        dense_nchw: Tensor,
        stride8: Tensor,
        stride4: Tensor,
    ) -> DecoderOutput:
        """Decode N objects.

        Parameters
        ----------
        frame_nchw : stride 16 map, conditioned on memories.
        place_bchw : Fourier positions of its tokens, B = 1 or N.
        sparse_nkc, dense_nchw : encoded prompts.
        stride8, stride4 : (N or 1, C / 4, 2 h, 2 w) and (N or 1, C / 8, 4 h, 4 w).
        """
        n, _, h, w = frame_nchw.shape
        own = torch.cat([self.obj_score_token.weight, self.iou_token.weight])
        own = torch.cat([own, self.mask_tokens.weight]).expand(n, -1, -1)
        image = (frame_nchw + dense_nchw).flatten(2).transpose(1, 2)
        place = place_bchw.flatten(2).transpose(1, 2)
        tokens, image = self.transformer(image, place, torch.cat([own, sparse_nkc], dim=1))
        up = self.upscale1(image.transpose(1, 2).unflatten(2, (h, w))) + stride8
        up = self.activation(self.upscale_norm(up))
        up = self.activation(self.upscale2(up) + stride4)
        masks = tokens[:, 2 : 3 + NUM_MASKS]
        weights = torch.stack(
            [mlp(masks[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        return DecoderOutput(
            logits=torch.einsum("nmc,nchw->nmhw", weights, up),
            iou=self.iou_prediction_head(tokens[:, 1]),
            tokens=masks,
            object_score=self.pred_obj_score_head(tokens[:, 0])[:, 0],
            maps=up,
        )


def stability(logits: Tensor) -> Tensor:
    """IoU of a mask cut a little high and a little low: (..., H, W) -> (...), 1 where empty."""
    inner = (logits > _STABILITY_DELTA).flatten(-2).sum(-1).float()
    outer = (logits > -_STABILITY_DELTA).flatten(-2).sum(-1).float()
    return torch.where(outer > 0, inner / outer, torch.ones_like(outer))


def choose_single(output: DecoderOutput) -> Tensor:
    """Index (N,) of the mask to use when one is asked for.

    It is mask 0, unless that is unstable: then the best of the three others.
    """
    best = output.iou[:, 1:].argmax(dim=1) + 1
    stable = stability(output.logits[:, 0]) >= _STABILITY_THRESHOLD
    return torch.where(stable, torch.zeros_like(best), best)
