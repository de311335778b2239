"""Who owns which pixel of a frame."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.model.values import SURE_LOGIT
from napari_sam2.tracking.editing.parts import Places, depending, heard
from napari_sam2.tracking.masklets import label_dtype
from napari_sam2.tracking.masks.mask_text import mask_of, mask_text
from napari_sam2.tracking.masks.resampling import Patch, patches_to_data, to_data
from napari_sam2.tracking.masks.thin_mask import Place, ThinMask
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.objects.estimates import Estimate
from napari_sam2.tracking.objects.objects import TrackedObject
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.results import FrameResult

_SAME = 0.5  # of the smaller of two masks

# Logits in data pixels, and the part of the frame that they cover, by object.
Claims = dict[int, tuple[Place, npt.NDArray[np.float32]]]


def merged(
    frame: int,
    objects: Mapping[int, TrackedObject],
    engine: Engine,
    place: Place | None = None,
) -> FrameResult:
    """Give each pixel of a frame to the object that claims it most, or to a locked one.

    What the user painted is claimed more than anything the network says. Where a prompt and an
    object that was followed there mean the same, the prompt has it. Interpolated masks only get
    what no other object has. What an object had ceded when it was locked stays with the others.
    """
    shape = engine.frames.shape
    part = (slice(0, shape[0]), slice(0, shape[1])) if place is None else place
    labels = np.zeros([along.stop - along.start for along in part], dtype=label_dtype(objects))
    best = np.zeros(labels.shape, dtype=np.float32)
    known = {i: e for i, obj in objects.items() if (e := obj.estimates.get(frame)) is not None}
    claims = _claims(engine, {i: (objects[i], e) for i, e in known.items()}, frame)
    firm = sorted(i for i in claims if frame in objects[i].prompts or objects[i].locked)
    claims = _yielding(claims, firm, shape)
    for interpolated in sorted({e.quality.interpolated for e in known.values()}):
        if interpolated:
            best[labels > 0] = np.inf
        for object_id in sorted(known, key=lambda i: (not objects[i].locked, i)):
            obj = objects[object_id]
            if object_id not in claims or known[object_id].quality.interpolated != interpolated:
                continue
            there, values = _cut(part, *claims[object_id])
            if _painted(obj.prompts.get(frame)):
                values = np.where(values > 0, np.float32(np.inf), values)
            wins = values > best[there]
            np.copyto(labels[there], labels.dtype.type(object_id), where=wins)
            np.copyto(best[there], np.float32(np.inf) if obj.locked else values, where=wins)
    quality = {i: known[i].quality for i in objects if i in known}
    return FrameResult(frame, labels, quality, place)


def merged_parts(
    places: Places, objects: Mapping[int, TrackedObject], engine: Engine
) -> Iterator[FrameResult]:
    """Do as `merged` on parts of frames, with the objects that have a say there."""
    for frame, place, some in heard(places, objects, engine.frames.shape):
        yield merged(frame, some, engine, place)


def _claims(
    engine: Engine, objects: Mapping[int, tuple[TrackedObject, Estimate]], frame: int
) -> Claims:
    """Logits of objects in data pixels, as `claimed`, but hardly more than their masks hold."""
    found: Claims = {}
    alike: dict[tuple[int, int], list[int]] = {}
    for i, (obj, estimate) in objects.items():
        prompt, given = obj.prompts.get(frame), obj.given.get(frame)
        if prompt is None and given is not None:
            found[i] = _drawn(mask_of(given))
        elif _painted(prompt) or estimate.window.is_whole:
            found[i] = placed(engine, prompt, estimate)
        elif estimate.kept.size:
            alike.setdefault(estimate.window.grid, []).append(i)
    for grid, ids in alike.items():
        some = [objects[i][1] for i in ids]
        patches = [Patch(e.window, e.corner, e.kept) for e in some]
        found |= dict(zip(ids, patches_to_data(engine.levels[grid], patches), strict=True))
    for i, (obj, _) in objects.items():
        if i in found and frame in obj.ceded:
            place, values = found[i]
            lost = mask_of(obj.ceded[frame]).whole()[place]
            found[i] = place, np.where(lost, np.float32(-SURE_LOGIT), values)
    return found


def ceded(
    object_ids: Collection[int], objects: Mapping[int, TrackedObject], engine: Engine
) -> dict[int, dict[int, Mapping[str, Any]]]:
    """Return what others that are prompted on a frame have of the masks of some objects there.

    Returns
    -------
    dict
        Masks as text, by object and frame.
    """
    found: dict[int, dict[int, Mapping[str, Any]]] = {}
    shape, frames = engine.frames.shape, []
    for frame in sorted({t for obj in objects.values() for t in obj.prompts}):
        some = [i for i in object_ids if frame in objects[i].estimates]
        prompted = {i for i, obj in objects.items() if frame in obj.prompts}
        if any(prompted - {i} for i in some):
            frames.append(frame)
    places = depending(object_ids, objects, shape, frames)
    for result in merged_parts(places, objects, engine):
        (y, x), frame = (along.start for along in places[result.frame]), result.frame
        for i in (i for i in object_ids if frame in objects[i].estimates):
            (rows, columns), values = _cut(places[frame], *claimed(engine, objects[i], frame))
            labels = result.labels[rows, columns]
            lost = (values > 0) & (labels > 0) & (labels != i)
            if lost.any():
                corner = slice(y + rows.start, None), slice(x + columns.start, None)
                found.setdefault(i, {})[frame] = mask_text(ThinMask.at(shape, corner, lost))
    return found


def _yielding(claims: Claims, firm: Sequence[int], shape: tuple[int, int]) -> Claims:
    """Take from objects that were followed to a frame what a prompt there says is another one.

    Both lie on one cell if one of the masks holds more than half of the other. Neighbours that
    overlap a little are left to compete: both outlines are guesses there.

    Parameters
    ----------
    firm : objects that are prompted on the frame, or locked.
    shape : (Y, X) of the frame.
    """
    if not firm or len(firm) == len(claims):
        return claims
    owner = np.zeros(shape, np.int32)
    areas = np.zeros(len(firm) + 1)
    for at, i in enumerate(firm, start=1):
        place, values = claims[i]
        owner[place][values > 0] = at
        areas[at] = np.count_nonzero(values > 0)
    found = dict(claims)
    for i, (place, values) in claims.items():
        if i not in firm:
            inside = values > 0
            shared = np.bincount(owner[place][inside], minlength=len(areas))
            same = shared > _SAME * np.minimum(areas, np.count_nonzero(inside))
            same[0] = False
            lost = inside & same[owner[place]]
            if lost.any():
                found[i] = place, np.where(lost, np.float32(-SURE_LOGIT), values)
    return found


def claimed(
    engine: Engine, obj: TrackedObject, frame: int
) -> tuple[Place, npt.NDArray[np.float32]]:
    """Logits of an object in data pixels, of the part of a frame that holds it.

    A mask of another program is as it was given.
    """
    if frame not in obj.given or frame in obj.prompts:
        return placed(engine, obj.prompts.get(frame), obj.estimates[frame])
    return _drawn(mask_of(obj.given[frame]))


def placed(
    engine: Engine, prompt: Prompt | None, estimate: Estimate
) -> tuple[Place, npt.NDArray[np.float32]]:
    """Logits in data pixels; a mask that the user painted is not resampled."""
    if prompt is not None and prompt.painted is not None:
        return _drawn(prompt.painted)
    geometry = engine.geometry(estimate.window)
    return to_data(geometry, estimate.window, estimate.logits())


def _cut(
    part: Place, place: Place, values: npt.NDArray[np.float32]
) -> tuple[Place, npt.NDArray[np.float32]]:
    """Return what of claims lies in a part of the frame, and where in that."""
    within, of = [], []
    for whole, own in zip(part, place, strict=True):
        low, high = max(whole.start, own.start), min(whole.stop, own.stop)
        within.append(slice(low - whole.start, max(high, low) - whole.start))
        of.append(slice(low - own.start, max(high, low) - own.start))
    return (within[0], within[1]), values[of[0], of[1]]


def _painted(prompt: Prompt | None) -> bool:
    return prompt is not None and prompt.painted is not None


def _drawn(mask: ThinMask) -> tuple[Place, npt.NDArray[np.float32]]:
    return mask.place, np.where(mask.part, np.float32(SURE_LOGIT), np.float32(-SURE_LOGIT))
