"""Checkpoints: the names of the official weights, ours, and the way between them.

Files are read without executing anything from them. Our own checkpoints use the official names
too, in safetensors, with the variant and the recipe in the metadata.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_sam2.model.config import PUBLISHED, ModelConfig
from napari_sam2.model.sam2 import SAM2


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message says what is wrong with it."""


# Official prefix -> ours; the first that fits is used.
_RENAMES = (
    ("image_encoder.trunk.patch_embed.proj.", "image_encoder.trunk.patch_embed."),
    ("sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
     "prompt_encoder.positions.matrix"),
    ("sam_prompt_encoder.not_a_point_embed.", "prompt_encoder.not_a_point."),
    ("sam_prompt_encoder.no_mask_embed.", "prompt_encoder.no_mask."),
    ("sam_prompt_encoder.mask_downscaling.", "prompt_encoder.mask_encoder."),
    ("sam_prompt_encoder.", "prompt_encoder."),
    ("sam_mask_decoder.output_upscaling.0.", "mask_decoder.upscale1."),
    ("sam_mask_decoder.output_upscaling.1.", "mask_decoder.upscale_norm."),
    ("sam_mask_decoder.output_upscaling.3.", "mask_decoder.upscale2."),
    ("sam_mask_decoder.", "mask_decoder."),
    ("memory_encoder.mask_downsampler.encoder.", "memory_encoder.mask_downsampler."),
    ("memory_encoder.fuser.layers.", "memory_encoder.fuser."),
    ("maskmem_tpos_enc", "memory_times"),
    ("no_mem_pos_enc", "no_memory_position"),
    ("no_mem_embed", "no_memory"),
    ("no_obj_ptr", "no_object_pointer"),
    ("no_obj_embed_spatial", "absent_memory"),
    ("obj_ptr_proj.", "pointer_proj."),
    ("obj_ptr_tpos_proj.", "pointer_time_proj."),
)  # fmt: skip

# Parameters that the official layout keeps with extra axes of length one.
_EXTRA_AXES = {
    "maskmem_tpos_enc": (-1, 1, 1, None),
    "no_mem_embed": (1, 1, None),
    "no_mem_pos_enc": (1, 1, None),
    "no_obj_ptr": (1, None),
    "no_obj_embed_spatial": (1, None),
}

_NECK = re.compile(r"image_encoder\.neck\.convs\.(\d)\.conv\.")
_LATERAL = re.compile(r"image_encoder\.lateral\.(\d)\.")


def to_ours(name: str) -> str:
    """Translate the official name of a parameter into ours."""
    # The official neck counts its levels from the coarsest, ours from the finest.
    if match := _NECK.match(name):
        return f"image_encoder.lateral.{3 - int(match[1])}.{name[match.end() :]}"
    for official, ours in _RENAMES:
        if name.startswith(official):
            return ours + name[len(official) :]
    return name


def to_official(name: str) -> str:
    """Translate our name of a parameter into the official one."""
    if match := _LATERAL.match(name):
        return f"image_encoder.neck.convs.{3 - int(match[1])}.conv.{name[match.end() :]}"
    for official, ours in _RENAMES:
        if name.startswith(ours):
            return official + name[len(ours) :]
    return name


def _official_shape(name: str, shape: torch.Size) -> torch.Size:
    extra = _EXTRA_AXES.get(name)
    if extra is None:
        return shape
    return torch.Size(
        [shape[0] if axis == -1 else shape[-1] if axis is None else axis for axis in extra]
    )


def official_state(model: SAM2) -> dict[str, Tensor]:
    """Return the weights of a model under their official names and shapes."""
    state = {}
    for ours, value in model.state_dict().items():
        name = to_official(ours)
        state[name] = value.reshape(_official_shape(name, value.shape)).contiguous()
    return state


def recognise(state: dict[str, Tensor]) -> ModelConfig:
    """Tell which published variant official weights belong to.

    Raises
    ------
    CheckpointError
        If they are of none.
    """
    patch = state.get("image_encoder.trunk.patch_embed.proj.weight")
    if patch is None:
        raise CheckpointError(
            "not a SAM 2 checkpoint: it has no 'image_encoder.trunk.patch_embed.proj.weight'"
        )
    blocks = {name.split(".")[3] for name in state if name.startswith("image_encoder.trunk.blocks")}
    newer = "obj_ptr_tpos_proj.weight" in state
    for config in PUBLISHED.values():
        same_trunk = (config.trunk.width, sum(config.trunk.stages)) == (patch.shape[0], len(blocks))
        if same_trunk and config.pointer_times == newer:
            return config
    raise CheckpointError(
        f"unknown SAM 2 variant: trunk {patch.shape[0]} channels wide with {len(blocks)} blocks"
    )


def load_official(model: SAM2, state: dict[str, Tensor]) -> None:
    """Load official weights into a model, strictly.

    Raises
    ------
    CheckpointError
        If tensors are missing, left over, of the wrong shape or not finite; they are named.
    """
    wanted = {
        to_official(name): _official_shape(to_official(name), value.shape)
        for name, value in model.state_dict().items()
    }
    faults = [
        *(f"missing: {name}" for name in wanted if name not in state),
        *(f"not expected: {name}" for name in state if name not in wanted),
        *(
            f"wrong shape: {name} is {tuple(state[name].shape)}, should be {tuple(shape)}"
            for name, shape in wanted.items()
            if name in state and state[name].shape != shape
        ),
    ]
    if faults:
        more = f" (and {len(faults) - 5} more)" if len(faults) > 5 else ""
        raise CheckpointError(
            f"the weights do not fit {model.config.name}: " + "; ".join(faults[:5]) + more
        )
    # A sum is finite only if all values are, and makes no copy of them.
    broken = [k for k, v in state.items() if not v.sum(dtype=torch.float32).isfinite()]
    if broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise CheckpointError(f"the weights are NaN or infinite in {broken[0]}{more}")
    own = model.state_dict()
    model.load_state_dict(
        {to_ours(k): v.reshape(own[to_ours(k)].shape).to(torch.float32) for k, v in state.items()}
    )


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and metadata of a .pt, .pth or .safetensors file.

    Raises
    ------
    CheckpointError
        If the file is damaged or holds anything but tensors.
    FileNotFoundError
        If there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    if path.suffix.lower() == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                meta = file.metadata() or {}
                return {k: file.get_tensor(k) for k in file.keys()}, meta  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(f"{path.name} is damaged or not a safetensors file") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (MemoryError, OSError):  # those say nothing about what the file holds
        raise
    except Exception as error:  # damaged pickles raise whatever their bytes lead to
        raise CheckpointError(
            f"{path.name} is damaged, or holds more than tensors and is not read for safety"
        ) from error
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{path.name} holds no weights under 'model'")
    if not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path.name} holds no weights under 'model'")
    return state, {}


def build_model(path: Path) -> SAM2:
    """Build the variant that a checkpoint belongs to and load it, ready for inference.

    Raises
    ------
    CheckpointError, FileNotFoundError
        As in `read_checkpoint`, `recognise` and `load_official`.
    """
    state, meta = read_checkpoint(path)
    try:
        config = ModelConfig.from_dict(json.loads(meta["config"])) if "config" in meta else None
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path.name} names a variant that this version lacks") from error
    model = SAM2(config or recognise(state))
    load_official(model, state)
    return model.eval().requires_grad_(False)


def save_model(model: SAM2, path: Path, recipe: dict[str, Any], half: bool = True) -> None:
    """Write our own checkpoint: official names, safetensors, variant and recipe as metadata."""
    dtype = torch.float16 if half else torch.float32
    state = {name: value.detach().cpu().to(dtype) for name, value in official_state(model).items()}
    meta = {"config": json.dumps(model.config.to_dict()), "recipe": json.dumps(recipe)}
    save_file(state, path, metadata=meta)


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the recipe in the metadata of one of our checkpoints; empty if there is none."""
    _, meta = read_checkpoint(path)
    recipe: dict[str, Any] = json.loads(meta.get("recipe", "{}"))
    return recipe
