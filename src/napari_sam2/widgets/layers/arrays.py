"""Axes of the arrays behind layers: fixed, moved, laid out, without reading what need not be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.widgets.layers import layer_adapters as adapters
from napari_sam2.widgets.layers.layer_adapters import StackGeometry

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

MOVED_KEY = "napari_sam2_channel_axis"
"""In the metadata of an image: where its channels were before they were moved to the front."""


def lazy(data: Any) -> Any:
    """Return an array whose slices are views: dask's, if it is not so already."""
    import dask.array as da

    if hasattr(data, "dask"):
        return data
    return da.from_array(data, chunks=getattr(data, "chunks", "auto"))


def fixed(data: Any, geometry: StackGeometry, first: int) -> Any:
    """Index the extra axes of an array that has `first` axes before those of the geometry."""
    if not geometry.fixed:
        return data
    # Slicing zarr and its like reads at once; dask's slices are views.
    data = data if isinstance(data, np.ndarray) else lazy(data)
    place: list[int | slice] = [slice(None)] * len(data.shape)
    for axis, step in geometry.fixed.items():
        place[first + axis] = step
    return data[tuple(place)]


def move_to_front(viewer: ViewerModel, image: Image, axis: int) -> None:
    """Make an axis of a layer its first one: another view of the same pixels, at the same place."""
    order = [axis, *(a for a in range(image.ndim) if a != axis)]
    names, here = adapters.named_axes(image), adapters.steps_on_screen(viewer, image)
    if adapters.guess_channel_axis(image) != axis or not adapters.has_names(image):
        names[axis] = "channel"
    settings = adapters.copied_transform(image, order)
    levels = [lazy(d) if not isinstance(d, np.ndarray) else d for d in _levels(image)]
    moved = [level.transpose(order) for level in levels]
    image.data = moved if image.multiscale else moved[0]
    settings["axis_labels"] = [names[a] for a in order]
    for name, value in settings.items():
        setattr(image, name, value)
    image.metadata = {**image.metadata, MOVED_KEY: axis}
    world = image.data_to_world([here[a] for a in order])
    offset = viewer.dims.ndim - image.ndim
    viewer.dims.set_point(range(offset, viewer.dims.ndim), world)


def _levels(image: Image) -> list[Any]:
    return list(image.data) if image.multiscale else [image.data]


def laid_out(frames: Any, geometry: StackGeometry) -> Any:
    """Return frames (T, Y, X) with the axes of an image, one index deep where a plane is fixed."""
    if geometry.axis is None:
        return frames[0]
    order = (geometry.axis, *geometry.plane)
    if order == tuple(range(len(geometry.shape))):
        return frames
    place = tuple(None if a in geometry.fixed else slice(None) for a in range(len(geometry.shape)))
    return lazy(frames).transpose([order.index(a) for a in sorted(order)])[place]
