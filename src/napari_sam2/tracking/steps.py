"""What a user does to a session, one step at a time, in a form that can be written down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from napari_sam2.tracking.passes import Direction
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.tracking.results import FrameResult
from napari_sam2.tracking.session import TrackingSession


@runtime_checkable
class Step(Protocol):
    """Something that changes a session, and can be done again with the same outcome."""

    kind: ClassVar[str]

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Ids of the objects that it may change."""

    def run(self, session: TrackingSession) -> Iterator[FrameResult]:
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

    def run(self, session: TrackingSession) -> Iterator[FrameResult]:
        """Yield the prompted frame."""
        session.set_prompt(self.object_id, self.frame, self.prompt)
        yield session.result(self.frame)

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

    def run(self, session: TrackingSession) -> Iterator[FrameResult]:
        """Yield the prompted frames."""
        session.add_prompts(self.prompts)
        for frame in sorted({frame for by_frame in self.prompts.values() for frame in by_frame}):
            yield session.result(frame)

    def describe(self) -> str:
        """Name it for a menu."""
        return "prompt" if len(self.prompts) == 1 else f"prompts of {len(self.prompts)} objects"


@dataclass(frozen=True)
class RemoveObject:
    """Forget an object, if there is one."""

    kind: ClassVar[str] = "remove"
    object_id: int

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name the one object."""
        return (self.object_id,)

    def run(self, session: TrackingSession) -> Iterator[FrameResult]:
        """Yield the frames that it was on."""
        if self.object_id not in session.object_ids:
            return
        frames = session.frames_of(self.object_id)
        session.remove_object(self.object_id)
        for frame in frames:
            yield session.result(frame)

    def describe(self) -> str:
        """Name it for a menu."""
        return f"deletion of object {self.object_id}"


@dataclass(frozen=True)
class Propagate:
    """Follow objects through the stack, as `TrackingSession.propagate`.

    Parameters
    ----------
    frames : stop after so many results; None for all.
    """

    kind: ClassVar[str] = "propagate"
    direction: Direction = "both"
    start: int | None = None
    stop: int | None = None
    object_ids: tuple[int, ...] | None = None
    frames: int | None = None

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name those that are followed."""
        return session.object_ids if self.object_ids is None else self.object_ids

    def run(self, session: TrackingSession) -> Iterator[FrameResult]:
        """Yield the frames that are visited."""
        results = session.propagate(self.direction, self.start, self.stop, self.object_ids)
        return limited(results, self.frames)

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
        """Name those that are repaired."""
        return session.object_ids if self.object_ids is None else self.object_ids

    def run(self, session: TrackingSession) -> Iterator[FrameResult]:
        """Yield the frames that are computed again."""
        return limited(session.repair(self.object_ids), self.frames)

    def describe(self) -> str:
        """Name it for a menu."""
        return "repair"


def limited(results: Iterator[FrameResult], count: int | None) -> Iterator[FrameResult]:
    """Yield so many results and end the rest, as a user does who cancels; None yields all."""
    if count is None:
        yield from results
        return
    done = 0
    try:
        while done < count:
            result = next(results, None)
            if result is None:
                return
            done += 1
            yield result
    finally:
        close = getattr(results, "close", None)
        if close is not None:
            close()
