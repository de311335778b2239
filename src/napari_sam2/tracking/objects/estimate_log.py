"""The masks of one object over all frames, in a few large arrays.

Thousands of small arrays would cost ten times their size: each one pins a page of the heap
between the large intermediate results of the network.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.objects.estimates import Estimate, Quality, score
from napari_sam2.tracking.results import Trace
from napari_sam2.tracking.windows import Window

_ROW = np.dtype(
    [
        ("window", np.int32, 6),
        ("corner", np.int32, 2),
        ("shape", np.int32, 2),
        ("start", np.int64),
        ("quality", np.float32, 3),
        ("area", np.int64),
        ("centre", np.float32, 2),
        ("interpolated", np.bool_),
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
            *_spread(estimate),
            estimate.quality.interpolated,
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


def _spread(estimate: Estimate) -> tuple[int, tuple[float, float]]:
    """Area and centre (y, x) of a mask in stride 4 cells of its level; NaN where there is none."""
    inside = estimate.kept > 0
    area = int(np.count_nonzero(inside))
    if not area:
        return 0, (np.nan, np.nan)
    rows, columns = inside.sum(axis=1), inside.sum(axis=0)
    y = rows @ np.arange(len(rows)) / area + estimate.corner[0] + 4 * estimate.window.row
    x = columns @ np.arange(len(columns)) / area + estimate.corner[1] + 4 * estimate.window.column
    return area, (float(y) + 0.5, float(x) + 0.5)


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
        place = store.index[frame]  # first: another thread may put longer arrays in their place
        row = store.rows[place]
        y, x, height, width, rows, columns = row["window"].tolist()
        h, w = row["shape"].tolist()
        start = int(row["start"])
        kept = store.values[start : start + h * w].reshape(h, w)
        corner_y, corner_x = row["corner"].tolist()
        window = Window(y, x, height, width, (rows, columns))
        iou, object_score, steady = row["quality"].tolist()
        quality = Quality(iou, object_score, steady, bool(row["interpolated"]))
        return Estimate(window, (corner_y, corner_x), kept, quality)

    def __setitem__(self, frame: int, estimate: Estimate) -> None:
        self._store.append(frame, estimate)
        self._tidy()

    def __delitem__(self, frame: int) -> None:
        self._store.wasted += self._store.size(frame)
        del self._store.index[frame]
        self._tidy()

    def __iter__(self) -> Iterator[int]:
        return iter([*self._store.index])  # another thread may write while they are gone through

    def __len__(self) -> int:
        return len(self._store.index)

    def __contains__(self, frame: object) -> bool:
        return frame in self._store.index

    def trace(self, shape: tuple[int, int]) -> Trace:
        """Return where the object is and how sure, without its masks; from any thread.

        Parameters
        ----------
        shape
            (Y, X) of a frame in data pixels.
        """
        store = self._store
        # Rows are only ever added, and an index names none that is not whole: what is taken here
        # is true, whatever another thread adds meanwhile. `dict` of a dict cannot be interrupted.
        index = dict(store.index)
        frames = np.fromiter(index, np.int64, len(index))
        order = np.argsort(frames, kind="stable")
        rows = store.rows[np.fromiter(index.values(), np.int64, len(index))[order]]
        # Every grid spans the same frame, with four cells to a token.
        cell = np.array(shape) / (4 * rows["window"][:, 4:])
        iou, object_score, _ = rows["quality"].T
        return Trace(
            frames[order],
            score(iou, object_score),
            object_score,
            rows["area"] * cell.prod(axis=1),
            rows["centre"] * cell - 0.5,
            rows["interpolated"],
        )

    def arrays(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[np.float16]]:
        """Return frames (n,), a row for each, and the values of all of them, one after the other.

        `of_arrays` makes the log from them.
        """
        store = self._store
        frames = np.fromiter(store.index, np.int64, len(store.index))
        rows = store.rows[np.fromiter(store.index.values(), np.int64, len(frames))]
        sizes = rows["shape"].prod(axis=1, dtype=np.int64)
        parts = [
            store.values[start : start + size]
            for start, size in zip(rows["start"].tolist(), sizes.tolist(), strict=True)
        ]
        rows["start"] = np.cumsum(sizes) - sizes
        return frames, rows, np.concatenate([np.zeros(0, np.float16), *parts])

    @classmethod
    def of_arrays(
        cls,
        frames: npt.NDArray[np.int64],
        rows: npt.NDArray[np.uint8],
        values: npt.NDArray[np.float16],
    ) -> EstimateLog:
        """Make a log from what `arrays` returned, the rows as bytes.

        Raises
        ------
        ValueError
            If they do not fit together.
        """
        log = cls()
        table = np.frombuffer(rows.tobytes(), _ROW).copy()
        window, corner, shape = table["window"], table["corner"], table["shape"]
        sizes = shape.prod(axis=1, dtype=np.int64)
        whole = (
            len(table) == len(frames)
            and (window[:, :2] >= 0).all()
            and (window[:, :2] + window[:, 2:4] <= window[:, 4:]).all()
            and (corner >= 0).all()
            and (shape >= 0).all()
            and (corner + shape <= 4 * window[:, 2:4]).all()
            and np.array_equal(table["start"], np.cumsum(sizes) - sizes)
            and sizes.sum() == len(values)
        )
        if not whole:
            raise ValueError("masks of another size than is said")
        index = {frame: place for place, frame in enumerate(frames.tolist())}
        log._store = _Store(values, table, index, len(values), len(table))
        return log

    @property
    def grids(self) -> set[tuple[int, int]]:
        """Token grids of the levels that masks are on."""
        rows = self._store.rows[list(self._store.index.values())]
        return {(int(y), int(x)) for y, x in rows["window"][:, 4:]}

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


def boxes(
    logs: Sequence[EstimateLog], frames: Sequence[int], shape: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """Return boxes that hold the masks of some objects on some frames.

    Parameters
    ----------
    logs
        One for each of N objects.
    frames
        F of them.
    shape
        (Y, X) of a frame.

    Returns
    -------
    (N, F, 4): y0, x0, y1, x1 in data pixels; with nothing in it, y1 and x1 are 0.
    """
    rows = np.zeros((len(logs), len(frames)), _ROW)
    rows["window"] = 1
    for mine, log in zip(rows, logs, strict=True):
        store = log._store
        there = [n for n, frame in enumerate(frames) if frame in store.index]
        mine[there] = store.rows[[store.index[frames[n]] for n in there]]
    window, size = rows["window"], rows["shape"]
    # Every grid spans the same frame, with four cells to a token.
    cell = np.array(shape) / (4 * window[..., 4:])
    low = 4 * window[..., :2] + rows["corner"]
    # Up to the middle of the next cell there may be mask.
    first, last = np.floor((low - 1) * cell), np.ceil((low + size + 1) * cell)
    found = np.concatenate([first.clip(0), last.clip(max=shape)], axis=-1).astype(np.int64)
    found[size.prod(axis=-1) == 0] = (*shape, 0, 0)
    return found
