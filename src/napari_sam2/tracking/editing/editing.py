"""Merging two objects and splitting one, with all that is known of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeVar

from napari_sam2.tracking.masks.resampling import moved
from napari_sam2.tracking.memory_bank import MemoryBank
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.objects.estimates import Estimate
from napari_sam2.tracking.objects.objects import Pending, TrackedObject
from napari_sam2.tracking.objects.repair import stretches
from napari_sam2.tracking.windows import TOKEN, Geometry, around

T = TypeVar("T")


def merge(kept: TrackedObject, absorbed: TrackedObject, engine: Engine) -> None:
    """Give `kept` the masks that `absorbed` has on frames where `kept` has none, and its prompts.

    A prompt takes its mask along, since it says more than tracking does; on a frame where both are
    prompted, that of `kept` stays. An end says that one of them is not there, so it is dropped
    where the other one is. Nothing is stale afterwards that was not before: the masks stay as they
    are until the next propagation.
    """
    if not absorbed.estimates:
        return
    stale = {t: _stale(absorbed, t) for t in absorbed.changed}
    _drop_ends(kept, absorbed)
    taken = set()
    mine = next((e.window.grid for e in kept.estimates.values()), None)
    for frame in list(absorbed.estimates):
        estimate = absorbed.estimates[frame]
        prompted = frame in absorbed.prompts and frame not in kept.prompts
        known = kept.estimates.get(frame)
        if not prompted and known is not None and (known.kept.size or not estimate.kept.size):
            continue
        geometry = engine.levels[mine or estimate.window.grid]
        here = _on_level(estimate, geometry, engine.geometry(estimate.window))
        kept.bank.forget(frame)
        if prompted:
            _take_prompt(kept, absorbed, frame, estimate, here)
            if frame not in kept.before and frame in absorbed.before:
                before = absorbed.before[frame]
                kept.before[frame] = _on_level(before, geometry, engine.geometry(before.window))
                _take_given(kept, absorbed, frame)
        else:
            _take_given(kept, absorbed, frame)
        taken.add(frame)
        kept.estimates[frame] = here
        if frame in absorbed.tracked:
            kept.tracked[frame] = absorbed.tracked[frame]
    for frame in absorbed.tracked.keys() - kept.estimates.keys():  # waiting to be passed again
        kept.tracked.setdefault(frame, absorbed.tracked[frame])
    kept.changed.update({t: set() for t, frames in stale.items() if frames & taken})
    kept.bank.jumps = absorbed.bank.jumps | kept.bank.jumps
    kept.ceded.clear()
    kept.missing = 0


def _take_given(kept: TrackedObject, absorbed: TrackedObject, frame: int) -> None:
    kept.given.pop(frame, None)
    if frame in absorbed.given:
        kept.given[frame] = absorbed.given[frame]


def _stale(obj: TrackedObject, frame: int) -> set[int]:
    """Return the frames to compute again because the prompt of one frame has changed."""
    parts = stretches(obj.prompts, obj.ends, obj.tracked, [frame])
    return {*parts.forward, *parts.backward}


def _drop_ends(kept: TrackedObject, absorbed: TrackedObject) -> None:
    """Forget the ends of either that would be wrong of both together."""
    anchors = {*kept.anchors, *absorbed.anchors}
    for obj, other in ((kept, absorbed), (absorbed, kept)):
        for end in [t for t in obj.ends if _denied(t, obj, other, anchors)]:
            obj.ends.discard(end)
            del obj.prompts[end]
            obj.pending.pop(end, None)
            obj.before.pop(end, None)
            obj.bank.forget(end)


def _denied(end: int, obj: TrackedObject, other: TrackedObject, anchors: Collection[int]) -> bool:
    """Whether an end of an object would rule out masks of the other one, or change its side.

    Parameters
    ----------
    anchors : frames on which either was prompted.
    """
    forward = any(t < end for t in anchors)
    if end in other.anchors or forward != any(t < end for t in obj.anchors):
        return True
    after = min((t for t in anchors if t > end), default=None)
    return any(
        (end <= t and (after is None or t < after) if forward else t <= end)
        and other.estimates[t].kept.size > 0
        for t in other.estimates
    )


def _take_prompt(
    kept: TrackedObject, absorbed: TrackedObject, frame: int, old: Estimate, new: Estimate
) -> None:
    kept.note_prompt(frame)
    kept.prompts[frame] = absorbed.prompts[frame]
    if frame in absorbed.ends:
        kept.ends.add(frame)
        return
    known = absorbed.pending.get(frame) or absorbed.bank.conditioning[frame]
    logits = old.logits() if known.logits is None else known.logits
    kept.pending[frame] = Pending(
        new.window,
        moved(logits, old.window, new.window),
        old.quality.object_score,
        known.pointer,
    )
    if frame in absorbed.changed:
        kept.changed[frame] = set()


def _on_level(estimate: Estimate, geometry: Geometry, source: Geometry) -> Estimate:
    """Express an estimate on another level, in a window around it: an object lives on one."""
    old = estimate.window
    if old.grid == geometry.tokens:
        return estimate
    box = estimate.box()
    if box is None:
        y, x = TOKEN * (old.row + old.height / 2), TOKEN * (old.column + old.width / 2)
        box = (y, x, y, x)
    sy, sx = (geometry.size[a] / source.size[a] for a in (0, 1))
    window = around(geometry, (box[0] * sy, box[1] * sx, box[2] * sy, box[3] * sx))
    if not estimate.kept.size:
        return Estimate(window, (0, 0), estimate.kept, estimate.quality)
    return Estimate.of(window, moved(estimate.logits(), old, window), estimate.quality)


def split(obj: TrackedObject, frame: int) -> TrackedObject:
    """Take what is known of an object from `frame` on out of it, as an object of its own."""
    bank = MemoryBank(obj.bank.num_memories, obj.bank.max_pointers)
    new = TrackedObject(bank)
    new.prompts = _later(obj.prompts, frame)
    new.pending = _later(obj.pending, frame)
    new.tracked = _later(obj.tracked, frame)
    new.before = _later(obj.before, frame)
    new.given = _later(obj.given, frame)
    new.ceded = _later(obj.ceded, frame)
    new.ends = {t for t in obj.ends if t >= frame}
    obj.ends -= new.ends
    new.locked = obj.locked
    bank.conditioning = _later(obj.bank.conditioning, frame)
    bank.tracked = _later(obj.bank.tracked, frame)
    bank.jumps = dict(obj.bank.jumps)
    new.changed = _later(obj.changed, frame)
    for t in [t for t in obj.estimates if t >= frame]:
        new.estimates[t] = obj.estimates.pop(t)
    obj.missing = 0
    return new


def _later(by_frame: dict[int, T], frame: int) -> dict[int, T]:
    """Take the items from `frame` on out of a dict."""
    return {t: by_frame.pop(t) for t in [t for t in by_frame if t >= frame]}
