"""Which of the cells that are found on the way are daughters, and of whom.

A nucleus that divides is lost, or goes on as one of its daughters, and the others appear beside
where it was. Sizes and places tell; the network is not asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.objects.estimates import Estimate
from napari_sam2.tracking.objects.lineage import daughters, parents
from napari_sam2.tracking.objects.objects import TrackedObject
from napari_sam2.tracking.stack.jumps import shift_between

_KNOWN = 3  # frames for which a mother has been there, at least
_RECENT = 6  # frames that tell how large she was
_NEAR, _TOGETHER = 2.0, 2.5  # of her radii: from her to a daughter, if there is one or a sister
_SMALLER = (0.2, 0.9)  # parts of her area that a daughter may have
_SHRUNK = 0.75  # part of her area, below which what goes on is a daughter


@dataclass(frozen=True)
class Division:
    """A cell that has divided.

    Parameters
    ----------
    mother : her id.
    frame : the first on which she is not any more.
    daughters : one or two that were found.
    goes_on : what is followed as the mother from that frame on is a daughter, too.
    """

    mother: int
    frame: int
    daughters: tuple[int, ...]
    goes_on: bool


@dataclass(frozen=True)
class _Newborn:
    id: int
    frame: int
    place: npt.NDArray[np.float64]
    area: float


def divisions(
    engine: Engine, objects: Mapping[int, TrackedObject], new: Collection[int], since: int
) -> list[Division]:
    """Find divisions that explain new objects.

    Parameters
    ----------
    engine : knows how large things are.
    objects : all of the session, by id.
    new : ids of those that were found, and followed back to `since`.
    since : frame; who is there already was not born later.
    """
    born = [one for i in new if (one := _newborn(engine, objects[i], i, since)) is not None]
    found: dict[int, list[tuple[float, _Newborn]]] = {}
    for one in born:
        sisters = [other for other in born if abs(other.frame - one.frame) <= 1 and other != one]
        mothers = [
            (way, i)
            for i, obj in objects.items()
            if i not in new and (way := _way(engine, obj, one, sisters)) is not None
        ]
        if mothers:
            way, mother = min(mothers)
            found.setdefault(mother, []).append((way, one))
    result = []
    for mother, candidates in found.items():
        if daughters(parents(objects), mother) or objects[mother].locked:
            continue
        children = [one for _, one in sorted(candidates, key=lambda item: item[0])[:2]]
        frame = min(one.frame for one in children)
        obj = objects[mother]
        goes_on = any(t >= frame and obj.estimates[t].kept.size for t in obj.estimates)
        if any(t >= frame for t in obj.prompts) or (goes_on and len(children) > 1):
            continue  # it was said to be there, or three are too many
        result.append(Division(mother, frame, tuple(one.id for one in children), goes_on))
    return result


def _newborn(engine: Engine, obj: TrackedObject, object_id: int, since: int) -> _Newborn | None:
    shown = [t for t in sorted(obj.estimates) if obj.estimates[t].kept.size]
    if not shown or shown[0] <= since:
        return None
    place, area = _measured(engine, obj.estimates[shown[0]])
    return _Newborn(object_id, shown[0], place, area)


def _way(
    engine: Engine, obj: TrackedObject, child: _Newborn, sisters: Iterable[_Newborn]
) -> float | None:
    """Return how far a daughter is from an object, in its radii; None if it is not her mother."""
    t = child.frame
    before = [n for n in range(t - _RECENT, t) if n in obj.estimates and obj.estimates[n].kept.size]
    if len(before) < _KNOWN or before[-1] != t - 1:
        return None
    area = float(np.median([_measured(engine, obj.estimates[n])[1] for n in before]))
    place = _measured(engine, obj.estimates[t - 1])[0] + shift_between(obj.bank.jumps, t - 1, t)
    radius = np.sqrt(area / np.pi)
    if not _SMALLER[0] < child.area / area < _SMALLER[1]:
        return None
    way = float(np.linalg.norm(child.place - place) / radius)
    later = [_measured(engine, obj.estimates[n])[1] for n in (t, t + 1) if n in obj.estimates]
    shrunk = max(later, default=0.0) < _SHRUNK * area
    together = any(np.linalg.norm(one.place - place) < _TOGETHER * radius for one in sisters)
    return way if way < _NEAR and (shrunk or together) else None


def _measured(engine: Engine, estimate: Estimate) -> tuple[npt.NDArray[np.float64], float]:
    """Centre (y, x) and area of a mask in data pixels; NaN and 0 without one."""
    inside = estimate.kept > 0
    if not inside.any():
        return np.full(2, np.nan), 0.0
    step = 4 / np.array(engine.geometry(estimate.window).scale)
    corner = 4 * np.array([estimate.window.row, estimate.window.column]) + estimate.corner
    centre = (np.mean(np.nonzero(inside), axis=1) + corner + 0.5) * step - 0.5
    return centre, float(np.count_nonzero(inside) * step[0] * step[1])
