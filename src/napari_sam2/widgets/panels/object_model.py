"""The objects of the table as Qt's model: what its cells show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QAbstractTableModel,
    QModelIndex,
    Qt,
    Signal,
)
from qtpy.QtWidgets import QWidget

from napari_sam2.widgets.panels.confidence_colours import score_colours
from napari_sam2.widgets.panels.swatch import swatch
from napari_sam2.widgets.session.overview import Summary

ID, NAME, FRAMES, LOWEST, LOCK, SHOW = range(6)
HEADERS = ("No.", "Name", "Frames", "Lowest", "Lock", "Show")
_TIPS = (
    "Number and colour of the object; double-click a row to go to its first frame",
    "Name of the object, or ↳ and the number of its mother; double-click or F2 to change it",
    "First and last frame with a mask",
    "Lowest score among frames that nobody has prompted or accepted; double-click to go there",
    "Locked objects keep their masks: they are not followed, and nothing is written over them",
    "Whether the masks are shown",
)
_ROLE = Qt.ItemDataRole
SORT_ROLE = int(_ROLE.UserRole)


class ObjectModel(QAbstractTableModel):
    """Summaries of objects as a Qt model.

    Parameters
    ----------
    colour_of
        Colour (RGBA, 0 to 1) of an object.
    """

    renamed = Signal(int, str)
    locked = Signal(int, bool)
    shown = Signal(int, bool)

    def __init__(self, colour_of: Callable[[int], Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colour_of = colour_of
        self.rows: list[Summary] = []

    def show_rows(self, rows: list[Summary]) -> None:
        """Show other rows, or the same with other numbers."""
        same = [row.object_id for row in rows] == [row.object_id for row in self.rows]
        if not same:
            self.beginResetModel()
        self.rows = rows
        if not same:
            self.endResetModel()
        elif rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, SHOW))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of objects."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return len(HEADERS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = _ROLE.DisplayRole
    ) -> Any:
        """Return a column's name or what it means."""
        if orientation == Qt.Orientation.Horizontal:
            if role == _ROLE.DisplayRole:
                return HEADERS[section]
            if role == _ROLE.ToolTipRole:
                return _TIPS[section]
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Return what can be done to a cell."""
        flags = super().flags(index)
        if index.column() == NAME:
            flags |= Qt.ItemFlag.ItemIsEditable
        if index.column() in (LOCK, SHOW):
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        return flags

    def data(self, index: QModelIndex, role: int = _ROLE.DisplayRole) -> Any:
        """Return what a cell shows."""
        row, column = self.rows[index.row()], index.column()
        if role in (_ROLE.DisplayRole, _ROLE.EditRole):
            return _text(row, column, role)
        if role == SORT_ROLE:
            return _sort_key(row, column)
        if role == _ROLE.DecorationRole and column == ID:
            return swatch([255 * c for c in self._colour_of(row.object_id)[:3]])
        if role == _ROLE.DecorationRole and column == LOWEST and row.lowest is not None:
            return swatch(score_colours(row.lowest), round_=False)
        if role == _ROLE.CheckStateRole and column in (LOCK, SHOW):
            on = row.locked if column == LOCK else row.visible
            return Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
        if role == _ROLE.ToolTipRole:
            return described(row) if column not in (LOCK, SHOW) else _TIPS[column]
        if role == _ROLE.AccessibleTextRole and column == NAME and row.mother is not None:
            return f"{row.name} daughter of {row.mother}".strip()
        if role == _ROLE.AccessibleTextRole and column in (LOCK, SHOW):
            return f"{HEADERS[column]} object {row.object_id}"
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = _ROLE.EditRole) -> bool:
        """Announce what the user wants; the rows change when it is so."""
        object_id = self.rows[index.row()].object_id
        if role == _ROLE.EditRole and index.column() == NAME:
            self.renamed.emit(object_id, str(value))
        elif role == _ROLE.CheckStateRole:
            on = Qt.CheckState(value) == Qt.CheckState.Checked
            (self.locked if index.column() == LOCK else self.shown).emit(object_id, on)
        else:
            return False
        return True


def _text(row: Summary, column: int, role: int) -> str | None:
    if column == NAME and not row.name and row.mother is not None and role == _ROLE.DisplayRole:
        return f"↳ {row.mother}"  # short: there is little room
    if column == FRAMES:
        return "–" if row.first is None else f"{row.first}–{row.last}"
    if column == LOWEST:
        return "–" if row.lowest is None else f"{100 * row.lowest:.0f} %"
    return {ID: str(row.object_id), NAME: row.name}.get(column)


def _sort_key(row: Summary, column: int) -> Any:
    return (
        row.object_id,
        row.name.lower(),
        row.covered,
        2.0 if row.lowest is None else row.lowest,
        row.locked,
        row.visible,
    )[column]


def described(row: Summary) -> str:
    """Say all about an object in a few lines."""
    lines = [f"Object {row.object_id}" + (f": {row.name}" if row.name else "")]
    if row.first is None:
        lines.append("No masks yet")
    else:
        lines.append(f"Masks on {row.covered} frames, {row.first} to {row.last}")
    if row.mother is not None:
        lines.append(f"Daughter of object {row.mother}")
    if row.daughters:
        lines.append(f"Mother of {', '.join(str(i) for i in row.daughters)}")
    if row.lowest is not None:
        lines.append(f"Lowest score {100 * row.lowest:.0f} %, on frame {row.lowest_frame}")
    counts = (("prompted", row.prompted), ("gaps", row.gaps), ("jumps", row.jumps))
    lines.append(", ".join(f"{count} {name}" for name, count in counts))
    if row.interpolated:
        lines.append(f"{row.interpolated} interpolated")
    lines.append(f"{row.doubtful} frames to check")
    return "\n".join(lines)
