"""Encodings of frames: made when first asked for, in tiles where windows are used, the last kept.

A tile is encoded with some tokens around it, about as large as the crops that small models are
trained on, so the cost follows the cells: where no object is, nothing is encoded, and a frame of
any size is seen at any magnification.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_sam2.model.positions import TokenGrid
from napari_sam2.model.sam2 import SAM2, ImageFeatures
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.windows import TOKEN, Geometry, Window

_CORE = 16  # tokens of a tile that are kept
_INPUT = 20  # tokens of it that are encoded
_UNDIVIDED = 24  # up to so many tokens, an axis is not divided
_TILES_AT_ONCE = 8

Place = tuple[int, int]
Level = tuple[int, int]
Maps = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Cut:
    """One tile along an axis, in tokens: what is kept of it, and what is encoded."""

    start: int
    stop: int
    first: int
    last: int


def cuts(length: int) -> list[Cut]:
    """Divide an axis of `length` tokens into tiles."""
    if length <= _UNDIVIDED:
        return [Cut(0, length, 0, length)]
    found = []
    for start in range(0, length, _CORE):
        first = min(max(start - (_INPUT - _CORE) // 2, 0), length - _INPUT)
        found.append(Cut(start, min(start + _CORE, length), first, first + _INPUT))
    return found


class Encodings:
    """Encodings of the frames of a stack.

    Parameters
    ----------
    model : the network, on its device.
    frames : the stack.
    levels : by their token grids.
    tiled : encode tiles; otherwise whole frames, as published.
    kept : frames whose encodings are kept, the last ones used.
    """

    def __init__(
        self,
        model: SAM2,
        frames: Frames,
        levels: dict[Level, Geometry],
        tiled: bool,
        kept: int,
    ) -> None:
        self.model = model
        self.frames = frames
        self.levels = levels
        self.tiled = tiled
        self.kept = kept
        self._tiles: OrderedDict[int, dict[tuple[Level, Place], Maps]] = OrderedDict()

    def windows(self, frame: int, windows: Sequence[Window]) -> ImageFeatures:
        """Return the encoding of windows of one size and level on a frame."""
        level = windows[0].grid
        tiles = self._of_frame(frame)
        if not self.tiled:
            key = (level, (0, 0))
            if key not in tiles:
                image = self.frames.tensor(frame, self.levels[level].size)
                tiles[key] = _maps(self.model.encode_image(image.to(self.model.device)))
            return ImageFeatures(*tiles[key], TokenGrid(*level)).crop(_grid(windows))
        rows, columns = (cuts(length) for length in level)
        touched = [_touched(window, rows, columns) for window in windows]
        missing = {place for places in touched for place in places if (level, place) not in tiles}
        self._encode(frame, level, sorted(missing), rows, columns)
        parts = [
            [(rows[i], columns[j], tiles[level, (i, j)]) for i, j in places] for places in touched
        ]
        stride16, stride8, stride4 = (
            torch.stack([_laid(w, p, k) for w, p in zip(windows, parts, strict=True)])
            for k in range(3)
        )
        return ImageFeatures(stride16, stride8, stride4, _grid(windows))

    def forget(self) -> None:
        """Drop all encodings; they are made again when asked for."""
        self._tiles.clear()

    def _of_frame(self, frame: int) -> dict[tuple[Level, Place], Maps]:
        if frame not in self._tiles:
            while len(self._tiles) >= self.kept:
                self._tiles.popitem(last=False)
            self._tiles[frame] = {}
        self._tiles.move_to_end(frame)
        return self._tiles[frame]

    def _encode(
        self, frame: int, level: Level, places: Sequence[Place], rows: list[Cut],
        columns: list[Cut],
    ) -> None:  # fmt: skip
        size = self.levels[level].size
        for start in range(0, len(places), _TILES_AT_ONCE):
            part = places[start : start + _TILES_AT_ONCE]
            images = [
                self.frames.tensor(frame, size, (_pixels(rows[i]), _pixels(columns[j])))
                for i, j in part
            ]
            encoded = self.model.encode_image(torch.cat(images).to(self.model.device))
            for n, (i, j) in enumerate(part):
                self._tiles[frame][level, (i, j)] = _core(encoded, n, rows[i], columns[j])


def _pixels(cut: Cut) -> slice:
    return slice(TOKEN * cut.first, TOKEN * cut.last)


def _maps(features: ImageFeatures) -> Maps:
    return features.stride16, features.stride8, features.stride4


def _core(encoded: ImageFeatures, n: int, row: Cut, column: Cut) -> Maps:
    """Keep the middle of one tile, (C, h, w) each."""
    stride16, stride8, stride4 = (
        x[
            n,
            :,
            scale * (row.start - row.first) : scale * (row.stop - row.first),
            scale * (column.start - column.first) : scale * (column.stop - column.first),
        ].clone()
        for x, scale in zip(_maps(encoded), (1, 2, 4), strict=True)
    )
    return stride16, stride8, stride4


def _touched(window: Window, rows: list[Cut], columns: list[Cut]) -> list[Place]:
    """Tiles that a window reaches into."""
    bottom, right = window.row + window.height, window.column + window.width
    return [
        (i, j)
        for i, row in enumerate(rows)
        if row.start < bottom and row.stop > window.row
        for j, column in enumerate(columns)
        if column.start < right and column.stop > window.column
    ]


def _laid(window: Window, parts: Sequence[tuple[Cut, Cut, Maps]], k: int) -> Tensor:
    """Put the k-th map of a window together from its tiles."""
    scale = 1 << k
    like = parts[0][2][k]
    out = like.new_empty(like.shape[0], scale * window.height, scale * window.width)
    for row, column, maps in parts:
        to, of = zip(
            _shared(row, window.row, window.height, scale),
            _shared(column, window.column, window.width, scale),
            strict=True,
        )
        out[:, to[0], to[1]] = maps[k][:, of[0], of[1]]
    return out


def _shared(cut: Cut, start: int, length: int, scale: int) -> tuple[slice, slice]:
    """Slices of what a tile and a window have in common, in the window and in the tile."""
    low, high = max(cut.start, start), min(cut.stop, start + length)
    return (
        slice(scale * (low - start), scale * (high - start)),
        slice(scale * (low - cut.start), scale * (high - cut.start)),
    )


def _grid(windows: Sequence[Window]) -> TokenGrid:
    origins = tuple((w.row, w.column) for w in windows)
    origins = origins[:1] if len(set(origins)) == 1 and origins[0] == (0, 0) else origins
    return TokenGrid(windows[0].height, windows[0].width, origins)
