"""What distinguishes one variant of the network from another.

The eight published variants differ in the width and depth of the trunk (tiny, small, base_plus,
large) and in two additions of SAM 2.1. `MICRO` is the small model that ships in the package.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Attention = Literal["exact", "windowed"]


@dataclass(frozen=True)
class HieraConfig:
    """Shape of the image encoder's trunk (Ryali et al. 2023; SAM 2, appendix D.1).

    Parameters
    ----------
    width : channels of the first stage; each later stage doubles them.
    heads : attention heads of the first stage; doubled likewise.
    stages : number of blocks in each of the four stages.
    global_blocks : indices of the blocks that attend to the whole frame.
    windows : attention window of each stage, in tokens of that stage.
    background : size of the learned absolute position map, before interpolation.
    """

    width: int
    heads: int
    stages: tuple[int, int, int, int]
    global_blocks: tuple[int, ...]
    windows: tuple[int, int, int, int]
    background: tuple[int, int]


@dataclass(frozen=True)
class ModelConfig:
    """One variant of SAM 2.

    Parameters
    ----------
    name : the name by which it is loaded.
    trunk : shape of the image encoder's trunk.
    image_size : side, in pixels, of the square that positions are measured in. Published models
        see every frame resized to exactly this square.
    hidden : channels of the token maps; `memory` : channels of a memory.
    memory_layers, memory_feedforward : depth and width of the memory attention.
    decoder_feedforward, iou_hidden : widths inside the mask decoder.
    num_memories : memory frames in attention: the conditioning slot and the last frames.
    max_pointers : object pointers in attention.
    pointer_times : whether pointers carry their signed distance in time (SAM 2.1).
    absent_embedding : whether memories of absent objects are marked as such (SAM 2.1).
    square_input : resize frames to a square (published); otherwise keep the aspect ratio and
        magnify by powers of the square root of two.
    input_range : least and greatest longer side of such an input.
    drawn_prompts : also draw clicks and boxes into the mask prompt (ours, for small models).
    carried_mask : while tracking, the mask of the frame before is a mask prompt, too (ours).
    attention : the policy a session uses unless told otherwise.
    """

    name: str
    trunk: HieraConfig
    image_size: int = 1024
    hidden: int = 256
    memory: int = 64
    memory_layers: int = 4
    memory_feedforward: int = 2048
    decoder_feedforward: int = 2048
    iou_hidden: int = 256
    num_memories: int = 7
    max_pointers: int = 16
    pointer_times: bool = True
    absent_embedding: bool = True
    square_input: bool = True
    input_range: tuple[int, int] = (1024, 1024)
    drawn_prompts: bool = False
    carried_mask: bool = False
    attention: Attention = "exact"

    @property
    def grid(self) -> int:
        """Side of the reference token grid (tokens of 16 px)."""
        return self.image_size // 16

    @property
    def sees_grey(self) -> bool:
        """Whether colours are shown to it in grey: ours learn from grey images only."""
        return not self.square_input

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are written into the metadata of our own checkpoints."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Rebuild a configuration from `to_dict`; unknown or missing keys raise TypeError."""
        plain: dict[str, Any] = _with_tuples(values)
        plain["trunk"] = HieraConfig(**_with_tuples(plain["trunk"]))
        return cls(**plain)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists only."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


_TRUNKS = {
    "tiny": HieraConfig(96, 1, (1, 2, 7, 2), (5, 7, 9), (8, 4, 14, 7), (7, 7)),
    "small": HieraConfig(96, 1, (1, 2, 11, 2), (7, 10, 13), (8, 4, 14, 7), (7, 7)),
    "base_plus": HieraConfig(112, 2, (2, 3, 16, 3), (12, 16, 20), (8, 4, 14, 7), (14, 14)),
    "large": HieraConfig(144, 2, (2, 6, 36, 4), (23, 33, 43), (8, 4, 16, 8), (7, 7)),
}


def _published() -> dict[str, ModelConfig]:
    variants = {}
    for size, trunk in _TRUNKS.items():
        for prefix, newer in (("sam2", False), ("sam2.1", True)):
            name = f"{prefix}_hiera_{size}"
            variants[name] = ModelConfig(
                name=name, trunk=trunk, pointer_times=newer, absent_embedding=newer
            )
    return variants


PUBLISHED: dict[str, ModelConfig] = _published()

MICRO = ModelConfig(
    name="micro",
    # No absolute background position: the encoder is the same everywhere in the frame, so that
    # it can be trained on crops and run on frames of any size.
    trunk=HieraConfig(32, 1, (1, 2, 4, 1), (4, 6), (8, 4, 8, 4), (1, 1)),
    hidden=128,
    memory=32,
    memory_layers=2,
    memory_feedforward=512,
    decoder_feedforward=512,
    iou_hidden=128,
    square_input=False,
    input_range=(64, 1024),
    drawn_prompts=True,
    carried_mask=True,
    attention="windowed",
)
