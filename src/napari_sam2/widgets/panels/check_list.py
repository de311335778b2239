"""The list of frames to check, worst first; frames in a row are one entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import (  # type: ignore[attr-defined]
    QAbstractTableModel,
    QModelIndex,
    Qt,
    Signal,
)
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QWidget

from napari_sam2.widgets.panels.row_table import RowTable
from napari_sam2.widgets.panels.swatch import swatch
from napari_sam2.widgets.session.overview import EMPTY, Overview

_HEADERS = ("No.", "Frames", "Why")
_ROLE = Qt.ItemDataRole


class CheckModel(QAbstractTableModel):
    """The doubts of an overview as a Qt model; words are made for rows on screen only."""

    def __init__(self, colour_of: Callable[[int], Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colour_of = colour_of
        self.overview: Overview = EMPTY

    def show_overview(self, overview: Overview) -> bool:
        """Show other doubts; False if they are the same frames as before."""
        same = np.array_equal(overview.order, self.overview.order)
        same = same and np.array_equal(overview.spans, self.overview.spans)
        if not same:
            self.beginResetModel()
        self.overview = overview
        if not same:
            self.endResetModel()
        return not same

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of doubts."""
        return 0 if parent is not None and parent.isValid() else len(self.overview.order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return len(_HEADERS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = _ROLE.DisplayRole
    ) -> Any:
        """Return a column's name."""
        if role == _ROLE.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return _HEADERS[section]
        return None

    def data(self, index: QModelIndex, role: int = _ROLE.DisplayRole) -> Any:
        """Return what a cell shows."""
        object_id, frame = self.overview.order[index.row()].tolist()
        if role == _ROLE.DecorationRole and index.column() == 0:
            return swatch([255 * c for c in self._colour_of(object_id)[:3]])
        if role in (_ROLE.DisplayRole, _ROLE.ToolTipRole):
            reasons = self.overview.reasons_at(object_id, frame)
            frames = self.overview.frames_at(index.row())
            if role == _ROLE.ToolTipRole:
                worst = "" if frames == str(frame) else f"s {frames}, the worst {frame}"
                return f"Object {object_id}, frame{worst or f' {frame}'}: {reasons}"
            return (str(object_id), frames, reasons)[index.column()]
        return None


class CheckList(RowTable):
    """A view of the doubts; choosing a row visits it."""

    visited = Signal(int)
    """Place in the list."""

    def __init__(self, colour_of: Callable[[int], Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.doubts = CheckModel(colour_of, self)
        self.setModel(self.doubts)
        self.setAccessibleName("Frames to check")
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.horizontalHeader().setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        width = self.fontMetrics().horizontalAdvance
        self.setColumnWidth(0, width("1000") + 28)
        self.setColumnWidth(1, width("100–100") + 14)
        self._choosing = False
        self.selectionModel().currentRowChanged.connect(self._on_current)

    def show_overview(self, overview: Overview, place: int | None) -> None:
        """Show the doubts of an overview, and which of them is on screen."""
        scrolled = self.verticalScrollBar().value()
        self._choosing = True
        if self.doubts.show_overview(overview):
            self.verticalScrollBar().setValue(scrolled)
        self._choosing = False
        self.show_place(place)

    def show_place(self, place: int | None) -> None:
        """Select the row that is on screen."""
        self._choosing = True
        if place is None:
            self.selectionModel().clear()
        elif self.currentIndex().row() != place:
            self.selectRow(place)
        self._choosing = False

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        if not self._choosing and index.isValid():
            self.visited.emit(index.row())
