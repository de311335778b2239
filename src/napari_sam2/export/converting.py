"""Masklets from one file into another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from napari_sam2.export.files import check_apart
from napari_sam2.export.formats import (
    check_room,
    check_target,
    export_masklets,
    masklet_axes,
    open_masklets,
    open_parents,
)
from napari_sam2.export.source import Progress
from napari_sam2.stacks import axes_of, open_stack, shared_out
from napari_sam2.tracking.errors import InputError


class Converted(NamedTuple):
    """What `convert` did: the number of frames, and what the format could not hold, in words."""

    frames: int
    remarks: tuple[str, ...]


def convert(
    source: Path,
    target: Path,
    format: str | None = None,
    *,
    axes: str | None = None,
    image: Path | None = None,
    channel: int | None = None,
    select: Mapping[str, int] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Converted:
    """Export masklets that are in a file: what `napari-sam2 export` does.

    Where the labels have no scale but the image has one, that of the image is taken.

    Parameters
    ----------
    source, axes
        As for `open_masklets`.
    target, format, overwrite, progress
        As for `export_masklets`.
    image, channel
        Stack to measure, and which of its channels; without a stack, which of the labels.
    select
        Index along other axes, of the labels and of the stack, as far as each has them.

    Raises
    ------
    InputError, OutputError
        As from those; and if `target` is `source` or `image`, or its disk is full already.
    """
    check_apart(target, source, image)
    name = check_target(target, format, overwrite)
    if image is not None and name != "csv":
        raise InputError(f"an image is of no use for {name}; leave it out, or export csv")
    own, of_image = dict(select or {}), {}
    if image is None and channel is not None:
        own["C"] = channel
    elif image is not None and select:
        own, of_image = shared_out(select, masklet_axes(source, axes), axes_of(image))
    masklets = open_masklets(source, axes, own)
    check_room(target, masklets.data.shape, name)
    pixels = None if image is None else open_stack(image, channel=channel, select=of_image)
    calibrated = pixels if pixels is not None and masklets.unit is None else masklets
    remarks = export_masklets(
        target,
        masklets.data,
        name,
        axes=masklets.axes,
        scale=calibrated.scale,
        unit=calibrated.unit,
        image=None if pixels is None else pixels.data,
        parents=open_parents(source) or None,
        overwrite=overwrite,
        progress=progress,
    )
    return Converted(len(masklets.data), remarks)
