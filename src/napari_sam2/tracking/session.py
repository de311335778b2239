"""A tracking session: prompts in, masks out, on any frame and in any order.

The session owns what is known of every object (prompts, memories, masks so far); `follower` takes
the objects from frame to frame, `engine` owns the calls into the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import torch

from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.encoding_store import EncodingStore
from napari_sam2.tracking.engine import Engine, Look
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.estimates import Estimate
from napari_sam2.tracking.everything import LEAST_QUALITY, Found, everything
from napari_sam2.tracking.follower import Follower, estimated
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.memory_bank import MemoryBank
from napari_sam2.tracking.merging import DRAWN_LOGIT, merged, placed
from napari_sam2.tracking.objects import Pending, TrackedObject
from napari_sam2.tracking.passes import Direction, Pass, passes
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt, described
from napari_sam2.tracking.results import FrameResult, Preview
from napari_sam2.tracking.windows import levels

# Object id -> what was known of it; None where it did not exist.
Snapshot = Mapping[int, TrackedObject | None]
_FRAME_TOKENS = 4096  # of a whole frame of the published models


class TrackingSession:
    """Segment and track objects through a stack.

    Parameters
    ----------
    model : from `load_model`.
    frames : the stack.
    policy : see `TrackingPolicy`.

    Raises
    ------
    InputError
        If the policy's zoom cannot be used with the model or the frames.

    Examples
    --------
    >>> session = TrackingSession(model, Frames(stack))
    >>> session.add_points(object_id=1, frame=0, points=[[120, 88]], positive=[True])
    >>> for result in session.propagate():
    ...     masklets[result.frame] = result.labels
    """

    def __init__(self, model: SAM2, frames: Frames, policy: TrackingPolicy | None = None) -> None:
        self.policy = policy or TrackingPolicy()
        self.model = model
        self.frames = frames
        attention = self.policy.attention or model.config.attention
        self._engine = Engine(
            model,
            frames,
            levels(model.config, frames.shape, attention, self.policy.zoom),
            attention == "windowed",
            self.policy.cached_frames,
            self.policy.batch_tokens or _FRAME_TOKENS * (1 if model.device.type == "cpu" else 4),
            None if self.policy.encodings is None else EncodingStore(self.policy.encodings, model),
        )
        self._objects: dict[int, TrackedObject] = {}
        self._follower = Follower(self._engine, self._objects)

    @property
    def object_ids(self) -> list[int]:
        """Ids of all objects, in the order in which they were added."""
        return list(self._objects)

    @property
    def prompts(self) -> dict[int, dict[int, Prompt]]:
        """Prompts by object id and frame."""
        return {i: dict(o.prompts) for i, o in self._objects.items()}

    def add_points(
        self,
        object_id: int,
        frame: int,
        points: npt.ArrayLike,
        positive: npt.ArrayLike,
        replace: bool = False,
    ) -> Preview:
        """Click on an object, or on what is not part of it.

        On a frame that was tracked before, the clicks correct the mask there.

        Parameters
        ----------
        object_id : positive; a new id makes a new object.
        frame : index along the propagation axis.
        points : (K, 2), (y, x) in data pixels.
        positive : (K,) bool.
        replace : instead of the points, box or mask that the object has on this frame.

        Raises
        ------
        InputError
            If the frame does not exist or a point lies outside of it.
        """
        added = Prompt(np.asarray(points, dtype=np.float64), np.asarray(positive, dtype=bool))
        known = None if replace else self._known(object_id, frame)
        return self._prompt(
            object_id, frame, added if known is None else known.merged(added), known
        )

    def add_box(self, object_id: int, frame: int, box: npt.ArrayLike) -> Preview:
        """Draw a box [[y0, x0], [y1, x1]] around an object; replaces its other prompts there.

        Raises
        ------
        InputError
            If the frame does not exist, or the box has no area or lies outside of it.
        """
        return self._prompt(object_id, frame, Prompt(box=np.asarray(box, dtype=np.float64)), None)

    def add_mask(self, object_id: int, frame: int, mask: npt.ArrayLike) -> Preview:
        """Draw an object's mask, bool (Y, X); replaces its other prompts on this frame.

        Raises
        ------
        InputError
            If the frame does not exist, or the mask is empty or of another shape.
        """
        return self._prompt(object_id, frame, Prompt(mask=np.asarray(mask, dtype=bool)), None)

    def add_prompts(self, prompts: Mapping[int, Mapping[int, Prompt]]) -> None:
        """Add prompts of many objects at once, object id -> frame -> prompt.

        All of them are checked before the first is answered.

        Raises
        ------
        InputError
            If one of them cannot be used; nothing has been added then.
        """
        checked = {
            (object_id, frame): self._checked(object_id, frame, prompt)
            for object_id, by_frame in prompts.items()
            for frame, prompt in by_frame.items()
        }
        # Frame by frame, so that each is encoded once.
        for (object_id, frame), prompt in sorted(checked.items(), key=lambda item: item[0][1]):
            self._answer(object_id, frame, prompt, None)

    def set_prompt(self, object_id: int, frame: int, prompt: Prompt | None) -> Preview | None:
        """Say all that is said of an object on a frame, in the place of what was said before.

        Clicks after those that were answered refine that answer, as with `add_points`.

        Parameters
        ----------
        prompt : None takes back what was said, if anything was.

        Raises
        ------
        InputError
            If the prompt cannot be used; what was said before stays then.
        """
        known = self._known(object_id, frame)
        if prompt is None:
            if known is not None:
                self.clear_prompt(object_id, frame)
            return None
        prompt = self._checked(object_id, frame, prompt)
        count = 0 if known is None else len(known.points)
        if known is not None and count < len(prompt.points):
            earlier = Prompt(
                prompt.points[:count], prompt.positive[:count], prompt.box, prompt.mask
            )
            if earlier == known:
                return self._prompt(object_id, frame, prompt, known)
        if known is not None:
            self.clear_prompt(object_id, frame)
        if prompt.mask is None and prompt.box is None:
            return self._prompt(object_id, frame, prompt, None)
        drawn = Prompt(mask=prompt.mask) if prompt.mask is not None else Prompt(box=prompt.box)
        preview = self._prompt(object_id, frame, drawn, None)
        if len(prompt.points):
            clicks = Prompt(prompt.points, prompt.positive)
            preview = self._prompt(object_id, frame, drawn.merged(clicks), drawn)
        return preview

    def clear_prompt(self, object_id: int, frame: int) -> None:
        """Take back what was said of an object on a frame; its mask there goes, too.

        Raises
        ------
        InputError
            If there is no such prompt.
        """
        known = self._objects.get(object_id)
        if known is None or frame not in known.prompts:
            raise InputError(f"{described(object_id, frame)}: there is no prompt to take back")
        known.take_back(frame)

    def remove_object(self, object_id: int) -> None:
        """Forget an object.

        Raises
        ------
        InputError
            If there is no such object.
        """
        if object_id not in self._objects:
            raise InputError(f"there is no object {object_id}; there are {self.object_ids}")
        del self._objects[object_id]

    def total_frames(
        self, direction: Direction = "both", start: int | None = None, stop: int | None = None
    ) -> int:
        """Return how many results `propagate` will yield."""
        prompted = [self._objects[i].prompts for i in self._chosen(None)]
        ways = passes(direction, start, stop, len(self.frames), prompted)
        return sum(len(way.frames) for way in ways)

    def snapshot(self, object_ids: Iterable[int] | None = None) -> Snapshot:
        """Return all that is known of some objects (default: all), to come back to.

        Ids that do not exist are noted as not existing. What both have in common is shared, so a
        snapshot costs little.
        """
        ids = self.object_ids if object_ids is None else object_ids
        known = self._objects
        return {i: known[i].copy() if i in known else None for i in ids}

    def restore(self, snapshot: Snapshot) -> None:
        """Put the objects of a snapshot back as they were; others stay as they are."""
        for object_id, obj in snapshot.items():
            if obj is None:
                self._objects.pop(object_id, None)
            else:
                self._objects[object_id] = obj.copy()

    def frames_of(self, object_id: int) -> list[int]:
        """Return the frames on which something is known of an object, rising."""
        known = self._objects.get(object_id)
        return [] if known is None else sorted(known.estimates)

    def result(self, frame: int) -> FrameResult:
        """Return what is known of all objects on a frame, without computing anything new."""
        return merged(frame, self._objects, self._engine)

    @torch.inference_mode()
    def propagate(
        self,
        direction: Direction = "both",
        start: int | None = None,
        stop: int | None = None,
        object_ids: Iterable[int] | None = None,
    ) -> Iterator[FrameResult]:
        """Follow the objects through the stack, frame by frame.

        Forward, every object is followed from its first prompt to the end; backward, from its
        first prompt to frame 0 (alone: from its last). Stop iterating at any time: what was
        yielded stays valid.

        Parameters
        ----------
        direction : "forward", "backward" or "both" (forward first).
        start, stop : frames to touch, `start` included, `stop` not.
        object_ids : follow only these; the masks of the others stay as they are.

        Yields
        ------
        FrameResult
            One per frame, holding all objects, those known from before included.

        Raises
        ------
        InputError
            If there is nothing to follow, or an id or the range does not exist.
        """
        ids = self._chosen(object_ids)
        prompted = [self._objects[i].prompts for i in ids]
        ways = passes(direction, start, stop, len(self.frames), prompted)
        self._follower.memorize_prompts(ids)
        for way in ways:
            self._follower.recover(way, ids)
            for frame, following in zip_longest(way.frames, way.frames[1:]):
                if following is not None:
                    self.frames.expect(following)
                self._follower.track(frame, way, ids)
                yield merged(frame, self._objects, self._engine)
        visited = {frame for way in ways for frame in way.frames}
        for i in ids:
            self._objects[i].settle(visited)

    def stale_frames(self) -> dict[int, tuple[int, ...]]:
        """Return, by object id, the frames that `repair` would compute again."""
        found = {i: obj.stretches() for i, obj in self._objects.items()}
        return {
            i: tuple(sorted((*parts.forward, *parts.backward)))
            for i, parts in found.items()
            if parts.forward or parts.backward
        }

    @torch.inference_mode()
    def repair(self, object_ids: Iterable[int] | None = None) -> Iterator[FrameResult]:
        """Compute again what changed prompts concern, and only that.

        After a correction on a frame that was propagated, these are the object's frames up to the
        next prompted frame on either side. Stop iterating at any time: what is left stays stale.

        Parameters
        ----------
        object_ids : repair only these.

        Yields
        ------
        FrameResult
            One per frame that was computed again, holding all objects.

        Raises
        ------
        InputError
            If an id does not exist.
        """
        ids = self._checked_ids(object_ids)
        parts = {i: self._objects[i].stretches() for i in ids}
        self._follower.memorize_prompts(ids)
        for reverse in (False, True):
            frames = {i: set(p.backward if reverse else p.forward) for i, p in parts.items()}
            for frame in sorted({t for some in frames.values() for t in some}, reverse=reverse):
                members = [i for i, some in frames.items() if frame in some]
                way = Pass(range(frame, frame + 1), reverse, from_last=False)
                step = 1 if reverse else -1
                self._follower.recover(way, [i for i in members if frame + step not in frames[i]])
                self._follower.track(frame, way, members)
                yield merged(frame, self._objects, self._engine)
        for i in ids:
            self._objects[i].changed.clear()

    def segment_everything(
        self,
        frame: int,
        *,
        taken: npt.ArrayLike | None = None,
        diameter: float | None = None,
        least_quality: float = LEAST_QUALITY,
        most: int | None = None,
    ) -> Iterator[Found]:
        """Look for all cells of a frame, without a click; the session stays as it is.

        Stop iterating at any time: what was yielded stays valid. To follow what was found, add
        `found.prompts(frame)` of the last item with `add_prompts`.

        Parameters
        ----------
        frame : index along the propagation axis.
        taken : (Y, X), nonzero where objects are already; only others are looked for.
        diameter : of a typical cell in data pixels; default: all sizes are tried.
        least_quality : of a cell, 0 to 1; less finds more cells, and more that are none.
        most : number of cells to keep, the best ones.

        Yields
        ------
        Found
            After each batch of clicks; the last one holds all cells.

        Raises
        ------
        InputError
            If the frame does not exist or another argument cannot be used.
        """
        return everything(
            self._engine,
            frame,
            taken=taken,
            diameter=diameter,
            least_quality=least_quality,
            most=most,
        )

    def _known(self, object_id: int, frame: int) -> Prompt | None:
        known = self._objects.get(object_id)
        return None if known is None else known.prompts.get(frame)

    def _checked(self, object_id: int, frame: int, prompt: Prompt) -> Prompt:
        if object_id < 1:
            raise InputError(f"object ids start at 1, not {object_id}")
        if not 0 <= frame < len(self.frames):
            raise InputError(
                f"{described(object_id, frame)}: the stack has frames 0 to {len(self.frames) - 1}"
            )
        return prompt.validate(self.frames.shape, object_id=object_id, frame=frame)

    def _prompt(self, object_id: int, frame: int, prompt: Prompt, known: Prompt | None) -> Preview:
        checked = self._checked(object_id, frame, prompt)
        estimate = self._answer(object_id, frame, checked, known)
        full = np.full(self.frames.shape, np.float32(-DRAWN_LOGIT))
        place, values = placed(self._engine, checked, estimate)
        full[place] = values
        return Preview(object_id, frame, full > 0, full, estimate.quality)

    @torch.inference_mode()
    def _answer(self, object_id: int, frame: int, prompt: Prompt, known: Prompt | None) -> Estimate:
        """Answer a prompt; `known` is the part of it that the last answer already took in."""
        obj = self._objects.get(object_id) or self._new_object()
        obj.note_prompt(frame)
        continued = known is not None
        start, level = obj.start_of(frame, continued), obj.level(frame)
        if start is None and self._engine.must_find(prompt):
            window, prediction = self._engine.find(frame, prompt, level)
        else:
            window = self._engine.prompt_window(prompt, start, level)
            look = None
            if frame in obj.tracked:
                selection = obj.bank.select(frame, obj.tracked[frame], len(self.frames))
                look = Look(obj.bank, window, selection) if selection.memories else None
            earlier = obj.start_logits(frame, window, continued)
            prediction = self._engine.answer(frame, window, prompt, look, earlier)
        logits = prediction.best_logits[0]
        estimate = estimated(window, prediction)
        score = float(prediction.object_score[0])
        # Stored only now: a failure above leaves the object as it was.
        self._objects.setdefault(object_id, obj)
        obj.prompts[frame] = prompt
        obj.note_change(frame)
        obj.pending[frame] = Pending(window, logits, score, prediction.pointer)
        obj.estimates[frame] = estimate
        return estimate

    def _new_object(self) -> TrackedObject:
        config = self.model.config
        return TrackedObject(MemoryBank(config.num_memories, config.max_pointers))

    def _chosen(self, object_ids: Iterable[int] | None) -> list[int]:
        ids = [i for i in self._checked_ids(object_ids) if self._objects[i].prompts]
        if not ids:
            raise InputError("nothing to propagate; click, box or paint an object on a frame first")
        return ids

    def _checked_ids(self, object_ids: Iterable[int] | None) -> list[int]:
        ids = self.object_ids if object_ids is None else list(object_ids)
        missing = [i for i in ids if i not in self._objects]
        if missing:
            raise InputError(f"there is no object {missing[0]}; there are {self.object_ids}")
        return ids
