"""Which part of a frame depends on some objects, and which objects have a say there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.masks.thin_mask import Place
from napari_sam2.tracking.objects.estimate_log import boxes
from napari_sam2.tracking.objects.objects import TrackedObject

# Rows and columns by frame.
Places = Mapping[int, Place]
_Boxes = npt.NDArray[np.int64]  # (N, 4): y0, x0, y1, x1; an empty one begins where the frame ends


class _Extents:
    """Boxes that hold the masks of objects on some frames, and who yields to nobody there.

    Parameters
    ----------
    objects : by id.
    frames : any.
    shape : (Y, X) of a frame.
    """

    def __init__(
        self, objects: Mapping[int, TrackedObject], frames: Sequence[int], shape: tuple[int, int]
    ) -> None:
        self.ids = np.array([*objects], np.int64)
        some = objects.values()
        self.boxes = boxes([obj.estimates for obj in some], frames, shape)
        firm = [[obj.locked or t in obj.prompts for t in frames] for obj in some]
        self.firm = np.array(firm, bool).reshape(len(objects), len(frames))
        for n, obj in enumerate(some):
            for k, frame in enumerate(frames):
                if (drawn := _drawn(obj, frame)) is not None:
                    self.boxes[n, k] = drawn


def depending(
    object_ids: Iterable[int],
    objects: Mapping[int, TrackedObject],
    shape: tuple[int, int],
    frames: Sequence[int] | None = None,
) -> dict[int, Place]:
    """Return, by frame, the part whose labels may be others without some objects.

    Where such an object is prompted or locked, others that are may lie below it, and neighbours
    yield to those by how much of them is seen.

    Parameters
    ----------
    object_ids : of those of them that exist.
    objects : all, by id.
    shape : (Y, X) of a frame.
    frames : by default all on which something is known of any of those.
    """
    mine = {i: objects[i] for i in object_ids if i in objects}
    if frames is None:
        frames = sorted({t for obj in mine.values() for t in obj.estimates})
    found = _Extents(mine, frames, shape)
    places = {t: _around(found.boxes[:, n], shape) for n, t in enumerate(frames)}
    firm = [t for n, t in enumerate(frames) if found.firm[:, n].any()]
    beside = _Extents(objects, firm, shape)
    for n, t in enumerate(firm):
        below = beside.boxes[beside.firm[:, n] & _meets(beside.boxes[:, n], places[t]), n]
        places[t] = _around(np.vstack([places[t][None], below]), shape)
    return {t: _place(box) for t, box in places.items()}


def heard(
    places: Places, objects: Mapping[int, TrackedObject], shape: tuple[int, int]
) -> Iterator[tuple[int, Place, dict[int, TrackedObject]]]:
    """Yield for parts of frames the objects that decide about the labels there.

    These are the objects there, and the prompted and locked ones that those may have to yield to.
    """
    frames = sorted(places)
    found = _Extents(objects, frames, shape)
    for n, frame in enumerate(frames):
        boxes, firm, place = found.boxes[:, n], found.firm[:, n], places[frame]
        here = _meets(boxes, _box(place))
        there = firm & _meets(boxes, _around(boxes[here & ~firm], shape))
        yield frame, place, {i: objects[i] for i in found.ids[here | there].tolist()}


def joined(places: Iterable[Places], shape: tuple[int, int]) -> dict[int, Place]:
    """Return, by frame, the part that holds all of those given."""
    found: dict[int, list[_Boxes]] = {}
    for some in places:
        for frame, place in some.items():
            found.setdefault(frame, []).append(_box(place))
    return {t: _place(_around(np.stack(boxes), shape)) for t, boxes in found.items()}


def _drawn(obj: TrackedObject, frame: int) -> _Boxes | None:
    """Return the box of a mask that is as somebody drew or gave it."""
    prompt = obj.prompts.get(frame)
    if prompt is not None:
        return None if prompt.painted is None else _box(prompt.painted.place)
    if frame not in obj.given:
        return None
    (y, x), (h, w) = obj.given[frame]["corner"], obj.given[frame]["size"]
    return np.array((y, x, y + h, x + w))


def _box(place: Place) -> _Boxes:
    (y0, y1), (x0, x1) = ((along.start, along.stop) for along in place)
    return np.array((y0, x0, y1, x1))


def _place(box: _Boxes) -> Place:
    y0, x0, y1, x1 = box.tolist()
    return slice(y0, max(y0, y1)), slice(x0, max(x0, x1))


def _around(boxes: _Boxes, shape: tuple[int, int]) -> _Boxes:
    """Box (4,) around some; an empty one around none."""
    some = boxes[(boxes[:, :2] < boxes[:, 2:]).all(axis=1)]
    if not len(some):
        return np.array((*shape, 0, 0))
    return np.concatenate([some[:, :2].min(axis=0), some[:, 2:].max(axis=0)])


def _meets(boxes: _Boxes, box: _Boxes) -> npt.NDArray[np.bool_]:
    """Whether boxes have a pixel in common with one."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    return np.asarray((low < high).all(axis=1))
