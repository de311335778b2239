"""Label frames as they were, compressed and on disk, for undo."""

from __future__ import annotations

import tempfile
import time
import weakref
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.masks.thin_mask import Place


class Attic:
    """A temporary file that bytes are put into; gone with the last who uses it.

    Room that was given back is used again.
    """

    def __init__(self) -> None:
        # Without a buffer, which would keep what a full disk refused, and refuse all that follows.
        self._file = tempfile.TemporaryFile(  # noqa: SIM115
            buffering=0, prefix="napari-sam2-undo-"
        )
        self._end = 0
        self._free: list[tuple[int, int]] = []  # start and size of each gap, rising
        self._dropped: deque[tuple[int, int]] = deque()
        weakref.finalize(self, self._file.close)

    def put(self, data: bytes) -> tuple[int, int] | bytes:
        """Store bytes; returns what `get` wants. On a full disk they stay in memory."""
        self._clear()
        size = len(data)
        gap = next((k for k, (_, room) in enumerate(self._free) if room >= size), None)
        start = self._end if gap is None else self._free[gap][0]
        try:
            self._file.seek(start)
            rest = memoryview(data)
            while rest:  # a system may take a part of it
                rest = rest[self._file.write(rest) :]
        except OSError:
            return data
        if gap is None:
            self._end += size
        else:
            room = self._free[gap][1]
            self._free[gap : gap + 1] = [(start + size, room - size)] if room > size else []
        return start, size

    def drop(self, place: tuple[int, int] | bytes | None) -> None:
        """Give back the room of what nobody will ask for again; from any thread."""
        if isinstance(place, tuple):
            self._dropped.append(place)

    def _clear(self) -> None:
        """Make gaps of what was dropped; the last one is cut off."""
        if not self._dropped:
            return
        while self._dropped:
            self._free.append(self._dropped.popleft())
        joined: list[tuple[int, int]] = []
        for start, size in sorted(self._free):
            if joined and sum(joined[-1]) == start:
                joined[-1] = joined[-1][0], joined[-1][1] + size
            else:
                joined.append((start, size))
        if sum(joined[-1]) == self._end:
            self._end, _ = joined.pop()
            with suppress(OSError):
                self._file.truncate(self._end)
        self._free = joined

    def get(self, place: tuple[int, int] | bytes) -> bytes:
        """Return the bytes."""
        if isinstance(place, bytes):
            return place
        self._file.seek(place[0])
        return self._file.read(place[1])


class Planes:
    """Labels (Y, X) of some frames, or of parts of them, as they were at one time."""

    def __init__(self, attic: Attic, object_ids: Iterable[int] = ()) -> None:
        self._attic = attic
        self.object_ids = set(object_ids)
        """Objects that had masks at that time."""
        self._kept: dict[int, tuple[Any, tuple[int, int], np.dtype[Any]]] = {}
        self._when: dict[int, float] = {}
        self.places: dict[int, Place | None] = {}
        """By frame, the rows and columns that are kept of it; None: all."""
        weakref.finalize(self, _give_back, attic, self._kept).atexit = False

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._kept))

    def __contains__(self, frame: int) -> bool:
        return frame in self._kept

    def keep(
        self,
        frame: int,
        plane: npt.NDArray[Any],
        at: float | None = None,
        place: Place | None = None,
    ) -> None:
        """Keep a frame, or the part at `place`, in the place of what was kept of it.

        It is as it was now, or `at` a time.
        """
        height, width = plane.shape
        if frame in self._kept:
            self._attic.drop(self._kept[frame][0])
        packed = None
        if plane.any():
            packed = self._attic.put(zlib.compress(np.ascontiguousarray(plane).tobytes(), 1))
        self._kept[frame] = (packed, (height, width), plane.dtype)
        self._when[frame] = time.perf_counter() if at is None else at
        self.places[frame] = place

    def kept_at(self, frame: int) -> float:
        """Return when a frame was as it is kept, by `time.perf_counter`."""
        return self._when[frame]

    def __getitem__(self, frame: int) -> npt.NDArray[Any]:
        packed, shape, dtype = self._kept[frame]
        if packed is None:
            return np.zeros(shape, dtype)
        data = zlib.decompress(self._attic.get(packed))
        return np.frombuffer(data, dtype).reshape(shape)


def _give_back(attic: Attic, kept: Mapping[int, tuple[Any, ...]]) -> None:
    for place, *_ in kept.values():
        attic.drop(place)
