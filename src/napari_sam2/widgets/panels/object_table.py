"""The table of objects: one row each, to choose, rename, lock and hide them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import (  # type: ignore[attr-defined]
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QMenu,
    QStyledItemDelegate,
    QWidget,
)

from napari_sam2.widgets.panels.mother_menu import add_mother_menu
from napari_sam2.widgets.panels.object_model import (
    FRAMES,
    HEADERS,
    ID,
    LOCK,
    LOWEST,
    NAME,
    SHOW,
    SORT_ROLE,
    ObjectModel,
)
from napari_sam2.widgets.panels.row_table import RowTable
from napari_sam2.widgets.panels.selecting import add_select_menu
from napari_sam2.widgets.parts import pop_up
from napari_sam2.widgets.session.overview import Summary

_ROLE = Qt.ItemDataRole
_DELETES = (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)


class _NameDelegate(QStyledItemDelegate):
    """Keeps what is being typed when the table is filled anew, as it is while it propagates."""

    def setEditorData(self, editor: QWidget | None, index: QModelIndex) -> None:
        """Fill the editor, unless it differs by what the user did, or not at all."""
        if isinstance(editor, QLineEdit):
            same = editor.text() == index.data(_ROLE.EditRole)
            if editor.isModified() or same:
                return
        super().setEditorData(editor, index)


class ObjectTable(RowTable):
    """A view of `ObjectModel` that emits what the user wants; letters go to the dock's keys."""

    picked = Signal(int)
    """An object was chosen."""
    frame_wanted = Signal(int, int)
    """Object and frame to go to."""
    action = Signal(str)
    """Chosen in the menu: new, delete, merge, split, divide, lock, show, only or follow."""
    mother_chosen = Signal(object)
    """Whose daughters the selected objects are: an id, or None."""
    rule_chosen = Signal(str)
    """By what objects are to be selected, see `selecting`."""

    def __init__(self, colour_of: Callable[[int], Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.objects = ObjectModel(colour_of, self)
        self._proxy = QSortFilterProxyModel(self)
        self._proxy.setSourceModel(self.objects)
        self._proxy.setSortRole(SORT_ROLE)
        self.setModel(self._proxy)
        self.setItemDelegateForColumn(NAME, _NameDelegate(self))
        self.setAccessibleName("Objects")
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setSortingEnabled(True)
        self.sortByColumn(ID, Qt.SortOrder.AscendingOrder)
        self._lay_out()
        self._choosing = self._picking = False
        self.selectionModel().currentRowChanged.connect(self._on_current)
        self.doubleClicked.connect(self._on_double_click)
        self.customContextMenuRequested.connect(self._show_menu)

    def _lay_out(self) -> None:
        header = self.horizontalHeader()
        header.setMinimumSectionSize(20)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSortIndicatorShown(False)  # it would take the place of the names
        header.setSectionsClickable(True)
        width = self.fontMetrics().horizontalAdvance
        for column, sample in ((ID, "100"), (FRAMES, "000–000"), (LOWEST, "100 %")):
            extra = {ID: 24, FRAMES: 12, LOWEST: 32}[column]
            self.setColumnWidth(column, max(width(sample), width(HEADERS[column]) - 14) + extra)
        for column in (LOCK, SHOW):
            self.setColumnWidth(column, width(HEADERS[column]) + 14)
        self._widths = [self.columnWidth(column) for column in range(len(HEADERS))]
        self.setMinimumHeight(4 * self.verticalHeader().defaultSectionSize())

    def sizeHint(self) -> Any:
        """Return room for five rows."""
        size = super().sizeHint()
        header = self.horizontalHeader().sizeHint().height()
        size.setHeight(header + 5 * self.verticalHeader().defaultSectionSize() + 4)
        return size

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Leave the frames out where names would have no room; the tooltips have them, too."""
        columns = (ID, FRAMES, LOWEST, LOCK, SHOW)
        needed = sum(self._widths[column] for column in columns)
        needed += self.fontMetrics().horizontalAdvance("mother")
        self.setColumnHidden(FRAMES, self.viewport().width() < needed)
        super().resizeEvent(event)

    # --- showing -------------------------------------------------------------------------

    def show_rows(self, rows: list[Summary], current: int) -> None:
        """Show objects and which of them is the current one; the selection stays."""
        selected = self.selected_ids()
        self._choosing = True
        self.objects.show_rows(rows)
        self._choosing = False
        if self.selected_ids() != selected:
            self.select(selected)
        self.show_current(current)

    def show_current(self, object_id: int) -> None:
        """Select an object's row, unless it is among the selected."""
        if not self._picking and object_id not in self.selected_ids():
            self.select([object_id])

    def select(self, ids: list[int]) -> None:
        """Select the rows of these objects and no other; the current object is not changed."""
        flags = QItemSelectionModel.SelectionFlag
        model, wanted, found = self.selectionModel(), set(ids), QItemSelection()
        rows = [n for n in range(self._proxy.rowCount()) if self._id_at(n) in wanted]
        breaks = np.flatnonzero(np.diff(rows) > 1) + 1
        for run in np.split(np.array(rows, int), breaks) if rows else ():
            first, last = int(run[0]), int(run[-1])
            found.select(self._proxy.index(first, 0), self._proxy.index(last, len(HEADERS) - 1))
        self._choosing = True
        model.clear()
        if rows:
            model.select(found, flags.Select)
            current = self._proxy.index(max(rows, key=self._id_at), 0)
            model.setCurrentIndex(current, flags.NoUpdate)
            self.scrollTo(current)
        self._choosing = False

    def selected_ids(self) -> list[int]:
        """Return the objects whose rows are selected."""
        parts = self.selectionModel().selection()
        return sorted({self._id_at(n) for p in parts for n in range(p.top(), p.bottom() + 1)})

    def _id_at(self, row: int) -> int:
        return self._id(self._proxy.index(row, 0))

    def _id(self, index: QModelIndex) -> int:
        return self.objects.rows[self._proxy.mapToSource(index).row()].object_id

    # --- what the user does --------------------------------------------------------------

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        if not self._choosing and index.isValid():
            # Qt has not yet selected what was clicked: that must not be taken for another choice.
            self._picking = True
            self.picked.emit(self._id(index))
            self._picking = False

    def _on_double_click(self, index: QModelIndex) -> None:
        row = self.objects.rows[self._proxy.mapToSource(index).row()]
        if index.column() == NAME:
            self.edit(index)
        elif index.column() == LOWEST and row.lowest_frame is not None:
            self.frame_wanted.emit(row.object_id, row.lowest_frame)
        elif index.column() not in (LOCK, SHOW) and row.first is not None:
            self.frame_wanted.emit(row.object_id, row.first)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Delete the selected objects, or rename the current one, from whichever column."""
        if event is not None and event.key() in _DELETES and self.selected_ids():
            self.action.emit("delete")
        elif event is not None and event.key() == Qt.Key.Key_F2:
            self.rename()
        else:
            super().keyPressEvent(event)

    def rename(self) -> None:
        """Let the user type a name for the current row."""
        index = self.currentIndex()
        if index.isValid():
            self.edit(index.siblingAtColumn(NAME))

    def menu(self) -> QMenu:
        """Make the menu for the selected rows."""
        menu = QMenu(self)
        ids = self.selected_ids()
        chosen = [row for row in self.objects.rows if row.object_id in ids]
        menu.addAction("New object (N)", lambda: self.action.emit("new"))
        rename = menu.addAction("Rename (F2)", self.rename)
        merge = "Merge" if len(ids) < 2 else f"Merge into object {ids[0]}"
        merging = menu.addAction(merge, lambda: self.action.emit("merge"))
        splitting = menu.addAction("Split here", lambda: self.action.emit("split"))
        dividing = menu.addAction("Divides here (D)", lambda: self.action.emit("divide"))
        add_mother_menu(menu, self.objects.rows, chosen, self.mother_chosen.emit)
        menu.addSeparator()
        locked = bool(chosen) and all(row.locked for row in chosen)
        visible = any(row.visible for row in chosen)
        lock = menu.addAction("Unlock" if locked else "Lock", lambda: self.action.emit("lock"))
        show = menu.addAction("Hide" if visible else "Show", lambda: self.action.emit("show"))
        only = menu.addAction("Show only these", lambda: self.action.emit("only"))
        menu.addSeparator()
        follow = menu.addAction("Propagate only these", lambda: self.action.emit("follow"))
        follow.setEnabled(bool(ids))
        add_select_menu(menu, bool(self.objects.rows), self.rule_chosen.emit)
        delete = menu.addAction("Delete (Del)", lambda: self.action.emit("delete"))
        for action in (rename, splitting, dividing):
            action.setEnabled(len(ids) == 1)
        for action in (lock, show, only, delete):
            action.setEnabled(bool(ids))
        merging.setEnabled(len(ids) > 1)
        return menu

    def _show_menu(self, place: Any) -> None:
        pop_up(self.menu(), self.viewport().mapToGlobal(place))
