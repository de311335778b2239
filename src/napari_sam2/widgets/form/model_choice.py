"""What the list of models says of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2.tracking.kept.pace import Ran, costs_of, frame_seconds

if TYPE_CHECKING:
    from napari_sam2.weights import ModelInfo


def short_name(name: str) -> str:
    """Name a model briefly, for narrow docks: "sam2.1_hiera_base_plus" is "SAM 2.1 base+"."""
    release, _, size = name.partition("_hiera_")
    if not size:
        return Path(name).name
    return f"{release.replace('sam', 'SAM ')} {size.replace('_plus', '+')}"


def model_details(info: ModelInfo, runs: Mapping[str, list[Ran]]) -> str:
    """Say what a model costs: "156 MB to download · 5 s a frame for one cell".

    The time is that of a frame with one object, as measured on this computer before, or else
    roughly that on a CPU.
    """
    size = f"{info.size / 1e6:.0f} MB " if info.size else ""
    here = "in the package" if info.embedded else "downloaded"
    return f"{size}{here if info.downloaded else 'to download'}{_speed(info, runs)}"


def _speed(info: ModelInfo, runs: Mapping[str, list[Ran]]) -> str:
    measured, costs = frame_seconds(info.name, runs), costs_of(info.name)
    if measured is not None:
        return f" · {measured:.2g} s a frame for one cell"
    if costs is None:
        return ""
    seconds = costs.frame + costs.look
    return f" · ~{round(seconds) or round(seconds, 2)} s a frame for one cell on a CPU"
