"""The objects of a session by id, and the checks of what is said of them."""

from __future__ import annotations

from collections.abc import Iterable

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.masklets import label_dtype
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.objects.objects import TrackedObject
from napari_sam2.tracking.whole_numbers import whole_number


class Register:
    """Objects by id; ids and frames that are given come back as Python's integers.

    Parameters
    ----------
    frames : the stack that they are on.
    engine : knows the levels that they live on.
    """

    def __init__(self, frames: Frames, engine: Engine) -> None:
        self.frames = frames
        self._engine = engine
        # Other threads read it by `dict(...)`, which cannot be interrupted. `[*....items()]` can: a
        # garbage collection that the tuples set off may run Python code, and so another thread.
        self._objects: dict[int, TrackedObject] = {}

    @property
    def object_ids(self) -> list[int]:
        """Ids of all objects, in the order in which they were added."""
        return list(self._objects)

    def _checked_frame(self, frame: object, who: str = "") -> int:
        """Return a frame of the stack; refuse all else. `who` says what it is for."""
        index = whole_number(frame, "a frame")
        if not 0 <= index < len(self.frames):
            last = len(self.frames) - 1
            if who:
                raise InputError(f"{who}: the stack has frames 0 to {last}")
            raise InputError(f"frame {index} does not exist; there are frames 0 to {last}")
        return index

    def _existing(self, object_id: int) -> TrackedObject:
        return self._objects[self._existing_id(object_id)]

    def _existing_id(self, object_id: object) -> int:
        known = whole_number(object_id, "an object id")
        if known not in self._objects:
            others = ", ".join(map(str, self.object_ids)) or "none yet"
            raise InputError(f"there is no object {known}; there are {others}")
        return known

    def _checked_id(self, object_id: object) -> int:
        """Return an id that an object can have; refuse all else."""
        checked = whole_number(object_id, "an object id")
        if checked < 1:
            raise InputError(f"object ids start at 1, not {checked}")
        label_dtype([checked])
        return checked

    def _checked_new_id(self, object_id: object) -> int:
        """Return the id of an object to come; refuse what no object can have, or another has."""
        new = self._checked_id(object_id)
        if new in self._objects:
            raise InputError(f"there is an object {new} already; take another id")
        return new

    def _checked_ids(self, object_ids: Iterable[int] | None) -> list[int]:
        """Return ids of objects that exist, but of those that are locked; None: of all."""
        if not isinstance(object_ids, Iterable | None):
            raise InputError(f"object ids are given as a list, [{object_ids!r}]")
        given = self.object_ids if object_ids is None else map(self._existing_id, object_ids)
        return [i for i in dict.fromkeys(given) if not self._objects[i].locked]
