"""The objects of a session, and what can be done to them without the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from napari_sam2.tracking.editing.editing import merge, split
from napari_sam2.tracking.editing.gaps import close, gaps
from napari_sam2.tracking.editing.merging import ceded, merged, merged_parts
from napari_sam2.tracking.editing.parts import Places, depending, joined
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.answering import end
from napari_sam2.tracking.kept.packing import packed, unpacked
from napari_sam2.tracking.masks.thin_mask import Place
from napari_sam2.tracking.memory_bank import MemoryBank
from napari_sam2.tracking.objects import lineage
from napari_sam2.tracking.objects.estimates import Quality
from napari_sam2.tracking.objects.objects import TrackedObject
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.register import Register
from napari_sam2.tracking.results import FrameResult, Trace
from napari_sam2.tracking.whole_numbers import whole_number

# Object id -> what was known of it; None where it did not exist.
Snapshot = Mapping[int, TrackedObject | None]


class Roster(Register):
    """Objects by id; the part of `TrackingSession` that computes nothing."""

    @property
    def prompts(self) -> dict[int, dict[int, Prompt]]:
        """Prompts by object id and frame. May be asked for from any thread."""
        return {i: dict(o.prompts) for i, o in dict(self._objects).items()}

    @property
    def parents(self) -> dict[int, int]:
        """Id of the mother by id of the daughter. May be asked for from any thread."""
        return lineage.parents(self._objects)

    @property
    def waiting_daughters(self) -> list[int]:
        """Ids of daughters that have neither a prompt nor a mask yet. From any thread."""
        return lineage.waiting(self._objects)

    def set_parent(self, object_id: int, parent: int | None) -> None:
        """Say whose daughter an object is.

        If the mother was said to end, and her daughter begins no earlier, it is as if the mother
        had divided there, see `divide`.

        Parameters
        ----------
        object_id : the daughter.
        parent : the mother; None: nobody.

        Raises
        ------
        InputError
            If an object does not exist, or the mother is the daughter herself or descends from
            her, has no mask, or begins no earlier than she does.
        """
        object_id = self._existing_id(object_id)
        if parent is not None:
            parent = self._existing_id(parent)
        lineage.set_parent(self._objects, object_id, parent, len(self.frames))

    def divide(
        self, object_id: int, frame: int, daughters: tuple[int, int] | None = None
    ) -> tuple[int, int]:
        """Say that an object divides: it ends before a frame, where two daughters begin.

        The daughters are new objects without a mask: prompt them. They are not followed to frames
        before the division, unless they are prompted there. `repair` follows them from there to the
        end of the stack, and takes away what the mother had there.

        Parameters
        ----------
        object_id : the mother.
        frame : the first one on which there are two cells.
        daughters : their ids; by default the two lowest above all others.

        Returns
        -------
        tuple of int
            The ids of the daughters.

        Raises
        ------
        InputError
            If there is no such object or frame, the object is not known before that frame or is
            prompted later, or the ids cannot be used.
        """
        object_id, frame = self._existing_id(object_id), whole_number(frame, "a frame")
        obj, last = self._objects[object_id], max(self._objects)
        given = (last + 1, last + 2) if daughters is None else daughters
        if len(given) != 2:
            raise InputError(f"an object divides into two, but ids were given for {len(given)}")
        ids = self._checked_new_id(given[0]), self._checked_new_id(given[1])
        lineage.check_division(self._objects, object_id, frame, ids, len(self.frames))
        end(object_id, obj, frame, Prompt(absent=True))
        for i in ids:
            birth = lineage.Birth(object_id, frame, len(self.frames))
            self._objects[i] = TrackedObject(self._new_bank(), birth=birth)
        return ids

    def remove_object(self, object_id: int) -> None:
        """Forget an object; its daughters stay, without a mother.

        Raises
        ------
        InputError
            If there is no such object.
        """
        self._existing(object_id)
        lineage.free_daughters(self._objects, object_id)
        del self._objects[object_id]

    def merge_objects(self, kept: int, absorbed: int) -> tuple[int, ...]:
        """Give an object's masks and prompts to another one, see `editing.merge`.

        It has the mother of the one that begins first, and the daughters of both.

        Returns
        -------
        tuple of int
            Frames on which either was known.

        Raises
        ------
        InputError
            If an object does not exist, or both are the same.
        """
        kept, absorbed = self._existing_id(kept), self._existing_id(absorbed)
        if kept == absorbed:
            raise InputError(f"object {kept} cannot be merged with itself; choose two objects")
        one, other = self._objects[kept], self._objects[absorbed]
        frames = tuple(sorted({*one.estimates, *other.estimates}))
        lineage.inherit(self._objects, kept, absorbed)
        merge(one, other, self._engine)
        del self._objects[absorbed]
        return frames

    def split_object(self, object_id: int, frame: int, new_id: int | None = None) -> int:
        """Make what is known of an object from a frame on a new object, see `editing.split`.

        The new one has no mother; daughters that begin later are its own.

        Parameters
        ----------
        object_id : keeps what is known of it before `frame`.
        frame : the first of the new object.
        new_id : of the new object; by default the lowest above all others.

        Returns
        -------
        int
            The id of the new object.

        Raises
        ------
        InputError
            If there is no such object, or nothing is known of it on one of the sides, or the new
            id cannot be used.
        """
        object_id, frame = self._existing_id(object_id), whole_number(frame, "a frame")
        obj = self._objects[object_id]
        new = self._checked_new_id(max(self._objects) + 1 if new_id is None else new_id)
        known = sorted(obj.estimates)
        if not known or not known[0] < frame <= known[-1]:
            raise InputError(
                f"object {object_id} cannot be split at frame {frame}: it has no masks "
                + ("before that frame" if known and frame <= known[0] else "from that frame on")
            )
        self._objects[new] = split(obj, frame)
        lineage.part(self._objects, object_id, frame, new)
        return new

    @property
    def locked(self) -> set[int]:
        """Objects that are not followed, and whose pixels no other object gets.

        May be asked for from any thread.
        """
        return {i for i, obj in dict(self._objects).items() if obj.locked}

    def lock_object(self, object_id: int, locked: bool = True) -> None:
        """Keep an object as it is: it is not followed, and no other object gets its pixels.

        Raises
        ------
        InputError
            If there is no such object.
        """
        self.lock_objects([object_id], locked)

    def lock_objects(self, object_ids: Iterable[int], locked: bool = True) -> None:
        """Keep objects as they are, or allow them to be followed again; see `lock_object`.

        Raises
        ------
        InputError
            If one of them does not exist; nothing is changed then.
        """
        objects = {self._existing_id(i): self._existing(i) for i in object_ids}
        new = [i for i, obj in objects.items() if locked and not obj.locked]
        others = ceded(new, self._objects, self._engine) if new else {}
        for i, obj in objects.items():
            if i in new or not locked:
                obj.ceded = dict(others.get(i, {}))
            obj.locked = bool(locked)

    def gaps(
        self, longest: int = 1, object_ids: Iterable[int] | None = None
    ) -> dict[int, tuple[int, ...]]:
        """Return, by object id, the frames that `close_gaps` would fill.

        Raises
        ------
        InputError
            If an id does not exist, or `longest` is below 1.
        """
        longest = whole_number(longest, "the longest gap")
        if longest < 1:
            raise InputError(f"gaps of {longest} frames cannot be closed; give 1 or more")
        found = {
            i: tuple(t for gap in gaps(self._objects[i], longest) for t in gap)
            for i in self._checked_ids(object_ids)
        }
        return {i: frames for i, frames in found.items() if frames}

    def close_gaps(
        self, longest: int = 1, object_ids: Iterable[int] | None = None
    ) -> dict[int, tuple[int, ...]]:
        """Interpolate masks where an object was lost for a moment; nothing is computed by the net.

        A gap lies between two masks of an object and holds no prompt; one that says that the
        object is not there is one, too. The masks are marked as interpolated, take no pixel of
        another object, and are replaced when the object is followed over them again.

        Parameters
        ----------
        longest : frames in a row; longer gaps stay.
        object_ids : only of these, as far as they are not locked.

        Returns
        -------
        dict
            The frames that got a mask, by object id.

        Raises
        ------
        InputError
            If an id does not exist, or `longest` is below 1.
        """
        filled = {}
        for i in self.gaps(longest, object_ids):
            obj = self._objects[i]
            frames = [t for gap in [*gaps(obj, longest)] for t in close(obj, gap, self._engine)]
            if frames:
                filled[i] = tuple(frames)
        return filled

    def result(self, frame: int) -> FrameResult:
        """Return what is known of all objects on a frame, without computing anything new.

        May be called from any thread while another one works with the session.

        Raises
        ------
        InputError
            If the frame does not exist.
        """
        frame = self._checked_frame(frame)
        return merged(frame, dict(self._objects), self._engine)

    def places(
        self, object_ids: Iterable[int], frames: Sequence[int] | None = None
    ) -> dict[int, Place]:
        """Return, by frame, the part whose labels may be others without some objects.

        Parameters
        ----------
        object_ids : of those of them that exist.
        frames : by default all on which something is known of any of those.
        """
        return depending(object_ids, self._objects, self.frames.shape, frames)

    def parts(self, *places: Places) -> Iterator[FrameResult]:
        """Yield what is known of parts of frames, by rising frame; see `FrameResult.place`.

        Parameters
        ----------
        places : by frame; of several, what holds all of them.
        """
        wanted = joined(places, self.frames.shape)
        yield from merged_parts(wanted, dict(self._objects), self._engine)

    def traces(self) -> dict[int, Trace]:
        """Return, by object id, where each object is and how sure, without masks.

        May be called from any thread while another one works with the session.
        """
        return {i: obj.estimates.trace(self.frames.shape) for i, obj in dict(self._objects).items()}

    def qualities(self) -> dict[int, dict[int, Quality]]:
        """Return how sure the network is, by object id and frame.

        May be called from any thread while another one works with the session.
        """
        return {
            i: {t: e.quality for t in [*obj.estimates] if (e := obj.estimates.get(t)) is not None}
            for i, obj in dict(self._objects).items()
        }

    def snapshot(self, object_ids: Iterable[int] | None = None) -> Snapshot:
        """Return all that is known of some objects (default: all), to come back to.

        Ids that do not exist are noted as not existing. What both have in common is shared, so a
        snapshot costs little.
        """
        ids = self.object_ids if object_ids is None else object_ids
        known = self._objects
        return {i: known[i].copy() if i in known else None for i in ids}

    @contextmanager
    def _all_or_nothing(self, object_ids: Iterable[int]) -> Iterator[None]:
        """Put some objects back as they were if what is done within does not come to its end."""
        before = self.snapshot(object_ids)
        try:
            yield
        except BaseException:  # also where the user ends it
            self.restore(before)
            raise

    def restore(self, snapshot: Snapshot) -> None:
        """Put the objects of a snapshot back as they were; others stay as they are."""
        for object_id, obj in snapshot.items():
            if obj is None:
                self._objects.pop(object_id, None)
            else:
                self._objects[object_id] = obj.copy()

    def packed(self, object_ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Yield all that is known of some objects as bytes, with their ids, for `unpack`."""
        for i in object_ids:
            yield i, packed(self._existing(i))

    def unpack(self, objects: Mapping[int, bytes]) -> None:
        """Bring objects back as they were packed, in the place of all others.

        Raises
        ------
        ValueError
            If one of them was not packed by a session like this one; nothing is changed then.
        """
        grids, length = set(self._engine.levels), len(self.frames)
        found = {i: unpacked(data, self._new_bank(), length, grids) for i, data in objects.items()}
        if not set(lineage.parents(found).values()) <= found.keys():
            raise ValueError("a mother that is not kept")
        self._objects.clear()
        self._objects.update(found)

    def _new_bank(self) -> MemoryBank:
        config = self._engine.model.config
        return MemoryBank(config.num_memories, config.max_pointers)

    def frames_of(self, object_id: int) -> list[int]:
        """Return the frames on which something is known of an object, rising."""
        known = self._objects.get(object_id)
        return [] if known is None else sorted(known.estimates)

    def _known(self, object_id: int, frame: int) -> Prompt | None:
        known = self._objects.get(object_id)
        return None if known is None else known.prompts.get(frame)
