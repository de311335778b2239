"""Who owns which pixel of a frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from napari_sam2.tracking.engine import Engine
from napari_sam2.tracking.estimates import Estimate
from napari_sam2.tracking.mask_text import part_of
from napari_sam2.tracking.masklets import label_dtype
from napari_sam2.tracking.objects import TrackedObject
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.resampling import to_data
from napari_sam2.tracking.results import FrameResult

DRAWN_LOGIT = 10.0


def merged(frame: int, objects: Mapping[int, TrackedObject], engine: Engine) -> FrameResult:
    """Give each pixel of a frame to the object that claims it most, or to a locked one.

    Interpolated masks only get what no other object has.
    """
    shape = engine.frames.shape
    labels = np.zeros(shape, dtype=label_dtype(objects))
    best = np.zeros(shape, dtype=np.float32)
    known = {i: e for i, obj in objects.items() if (e := obj.estimates.get(frame)) is not None}
    for interpolated in sorted({e.quality.interpolated for e in known.values()}):
        if interpolated:
            best[labels > 0] = np.inf
        for object_id in sorted(known, key=lambda i: (not objects[i].locked, i)):
            obj = objects[object_id]
            if known[object_id].quality.interpolated != interpolated:
                continue
            place, values = claimed(engine, obj, frame)
            wins = values > best[place]
            labels[place][wins] = object_id
            best[place][wins] = np.inf if obj.locked else values[wins]
    quality = {i: known[i].quality for i in objects if i in known}
    return FrameResult(frame, labels, quality)


def claimed(
    engine: Engine, obj: TrackedObject, frame: int
) -> tuple[tuple[slice, slice], npt.NDArray[np.float32]]:
    """Logits of an object in data pixels, of the part of a frame that holds it.

    A mask of another program is as it was given.
    """
    if frame not in obj.given or frame in obj.prompts:
        return placed(engine, obj.prompts.get(frame), obj.estimates[frame])
    _, place, part = part_of(obj.given[frame])
    return place, np.where(part, DRAWN_LOGIT, -DRAWN_LOGIT).astype(np.float32)


def placed(
    engine: Engine, prompt: Prompt | None, estimate: Estimate
) -> tuple[tuple[slice, slice], npt.NDArray[np.float32]]:
    """Logits in data pixels; a mask that the user painted is not resampled."""
    if prompt is not None and prompt.mask is not None and not len(prompt.points):
        ((rows, columns),) = find_objects(prompt.mask.view(np.uint8))  # the rest is background
        part = prompt.mask[rows, columns]
        return (rows, columns), np.where(part, DRAWN_LOGIT, -DRAWN_LOGIT).astype(np.float32)
    geometry = engine.geometry(estimate.window)
    return to_data(geometry, estimate.window, estimate.logits())
