"""The reference implementation as an oracle, with random weights that hide nothing.

Freshly initialised weights would make a dull test: attention is nearly uniform, the layer scale
of the memory encoder is 1e-6, every mask covers the frame and every object is absent. The
weights are therefore amplified and the three output heads are centred on what they see, so that
masks have both signs, the best of three masks varies and objects come and go.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sam2.build_sam import build_sam2_video_predictor
from scipy import ndimage
from torch import Tensor

from napari_sam2.model.checkpoint import build_model
from napari_sam2.model.sam2 import SAM2

LETTERS = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
TOLERANCE = 1e-3  # absolute, float32 on the CPU
LABEL_TOLERANCE = 1e-3  # share of pixels


def config_file(name: str) -> str:
    """Path of the reference's configuration of a variant, such as `sam2.1_hiera_tiny`."""
    family, _, size = name.split("_", 2)
    return f"configs/{family}/{family}_hiera_{LETTERS[size]}.yaml"


def build_reference(name: str, size: int = 1024, checkpoint: Path | None = None) -> Any:
    """Build the reference's video predictor as its users do, corrections kept as conditioning."""
    return build_sam2_video_predictor(
        config_file(name),
        None if checkpoint is None else str(checkpoint),
        device="cpu",
        apply_postprocessing=True,
        hydra_overrides_extra=[
            f"++model.image_size={size}",
            "++model.add_all_frames_to_correct_as_cond=true",
        ],
    ).requires_grad_(False)


@dataclass
class Pair:
    """The reference and our model with the same weights."""

    name: str
    size: int
    reference: Any
    model: SAM2


def build_pair(name: str, folder: Path, size: int = 1024, seed: int = 0) -> Pair:
    """Give both sides the same random weights, ours through the official file layout.

    `size` other than 1024 is for quick tests: the published networks, told that frames are
    smaller.
    """
    torch.manual_seed(seed)
    reference = build_reference(name, size)
    amplify(reference)
    centre(reference)
    path = folder / f"{name}.pt"
    torch.save({"model": reference.state_dict()}, path)
    model = build_model(path)
    path.unlink()
    if size != model.config.image_size:
        state = model.state_dict()
        model = SAM2(dataclasses.replace(model.config, image_size=size))
        model.load_state_dict(state)
    return Pair(name, size, reference, model.eval().requires_grad_(False))


def shift_scores(pair: Pair, shift: Tensor) -> None:
    """Add to the object scores of both sides."""
    for side in (pair.reference.sam_mask_decoder, pair.model.mask_decoder):
        side.pred_obj_score_head.layers[-1].bias.add_(shift)


@torch.no_grad()
def amplify(reference: Any, gain: float = 2.0) -> None:
    """Perturb what starts at a constant, and let the heads depend on their inputs."""
    for name, weight in reference.named_parameters():
        table = "embed" in name or "token." in name or "tokens." in name
        if weight.ndim < 2 or table or "tpos" in name or "no_" in name:
            weight.add_(0.1 * torch.randn_like(weight))
        elif not name.startswith("image_encoder"):
            weight.mul_(gain)
        if name.endswith("gamma"):
            weight.add_(0.3)
        if "cross_attn_image.v_proj" in name or "cross_attn_image.out_proj" in name:
            weight.mul_(2.0)  # What is remembered has to show.


@torch.inference_mode()
def centre(reference: Any) -> None:
    """Centre the outputs on a few prompts and on a few frames looked at with memories."""
    side = reference.image_size
    features = reference_features(reference, torch.randn(1, 3, side, side))
    first = features.maps[-1] + reference.no_mem_embed.view(1, -1, 1, 1)
    # Frames with memories should look to the heads as those without, as trained ones do.
    norm = reference.memory_attention.norm
    recalled = torch.cat([_recalled(reference, features) for _ in range(4)])
    spread, middle = _statistics(first)
    gain = spread / _statistics(recalled)[0]
    norm.weight.mul_(gain)
    norm.bias.copy_(middle - (_statistics(recalled)[1] - norm.bias) * gain)

    heads = reference.sam_mask_decoder
    tokens, maps = [], []
    hook = heads.transformer.register_forward_hook(lambda _, __, out: tokens.append(out[0]))
    hook2 = heads.output_upscaling[-1].register_forward_hook(lambda _, __, out: maps.append(out))
    for _ in range(4):
        points = torch.rand(1, 1, 2) * side
        prompt_heads(reference, features, points, torch.ones(1, 1, dtype=torch.int32))
        conditioned = _recalled(reference, features)
        prompt_heads(reference, features, None, None, conditioned=conditioned)
    hook.remove()
    hook2.remove()
    tokens_nkc = torch.cat([t[:, :6] for t in tokens])
    _spread(heads.pred_obj_score_head.layers, tokens_nkc[:, 0], std=2.0, mean=6.0)
    _spread(heads.iou_prediction_head.layers, tokens_nkc[:, 1], std=1.0, mean=0.5)
    mean_map = torch.cat(maps).mean((0, 2, 3))
    for i, mlp in enumerate(heads.output_hypernetworks_mlps):
        level = mlp(tokens_nkc[:, 2 + i]).mean(0) @ mean_map
        # As many pixels inside as outside would be too simple: a fifth or so is inside.
        mlp.layers[-1].bias.sub_(mean_map * (level + 1.5) / mean_map.square().sum())


def _statistics(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Deviation and mean of each channel."""
    return maps.std((0, 2, 3)), maps.mean((0, 2, 3))


def _recalled(reference: Any, features: Features) -> Tensor:
    """The frame, conditioned on a memory of a random mask."""
    side, width = reference.image_size, reference.hidden_dim
    mask = F.interpolate(8 * torch.randn(1, 1, 8, 8), (side, side), mode="bilinear")
    memory, places = reference._encode_new_memory(
        features.sequences, features.sizes, mask, torch.ones(1, 1), is_mask_from_pts=True
    )
    known = {
        "maskmem_features": memory,
        "maskmem_pos_enc": places,
        "obj_ptr": torch.randn(1, width),
    }
    return reference._prepare_memory_conditioned_features(
        frame_idx=1,
        is_init_cond_frame=False,
        current_vision_feats=features.sequences[-1:],
        current_vision_pos_embeds=features.places[-1:],
        feat_sizes=features.sizes[-1:],
        output_dict={"cond_frame_outputs": {0: known}, "non_cond_frame_outputs": {}},
        num_frames=8,
    )


def _spread(layers: Any, inputs: Tensor, std: float, mean: float) -> None:
    """Scale and shift the last layer of an MLP so that its outputs vary as told."""
    for layer in layers[:-1]:
        inputs = layer(inputs).relu()
    last = layers[-1]
    out = last(inputs)
    gain = std / out.std(0)
    last.bias.copy_((last.bias - out.mean(0)) * gain + mean)
    last.weight.mul_(gain[:, None])


@dataclass
class Features:
    """The reference's features of one frame, in the layouts that its methods take."""

    sequences: list[Tensor]
    places: list[Tensor]
    sizes: list[tuple[int, int]]

    @property
    def maps(self) -> list[Tensor]:
        """Maps (1, C, h, w) at strides 4, 8 and 16."""
        return [
            x.permute(1, 2, 0).unflatten(2, s)
            for x, s in zip(self.sequences, self.sizes, strict=True)
        ]


def reference_features(reference: Any, image: Tensor) -> Features:
    """Run the reference's image encoder."""
    encoded = reference.forward_image(image)
    _, sequences, places, sizes = reference._prepare_backbone_features(encoded)
    return Features(sequences, places, sizes)


def prompt_heads(
    reference: Any,
    features: Features,
    points: Tensor | None,
    labels: Tensor | None,
    mask: Tensor | None = None,
    conditioned: Tensor | None = None,
) -> dict[str, Tensor]:
    """Run the reference's prompt encoder and mask decoder on a frame seen for the first time."""
    *fine, coarse = features.maps
    if conditioned is None:
        conditioned = coarse + reference.no_mem_embed.view(1, -1, 1, 1)
    prompt = None if points is None else {"point_coords": points, "point_labels": labels}
    out = reference._forward_sam_heads(
        conditioned, prompt, mask, fine, reference._use_multimask(True, prompt)
    )
    return heads_output(out)


def heads_output(out: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Name the outputs of the reference's mask heads that can be compared."""
    multi, _, ious, best, _, pointer, score = out
    return {
        "logits": multi, "iou": ious, "best": best[:, 0], "pointer": pointer, "score": score[:, 0],
    }  # fmt: skip


@dataclass
class Differences:
    """Greatest absolute differences, and the greatest share of pixels labelled otherwise."""

    values: dict[str, float] = field(default_factory=dict)
    labels: float = 0.0

    def add(self, kind: str, ours: Tensor, theirs: Tensor) -> None:
        """Compare two tensors of the same shape."""
        assert ours.shape == theirs.shape, (kind, ours.shape, theirs.shape)
        difference = (ours.float() - theirs.float()).abs().max().item()
        self.values[kind] = max(self.values.get(kind, 0.0), difference)

    def add_labels(self, ours: Tensor | np.ndarray, theirs: Tensor | np.ndarray) -> None:
        """Compare two masks or label images of one frame."""
        different = np.asarray(ours) != np.asarray(theirs)
        self.labels = max(self.labels, float(different.mean()))

    def merge(self, other: Differences) -> None:
        """Take in the differences of another case."""
        for kind, value in other.values.items():
            self.values[kind] = max(self.values.get(kind, 0.0), value)
        self.labels = max(self.labels, other.labels)

    def check(self, tolerance: float = TOLERANCE) -> None:
        """Fail where a difference is above the tolerance, and name it."""
        far = {kind: value for kind, value in self.values.items() if not value <= tolerance}
        assert self.values, "nothing was compared"
        assert not far, f"differs from the reference by {far}"
        assert self.labels <= LABEL_TOLERANCE, f"{self.labels:.2%} of the pixels labelled otherwise"


def movie(frames: int, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Bright textured blobs that wander over a textured ground: uint8 (T, Y, X, 3)."""
    rng = np.random.default_rng(seed)
    ground = ndimage.gaussian_filter(rng.normal(size=(*shape, 3)), (6, 6, 0))
    ground = 60 + 25 * ground / ground.std()
    y, x = np.mgrid[: shape[0], : shape[1]]
    place = rng.uniform(0.2, 0.8, (6, 2)) * shape
    speed = rng.normal(0, 0.02, (6, 2)) * shape
    colour = rng.uniform(20, 180, (6, 3))
    clip = []
    for t in range(frames):
        image = ground + rng.normal(0, 4, ground.shape)
        for p, v, c in zip(place, speed, colour, strict=True):
            distance = ((y - p[0] - t * v[0]) ** 2 + (x - p[1] - t * v[1]) ** 2) ** 0.5
            radius = 0.1 * min(shape)
            image = image + c * np.clip((radius - distance) / 4 + 0.5, 0, 1)[..., None]
        clip.append(image.clip(0, 255).astype(np.uint8))
    return np.stack(clip)
