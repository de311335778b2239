"""Masks that another program found, as if they had been tracked: to be reviewed and corrected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch.nn.functional as F

from napari_sam2.model.values import SURE_LOGIT
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.answering import answer
from napari_sam2.tracking.masks.mask_text import GivenMasks, mask_of
from napari_sam2.tracking.masks.resampling import in_window, resized_mask
from napari_sam2.tracking.masks.thin_mask import ThinMask, place_of
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.objects.objects import TrackedObject
from napari_sam2.tracking.prompt import Prompt, check_mask, described
from napari_sam2.tracking.windows import Geometry, around, whole

_GIVEN = Quality(iou=1.0, object_score=SURE_LOGIT, stability=1.0)


def check_given(object_id: int, masks: GivenMasks, shape: tuple[int, int], length: int) -> None:
    """Refuse masks that do not fit a stack of `length` frames of `shape` (Y, X).

    Raises
    ------
    InputError
        If there are none, or one of them cannot be used.
    """
    if not masks:
        raise InputError(f"object {object_id} has no masks; leave it out")
    for frame, text in masks.items():
        who = described(object_id, frame)
        if not 0 <= frame < length:
            raise InputError(f"{who}: the stack has frames 0 to {length - 1}")
        check_mask(shape, mask_of(text), who)


def adopt(engine: Engine, obj: TrackedObject, frame: int, text: Mapping[str, Any] | None) -> None:
    """Take what is given of an object on a frame as what tracking found there.

    To be called for each frame from the first mask to the last. Where there is none, the object is
    absent. Corrections and repair treat the masks as they treat tracked ones; as long as nothing
    replaces them, they stay to the pixel. The network is not asked.

    Parameters
    ----------
    engine : knows the levels.
    obj : at first, a new one.
    frame : the one after the last.
    text : its mask, checked, as `mask_text` writes it; None where there is none.
    """
    if text is None:
        obj.pass_frame(frame, False, obj.absence())
    elif not obj.prompts:
        answer(engine, obj, frame, Prompt(mask=mask_of(text)), continued=False)
        obj.tracked[frame] = False
    else:
        (first,) = obj.prompts
        geometry = engine.geometry(obj.estimates[first].window)
        obj.pass_frame(frame, False, _estimate(engine, geometry, mask_of(text)))
        obj.given[frame] = text


def _estimate(engine: Engine, geometry: Geometry, mask: ThinMask) -> Estimate:
    """Express a mask as logits, on the level that the object lives on."""
    (rows, columns), small = resized_mask(geometry, mask.place, mask.part)
    ys, xs = place_of(small)
    box = (
        rows.start + ys.start,
        columns.start + xs.start,
        rows.start + ys.stop,
        columns.start + xs.stop,
    )
    window = around(geometry, box)
    covered = F.avg_pool2d(in_window(window, (rows, columns), small)[None], 4)[0]
    logits = (2 * covered - 1) * SURE_LOGIT
    if not (logits > 0).any():  # it covers less than half of any cell
        logits[logits == logits.max()] = SURE_LOGIT
    estimate = Estimate.of(window, logits, _GIVEN)
    if engine.windowed:
        return estimate
    row, column = estimate.corner
    corner = (row + 4 * window.row, column + 4 * window.column)
    return replace(estimate, window=whole(geometry), corner=corner)
