"""Which masklet is under the mouse in 3D, and on which frame. No Qt."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_sam2.widgets.layers.prompt_layers import PromptLayers


def masklet_under(
    viewer: ViewerModel, layers: PromptLayers, event: Any, hidden: Collection[int] = ()
) -> tuple[int, int] | None:
    """Return the object under the mouse that is nearest to the viewer, and the frame there.

    Parameters
    ----------
    event
        Of the mouse, in 3D.
    hidden
        Objects that are not seen.
    """
    labels = layers.labels
    offset = viewer.dims.ndim - labels.ndim  # axes that the masklets lack, channels say
    shown = [d - offset for d in event.dims_displayed]
    if not labels.visible or min(shown) < 0:
        return None
    position, direction = event.position[offset:], event.view_direction[offset:]
    start, end = labels.get_ray_intersections(position, direction, shown)
    if start is None or end is None:
        return None
    places = voxels_along(start, end, labels.data.shape)
    here = np.round(labels.world_to_data(viewer.dims.point)).astype(np.intp)
    aside = [a for a in range(labels.ndim) if a not in shown]
    places[:, aside] = here[aside]
    ids = values_at(labels.data, places)
    seen = (ids > 0) & ~np.isin(ids, list(hidden))
    if not seen.any():
        return None
    first = int(seen.argmax())
    return int(ids[first]), int(layers.geometry.frames_of(places[first])[0])


def voxels_along(
    start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> npt.NDArray[np.intp]:
    """Return voxels (K, ndim) on the way between two data coordinates, half a voxel apart."""
    places = np.linspace(start, end, int(2 * np.linalg.norm(end - start)) + 2)
    # napari's rays count from the corner of the first voxel, not from its middle.
    return np.clip(np.floor(places), 0, np.array(shape) - 1).astype(np.intp)


def values_at(data: Any, places: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Return the values of a numpy or zarr array at places (K, ndim)."""
    return np.asarray(getattr(data, "vindex", data)[tuple(places.T)])
