"""What the list of models says of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_sam2.widgets.pace import Ran, costs_of, frame_seconds

if TYPE_CHECKING:
    from napari_sam2.weights import ModelInfo


def model_text(info: ModelInfo, runs: Mapping[str, list[Ran]]) -> str:
    """Name a model and say what it costs: "sam2.1_hiera_tiny · 156 MB to download · 5 s/frame".

    The time is that of a frame with one object, as measured on this computer before, or else
    roughly that on a CPU.
    """
    size = f" · {info.size / 1e6:.0f} MB" if info.size else ""
    here = " in the package" if info.embedded else " downloaded"
    return f"{info.name}{size}{here if info.downloaded else ' to download'}{_speed(info, runs)}"


def _speed(info: ModelInfo, runs: Mapping[str, list[Ran]]) -> str:
    measured, costs = frame_seconds(info.name, runs), costs_of(info.name)
    if measured is not None:
        return f" · {measured:.2g} s/frame"
    if costs is None:
        return ""
    seconds = costs.frame + costs.look
    return f" · ~{round(seconds) or round(seconds, 2)} s/frame on a CPU"
