"""Encodings of frames: made when first asked for, the last ones kept.

Where windows are used, each is encoded for itself: about as large as the crops that small models
are trained on. So the cost follows the cells: where no object is, nothing is encoded, and a frame
of any size is seen at any magnification. A window larger than that is put together from tiles,
each encoded with some tokens around it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from napari_sam2.model.positions import TokenGrid
from napari_sam2.model.sam2 import SAM2
from napari_sam2.model.values import ImageFeatures
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.network.encoding_store import EncodingStore, Maps
from napari_sam2.tracking.windows import TOKEN, Geometry, Window, whole

_UNDIVIDED = 24  # up to so many tokens, a window is encoded for itself
_CORE = 22  # tokens of a tile that are kept
_INPUT = 24  # tokens of it that are encoded: whole windows of every stage
_TILES_AT_ONCE = 8
_TOKENS_KEPT = 16_384  # for each frame that is kept; what some hundred cells take


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
    divided : encode windows and tiles; otherwise whole frames, as published.
    kept : how much is kept, of what was used last: so many whole frames, or windows of as many
        times 16,384 tokens.
    store : keeps whole frames on disk; windows follow the objects and are made anew.
    """

    def __init__(
        self,
        model: SAM2,
        frames: Frames,
        levels: dict[tuple[int, int], Geometry],
        divided: bool,
        kept: int,
        store: EncodingStore | None = None,
    ) -> None:
        self.model = model
        self.store = None if divided else store
        self.frames = frames
        self.levels = levels
        self.divided = divided
        self._most = kept * (_TOKENS_KEPT if divided else max(h * w for h, w in levels))
        self._tokens = 0
        self._maps: OrderedDict[tuple[int, Window], Maps] = OrderedDict()
        self._prepared: tuple[int, Tensor] | None = None

    def windows(self, frame: int, windows: Sequence[Window]) -> ImageFeatures:
        """Return the encoding of windows of one size on a frame, made at once."""
        first = windows[0]
        if not self.divided:
            everything = self._encoded(frame, [whole(self.levels[first.grid])], 1)
            return ImageFeatures(*everything, TokenGrid(*first.grid)).crop(_grid(windows))
        if max(first.height, first.width) <= _UNDIVIDED:
            found = self._encoded(frame, windows, len(windows))
            return ImageFeatures(*found, _grid(windows))
        return ImageFeatures(*_stacked([self._laid(frame, w) for w in windows]), _grid(windows))

    def ready(self, frame: int) -> bool:
        """Whether any place on a frame can be had without encoding all of the frame."""
        return self.divided or any(
            (frame, whole(level)) in self._maps for level in self.levels.values()
        )

    def room(self, frames: int, tokens: int) -> int:
        """Return how many bytes more will be kept after some frames.

        Parameters
        ----------
        frames : number of frames.
        tokens : in the windows of a frame; whole frames have their own.
        """
        each = tokens if self.divided else max(h * w for h, w in self.levels)
        # Stride 16, 8 and 4: a quarter and an eighth of the channels at 4 and 16 times the cells.
        per_token = 4 * self.model.config.hidden * (1 + 1 + 2)
        return per_token * max(min(self._most, frames * each) - self._tokens, 0)

    def prepared(self, frame: int, windows: Sequence[Window]) -> Tensor | None:
        """Return `SAM2.prepare` of a whole frame, kept for all its objects; None for windows."""
        if self.divided or any(w != whole(self.levels[w.grid]) for w in windows):
            return None
        if self._prepared is None or self._prepared[0] != frame:
            self._prepared = frame, self.model.prepare(self.windows(frame, windows))
        return self._prepared[1]

    def forget(self) -> None:
        """Drop all encodings; they are made again when asked for."""
        self._maps.clear()
        self._prepared = None
        self._tokens = 0

    def _encoded(self, frame: int, windows: Sequence[Window], at_once: int) -> Maps:
        """Return the maps, (N, C, ...), of windows of one size, each encoded for itself."""
        found = {w: self._maps[frame, w] for w in windows if (frame, w) in self._maps}
        missing = [window for window in dict.fromkeys(windows) if window not in found]
        made: Maps | None = None
        for start in range(0, len(missing), at_once):
            part = missing[start : start + at_once]
            made = self._made(frame, part)
            found |= dict(zip(part, zip(*made, strict=True), strict=True))
        self._keep(frame, found)
        if made is not None and len(made[0]) == len(windows):
            return made  # all of them at once, and in their order
        return _stacked([found[window] for window in windows])

    def _made(self, frame: int, windows: Sequence[Window]) -> Maps:
        # Apple's GPUs lack the antialiasing.
        device = self.model.device if self.model.device.type == "cuda" else torch.device("cpu")
        images = torch.cat(
            [
                self.frames.tensor(
                    frame,
                    self.levels[grid].size,
                    [w.slices(TOKEN) for w in some],
                    device,
                    grey=self.model.config.sees_grey,
                    own=self.divided,
                )
                for grid, some in groupby(windows, lambda window: window.grid)
            ]
        )
        if self.store is None:
            return self._encode(images)
        path = self.store.path(images)
        known = self.store.load(path)
        return self.store.keep(path, self._encode(images)) if known is None else known

    def _encode(self, images: Tensor) -> Maps:
        encoded = self.model.encode_image(images.to(self.model.device))
        maps = encoded.stride16, encoded.stride8, encoded.stride4
        if not self.divided:
            return maps
        # Of one layout, whatever was encoded together: layouts round differently.
        stride16, stride8, stride4 = (part.contiguous() for part in maps)
        return stride16, stride8, stride4

    def _keep(self, frame: int, found: dict[Window, Maps]) -> None:
        for window, maps in found.items():
            if (frame, window) not in self._maps:
                self._tokens += window.height * window.width
            self._maps[frame, window] = maps
            self._maps.move_to_end((frame, window))
        while self._tokens > self._most and len(self._maps) > 1:
            (_, oldest), _ = self._maps.popitem(last=False)
            self._tokens -= oldest.height * oldest.width

    def _laid(self, frame: int, window: Window) -> Maps:
        """Put the maps of a large window together from tiles."""
        rows, columns = (cuts(length) for length in window.grid)
        touched = _touched(window, rows, columns)
        tiles = [
            Window(r.first, c.first, r.last - r.first, c.last - c.first, window.grid)
            for r, c in touched
        ]
        stride16, stride8, stride4 = (
            _joined(window, touched, maps, 1 << k)
            for k, maps in enumerate(self._encoded(frame, tiles, _TILES_AT_ONCE))
        )
        return stride16, stride8, stride4


def _stacked(each: Sequence[Maps]) -> Maps:
    if len(each) == 1:  # a view: a whole frame is large
        stride16, stride8, stride4 = (part[None] for part in each[0])
        return stride16, stride8, stride4
    stride16, stride8, stride4 = (torch.stack(maps) for maps in zip(*each, strict=True))
    return stride16, stride8, stride4


def _touched(window: Window, rows: list[Cut], columns: list[Cut]) -> list[tuple[Cut, Cut]]:
    """Tiles that a window reaches into."""
    bottom, right = window.row + window.height, window.column + window.width
    return [
        (row, column)
        for row in rows
        if row.start < bottom and row.stop > window.row
        for column in columns
        if column.start < right and column.stop > window.column
    ]


def _joined(window: Window, tiles: Sequence[tuple[Cut, Cut]], maps: Tensor, scale: int) -> Tensor:
    """Copy what tiles and a window have in common, with `scale` cells per token."""
    out = maps.new_empty(maps.shape[1], scale * window.height, scale * window.width)
    for (row, column), tile in zip(tiles, maps, strict=True):
        to, of = zip(
            _shared(row, window.row, window.height, scale),
            _shared(column, window.column, window.width, scale),
            strict=True,
        )
        out[:, to[0], to[1]] = tile[:, of[0], of[1]]
    return out


def _shared(cut: Cut, start: int, length: int, scale: int) -> tuple[slice, slice]:
    """Slices of what a tile and a window have in common, in the window and in the tile."""
    low, high = max(cut.start, start), min(cut.stop, start + length)
    return (
        slice(scale * (low - start), scale * (high - start)),
        slice(scale * (low - cut.first), scale * (high - cut.first)),
    )


def _grid(windows: Sequence[Window]) -> TokenGrid:
    origins = tuple((w.row, w.column) for w in windows)
    origins = origins[:1] if len(set(origins)) == 1 and origins[0] == (0, 0) else origins
    return TokenGrid(windows[0].height, windows[0].width, origins)
