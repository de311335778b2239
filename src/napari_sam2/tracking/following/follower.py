"""From frame to frame: which memories are made, and when, while objects are followed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from napari_sam2.tracking.following.passes import Pass
from napari_sam2.tracking.memory_bank import Remembered
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.network.looks import Look
from napari_sam2.tracking.objects.estimates import Estimate
from napari_sam2.tracking.objects.objects import TrackedObject
from napari_sam2.tracking.stack.jumps import STILL, Shift, shift_between


class Follower:
    """Takes the objects of a session through its frames.

    Parameters
    ----------
    engine : the network on the session's stack.
    objects : of the session, by id; shared with it.
    """

    def __init__(self, engine: Engine, objects: Mapping[int, TrackedObject]) -> None:
        self.engine = engine
        self.objects = objects

    def memorize_prompts(self, ids: Iterable[int]) -> None:
        """Take the prompted frames into the memory banks."""
        alike: dict[tuple[int, tuple[int, int], int, int], list[TrackedObject]] = {}
        waiting = sorted((f, i) for i in ids for f in self.objects[i].pending)
        for frame, i in waiting:
            window = self.objects[i].pending[frame].window
            key = (frame, window.grid, window.height, window.width)
            alike.setdefault(key, []).append(self.objects[i])
        for (frame, *_), objects in alike.items():
            self._show(frame, [obj for obj in objects if obj.pending[frame].pointer is None])
            answers = [obj.pending[frame] for obj in objects]
            items = [Remembered(None, a.pointer, a.logits, a.window, a.score) for a in answers]
            kept = self.engine.memorize(frame, items, prompted=True)
            for obj, item in zip(objects, kept, strict=True):
                obj.bank.remember(frame, item, conditioning=True)
                del obj.pending[frame]

    def _show(self, frame: int, objects: Sequence[TrackedObject]) -> None:
        """Ask for the pointers of masks that the network has not seen."""
        if not objects:
            return
        answers = [obj.pending[frame] for obj in objects]
        prompts = [obj.prompts[frame] for obj in objects]
        pointers = self.engine.pointers(frame, [a.window for a in answers], prompts)
        for obj, answer, pointer in zip(objects, answers, pointers, strict=True):
            obj.pending[frame] = replace(answer, pointer=pointer)

    def begin(self, way: Pass, ids: Iterable[int]) -> None:
        """Forget what an earlier propagation saw, so that objects go a way as the first time.

        These are jumps on that way and, forward, what lies before their first prompts.
        """
        for obj in (self.objects[i] for i in ids):
            for later in [*obj.bank.jumps]:
                frame = later - 1 if way.reverse else later
                if frame in way.frames and way.comes_to(obj.anchors, frame):
                    del obj.bank.jumps[later]
            before = () if way.reverse else [t for t in obj.bank.tracked if t < min(obj.anchors)]
            for frame in before:
                obj.bank.forget(frame)

    def recover(self, way: Pass, ids: Iterable[int], passed: Sequence[int] = ()) -> None:
        """Remember again the frames before a start in the middle of what was tracked.

        Parameters
        ----------
        way : what lies before.
        ids : of the objects.
        passed : frames of the same way before, where it goes on; they say what was missing.
        """
        if not way.frames:
            return
        for i in ids:
            self.objects[i].missing = self.objects[i].missed(passed[::-1])
        step, start = (-1 if way.reverse else 1), way.frames[0]
        reach = self.engine.model.config.num_memories - 1
        for near in range(start - step * reach, start, step):
            for obj in (self.objects[i] for i in ids):
                kept, estimate = obj.bank.tracked.get(near), obj.estimates.get(near)
                lost = kept is None or not kept.offered
                if not lost or estimate is None or near in obj.prompts:
                    continue
                if not way.reverse and near < min(obj.anchors, default=0):
                    continue  # of a pass the other way
                if way.follows(obj.anchors, start):
                    pointer = None if kept is None else kept.pointer
                    score = estimate.quality.object_score
                    item = Remembered(None, pointer, estimate.logits(), estimate.window, score)
                    (again,) = self.engine.memorize(near, [item], prompted=False)
                    obj.bank.remember(near, again, conditioning=False)

    def track(self, frame: int, way: Pass, ids: Iterable[int]) -> None:
        """Follow objects to a frame."""
        later, jump = frame, STILL
        if self.engine.windowed:
            later, jump = self.engine.jump(frame, way.reverse)
        followed: list[TrackedObject] = []
        looks: list[Look] = []
        for obj in (self.objects[i] for i in ids):
            if not way.follows(obj.anchors, frame):
                continue
            if jump != STILL and way.comes_to(obj.anchors, frame):
                self._note_jump(obj, frame, way, later, jump)
            if frame in obj.prompts:
                obj.pass_frame(frame, way.reverse, obj.estimates[frame])
                continue
            if obj.gone(frame):
                obj.pass_frame(frame, way.reverse, obj.absence())
                obj.bank.forget(frame)
                continue
            if obj.comes_from_end(frame, way.reverse):
                continue  # it is followed to here from the other side
            last = self._brought(obj, *obj.last_seen(frame, way.reverse), frame)
            if self.engine.windowed and obj.rests:
                obj.pass_frame(frame, way.reverse, last)
                obj.bank.forget(frame)
                obj.bank.evict(frame)
                continue
            selection = obj.bank.select(frame, way.reverse, len(self.engine.frames))
            followed.append(obj)
            faded = not last.kept.size and obj.faded(frame, way.reverse)
            window = self.engine.next_window(last, faded)
            shown = self._brought(obj, *obj.shown(frame, way.reverse), frame)
            looks.append(Look(obj.bank, window, selection, shown))
        for members, prediction in self.engine.track(frame, looks):
            found = Estimate.each([looks[i].window for i in members], prediction)
            for i, estimate in zip(members, found, strict=True):
                followed[i].pass_frame(frame, way.reverse, estimate)
                followed[i].bank.evict(frame)

    def _note_jump(
        self, obj: TrackedObject, frame: int, way: Pass, later: int, jump: Shift
    ) -> None:
        """Note a jump of the picture to a frame, if an object took part in it."""
        if self._jumped(obj, frame, way, later, jump):
            obj.bank.jumps[later] = jump
        else:
            obj.bank.jumps.pop(later, None)

    def _jumped(self, obj: TrackedObject, frame: int, way: Pass, later: int, jump: Shift) -> bool:
        """Whether an object took part in a jump of the picture to a frame."""
        passed = obj.estimates.get(frame + 1 if way.reverse else frame - 1)
        box = None if passed is None else passed.box()
        if passed is None or box is None:
            return True  # nobody knows where it was
        sy, sx = self.engine.geometry(passed.window).scale
        place = (box[0] / sy, box[1] / sx, box[2] / sy, box[3] / sx)
        return self.engine.takes_along(later, jump, way.reverse, place)

    def _brought(self, obj: TrackedObject, there: int, estimate: Estimate, here: int) -> Estimate:
        """Return a mask of another frame where it would be on this one, if only the stage moved."""
        y, x = shift_between(obj.bank.jumps, there, here)
        if not (y or x):
            return estimate
        sy, sx = self.engine.geometry(estimate.window).scale
        return estimate.shifted(round(y * sy / 4), round(x * sx / 4))
