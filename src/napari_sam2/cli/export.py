"""`napari-sam2 export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam2.cli.options import SelectOption, numbers, selection
from napari_sam2.terminal import progress, say


def export(
    labels: Annotated[
        Path,
        typer.Argument(
            readable=False,
            metavar="LABELS",
            help="Label image, CTC folder, COCO or SA-V JSON: what to convert.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write, or folder for ctc.")
    ],
    to: Annotated[
        str | None,
        typer.Option(
            help="tiff, imagej, zarr, ctc, coco, sa-v, rois, geojson, csv (measurements) or "
            "tracks. Default: by the name of OUTPUT."
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(readable=False, help="Stack to measure, for csv.")
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            help="Channels of the image to measure, counted from 0: 1, or 0,2; all of them unless "
            "given. Without an image, the channel of LABELS."
        ),
    ] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of LABELS, e.g. TYX.")] = None,
    select: SelectOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace OUTPUT.")
    ] = False,
) -> None:
    """Convert masklets into another format, or measure them.

    --select is for LABELS and for the image, whichever has the axis.
    """
    from napari_sam2.export.converting import convert

    try:
        with progress(f"exporting {labels.name}") as report:
            converted = convert(
                labels,
                output,
                to,
                axes=axes,
                image=image,
                channel=None if channel is None else numbers(channel),
                select=selection(select),
                overwrite=overwrite,
                progress=report,
            )
    except KeyboardInterrupt:
        say("stopped; nothing was written")
        raise typer.Exit(130) from None
    for remark in converted.remarks:
        say(remark)
    print(f"{output}: {converted.frames} frames")
