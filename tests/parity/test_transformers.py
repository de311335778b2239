"""A second oracle: the independent port of SAM 2 in `transformers`, on single frames."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("sam2", reason="the reference implementation is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

import torch
import transformers
from oracle import Differences, build_pair, shift_scores
from single import Frame
from torch import Tensor

from napari_sam2.model.prompt_encoder import PromptInputs
from napari_sam2.model.sam2 import SAM2

SIZE = 128
# Ours -> theirs; all that fit are applied, in this order.
RENAMES = (
    (r"^no_memory$", "no_memory_embedding"),
    (r"^prompt_encoder\.positions\.matrix", "prompt_encoder.shared_embedding.positional_embedding"),
    (r"^prompt_encoder\.(not_a_point|no_mask)\.", r"prompt_encoder.\1_embed."),
    (r"^prompt_encoder\.mask_encoder\.0", "prompt_encoder.mask_embed.conv1"),
    (r"^prompt_encoder\.mask_encoder\.1", "prompt_encoder.mask_embed.layer_norm1"),
    (r"^prompt_encoder\.mask_encoder\.3", "prompt_encoder.mask_embed.conv2"),
    (r"^prompt_encoder\.mask_encoder\.4", "prompt_encoder.mask_embed.layer_norm2"),
    (r"^prompt_encoder\.mask_encoder\.6", "prompt_encoder.mask_embed.conv3"),
    (r"^image_encoder\.trunk\.patch_embed\.", "vision_encoder.backbone.patch_embed.projection."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.lateral\.", "vision_encoder.neck.convs."),
    (r"mask_decoder\.upscale_norm\.", "mask_decoder.upscale_layer_norm."),
    (r"mask_decoder\.upscale(\d)\.", r"mask_decoder.upscale_conv\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.out_proj\.", ".o_proj."),
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
    (r"(mlps\.\d|_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(mlps\.\d|_head)\.layers\.1\.", r"\1.layers.0."),
    (r"(mlps\.\d|_head)\.layers\.2\.", r"\1.proj_out."),
)
NOT_THEIRS = ("memory_", "pointer_", "no_object", "absent", "mask_downsample", "no_memory_position")


def their_state(model: SAM2) -> dict[str, Tensor]:
    """Our weights under the names of `transformers.Sam2Model`."""
    state = {}
    for name, value in model.state_dict().items():
        if name.startswith(NOT_THEIRS) or ".point_embeddings." in name:
            continue
        for pattern, theirs in RENAMES:
            name = re.sub(pattern, theirs, name)
        # The neck counts its levels from the coarsest there.
        name = re.sub(r"neck\.convs\.(\d)", lambda m: f"neck.convs.{3 - int(m[1])}", name)
        state[name] = value.view(1, 1, -1) if name == "no_memory_embedding" else value
    points = model.prompt_encoder.point_embeddings
    state["prompt_encoder.point_embed.weight"] = torch.cat([p.weight for p in points])
    positions = model.prompt_encoder.positions.matrix
    state["shared_image_embedding.positional_embedding"] = positions
    return state


@torch.inference_mode()
def test_single_frames_agree_with_transformers(tmp_path: Path) -> None:
    pair = build_pair("sam2.1_hiera_tiny", tmp_path, SIZE)
    # The port returns the logits of absent objects, too; ours hides them.
    shift_scores(pair, torch.tensor(20.0))
    frame, model, found = Frame(pair), pair.model, Differences()
    config = transformers.Sam2Config(
        vision_config={
            "backbone_config": {"model_type": "sam2_hiera_det_model", "image_size": [SIZE, SIZE]},
            "backbone_feature_sizes": [[SIZE // s, SIZE // s] for s in (4, 8, 16)],
        },
        prompt_encoder_config={"image_size": SIZE},
    )
    port = transformers.Sam2Model(config).eval()
    port.load_state_dict(their_state(model))
    embeddings = port.get_image_embeddings(frame.image)
    conditioned = model.recall(frame.ours, None)
    for mine, theirs in zip(
        (frame.ours.stride4, frame.ours.stride8, conditioned), embeddings, strict=True
    ):
        found.add("features", mine, theirs)
    earlier = 8 * torch.randn(4, 1, SIZE // 4, SIZE // 4, generator=frame.random)
    cases: list[tuple[Tensor, list[int], Tensor | None]] = [
        (frame.points(1, batch=4), [1], None),
        (frame.points(3, batch=4), [1, 0, 1], None),
        (frame.boxes(batch=4), [2, 3], None),
        (torch.cat([frame.boxes(4), frame.points(1, 4)], 1), [2, 3, 0], None),
        (frame.points(2, batch=4), [1, 0], earlier),
    ]
    for points, kinds, mask in cases:
        labels = torch.tensor(kinds).expand(len(points), -1)
        ours = model.predict_masks(conditioned, frame.ours, PromptInputs(points, labels, mask))
        for i in range(len(points)):
            theirs = port(
                image_embeddings=list(embeddings),
                input_points=points[None, i : i + 1],
                input_labels=labels[None, i : i + 1],
                input_masks=None if mask is None else mask[i : i + 1],
                multimask_output=len(kinds) == 1,
            )
            found.add("logits", ours.logits[i], theirs.pred_masks[0, 0])
            found.add("IoU", ours.iou[i], theirs.iou_scores[0, 0])
            found.add("score", ours.object_score[i], theirs.object_score_logits[0, 0, 0])
    found.check()
