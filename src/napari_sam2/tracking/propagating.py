"""Propagation and repair: which frames are visited, for which objects, in which order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_sam2.tracking.editing.merging import claimed, merged
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.answering import end
from napari_sam2.tracking.finding.births import divisions
from napari_sam2.tracking.following.follower import Follower
from napari_sam2.tracking.following.passes import (
    Direction,
    Pass,
    checked_after,
    made,
    passes,
    results_of,
)
from napari_sam2.tracking.following.workload import Workload, looks_of, workload
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.objects.repair import Stretches
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.results import FrameResult
from napari_sam2.tracking.roster import Roster


@dataclass(frozen=True)
class Newcomers:
    """New objects that are found while others are followed.

    Parameters
    ----------
    every : frames between two looks.
    find : looks on a frame; returns the ids of the objects that it made there.
    show : makes a mask (Y, X) of an object on a frame its prompt.
    free_id : returns an id for one more object, if there is one.
    dividing : cells may divide; they do not in space.
    """

    every: int
    find: Callable[[int], list[int]]
    show: Callable[[int, int, npt.NDArray[np.bool_]], None]
    free_id: Callable[[], int | None]
    dividing: bool

    def back(self, way: Pass, nth: int) -> Pass | None:
        """Return the way from the nth frame of a pass back to that of the look before.

        None where it is not looked.
        """
        if nth == 0 or nth % self.every:
            return None
        frames = way.frames[nth - self.every : nth][::-1]
        return Pass(frames, not way.reverse, from_last=False)


class Propagating(Roster):
    """The part of `TrackingSession` that follows objects; what happens on a frame is in `follower`.

    Parameters
    ----------
    frames, engine : see `Roster`.
    """

    def __init__(self, frames: Frames, engine: Engine) -> None:
        super().__init__(frames, engine)
        self._follower = Follower(engine, self._objects)

    def total_frames(
        self,
        direction: Direction = "both",
        start: int | None = None,
        stop: int | None = None,
        object_ids: Iterable[int] | None = None,
        find_every: int = 0,
    ) -> int:
        """Return how many results `propagate` will yield, or `propagate_and_find`."""
        prompted = [self._objects[i].anchors for i in self._chosen(object_ids)]
        ways = passes(direction, start, stop, len(self.frames), prompted)
        return sum(results_of(len(way.frames), find_every) for way in ways)

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

    @torch.inference_mode()
    def propagate(
        self,
        direction: Direction = "both",
        start: int | None = None,
        stop: int | None = None,
        object_ids: Iterable[int] | None = None,
        after: int = 0,
    ) -> Generator[FrameResult, None, None]:
        """Follow the objects through the stack, frame by frame.

        Forward, every object is followed from its first prompt to the end; backward, from its
        first prompt to frame 0 (alone: from its last). Stop iterating at any time: what was
        yielded stays valid. A prompt that is given meanwhile counts from the next frame on; the
        frames that it concerns, those passed before it included, are left to `repair`. An object
        that is new meanwhile is not followed.

        Parameters
        ----------
        direction : "forward", "backward" or "both" (forward first).
        start, stop : frames to touch, `start` included, `stop` not.
        object_ids : follow only these; the masks of the others stay as they are, and so do those
            of locked objects.
        after : go on with a propagation that was stopped after so many results, from the same
            prompts; only the other results come.

        Yields
        ------
        FrameResult
            One per frame, holding all objects, those known from before included.

        Raises
        ------
        InputError
            If there is nothing to follow, or an id or the range does not exist.
        """
        with self.frames.reading_ahead():
            yield from self._following(direction, start, stop, object_ids, after, None)

    def _following(
        self,
        direction: Direction,
        start: int | None,
        stop: int | None,
        object_ids: Iterable[int] | None,
        after: int,
        newcomers: Newcomers | None,
    ) -> Generator[FrameResult, None, None]:
        """Follow objects, and those that are found on the way; see `propagate`."""
        ids = self._chosen(object_ids)
        prompted = [self._objects[i].anchors for i in ids]
        ways = passes(direction, start, stop, len(self.frames), prompted)
        after = checked_after(after)
        self._note_begin(ids, newcomers is not None and not after)
        for way in ways:
            begun = made(len(way.frames), after, newcomers.every if newcomers else 0)
            done, after = begun.visits, begun.left
            ids = self._with_new_prompts(ids)
            new = self._found_on(way, ids) if newcomers and done else []
            back = newcomers.back(way, done - 1) if newcomers and begun.unshown else None
            for again in () if back is None else back.frames[-begun.unshown :]:
                yield merged(again, self._objects, self._engine)
            left = replace(way, frames=way.frames[done:])
            if not done:
                self._follower.begin(way, ids)
            self._follower.recover(left, [*ids, *new], way.frames[:done])
            for nth, frame in enumerate(way.frames[done:], start=done):
                for following in way.frames[nth + 1 : nth + 2]:
                    self.frames.expect(following)
                ids, new = self._with_new_prompts(ids), self._with_new_prompts(new)
                self._follower.track(frame, way, [*ids, *new])
                back = None if newcomers is None else newcomers.back(way, nth)
                if newcomers is not None and back is not None:
                    found = newcomers.find(frame)
                    self._follow_back(back, found)
                    new += found
                    if newcomers.dividing and not way.reverse:
                        new += self._take_for_daughters(found, back.frames[-1], newcomers)
                    for i in new:
                        self._objects[i].found = way.reverse
                yield merged(frame, self._objects, self._engine)
                for again in () if back is None else back.frames:
                    yield merged(again, self._objects, self._engine)
        for i in self._still(ids):
            self._objects[i].settle()

    def _note_begin(self, ids: Iterable[int], nothing_found: bool) -> None:
        """Take note that objects begin to be followed, and whether no other was found as yet."""
        for i in ids:
            self._objects[i].note_known()
        for obj in self._objects.values() if nothing_found else ():
            obj.found = None

    def _found_on(self, way: Pass, ids: Sequence[int]) -> list[int]:
        """Return the objects that were found on a way before it was left, but those given."""
        found = (i for i in self._checked_ids(None) if self._objects[i].found is way.reverse)
        return [i for i in found if i not in ids and self._objects[i].anchors]

    def _follow_back(self, way: Pass, ids: Sequence[int]) -> None:
        """Follow new objects back to the look before, or to where they run into another one."""
        left = self._with_new_prompts(ids)
        self._follower.recover(way, left)
        for frame in way.frames:
            if not left:
                break
            others = merged(frame, self._objects, self._engine).labels
            self._follower.track(frame, way, left)
            left = [i for i in left if not self._runs_into(i, frame, others)]
        for i in ids:
            self._objects[i].missing = 0

    def _take_for_daughters(
        self, found: Sequence[int], since: int, newcomers: Newcomers
    ) -> list[int]:
        """Say whose daughters new objects are; returns those that were their mothers till now."""
        sisters = []
        for one in divisions(self._engine, self._objects, found, since):
            mother, ids = self._objects[one.mother], list(one.daughters)
            if one.goes_on:
                sister = newcomers.free_id()
                if sister is None or one.frame not in mother.estimates:
                    continue
                place, claims = claimed(self._engine, mother, one.frame)
                mask = np.zeros(self.frames.shape, dtype=bool)
                mask[place] = claims > 0
                if not mask.any():
                    continue
                self.split_object(one.mother, one.frame, sister)
                newcomers.show(sister, one.frame, mask)
                self._objects[sister].changed.clear()
                ids.append(sister)
                sisters.append(sister)
            end(one.mother, mother, one.frame, Prompt(absent=True))
            mother.changed.pop(one.frame, None)
            for i in ids:
                self.set_parent(i, one.mother)
        return sisters

    def _runs_into(self, object_id: int, frame: int, others: npt.NDArray[Any]) -> bool:
        """Say that an object begins after a frame on which most of its mask is another's.

        A daughter that is followed back becomes her mother.
        """
        obj = self._objects[object_id]
        place, claims = claimed(self._engine, obj, frame)
        mask = claims > 0
        if np.count_nonzero(others[place][mask]) <= np.count_nonzero(mask) / 2:
            return False
        end(object_id, obj, frame, Prompt(absent=True))
        obj.changed.pop(frame, None)  # nothing lies before
        return True

    def _still(self, ids: Iterable[int]) -> list[int]:
        """Leave out what was deleted between two frames."""
        return [i for i in ids if i in self._objects]

    def _with_new_prompts(self, ids: Iterable[int]) -> list[int]:
        """Take prompts that were given between two frames into the memory banks."""
        ids = [i for i in self._still(ids) if self._objects[i].anchors]
        self._follower.memorize_prompts(ids)
        return ids

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
        Objects that were never followed are left to `propagate`; see `stale_objects`.

        Parameters
        ----------
        object_ids : repair only these, as far as they are not locked.

        Yields
        ------
        FrameResult
            First the frames whose prompts have changed, then one per frame that is computed again;
            each holds all objects.

        Raises
        ------
        InputError
            If an id does not exist.
        """
        ids = self._checked_ids(object_ids)
        parts = {i: self._objects[i].stretches() for i in ids}
        for i in ids:
            self._objects[i].note_known()
        for frame in self._prompted_anew(ids):
            yield merged(frame, self._objects, self._engine)
        for reverse in (False, True):
            frames = {i: set(p.backward if reverse else p.forward) for i, p in parts.items()}
            for frame in sorted({t for some in frames.values() for t in some}, reverse=reverse):
                members = [i for i, some in frames.items() if frame in some]
                members = self._with_new_prompts(members)
                way = Pass(range(frame, frame + 1), reverse, from_last=False)
                step = 1 if reverse else -1
                self._follower.recover(way, [i for i in members if frame + step not in frames[i]])
                self._follower.track(frame, way, members)
                yield merged(frame, self._objects, self._engine)
        for i in self._still(ids):
            self._objects[i].settle()

    def to_repair(self, object_ids: Iterable[int] | None = None) -> list[int]:
        """Return the objects that `repair` would change.

        Raises
        ------
        InputError
            If an id does not exist.
        """
        known = [(i, self._objects[i]) for i in self._checked_ids(object_ids)]
        return [i for i, obj in known if obj.changed or obj.stretches() != Stretches()]

    def total_repaired(self, object_ids: Iterable[int] | None = None) -> int:
        """Return how many results `repair` will yield."""
        ids = self._checked_ids(object_ids)
        parts = [self._objects[i].stretches() for i in ids]
        ways = ({t for p in parts for t in p.forward}, {t for p in parts for t in p.backward})
        return len(self._prompted_anew(ids)) + sum(map(len, ways))

    def _prompted_anew(self, ids: Iterable[int]) -> list[int]:
        """Return the frames whose prompts have changed since they were passed, rising."""
        return sorted({t for i in ids for t in self._objects[i].changed})

    def _chosen(self, object_ids: Iterable[int] | None) -> list[int]:
        ids = [i for i in self._checked_ids(object_ids) if self._objects[i].anchors]
        if not ids and self.locked:
            raise InputError("all objects with prompts are locked; unlock one to propagate it")
        if not ids:
            raise InputError("nothing to propagate; click, box or paint an object on a frame first")
        return ids
