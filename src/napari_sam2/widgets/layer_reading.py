"""What the points and shapes of the prompt layers say, and which of them count."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from napari.layers import Points, Shapes

from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.drawing import Areas, Outline
from napari_sam2.widgets.layer_adapters import StackGeometry
from napari_sam2.widgets.layer_states import BOX, Key, finished

_AREAS = ("polygon", "ellipse")


def is_box(kind: str, yx: npt.NDArray[np.float64]) -> bool:
    """Whether a shape with corners (4, 2) is an upright rectangle; a turned one is an area."""
    ends = yx.min(axis=0), yx.max(axis=0)
    return kind == BOX and bool((np.isclose(yx, ends[0]) | np.isclose(yx, ends[1])).all())


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
        area = not is_box(kinds[i], geometry.yx(data[i]))
        if key in newest and not (area and newest[key]):
            found.append(i)
        newest.setdefault(key, area)
    return found


def box_within(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the outermost pixels of a box as drawn, whose lines run around pixels."""
    sides = corners[1] - corners[0]
    inward = np.where(sides > 1, 0.5, sides / 4)
    return np.stack([corners[0] + inward, corners[1] - inward])


def drawn(shapes: Shapes, geometry: StackGeometry, areas: Areas) -> dict[Key, Prompt]:
    """Return the boxes and areas of shapes as prompts, by object and frame.

    Parameters
    ----------
    areas
        Knows the masks of areas that were read before.
    """
    found: dict[Key, Prompt] = {}
    outlines: dict[Key, list[Outline]] = {}
    data = shapes.data[: finished(shapes)]
    ids = shapes.features["object"].iloc[: len(data)].astype(int).to_list()
    for object_id, shape, kind in zip(ids, data, shapes.shape_type, strict=False):
        key, yx = (object_id, int(geometry.frames_of(shape)[0])), geometry.yx(shape)
        if is_box(kind, yx):
            found[key] = Prompt(box=box_within(np.array([yx.min(axis=0), yx.max(axis=0)])))
        else:
            outlines.setdefault(key, []).append((yx, kind))
    for key, area in areas.of(outlines).items():
        found[key] = found.get(key, Prompt()).with_mask(area)
    return found


def clicks(
    points: Points, geometry: StackGeometry
) -> dict[Key, tuple[npt.NDArray[np.float64], list[bool]]]:
    """Return the points (K, 2) of each object on each frame, and their signs."""
    rows: dict[Key, list[int]] = {}
    ids = points.features["object"].astype(int).to_list()
    frames = geometry.frames_of(points.data).tolist()
    for row, key in enumerate(zip(ids, frames, strict=True)):
        rows.setdefault(key, []).append(row)
    signs = points.features["positive"].astype(bool).to_list()
    yx = geometry.yx(points.data)
    return {key: (yx[some], [signs[row] for row in some]) for key, some in rows.items()}
