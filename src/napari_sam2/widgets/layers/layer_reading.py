"""What the points and shapes of the prompt layers say, and which of them count."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from napari.layers import Points, Shapes

from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.layers.drawing import Areas, Outline
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.layers.layer_states import BOX, Key, finished

_AREAS = ("polygon", "ellipse")


class Said(NamedTuple):
    """What the layers say of an object on a frame, quick to compare.

    Parameters
    ----------
    clicks, signs
        Places (K, 2) as bytes, and whether each is on the object.
    box
        (2, 2) as bytes.
    mask
        What was painted or outlined.
    absent
        The object is not there.
    """

    clicks: bytes = b""
    signs: tuple[bool, ...] = ()
    box: bytes | None = None
    mask: ThinMask | None = None
    absent: bool = False

    def prompt(self) -> Prompt:
        """Return it as a prompt."""
        points = np.frombuffer(self.clicks).reshape(-1, 2)
        box = None if self.box is None else np.frombuffer(self.box).reshape(2, 2)
        return Prompt(points, np.array(self.signs, bool), box, self.mask, self.absent)


class Sayings:
    """Makes prompts of what is said; of what is said as it was last time, the same ones."""

    def __init__(self) -> None:
        self._known: dict[Key, tuple[Said, Prompt]] = {}

    def prompts(self, said: Mapping[Key, Said]) -> dict[Key, Prompt]:
        """Return prompts by object and frame."""
        before, self._known = self._known, {}
        for key, what in said.items():
            known = before.get(key)
            same = known is not None and known[0] == what
            self._known[key] = known if known is not None and same else (what, what.prompt())
        return {key: prompt for key, (_, prompt) in self._known.items()}


def box_of(kind: str, yx: npt.NDArray[np.float64]) -> bytes | None:
    """Return the outermost pixels (2, 2), as bytes, of a shape with corners (K, 2).

    None where it is no upright rectangle; a turned one is an area.
    """
    return _upright(yx.tobytes()) if kind == BOX else None


@lru_cache(maxsize=2**14)
def _upright(corners: bytes) -> bytes | None:
    yx = np.frombuffer(corners).reshape(-1, 2)
    ends = yx.min(axis=0), yx.max(axis=0)
    upright = (np.isclose(yx, ends[0]) | np.isclose(yx, ends[1])).all()
    return box_within(np.array(ends)).tobytes() if upright else None


def unusable(layer: Points | Shapes, geometry: StackGeometry, usable: set[bytes]) -> dict[int, str]:
    """Say why points or shapes are no prompts, by their place in the layer.

    Parameters
    ----------
    usable
        Those that were prompts last time, which are not looked at again; those of now afterwards.
    """
    data = layer.data
    kinds = [""] * len(data) if isinstance(layer, Points) else layer.shape_type
    count = finished(layer)
    names = [kind.encode() + one.tobytes() for kind, one in zip(kinds, data, strict=True)][:count]
    found = {}
    for i, name in enumerate(names):
        if name not in usable and (text := complaint(layer, data[i], kinds[i], geometry)):
            found[i] = text
    usable.clear()
    usable.update(name for i, name in enumerate(names) if i not in found)
    return found


def complaint(
    layer: Points | Shapes, data: npt.NDArray[np.float64], kind: str, geometry: StackGeometry
) -> str | None:
    """Say why a point or a shape of a layer is no prompt; None if it is one."""
    text = geometry.complaint(data)
    if text or isinstance(layer, Points):
        return text
    if kind not in (BOX, *_AREAS):
        return "Lines are no prompts; draw a rectangle, a polygon or an ellipse."
    size = np.ptp(geometry.yx(data), axis=0)
    clicked = layer._normalized_vertex_radius / 2  # what napari draws where nothing is dragged
    if size.min() < 1 or np.allclose(size, clicked, rtol=1e-3):
        return "That box is too small; drag it around the whole object."
    return None


def superseded(shapes: Shapes, geometry: StackGeometry) -> list[int]:
    """Return the shapes in the place of which a newer one was drawn; areas add up."""
    if shapes._is_creating:  # with the mouse
        return []
    newest: dict[Key, bool] = {}
    found = []
    ids = shapes.features["object"].astype(int).to_list()
    data, kinds = shapes.data, shapes.shape_type
    for i in reversed(range(len(data))):
        key = ids[i], int(geometry.frames_of(data[i])[0])
        area = box_of(kinds[i], geometry.yx(data[i])) is None
        if key in newest and not (area and newest[key]):
            found.append(i)
        newest.setdefault(key, area)
    return found


def box_within(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the outermost pixels of a box as drawn, whose lines run around pixels."""
    sides = corners[1] - corners[0]
    inward = np.where(sides > 1, 0.5, sides / 4)
    return np.stack([corners[0] + inward, corners[1] - inward])


def drawn(shapes: Shapes, geometry: StackGeometry, areas: Areas) -> dict[Key, Said]:
    """Return what boxes and areas say, by object and frame.

    Parameters
    ----------
    areas
        Knows the masks of areas that were read before.
    """
    found: dict[Key, Said] = {}
    outlines: dict[Key, list[Outline]] = {}
    data = shapes.data[: finished(shapes)]
    ids = shapes.features["object"].iloc[: len(data)].astype(int).to_list()
    for object_id, shape, kind in zip(ids, data, shapes.shape_type, strict=False):
        key, yx = (object_id, int(geometry.frames_of(shape)[0])), geometry.yx(shape)
        box = box_of(kind, yx)
        if box is not None:
            found[key] = Said(box=box)
        else:
            outlines.setdefault(key, []).append((yx, kind))
    for key, area in areas.of(outlines).items():
        found[key] = found.get(key, Said())._replace(mask=area)
    return found


def clicks(points: Points, geometry: StackGeometry) -> dict[Key, tuple[bytes, tuple[bool, ...]]]:
    """Return the points (K, 2) of each object on each frame, as bytes, and their signs."""
    rows: dict[Key, list[int]] = {}
    ids = points.features["object"].astype(int).to_list()
    frames = geometry.frames_of(points.data).tolist()
    for row, key in enumerate(zip(ids, frames, strict=True)):
        rows.setdefault(key, []).append(row)
    signs = points.features["positive"].astype(bool).to_list()
    yx = geometry.yx(points.data)
    return {key: (yx[some].tobytes(), tuple(signs[r] for r in some)) for key, some in rows.items()}
