"""The camera follows what is looked for, where that is not on screen. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.tracking.masks.thin_mask import ThinMask

if TYPE_CHECKING:
    from napari_sam2.widgets.workbench import Workbench


def camera_of(viewer: Any) -> Any:
    """Return the camera of a viewer."""
    return getattr(viewer, "scene", viewer).camera  # napari < 0.9


def bring_into_view(bench: Workbench) -> None:
    """Move the camera, in 2D, if the current object's mask on the frame on screen is cut off.

    The zoom stays.
    """
    layers, writer = bench.layers, bench.writer
    if layers is None or writer is None or bench.space.on:
        return
    labels, geometry, frame = layers.labels, layers.geometry, bench.frame_on_screen
    mask = ThinMask.of(writer.read(frame) == bench.object_id)
    if mask.is_empty:
        return
    first, last = np.array([(along.start, along.stop - 1) for along in mask.place]).T
    low, high = labels.corner_pixels[:, list(geometry.plane)]
    if (low <= first).all() and (last <= high).all():
        return
    y, x = (first + last) / 2
    world = labels.data_to_world(geometry.to_data(frame, y, x))
    dims, camera = bench.viewer.dims, camera_of(bench.viewer)
    offset = dims.ndim - labels.ndim  # axes that the masklets lack, channels say
    centre = [world[axis - offset] for axis in dims.displayed]
    camera.center = (*camera.center[: -len(centre)], *centre)
