"""The masks of one object over all frames, in a few large arrays.

Thousands of small arrays would cost ten times their size: each one pins a page of the heap
between the large intermediate results of the network.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.estimates import Estimate, Quality
from napari_sam2.tracking.windows import Window

_ROW = np.dtype(
    [
        ("window", np.int32, 6),
        ("corner", np.int32, 2),
        ("shape", np.int32, 2),
        ("start", np.int64),
        ("quality", np.float32, 3),
    ]
)


@dataclass
class _Store:
    """Arrays with room to grow, and where each frame is in them."""

    values: npt.NDArray[np.float16] = field(default_factory=lambda: np.empty(2048, np.float16))
    rows: npt.NDArray[Any] = field(default_factory=lambda: np.empty(16, _ROW))
    index: dict[int, int] = field(default_factory=dict)
    used: int = 0
    count: int = 0
    wasted: int = 0

    def append(self, frame: int, estimate: Estimate) -> None:
        size, window = estimate.kept.size, estimate.window
        self.values = _with_room(self.values, self.used, size)
        self.rows = _with_room(self.rows, self.count, 1)
        self.values[self.used : self.used + size] = estimate.kept.ravel()
        self.rows[self.count] = (
            (window.row, window.column, window.height, window.width, *window.grid),
            estimate.corner,
            estimate.kept.shape,
            self.used,
            (estimate.quality.iou, estimate.quality.object_score, estimate.quality.stability),
        )
        self.wasted += self.size(frame)
        self.used += size
        # Last, so that a reader in another thread never finds a row half written.
        self.index[frame] = self.count
        self.count += 1

    def copy(self) -> _Store:
        """Return the same; without room to grow, so that nothing is written into what is shared."""
        return _Store(
            self.values[: self.used],
            self.rows[: self.count],
            dict(self.index),
            self.used,
            self.count,
            self.wasted,
        )

    def size(self, frame: int) -> int:
        return int(self.rows[self.index[frame]]["shape"].prod()) if frame in self.index else 0


def _with_room(array: npt.NDArray[Any], used: int, more: int) -> npt.NDArray[Any]:
    if used + more <= len(array):
        return array
    larger = np.empty(max(used + more, len(array) * 3 // 2), array.dtype)
    larger[:used] = array[:used]
    return larger


class EstimateLog(MutableMapping[int, Estimate]):
    """Estimates by frame, like a dict; some hundred bytes each."""

    def __init__(self) -> None:
        self._store = _Store()

    def copy(self) -> EstimateLog:
        """Return the same estimates in a log of its own."""
        other = EstimateLog.__new__(EstimateLog)
        other._store = self._store.copy()
        return other

    def __getitem__(self, frame: int) -> Estimate:
        store = self._store
        row = store.rows[store.index[frame]]
        y, x, height, width, rows, columns = row["window"].tolist()
        h, w = row["shape"].tolist()
        start = int(row["start"])
        kept = store.values[start : start + h * w].reshape(h, w)
        corner_y, corner_x = row["corner"].tolist()
        window = Window(y, x, height, width, (rows, columns))
        return Estimate(window, (corner_y, corner_x), kept, Quality(*row["quality"].tolist()))

    def __setitem__(self, frame: int, estimate: Estimate) -> None:
        self._store.append(frame, estimate)
        self._tidy()

    def __delitem__(self, frame: int) -> None:
        self._store.wasted += self._store.size(frame)
        del self._store.index[frame]
        self._tidy()

    def __iter__(self) -> Iterator[int]:
        return iter(self._store.index)

    def __len__(self) -> int:
        return len(self._store.index)

    def _tidy(self) -> None:
        """Leave behind what was overwritten, once that is most of it."""
        old = self._store
        stale = old.count > 64 + 2 * len(old.index)
        if not stale and (old.wasted <= old.used // 2 or old.used < 1 << 16):
            return
        fresh = _Store()
        for frame in old.index:
            fresh.append(frame, self[frame])
        self._store = fresh
