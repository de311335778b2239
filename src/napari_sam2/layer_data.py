"""Stacks as what napari adds layers from; needs no napari itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2.stacks import Stack
    from napari_sam2.tracking.stack.channels import Channels

PATH_KEY = "napari_sam2_path"
"""In the metadata of an image that we opened ourselves: its file."""
AXES_KEY = "napari_sam2_axes"
"""The axes of that file as we were told them."""
CHANNEL_KEY = "napari_sam2_channel"
"""What the model shall see of its channels."""
SESSION_KEY = "napari_sam2_session"
"""The session file that it was opened for."""
PARENTS_KEY = "napari_sam2_parents"
"""In the metadata of labels: the mother's id by the daughter's."""

# Dots are in names, too: "exp1.5_t01.ome.tif".
_FORMAT = re.compile(r"(\.ome)?\.[a-z][a-z0-9]{1,4}$", re.IGNORECASE)


def image_settings(stack: Stack, channel: Channels | None = None) -> dict[str, Any]:
    """Return what `add_image` wants to know of a stack."""
    metadata: dict[str, Any] = {PATH_KEY: str(stack.path)}
    if "Q" not in stack.axes:
        metadata[AXES_KEY] = stack.axes
    if channel is not None:
        metadata[CHANNEL_KEY] = channel
    return {"rgb": stack.rgb, "metadata": metadata, **settings(stack)}


def stem_of(name: str) -> str:
    """Return the name of an image file without what says its format: all but "ome.tif"."""
    return _FORMAT.sub("", name) or name


def settings(stack: Stack) -> dict[str, Any]:
    """Return what a layer of any kind wants to know of a stack."""
    axes = stack.axes.removesuffix("C") if stack.rgb else stack.axes
    found: dict[str, Any] = {
        "name": stem_of(stack.path.name),
        "scale": [stack.scale.get(letter, 1.0) for letter in axes],
    }
    if "Q" not in axes:
        found["axis_labels"] = [letter.lower() for letter in axes]
    if stack.unit is not None:
        lengths = dict.fromkeys("ZYX", stack.unit) | {"T": "second"}
        found["units"] = [lengths.get(letter, "pixel") for letter in axes]
    return found
