"""`napari-sam2 gui`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam2.cli.options import ChannelOption, channels


def gui(
    stack: Annotated[
        Path | None, typer.Argument(readable=False, metavar="STACK", help="A stack to open.")
    ] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of the file, e.g. TYX.")] = None,
    channel: ChannelOption = None,
) -> None:
    """Open napari with the dock widget."""
    from napari_sam2.stacks import open_all

    opened = None if stack is None else open_all(stack, axes)
    chosen = channels(channel)
    from napari_sam2.widgets.scripts.launch import launch

    launch(opened, chosen)
