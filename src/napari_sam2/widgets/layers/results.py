"""The array behind the Labels layer, and what may be written into it when."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import psutil

from napari_sam2.tracking.masks.thin_mask import Place, place_of
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.layers.planes import Attic, Planes

if TYPE_CHECKING:
    from napari.layers import Layer

# Results above this part of the free memory go to a zarr array on disk.
_MEMORY_SHARE = 0.5


def new_result(geometry: StackGeometry) -> tuple[Any, Path | None]:
    """Make a zeroed uint16 array for the masklets, and its folder if it is larger than memory."""
    size = 2 * int(np.prod(geometry.shape, dtype=np.int64))
    if size < _MEMORY_SHARE * psutil.virtual_memory().available:
        return np.zeros(geometry.shape, dtype=np.uint16), None
    import zarr

    folder = Path(tempfile.mkdtemp(prefix="napari-sam2-"))
    y, x = geometry.plane
    chunks = [1] * len(geometry.shape)
    chunks[y], chunks[x] = geometry.shape[y], geometry.shape[x]
    path = folder / "masklets.zarr"
    try:
        array = zarr.create_array(path, shape=geometry.shape, chunks=tuple(chunks), dtype="uint16")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return array, folder


def delete_with(layer: Layer, folder: Path) -> None:
    """Delete `folder` once nothing uses `layer` any more."""
    weakref.finalize(layer, shutil.rmtree, folder, ignore_errors=True)


class ResultWriter:
    """Writes what a session knows into the array behind the Labels layer, frame by frame."""

    def __init__(self, array: Any, geometry: StackGeometry) -> None:
        self._array = array
        self._geometry = geometry
        self._attic = Attic()
        self._before = Planes(self._attic)
        self.object_ids: set[int] = set()
        """Objects that were written."""
        self.frames: set[int] = set()
        """Frames that had a mask at any time."""
        self.locked: set[int] = set()
        """Objects whose masks from an earlier session stay, whatever is written over them."""

    def begin(self, planes: Mapping[int, npt.NDArray[Any]]) -> Planes:
        """Keep frames as they were before they are written next; returns where they are kept.

        Parameters
        ----------
        planes
            Frames (Y, X) that were changed already, as they were.
        """
        self._before = Planes(self._attic, self.object_ids)
        for frame, plane in planes.items():
            self._before.keep(frame, plane)
        return self._before

    def swap(self, planes: Planes) -> None:
        """Write kept frames and keep what they replace in their place."""
        for frame in planes:
            place, then = planes.places[frame], planes[frame]
            planes.keep(frame, self.read(frame, place), place=place)
            self._array[self._geometry.index(frame, place)] = then
        self.object_ids, planes.object_ids = planes.object_ids, self.object_ids

    def read(self, frame: int, place: Place | None = None) -> npt.NDArray[Any]:
        """Return a copy of the labels (Y, X) of `frame`, or of the part of them at `place`."""
        return np.array(self._array[self._geometry.index(frame, place)])

    def at(self, frame: int, y: int, x: int) -> int:
        """Return the object at a pixel of `frame`; 0 where there is none, or beyond the frame."""
        plane = self._array[self._geometry.index(frame)]
        inside = 0 <= y < plane.shape[0] and 0 <= x < plane.shape[1]
        return int(plane[y, x]) if inside else 0

    def write(
        self,
        frame: int,
        labels: npt.NDArray[Any],
        object_ids: Iterable[int],
        place: Place | None = None,
    ) -> None:
        """Write the labels (Y, X) of the objects that are known on `frame`, or on a part of it.

        Masks of other objects, from an earlier session say, stay where nothing takes their place.
        """
        known = set(object_ids)
        self.object_ids.update(known)
        before = self.read(frame, place)
        self._put(frame, before, self.laid(before, labels, known), place)

    def correct(self, frame: int, labels: npt.NDArray[Any], object_ids: Collection[int]) -> None:
        """Write the labels (Y, X) of the objects given, which is no step to be undone."""
        before = self.read(frame)
        after = self.laid(before, labels, object_ids)
        if not np.array_equal(before, after):
            self._array[self._geometry.index(frame)] = after

    def laid(
        self, before: npt.NDArray[Any], labels: npt.NDArray[Any], known: Collection[int]
    ) -> npt.NDArray[Any]:
        """Return labels (Y, X) of the objects that are known, over what stood there of others."""
        free = (labels == 0) | np.isin(before, list(self.locked))
        kept = (before > 0) & free & ~np.isin(before, list(known))
        return np.where(kept, before, labels)

    def relabel(self, old: Collection[int], new: int, first: int) -> None:
        """Give what objects still have from a frame on to another one."""
        if self._replace(old, new, first):
            self.object_ids.add(new)

    def erase(self, object_ids: Collection[int]) -> None:
        """Remove objects from every frame."""
        self.object_ids.difference_update(object_ids)
        self._replace(object_ids, 0, 0)

    def _replace(self, old: Collection[int], new: int, first: int) -> bool:
        """Write another label in the place of some; returns whether there were any."""
        found, ids = False, [*old]
        for frame in range(first, self._geometry.length):
            labels = np.asarray(self._array[self._geometry.index(frame)])
            # Eight times as fast where it is one, as mostly.
            mine = labels == ids[0] if len(ids) == 1 else np.isin(labels, ids)
            if mine.any():
                found, place = True, place_of(mine)
                part = labels[place].copy()
                self._put(frame, part, np.where(mine[place], new, part).astype(part.dtype), place)
        return found

    def _put(
        self,
        frame: int,
        before: npt.NDArray[Any],
        after: npt.NDArray[Any],
        place: Place | None = None,
    ) -> None:
        if frame not in self.frames and after.any():
            self.frames.add(frame)
        if not np.array_equal(before, after):
            self._keep(frame, before, place)
            self._array[self._geometry.index(frame, place)] = after

    def _keep(self, frame: int, before: npt.NDArray[Any], place: Place | None) -> None:
        """Keep what is written over for the first time since `begin`."""
        kept = self._before
        if frame not in kept:
            kept.keep(frame, before, place=place)
        elif (there := kept.places[frame]) is not None and there != place:
            # The rest is as it was.
            whole = self.read(frame)
            whole[there] = kept[frame]
            kept.keep(frame, whole)
