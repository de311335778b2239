"""Masks that another program found, as if they had been tracked: to be reviewed and corrected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch.nn.functional as F

from napari_sam2.tracking.engine import Engine
from napari_sam2.tracking.estimates import Estimate, Quality
from napari_sam2.tracking.mask_text import mask_of
from napari_sam2.tracking.objects import TrackedObject
from napari_sam2.tracking.resampling import resized_mask
from napari_sam2.tracking.windows import Geometry, around, whole

_GIVEN = Quality(iou=1.0, object_score=10.0, stability=1.0)
_LOGIT = 10.0


def adopt(engine: Engine, obj: TrackedObject, masks: Mapping[int, Mapping[str, Any]]) -> None:
    """Take masks as what tracking found between the first of them and the last.

    On frames between them that have none, the object is absent. Corrections and repair treat them
    as they treat tracked masks; as long as nothing replaces them, they stay to the pixel.

    Parameters
    ----------
    engine : knows the levels.
    obj : prompted with the first of the masks.
    masks : by frame, as `mask_text` writes them.
    """
    first, last = min(masks), max(masks)
    geometry = engine.levels[obj.estimates[first].window.grid]
    obj.tracked[first] = False
    for frame in range(first + 1, last + 1):
        estimate = obj.absence()
        if frame in masks:
            estimate = _estimate(engine, geometry, mask_of(masks[frame]))
        obj.pass_frame(frame, False, estimate)
        if frame in masks:
            obj.given[frame] = masks[frame]


def _estimate(engine: Engine, geometry: Geometry, mask: npt.NDArray[np.bool_]) -> Estimate:
    full = resized_mask(geometry, mask)
    window = whole(geometry)
    if engine.windowed:
        ys, xs = full.nonzero(as_tuple=True)
        window = around(
            geometry, (float(ys.min()), float(xs.min()), float(ys.max()) + 1, float(xs.max()) + 1)
        )
    covered = F.avg_pool2d(full[window.slices(16)][None], 4)[0]
    return Estimate.of(window, (2 * covered - 1) * _LOGIT, _GIVEN)
