"""Options that several commands take, and what they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.terminal import progress

if TYPE_CHECKING:
    from napari_sam2.model.sam2 import SAM2
    from napari_sam2.tracking.channels import Channels

ModelOption = Annotated[
    str, typer.Option("--model", help="Name (see `models list`) or a .pt/.safetensors file.")
]
ChannelOption = Annotated[
    str | None,
    typer.Option(
        help="Channel to track in, counted from 0; or up to three as red, green and blue, "
        "- for a dark one, e.g. 2,0 or 2,-,0."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]


def load(model: str, device: str) -> SAM2:
    """Load a model by name or file, with a bar where it is downloaded."""
    from napari_sam2.weights import load_model

    with progress(f"downloading {model}", "bytes") as report:
        return load_model(model, device, progress=report)


def channels(text: str | None) -> Channels | None:
    """Read `ChannelOption`."""
    from napari_sam2.tracking.channels import parsed_channels

    return None if text is None else parsed_channels(text)
