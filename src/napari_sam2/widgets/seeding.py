"""Many objects at once, from layers that other tools made."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from napari.layers import Labels, Points
from scipy.ndimage import find_objects

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.mask_text import part_text
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.tracking.prompts import seeds_from_labels
from napari_sam2.widgets.layer_adapters import StackGeometry

_HIGHEST = np.iinfo(np.uint16).max


def seeds_from(
    layer: Any, over: Any, geometry: StackGeometry, frame: int, taken: Collection[int]
) -> Prompts:
    """Make an object of each label, or of each point, of a layer on a frame.

    Parameters
    ----------
    layer
        A Labels layer of the image's size, of one frame or of all; or a Points layer.
    over
        A layer that lies over the image and has its axes without channels.
    geometry
        Which of its axes are what.
    frame
        Where the seeds are.
    taken
        Ids in use; if a label is among them, all get higher numbers.

    Raises
    ------
    InputError
        If there is nothing to use on that frame, or the layer does not fit.
    """
    if isinstance(layer, Labels):
        return _renumbered(_labels_on(layer, geometry, frame), taken)
    if isinstance(layer, Points):
        return _points_on(layer, over, geometry, frame, max(taken, default=0) + 1)
    raise InputError(f"'{layer.name}' is neither a Labels nor a Points layer; choose another")


def masks_from(layer: Any, geometry: StackGeometry, shift: int) -> dict[int, dict[int, Any]]:
    """Return the masks of each label of a layer on all frames, as `mask_text` writes them.

    Parameters
    ----------
    layer
        A Labels layer of the image's shape without channels, or of its frames.
    geometry
        Which of its axes are what.
    shift
        Added to every id.

    Raises
    ------
    InputError
        If the layer does not fit, or an id is too large for the masklets.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    shape = tuple(int(n) for n in data.shape)
    if shape not in (geometry.shape, (geometry.length, *geometry.frame_shape)):
        raise InputError(
            f"'{layer.name}' has the shape {shape}, but the image {geometry.shape}; "
            "choose labels of the same image"
        )
    masks: dict[int, dict[int, Any]] = {}
    for frame in range(geometry.length):
        plane = np.asarray(data[geometry.index(frame) if shape == geometry.shape else frame])
        if plane.max(initial=0) + shift > _HIGHEST:
            raise InputError(f"'{layer.name}' has ids above {_HIGHEST - shift}; renumber them")
        for label, place in enumerate(find_objects(plane.astype(np.int64)), start=1):
            if place is not None:
                corner = (place[0].start, place[1].start)
                text = part_text(plane.shape, corner, plane[place] == label)
                masks.setdefault(label + shift, {})[frame] = text
    if not masks:
        raise InputError(f"'{layer.name}' has no labels; there is nothing to import")
    return masks


def _labels_on(layer: Labels, geometry: StackGeometry, frame: int) -> Prompts:
    data = layer.data[0] if layer.multiscale else layer.data
    shape = tuple(int(n) for n in data.shape)
    if shape == geometry.shape:
        plane = np.asarray(data[geometry.index(frame)])
    elif shape == geometry.frame_shape:
        plane = np.asarray(data)
    else:
        raise InputError(
            f"'{layer.name}' has the shape {shape}, but the image {geometry.shape}; "
            "choose labels of the same image"
        )
    if not plane.any():
        raise InputError(f"'{layer.name}' has no labels on frame {frame}; go to another frame")
    return seeds_from_labels(plane, frame)


def _renumbered(prompts: Prompts, taken: Collection[int]) -> Prompts:
    if not set(prompts) & set(taken):
        return prompts
    shift = max(taken)
    return {i + shift: by_frame for i, by_frame in prompts.items()}


def _points_on(
    layer: Points, over: Any, geometry: StackGeometry, frame: int, first: int
) -> Prompts:
    world = [layer.data_to_world(point)[-over.ndim :] for point in layer.data]
    places = np.array([over.world_to_data(place) for place in world]).reshape(-1, over.ndim)
    here = [place for place in places if geometry.complaint(place) is None]
    chosen = [place for place in here if int(geometry.frames_of(place)[0]) == frame]
    if not chosen:
        raise InputError(f"'{layer.name}' has no points on frame {frame}; go to another frame")
    return {
        number: {frame: Prompt(geometry.yx(place), np.array([True]))}
        for number, place in enumerate(chosen, start=first)
    }
