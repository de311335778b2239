"""Ids of objects to come. The Labels layer holds 16 bits."""

from __future__ import annotations

from collections.abc import Collection

from napari_sam2.tracking.errors import InputError

HIGHEST = 2**16 - 1


def check_ids(ids: Collection[int], whose: str) -> None:
    """Refuse ids that the masklets cannot hold.

    Raises
    ------
    InputError
        If one is too high.
    """
    highest = max(ids, default=0)
    if highest > HIGHEST:
        raise InputError(
            f"{whose} object {highest}, but the window shows ids up to {HIGHEST}; renumber the "
            "objects, or work on the command line or in Python"
        )


def free_ids(used: Collection[int], count: int = 1) -> int:
    """Return the first of `count` free ids in a row: above all others, else the lowest there are.

    Raises
    ------
    InputError
        If there are none.
    """
    above = max(used, default=0) + 1
    if above + count - 1 <= HIGHEST:
        return above
    before = 0
    for taken in [*sorted(used), HIGHEST + 1]:
        if taken - before > count:
            return before + 1
        before = taken
    which = "are all taken" if count == 1 else f"have no room for {count} more objects"
    raise InputError(f"the ids up to {HIGHEST} {which}; delete some objects first")
