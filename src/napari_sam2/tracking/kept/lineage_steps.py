"""Steps about who is whose daughter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:  # a window has steps before it has torch
    from napari_sam2.tracking.kept.steps import Results
    from napari_sam2.tracking.session import TrackingSession


@dataclass(frozen=True)
class Divide:
    """Say that an object divides, as `TrackingSession.divide`."""

    kind: ClassVar[str] = "divide"
    object_id: int
    frame: int
    daughters: tuple[int, int]

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name the mother and the daughters."""
        return (self.object_id, *self.daughters)

    def run(self, session: TrackingSession) -> Results:
        """Yield the frame of the division, as far as the mother was there."""
        places = session.places([self.object_id], [self.frame])
        session.divide(self.object_id, self.frame, self.daughters)
        yield from session.parts(places)

    def describe(self) -> str:
        """Name it for a menu."""
        return f"division of object {self.object_id} on frame {self.frame}"


@dataclass(frozen=True)
class SetParents:
    """Say whose daughters objects are.

    Parameters
    ----------
    parents : id of the mother, None for nobody, by id of the daughter.
    """

    kind: ClassVar[str] = "parents"
    parents: Mapping[int, int | None]

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name the daughters."""
        return tuple(self.parents)

    def run(self, session: TrackingSession) -> Results:
        """Yield nothing: masks stay."""
        for object_id, parent in self.parents.items():
            session.set_parent(object_id, parent)
        yield from ()

    def describe(self) -> str:
        """Name it for a menu."""
        names = ", ".join(str(i) for i in self.parents)
        return f"mother of object{'s' if len(self.parents) > 1 else ''} {names}"
