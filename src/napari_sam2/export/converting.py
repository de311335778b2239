"""Masklets from one file into another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from napari_sam2.export.files import check_apart
from napari_sam2.export.formats import (
    check_room,
    check_target,
    export_masklets,
    masklet_axes,
    open_masklets,
    open_parents,
)
from napari_sam2.export.labels import as_numbers, check_image
from napari_sam2.export.source import Progress
from napari_sam2.stacks import Stack, axes_of, open_channels, open_stack, shared_out
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.stack.channels import checked_channels
from napari_sam2.tracking.stack.reading import read_plane


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
    channel: int | Sequence[int] | None = None,
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
        Stack to measure, and which of its channels, one or several: all of them, unless given.
        Without a stack, which channel of the labels.
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
        if not isinstance(channel, int):
            raise InputError("labels have one channel at a time; choose one, or give an image")
        own["C"] = channel
    elif image is not None and select:
        own, of_image = shared_out(select, masklet_axes(source, axes), axes_of(image))
    masklets = open_masklets(source, axes, own)
    check_room(target, masklets.data.shape, name)
    check_image(as_numbers(read_plane(masklets.data, 0, "labels")), source.name)
    pixels, measured = (None, None) if image is None else _measured(image, channel, of_image)
    calibrated = pixels if pixels is not None and masklets.unit is None else masklets
    remarks = export_masklets(
        target,
        masklets.data,
        name,
        axes=masklets.axes,
        scale=calibrated.scale,
        unit=calibrated.unit,
        image=measured,
        parents=open_parents(source) or None,
        overwrite=overwrite,
        progress=progress,
    )
    return Converted(len(masklets.data), remarks)


def _measured(
    image: Path, channel: int | Sequence[int] | None, select: Mapping[str, int]
) -> tuple[Stack, Any]:
    """Open what is measured: a stack, and of it one channel, some by their numbers, or all."""
    if isinstance(channel, int):
        stack = open_stack(image, channel=channel, select=select)
        return stack, stack.data
    stack = open_channels(image, select=select)
    if channel is None:
        return stack, stack.data
    count = stack.data.shape[3] if stack.axes.endswith("C") else 1
    try:
        for one in channel:
            checked_channels(one, count)
    except InputError as error:
        raise InputError(f"{image.name}: {error}") from error
    return stack, {str(one): stack.data[..., one] for one in channel}
