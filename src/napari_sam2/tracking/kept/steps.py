"""What a user does to a session, one step at a time, in a form that can be written down."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from napari_sam2.tracking.following.passes import Direction
from napari_sam2.tracking.objects.lineage import daughters
from napari_sam2.tracking.prompt import Prompt, Prompts

if TYPE_CHECKING:  # a window has steps before it has torch
    from napari_sam2.tracking.results import FrameResult
    from napari_sam2.tracking.session import TrackingSession

    Results = Generator[FrameResult, None, None]


class Step(Protocol):
    """Something that changes a session, and can be done again with the same outcome."""

    kind: ClassVar[str]

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Ids of the objects that it may change."""

    def run(self, session: TrackingSession) -> Results:
        """Do it; yields each frame whose masks may have changed."""

    def describe(self) -> str:
        """Name it for a menu: "click on object 3, frame 5"."""


@dataclass(frozen=True)
class SetPrompt:
    """Say all that is said of an object on a frame; None takes it back."""

    kind: ClassVar[str] = "prompt"
    object_id: int
    frame: int
    prompt: Prompt | None

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name the one object."""
        return (self.object_id,)

    def run(self, session: TrackingSession) -> Results:
        """Yield the prompted frame, as far as the object is there."""
        before = session.places([self.object_id], [self.frame])
        session.set_prompt(self.object_id, self.frame, self.prompt)
        yield from session.parts(before, session.places([self.object_id], [self.frame]))

    def describe(self) -> str:
        """Name it for a menu."""
        what = "prompt" if self.prompt is not None else "removed prompt"
        return f"{what} of object {self.object_id} on frame {self.frame}"


@dataclass(frozen=True)
class AddPrompts:
    """Add the prompts of many objects at once."""

    kind: ClassVar[str] = "prompts"
    prompts: Prompts

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name all of them."""
        return tuple(self.prompts)

    def run(self, session: TrackingSession) -> Results:
        """Yield the prompted frames."""
        session.add_prompts(self.prompts)
        for frame in sorted({frame for by_frame in self.prompts.values() for frame in by_frame}):
            yield session.result(frame)

    def describe(self) -> str:
        """Name it for a menu."""
        return "prompt" if len(self.prompts) == 1 else f"prompts of {len(self.prompts)} objects"


@dataclass(frozen=True)
class AdoptMasks:
    """Make objects of masks that another program found.

    Parameters
    ----------
    masks : object id -> frame -> mask, as `mask_text` writes it.
    parents : id of the mother by id of the daughter, both among these objects.
    """

    kind: ClassVar[str] = "adopt"
    masks: Mapping[int, Mapping[int, Mapping[str, Any]]]
    parents: Mapping[int, int] = field(default_factory=dict)

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name all of them."""
        return tuple(self.masks)

    def run(self, session: TrackingSession) -> Results:
        """Yield all frames that they are on."""
        yield from session.adopt_objects(self.masks)
        for object_id, parent in self.parents.items():
            session.set_parent(object_id, parent)

    @property
    def cost(self) -> int:
        """How many results it yields."""
        return len({frame for masks in self.masks.values() for frame in masks})

    def describe(self) -> str:
        """Name it for a menu."""
        return f"import of {len(self.masks)} objects"


@dataclass(frozen=True)
class RemoveObject:
    """Forget an object, or several, as far as there are such objects."""

    kind: ClassVar[str] = "remove"
    object_id: int
    others: tuple[int, ...] | None = None

    @property
    def object_ids(self) -> tuple[int, ...]:
        """All of them."""
        return (self.object_id, *(self.others or ()))

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name the objects and their daughters."""
        parents = session.parents
        orphans = [d for i in self.object_ids for d in daughters(parents, i)]
        return tuple(dict.fromkeys((*self.object_ids, *orphans)))

    def run(self, session: TrackingSession) -> Results:
        """Yield the frames that they were on, as far as they were there."""
        places = session.places(self.object_ids)
        for i in self.object_ids:
            if i in session.object_ids:
                session.remove_object(i)
        yield from session.parts(places)

    def describe(self) -> str:
        """Name it for a menu."""
        if self.others:
            return f"deletion of {len(self.object_ids)} objects"
        return f"deletion of object {self.object_id}"


@dataclass(frozen=True)
class MergeObjects:
    """Give an object's masks and prompts, or those of several, to another one."""

    kind: ClassVar[str] = "merge"
    kept: int
    absorbed: int
    others: tuple[int, ...] | None = None

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Those that go."""
        return (self.absorbed, *(self.others or ()))

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name all of them and the daughters of those that go."""
        parents = session.parents
        orphans = [d for i in self.object_ids for d in daughters(parents, i)]
        return tuple(dict.fromkeys((self.kept, *self.object_ids, *orphans)))

    def run(self, session: TrackingSession) -> Results:
        """Yield the frames that any was on, as far as they were there."""
        before = session.places((self.kept, *self.object_ids))
        for absorbed in self.object_ids:
            session.merge_objects(self.kept, absorbed)
        yield from session.parts(before, session.places([self.kept]))

    def describe(self) -> str:
        """Name it for a menu."""
        if self.others:
            return f"merging of {len(self.object_ids)} objects into {self.kept}"
        return f"merging of object {self.absorbed} into {self.kept}"


@dataclass(frozen=True)
class SplitObject:
    """Make what is known of an object from a frame on a new object."""

    kind: ClassVar[str] = "split"
    object_id: int
    frame: int
    new_id: int

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name the old and the new one, and the daughters."""
        return (self.object_id, self.new_id, *daughters(session.parents, self.object_id))

    def run(self, session: TrackingSession) -> Results:
        """Yield the frames of the new object, as far as it is there."""
        session.split_object(self.object_id, self.frame, self.new_id)
        yield from session.parts(session.places([self.new_id]))

    def describe(self) -> str:
        """Name it for a menu."""
        return f"splitting of object {self.object_id} at frame {self.frame}"


@dataclass(frozen=True)
class LockObject:
    """Keep objects as they are, or allow them to be followed again, as far as there are such."""

    kind: ClassVar[str] = "lock"
    object_id: int
    locked: bool
    others: tuple[int, ...] | None = None

    @property
    def object_ids(self) -> tuple[int, ...]:
        """All of them."""
        return (self.object_id, *(self.others or ()))

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name the objects."""
        return self.object_ids

    def run(self, session: TrackingSession) -> Results:
        """Yield nothing: masks stay."""
        there = set(session.object_ids)
        session.lock_objects([i for i in self.object_ids if i in there], self.locked)
        yield from ()

    def describe(self) -> str:
        """Name it for a menu."""
        what = f"{len(self.object_ids)} objects" if self.others else f"object {self.object_id}"
        return f"{'locking' if self.locked else 'unlocking'} of {what}"


@dataclass(frozen=True)
class Propagate:
    """Follow objects through the stack, as `TrackingSession.propagate`.

    Parameters
    ----------
    direction, start, stop, object_ids, after : as there.
    frames : stop after so many results; None for all.
    """

    kind: ClassVar[str] = "propagate"
    direction: Direction = "both"
    start: int | None = None
    stop: int | None = None
    object_ids: tuple[int, ...] | None = None
    frames: int | None = None
    after: int = 0

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name those that are followed."""
        return session.object_ids if self.object_ids is None else self.object_ids

    def run(self, session: TrackingSession) -> Results:
        """Yield the frames that are visited."""
        results = session.propagate(
            self.direction, self.start, self.stop, self.object_ids, self.after
        )
        return limited(results, self.frames)

    def stopped(self, frames: int, object_ids: Iterable[int]) -> Self:
        """Return it as far as it has come.

        Parameters
        ----------
        frames : results that there were.
        object_ids : of the session before it.
        """
        ids = tuple(object_ids) if self.object_ids is None else self.object_ids
        return replace(self, frames=frames, object_ids=ids)

    @property
    def rest(self) -> Self | None:
        """What is left of one that was stopped; None of another."""
        if self.frames is None:
            return None
        return replace(self, frames=None, after=self.after + self.frames)

    def describe(self) -> str:
        """Name it for a menu."""
        return f"propagation {self.direction}"


@dataclass(frozen=True)
class Repair:
    """Compute again what changed prompts concern, as `TrackingSession.repair`."""

    kind: ClassVar[str] = "repair"
    object_ids: tuple[int, ...] | None = None
    frames: int | None = None

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name those that are repaired; the others need not be kept for undo."""
        return session.to_repair(self.object_ids)

    def run(self, session: TrackingSession) -> Results:
        """Yield the frames that are computed again."""
        return limited(session.repair(self.object_ids), self.frames)

    def stopped(self, frames: int, _object_ids: Iterable[int]) -> Repair:
        """Return it as far as it has come; what is left stays to be repaired."""
        return replace(self, frames=frames)

    def describe(self) -> str:
        """Name it for a menu."""
        return "repair"


@dataclass(frozen=True)
class CloseGaps:
    """Interpolate what is missing between two masks, as `TrackingSession.close_gaps`."""

    kind: ClassVar[str] = "close gaps"
    longest: int = 1
    object_ids: tuple[int, ...] | None = None

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name those with gaps."""
        return tuple(session.gaps(self.longest, self.object_ids))

    def run(self, session: TrackingSession) -> Results:
        """Yield the frames that got masks."""
        found = session.close_gaps(self.longest, self.object_ids)
        for frame in sorted({t for frames in found.values() for t in frames}):
            yield session.result(frame)

    def describe(self) -> str:
        """Name it for a menu."""
        return "closing of gaps"


def limited(results: Results, count: int | None) -> Results:
    """Yield so many results and end the rest, as a user does who cancels; None yields all."""
    if count is None:
        yield from results
        return
    with closing(results):
        yield from islice(results, count)
