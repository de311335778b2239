"""`napari-sam2 demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam2.cli.options import ChannelOption, SelectOption, channels, selection


def demo(
    input_path: Annotated[
        Path | None,
        typer.Argument(readable=False, metavar="INPUT", help="A stack; default: the sample."),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out/demo"),
    axes: Annotated[str | None, typer.Option(help="Axes of the file, e.g. TYX.")] = None,
    channel: ChannelOption = None,
    select: SelectOption = None,
    gui: Annotated[
        bool, typer.Option("--gui/--no-gui", metavar="", help="Open napari at the end.")
    ] = True,
) -> None:
    """Track the sample, or a stack with automatic seeds, and show the result."""
    from napari_sam2 import demo as demonstration

    demonstration.run(
        input_path, output, gui, axes=axes, channel=channels(channel), select=selection(select)
    )
