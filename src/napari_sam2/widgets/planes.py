"""Label frames as they were, compressed and on disk, for undo."""

from __future__ import annotations

import tempfile
import time
import weakref
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt


class Attic:
    """A temporary file that bytes are put into; gone with the last who uses it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="napari-sam2-undo-")  # noqa: SIM115
        self._end = 0
        weakref.finalize(self, self._file.close)

    def put(self, data: bytes) -> tuple[int, int] | bytes:
        """Store bytes; returns what `get` wants. On a full disk they stay in memory."""
        try:
            self._file.seek(self._end)
            self._file.write(data)
            self._file.flush()
        except OSError:
            return data
        place = (self._end, len(data))
        self._end += len(data)
        return place

    def get(self, place: tuple[int, int] | bytes) -> bytes:
        """Return the bytes."""
        if isinstance(place, bytes):
            return place
        self._file.seek(place[0])
        return self._file.read(place[1])


class Planes:
    """Labels (Y, X) of some frames, as they were at one time."""

    def __init__(self, attic: Attic, object_ids: Iterable[int] = ()) -> None:
        self._attic = attic
        self.object_ids = set(object_ids)
        """Objects that had masks at that time."""
        self._kept: dict[int, tuple[Any, tuple[int, int], np.dtype[Any]]] = {}
        self._when: dict[int, float] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._kept))

    def __contains__(self, frame: int) -> bool:
        return frame in self._kept

    def keep(self, frame: int, plane: npt.NDArray[Any], at: float | None = None) -> None:
        """Keep a frame in the place of what was kept of it; as it was now, or `at` a time."""
        height, width = plane.shape
        packed = None
        if plane.any():
            packed = self._attic.put(zlib.compress(np.ascontiguousarray(plane).tobytes(), 1))
        self._kept[frame] = (packed, (height, width), plane.dtype)
        self._when[frame] = time.monotonic() if at is None else at

    def kept_at(self, frame: int) -> float:
        """Return when a frame was as it is kept, by `time.monotonic`."""
        return self._when[frame]

    def __getitem__(self, frame: int) -> npt.NDArray[Any]:
        packed, shape, dtype = self._kept[frame]
        if packed is None:
            return np.zeros(shape, dtype)
        data = zlib.decompress(self._attic.get(packed))
        return np.frombuffer(data, dtype).reshape(shape)
