"""Following objects and finding new ones on the way, as a step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from napari_sam2.tracking.kept.steps import Propagate, limited

if TYPE_CHECKING:
    from napari_sam2.tracking.kept.steps import Results
    from napari_sam2.tracking.session import TrackingSession


@dataclass(frozen=True)
class PropagateAndFind(Propagate):
    """Follow all objects, and find new ones, as `TrackingSession.propagate_and_find`.

    Parameters
    ----------
    every : frames between two looks.
    diameter : of a typical cell in data pixels; None: found out.
    first_id, last_id : ids that new objects may get.
    dividing : say whose daughters they are.
    """

    kind: ClassVar[str] = "propagate and find"
    every: int = 10
    diameter: float | None = None
    first_id: int = 1
    last_id: int | None = None
    dividing: bool = False

    def touches(self, session: TrackingSession) -> Iterable[int]:
        """Name all objects: those that were found before the step went on are followed, too."""
        return session.object_ids

    def run(self, session: TrackingSession) -> Results:
        """Yield the frames that are visited."""
        results = session.propagate_and_find(
            self.every,
            diameter=self.diameter,
            direction=self.direction,
            start=self.start,
            stop=self.stop,
            first_id=self.first_id,
            last_id=self.last_id,
            dividing=self.dividing,
            object_ids=self.object_ids,
            after=self.after,
        )
        return limited(results, self.frames)
