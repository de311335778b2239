"""Who is whose daughter: what a division leaves behind, and what other changes make of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_sam2.tracking.errors import InputError

if TYPE_CHECKING:
    from napari_sam2.tracking.objects.objects import TrackedObject

    Objects = Mapping[int, TrackedObject]


@dataclass(frozen=True)
class Birth:
    """Where an object comes from.

    Parameters
    ----------
    mother : id of the object that divided; None where it is not known any more.
    frame : the object is not followed before it, unless it is prompted there; 0: not known.
    until : a repair follows it from `frame` on to the frame before this one, where nobody has
        followed it yet; 0: it does not.
    """

    mother: int | None
    frame: int = 0
    until: int = 0

    @property
    def awaited(self) -> range:
        """Frames that a repair follows it to."""
        return range(self.frame, self.until)


def parents(objects: Objects) -> dict[int, int]:
    """Return the mother of each object that has one."""
    births = {i: obj.birth for i, obj in dict(objects).items()}  # any thread may ask
    return {i: b.mother for i, b in births.items() if b is not None and b.mother is not None}


def daughters(mothers: Mapping[int, int], object_id: int) -> list[int]:
    """Return the daughters of an object, in the order of `mothers`, see `parents`."""
    return [i for i, mother in mothers.items() if mother == object_id]


def possible(parents: Mapping[int, int], first: Mapping[int, int]) -> dict[int, int]:
    """Return those parents that begin before their daughters; `first`: where each object does."""
    return {
        daughter: mother
        for daughter, mother in parents.items()
        if daughter in first and mother in first and first[mother] < first[daughter]
    }


def waiting(objects: Objects) -> list[int]:
    """Return the daughters that have neither a prompt nor a mask yet."""
    known = dict(objects).items()  # any thread may ask
    return [i for i, o in known if o.birth is not None and not o.prompts and not len(o.estimates)]


def ancestors(mothers: Mapping[int, int], object_id: int) -> Iterator[int]:
    """Yield an object's mother, her mother, and so on."""
    while object_id in mothers:
        object_id = mothers[object_id]
        yield object_id


def begin(obj: TrackedObject) -> int | None:
    """First frame that an object is on, as far as that is known."""
    shown = next((t for t in sorted(obj.estimates) if obj.estimates[t].kept.size), None)
    known = [*obj.anchors, *(() if shown is None else (shown,))]
    born = 0 if obj.birth is None else obj.birth.frame
    return min(known) if known else born or None


def division(obj: TrackedObject) -> int | None:
    """First frame on which an object was said not to be any more."""
    anchors = obj.anchors
    return min((t for t in obj.ends if anchors and t > min(anchors)), default=None)


def set_parent(objects: Objects, object_id: int, parent: int | None, length: int) -> None:
    """See `Roster.set_parent`; both are known to exist. `length`: frames of the stack."""
    obj = objects[object_id]
    if parent is None:
        obj.birth = None
        return
    _check(objects, object_id, parent)
    frame, first = division(objects[parent]) or 0, begin(obj)
    if first is not None and first < frame:
        frame = 0  # it is there beside its mother
    before = 0 if obj.birth is None else obj.birth.until
    until = before if obj.tracked else length
    obj.birth = Birth(parent, frame, until if frame else 0)


def _check(objects: Objects, object_id: int, parent: int) -> None:
    if parent == object_id:
        raise InputError(f"object {object_id} cannot be its own mother; choose another one")
    if object_id in ancestors(parents(objects), parent):
        raise InputError(
            f"object {parent} descends from object {object_id}, so it cannot be its mother; "
            "choose another one"
        )
    first, since = begin(objects[object_id]), begin(objects[parent])
    if since is None:
        raise InputError(f"object {parent} has no mask yet; show it before you name its daughters")
    if first is not None and first <= since:
        raise InputError(
            f"object {object_id} is on frame {first} already, but object {parent} begins on frame "
            f"{since}, and a mother begins before her daughters; choose another mother, or say on "
            f"which frame object {object_id} is not yet (Ends here)"
        )


def free_daughters(objects: Objects, object_id: int) -> None:
    """Take note that a mother is gone: her daughters have none, but begin where they did."""
    for i in daughters(parents(objects), object_id):
        birth = objects[i].birth
        assert birth is not None
        objects[i].birth = replace(birth, mother=None)


def inherit(objects: Objects, kept: int, absorbed: int) -> None:
    """Settle the lineage before an object is merged into another one.

    Together they have the mother of the one that begins first, and the daughters of both.
    """
    firsts = {i: first for i in (kept, absorbed) if (first := begin(objects[i])) is not None}
    birth = objects[min(firsts, key=firsts.__getitem__, default=kept)].birth
    for i in daughters(parents(objects), absorbed):
        old = objects[i].birth
        assert old is not None
        objects[i].birth = replace(old, mother=kept)
    mother = None if birth is None else birth.mother
    if mother is not None and (mother == kept or kept in ancestors(parents(objects), mother)):
        birth = None
    objects[kept].birth = birth


def part(objects: Objects, object_id: int, frame: int, new_id: int) -> None:
    """Settle the lineage after an object was split at a frame.

    The first part keeps the mother, the second one has none: it is another cell, or the same one.
    Daughters that begin later than the second part are its own from now on.
    """
    obj, since = objects[object_id], begin(objects[new_id])
    if obj.birth is not None:  # what was followed belongs to the second part now
        obj.birth = replace(obj.birth, until=min(obj.birth.until, frame))
    for i in daughters(parents(objects), object_id):
        first, birth = begin(objects[i]), objects[i].birth
        assert birth is not None
        if since is not None and (first is None or first > since):
            objects[i].birth = replace(birth, mother=new_id)


def check_division(
    objects: Objects, object_id: int, frame: int, ids: tuple[int, int], length: int
) -> None:
    """Refuse a division that cannot be; see `Roster.divide`.

    Raises
    ------
    InputError
        It says why, and what to do.
    """
    obj = objects[object_id]
    who = f"object {object_id} cannot divide on frame {frame}"
    if not 0 <= frame < length:
        raise InputError(f"{who}: the stack has frames 0 to {length - 1}")
    if ids[0] == ids[1]:
        raise InputError(f"{who} into {ids[0]} twice; take two ids that are not in use")
    first, anchors = begin(obj), sorted(obj.anchors)
    if first is None or first >= frame:
        where = "has no mask" if first is None else f"begins on frame {first}"
        raise InputError(f"{who}: it {where}; show it on an earlier frame first")
    known = daughters(parents(objects), object_id)
    if len(known) > 1:
        raise InputError(
            f"{who}: {', '.join(map(str, known))} are its daughters already; undo that division, "
            "or say first that they are nobody's"
        )
    later = [t for t in anchors if t > frame]
    if later:
        raise InputError(
            f"{who}: it is prompted on frame {later[0]}; split it on frame {frame} and say whose "
            "daughter the second part is, or take that prompt back"
        )
    if not anchors or anchors[0] == frame:
        raise InputError(
            f"{who}: it has no prompt before that frame; accept or correct its mask on frame "
            f"{frame - 1} first"
        )
