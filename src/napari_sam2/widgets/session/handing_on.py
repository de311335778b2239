"""What a session that is opened anew is told besides prompts: mothers, and what is locked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from weakref import ref

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.lineage_steps import SetParents
from napari_sam2.tracking.kept.steps import AdoptMasks, LockObject

if TYPE_CHECKING:
    from napari_sam2.widgets.layers.results import ResultWriter
    from napari_sam2.widgets.session.record import Record


@dataclass(frozen=True)
class HandedOn:
    """What a session knew besides prompts.

    Parameters
    ----------
    writer
        Returns where its labels went: only a session that writes there is told.
    parents
        The mother's id by the daughter's.
    locked, imported
        Objects.
    """

    writer: Callable[[], ResultWriter | None] = lambda: None
    parents: Mapping[int, int] = field(default_factory=dict)
    locked: frozenset[int] = frozenset()
    imported: frozenset[int] = frozenset()

    @classmethod
    def of(cls, record: Record, writer: ResultWriter) -> Self:
        """Look at a session; its writer is not kept in memory."""
        session, steps = record.history.session, record.history.steps
        imported = (i for step in steps if isinstance(step, AdoptMasks) for i in step.masks)
        parents, locked = dict(session.parents), frozenset(session.locked)
        return cls(ref(writer), parents, locked, frozenset(imported))

    def to(self, record: Record) -> None:
        """Say it again."""
        for object_id in sorted(self.locked):
            record.history.do(LockObject(object_id, True))
        for daughter, mother in self.parents.items():
            with suppress(InputError):  # one that was not shown yet is not there
                record.history.do(SetParents({daughter: mother}))
