"""Objects are selected in the table for what they are, and changed together."""

from __future__ import annotations

import numpy as np
import pytest
from menus import submenu
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QInputDialog

from napari_sam2.widgets.session.opening import SessionOpener

LENGTH = 10
PLACES = {  # rows, columns, frames
    1: (slice(20, 30), slice(20, 30), slice(0, LENGTH)),
    2: (slice(20, 30), slice(0, 10), slice(0, LENGTH)),  # at the left edge
    3: (slice(40, 50), slice(40, 50), slice(0, 2)),  # short
    4: (slice(60, 63), slice(60, 63), slice(0, LENGTH)),  # small
    5: (slice(60, 80), slice(20, 50), slice(0, LENGTH)),  # large, at the bottom
}


@pytest.fixture
def desk(open_desk):
    """Five objects from a layer of labels."""
    labels = np.zeros((LENGTH, 80, 100), np.uint8)
    for object_id, (rows, columns, frames) in PLACES.items():
        labels[frames, rows, columns] = object_id
    labels[:5, 60:80, 20:50] = 0  # reaches the edge on some frames only
    labels[:5, 55:75, 20:50] = 5
    desk = open_desk(labels * 40, session_factory=SessionOpener())
    desk.widget.workbench.seeding.adopt(desk.viewer.add_labels(labels, name="found"))
    desk.done()
    shown(desk)
    return desk


def shown(desk) -> None:
    desk.widget.wait(120, panels=True)


def choose(desk, title: str) -> list[int]:
    """Take an entry of the menu; returns what is selected then."""
    table = desk.widget.form.objects.table
    menu = submenu(table.menu(), "Select")
    next(action for action in menu.actions() if action.text() == title).trigger()
    shown(desk)
    shown(desk)  # once more, with the object that is the current one now
    return table.selected_ids()


def test_at_the_edge_on_any_frame(desk):
    assert choose(desk, "At the edge of the image") == [2, 5]
    assert desk.status.startswith("2 objects are selected")
    assert desk.widget.object_id == 2


@pytest.mark.parametrize(
    ("title", "proposed", "answer", "expected"),
    [
        ("On few frames …", 2, 3, [3]),
        ("Small …", 50, 50, [4]),
        ("Large …", 200, 200, [5]),
        ("Large …", 200, 120, [5]),
        ("Unsure …", 50, 101, [1, 2, 3, 4, 5]),
    ],
)
def test_by_a_bound(desk, monkeypatch, title, proposed, answer, expected):
    asked = []

    def answering(_parent, _title, text, value, *_):
        asked.append((text, value))
        return answer, True

    monkeypatch.setattr(QInputDialog, "getInt", answering)
    assert choose(desk, title) == expected
    assert asked[0][1] == pytest.approx(proposed, rel=0.1)  # areas are those of coarse masks


def test_nobody_is_like_that(desk, monkeypatch):
    table = desk.widget.form.objects.table
    table.select([1, 3])
    desk.widget.object_id = 1
    for answer in ((0, True), (10, False)):
        monkeypatch.setattr(QInputDialog, "getInt", lambda *_, answer=answer: answer)
        assert choose(desk, "Small …") == [1, 3]
    assert "No object is like that" in desk.status


def test_deleted_and_locked_together_in_one_step(desk):
    table = desk.widget.form.objects.table
    choose(desk, "At the edge of the image")
    next(action for action in table.menu().actions() if action.text() == "Lock").trigger()
    shown(desk)
    assert desk.widget.session.locked == {2, 5}
    assert "2 objects are locked" in desk.status
    assert table.selected_ids() == [2, 5]
    desk.widget.undo()
    shown(desk)
    assert not desk.widget.session.locked
    QTest.keyClick(table, Qt.Key.Key_Delete)
    shown(desk)
    assert [row.object_id for row in table.objects.rows] == [1, 3, 4]
    desk.widget.undo()
    shown(desk)
    assert [row.object_id for row in table.objects.rows] == [1, 2, 3, 4, 5]


def test_there_is_nothing_to_select(open_desk):
    table = open_desk(np.zeros((3, 20, 20), np.uint8)).widget.form.objects.table
    assert not submenu(table.menu(), "Select").isEnabled()


@pytest.mark.parametrize("order", [Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder])
def test_many_rows_are_selected_at_once(desk, order):
    table, changes = desk.widget.form.objects.table, []
    table.sortByColumn(0, order)
    table.select([4])
    table.selectionModel().selectionChanged.connect(lambda *_: changes.append(1))
    table.select([1, 2, 3, 5, 99])
    assert table.selected_ids() == [1, 2, 3, 5]
    assert table._id(table.currentIndex()) == 5
    assert len(changes) <= 2  # what was selected goes; these come
    assert table.selectionModel().selection().count() == 2  # rows in a sequence are one part
    table.select([])
    assert table.selected_ids() == []
