"""A tracking session: prompts in, masks out, on any frame and in any order.

The session joins the parts: `roster` holds what is known of every object (prompts, memories, masks
so far), `answering` answers prompts, `follower` takes the objects from frame to frame, and `engine`
owns the calls into the network.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
import torch

from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.adopting import GivenMasks, adopt, check_given
from napari_sam2.tracking.answering import answer, check_shown, end, says_end
from napari_sam2.tracking.encoding_store import EncodingStore
from napari_sam2.tracking.engine import Engine
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.estimates import Estimate
from napari_sam2.tracking.everything import LEAST_QUALITY, Found, everything
from napari_sam2.tracking.follower import Follower
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.merging import DRAWN_LOGIT, merged, placed
from napari_sam2.tracking.objects import TrackedObject
from napari_sam2.tracking.passes import Direction, Pass, passes
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt, described
from napari_sam2.tracking.results import FrameResult, Preview
from napari_sam2.tracking.room import tokens_at_once
from napari_sam2.tracking.roster import Roster
from napari_sam2.tracking.views import View, view_of
from napari_sam2.tracking.windows import levels
from napari_sam2.tracking.workload import Workload, looks_of, workload


class TrackingSession(Roster):
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
        attention = self.policy.attention or model.config.attention
        engine = Engine(
            model,
            frames,
            levels(model.config, frames.shape, attention, self.policy.zoom),
            attention == "windowed",
            self.policy.cached_frames,
            self.policy.batch_tokens or tokens_at_once(model.device),
            None if self.policy.encodings is None else EncodingStore(self.policy.encodings, model),
        )
        super().__init__(frames, engine)
        self._follower = Follower(engine, self._objects)

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

    @torch.inference_mode()
    def preview(
        self,
        object_id: int,
        frame: int,
        point: npt.ArrayLike,
        check: Callable[[], None] | None = None,
    ) -> Preview:
        """Return what a positive click would be answered with; the session stays as it is.

        Parameters
        ----------
        object_id : that would be clicked on; a new id stands for a new object.
        frame : index along the propagation axis.
        point : (2,), (y, x) in data pixels.
        check : called before each part of the work; what it raises ends the work.

        Raises
        ------
        InputError
            If the frame does not exist or the point lies outside of it.
        """
        click = Prompt(np.asarray(point, dtype=np.float64)[None], np.ones(1, dtype=bool))
        known = self._known(object_id, frame)
        prompt = self._checked(object_id, frame, click if known is None else known.merged(click))
        obj = self._objects.get(object_id)
        stand_in = TrackedObject(self._new_bank()) if obj is None else obj.copy()
        with self._engine.checking(check):
            estimate = answer(self._engine, stand_in, frame, prompt, known is not None)
        return self._shown(object_id, frame, prompt, estimate)

    def answers_fast(self, frame: int) -> bool:
        """Whether a click on a frame can be answered without encoding all of the frame."""
        return self._engine.encodings.ready(frame)

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

    def end_object(self, object_id: int, frame: int) -> Preview:
        """Say that an object is not on a frame: it ends there, or begins later.

        From there on, away from its other prompts, it is not followed. A single negative click
        where the object has no mask says the same.

        Raises
        ------
        InputError
            If the frame does not exist, or the object has no prompt on another frame.
        """
        return self._prompt(object_id, frame, Prompt(absent=True), None)

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
        for object_id, by_frame in prompts.items():
            known = self._objects.get(object_id)
            if by_frame and all(p.absent for p in by_frame.values()):
                check_shown(object_id, min(by_frame), known)
        # Ends last, they need to know the object; frame by frame, so that each is encoded once.
        order = sorted(checked.items(), key=lambda item: (item[1].absent, item[0][1]))
        for (object_id, frame), prompt in order:
            self._answer(object_id, frame, prompt, None)

    def adopt_masks(self, object_id: int, masks: GivenMasks) -> None:
        """Make a new object of masks that another program found, see `adopt_objects`.

        Parameters
        ----------
        object_id : positive, of no object yet.
        masks : by frame, as `mask_text` writes them.

        Raises
        ------
        InputError
            If the id is taken, or a frame or mask cannot be used; there is no new object then.
        """
        for _ in self._adopted({object_id: masks}):
            pass

    def adopt_objects(self, masks: Mapping[int, GivenMasks]) -> Generator[FrameResult, None, None]:
        """Make new objects of masks that another program found, frame by frame.

        The network is not asked, until the objects are followed or corrected. Stop iterating
        before the end, and there are no new objects.

        Parameters
        ----------
        masks : object id, of no object yet -> frame -> mask, as `mask_text` writes it.

        Yields
        ------
        FrameResult
            One per frame with masks, holding all objects.

        Raises
        ------
        InputError
            If an id is taken, or a frame or mask cannot be used; there are no new objects then.
        """
        shown = {frame for some in masks.values() for frame in some}
        for frame in self._adopted(masks):
            if frame in shown:
                yield self.result(frame)

    def _adopted(self, masks: Mapping[int, GivenMasks]) -> Iterator[int]:
        """Make objects of masks; yields each frame once all objects have taken it in."""
        for i, some in masks.items():
            if i in self._objects:
                raise InputError(f"there is an object {i} already; give the masks another id")
            check_given(i, some, self.frames.shape, len(self.frames))
        spans = {i: range(min(some), max(some) + 1) for i, some in masks.items()}
        first = min((span.start for span in spans.values()), default=0)
        last = max((span.stop for span in spans.values()), default=0)
        complete = False
        try:
            for frame in range(first, last):
                for i in (i for i, span in spans.items() if frame in span):
                    if frame == spans[i].start:
                        self._objects[i] = TrackedObject(self._new_bank())
                    adopt(self._engine, self._objects[i], frame, masks[i].get(frame))
                yield frame
            complete = True
        finally:
            if not complete:
                for i in masks:
                    self._objects.pop(i, None)

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
        if prompt.absent or (prompt.mask is None and prompt.box is None):
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

    def total_frames(
        self,
        direction: Direction = "both",
        start: int | None = None,
        stop: int | None = None,
        object_ids: Iterable[int] | None = None,
    ) -> int:
        """Return how many results `propagate` will yield."""
        prompted = [self._objects[i].anchors for i in self._chosen(object_ids)]
        ways = passes(direction, start, stop, len(self.frames), prompted)
        return sum(len(way.frames) for way in ways)

    def workload(
        self,
        direction: Direction = "both",
        start: int | None = None,
        stop: int | None = None,
        object_ids: Iterable[int] | None = None,
    ) -> Workload:
        """Return what `propagate` will have to do; computes nothing.

        Raises
        ------
        InputError
            As `propagate` does.
        """
        objects = [self._objects[i] for i in self._chosen(object_ids)]
        ways = passes(direction, start, stop, len(self.frames), [o.anchors for o in objects])
        visited = (frame for way in ways for frame in way.frames)
        return workload(self._engine, looks_of(ways, objects), visited, objects)

    def repair_workload(self, object_ids: Iterable[int] | None = None) -> Workload:
        """Return what `repair` will have to do; nothing, where no object is stale."""
        ids = self._checked_ids(object_ids)
        stale = {i: frames for i, frames in self.stale_frames().items() if i in ids}
        frames = [t for some in stale.values() for t in some]
        looks = np.unique(np.array(frames, dtype=np.int64), return_counts=True)[1]
        objects = [self._objects[i] for i in stale if self._objects[i].anchors]
        return workload(self._engine, looks, frames, objects)

    def view(self, object_id: int, frame: int) -> View:
        """Return what the network got to see when it looked at an object on a frame.

        Raises
        ------
        InputError
            If it has not looked.
        """
        estimate = self._existing(object_id).estimates.get(frame)
        if estimate is None:
            raise InputError(f"{described(object_id, frame)}: it has not been looked at there yet")
        return view_of(self._engine, frame, estimate)

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
    ) -> Generator[FrameResult, None, None]:
        """Follow the objects through the stack, frame by frame.

        Forward, every object is followed from its first prompt to the end; backward, from its
        first prompt to frame 0 (alone: from its last). Stop iterating at any time: what was
        yielded stays valid.

        Parameters
        ----------
        direction : "forward", "backward" or "both" (forward first).
        start, stop : frames to touch, `start` included, `stop` not.
        object_ids : follow only these; the masks of the others stay as they are, and so do those
            of locked objects.

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
        prompted = [self._objects[i].anchors for i in ids]
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
        found = {i: self._objects[i].stretches() for i in self._checked_ids(None)}
        return {
            i: tuple(sorted((*parts.forward, *parts.backward)))
            for i, parts in found.items()
            if parts.forward or parts.backward
        }

    def stale_objects(self) -> list[int]:
        """Return the objects that were prompted since they were followed, or never followed."""
        stale = self.stale_frames()
        return [
            i
            for i in self._checked_ids(None)
            if i in stale or (self._objects[i].anchors and not self._objects[i].tracked)
        ]

    @torch.inference_mode()
    def repair(self, object_ids: Iterable[int] | None = None) -> Generator[FrameResult, None, None]:
        """Compute again what changed prompts concern, and only that.

        After a correction on a frame that was propagated, these are the object's frames up to the
        next prompted frame on either side. Stop iterating at any time: what is left stays stale.

        Parameters
        ----------
        object_ids : repair only these, as far as they are not locked.

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
        self._follower.memorize_prompts(i for i, p in parts.items() if p.forward or p.backward)
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
        return self._shown(
            object_id, frame, checked, self._answer(object_id, frame, checked, known)
        )

    def _shown(self, object_id: int, frame: int, prompt: Prompt, estimate: Estimate) -> Preview:
        full = np.full(self.frames.shape, np.float32(-DRAWN_LOGIT))
        place, values = placed(self._engine, prompt, estimate)
        full[place] = values
        return Preview(object_id, frame, full > 0, full, estimate.quality)

    @torch.inference_mode()
    def _answer(self, object_id: int, frame: int, prompt: Prompt, known: Prompt | None) -> Estimate:
        """Answer a prompt; `known` is the part of it that the last answer already took in."""
        obj = self._objects.get(object_id) or TrackedObject(self._new_bank())
        if says_end(obj, frame, prompt):
            return end(object_id, obj, frame, prompt)
        estimate = answer(self._engine, obj, frame, prompt, known is not None)
        self._objects.setdefault(object_id, obj)  # only now: what failed leaves no object
        return estimate

    def _chosen(self, object_ids: Iterable[int] | None) -> list[int]:
        ids = [i for i in self._checked_ids(object_ids) if self._objects[i].anchors]
        if not ids and self.locked:
            raise InputError("all objects with prompts are locked; unlock one to propagate it")
        if not ids:
            raise InputError("nothing to propagate; click, box or paint an object on a frame first")
        return ids
