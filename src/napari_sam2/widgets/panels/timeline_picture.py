"""The picture behind the timeline: scores of objects over frames as pixels. No widgets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from qtpy.QtGui import QImage, qRgb

from napari_sam2.widgets.panels.confidence_colours import NOTHING, score_colours
from napari_sam2.widgets.session.overview import Overview

_HIGHEST = 250
_NOTHING = 255


class TimelinePicture:
    """Scores and marks of an overview, in as many columns as fit: frames, or groups of them.

    Where several frames share a column, the lowest score among them is shown: what is wrong must
    not get lost.

    Parameters
    ----------
    overview
        What to show.
    width
        Pixels that there are for the frames.
    """

    def __init__(self, overview: Overview, width: int) -> None:
        self.overview = overview
        length = overview.length
        codes = np.full(overview.score.shape, _NOTHING, np.uint8)
        shown = overview.covered
        codes[shown] = np.round(overview.score[shown].clip(0, 1) * _HIGHEST)
        self.columns = max(1, min(length, width))
        self._starts = np.arange(self.columns) * length // self.columns
        self._grouped = 0 < self.columns < length
        if self._grouped and codes.size:
            codes = np.minimum.reduceat(codes, self._starts, axis=1)
        self._codes = np.ascontiguousarray(codes)
        self._marks: dict[str, npt.NDArray[np.bool_]] = {}

    def image(self, rows: slice, dark: bool) -> QImage:
        """Return an image with one pixel for each row and column."""
        codes = self._codes[rows]
        height, width = codes.shape
        image = QImage(codes.tobytes(), width, height, width, QImage.Format.Format_Indexed8)
        table = score_colours(np.arange(256) / _HIGHEST)
        table[_NOTHING] = NOTHING[dark]
        image.setColorTable([qRgb(*rgb) for rgb in table.tolist()])
        return image.copy()  # the bytes belong to Python

    def marks(self, name: str, rows: slice) -> npt.NDArray[np.intp]:
        """Return (K, 2) row and column of the marks `name` of the overview in some rows."""
        if name not in self._marks:
            marks = getattr(self.overview, name)
            if self._grouped and marks.size:
                marks = np.logical_or.reduceat(marks, self._starts, axis=1)
            self._marks[name] = marks
        found = np.argwhere(self._marks[name][rows])
        found[:, 0] += rows.start
        return found

    def runs(self, name: str, rows: slice) -> list[tuple[int, int, int]]:
        """Return row, first column and column after the last of marks side by side."""
        self.marks(name, rows)
        padded = np.pad(self._marks[name][rows], ((0, 0), (1, 1))).astype(np.int8)
        change = np.diff(padded, axis=1)
        begins, ends = np.argwhere(change == 1), np.argwhere(change == -1)
        return [
            (int(row) + rows.start, int(start), int(stop))
            for (row, start), (_, stop) in zip(begins, ends, strict=True)
        ]
