"""What of the things drawn in the prompt layers counts."""

from __future__ import annotations

import numpy as np
from napari.layers import Points, Shapes

from napari_sam2.widgets.layer_adapters import StackGeometry
from napari_sam2.widgets.layer_states import BOX, Key

_AREAS = ("polygon", "ellipse")


def complaint(layer: Points | Shapes, index: int, geometry: StackGeometry) -> str | None:
    """Say why a point or a shape is no prompt; None if it is one."""
    data = np.asarray(layer.data[index])
    text = geometry.complaint(data)
    if text or isinstance(layer, Points):
        return text
    if layer.shape_type[index] not in (BOX, *_AREAS):
        return "Lines are no prompts; draw a rectangle, a polygon or an ellipse."
    size = np.ptp(geometry.yx(data), axis=0)
    clicked = layer._normalized_vertex_radius / 2  # what napari draws where nothing is dragged
    if size.min() < 1 or np.allclose(size, clicked, rtol=1e-3):
        return "That box is too small; drag it around the whole object."
    return None


def superseded(shapes: Shapes, geometry: StackGeometry) -> list[int]:
    """Return the shapes in the place of which a newer one was drawn; areas add up."""
    if shapes._is_creating:  # with the mouse
        return []
    newest: dict[Key, bool] = {}
    found = []
    ids = shapes.features["object"].astype(int).to_list()
    data, kinds = shapes.data, shapes.shape_type
    for i in reversed(range(len(data))):
        key = ids[i], int(geometry.frames_of(data[i])[0])
        area = kinds[i] != BOX
        if key in newest and not (area and newest[key]):
            found.append(i)
        newest.setdefault(key, area)
    return found
