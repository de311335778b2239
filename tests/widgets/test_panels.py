"""The object table, the timeline and the frames to check, by mouse and keys."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fakes import LARGE, blobs
from hands import shown
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit

from napari_sam2.tracking.results import Trace
from napari_sam2.widgets.notes import Notes
from napari_sam2.widgets.panels.object_model import FRAMES, ID, LOCK, LOWEST, NAME, SHOW
from napari_sam2.widgets.panels.panels import TIMELINE
from napari_sam2.widgets.panels.timeline import AXIS, ROW
from napari_sam2.widgets.session.overview import Overview

LEFT, CONTROL = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ControlModifier
NONE = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def window(two_followed):
    return two_followed


@pytest.fixture
def real(two_cells):
    """The same in napari's window."""
    two_cells.key("G")
    shown(two_cells)
    return two_cells


def table(window):
    return window.widget.form.objects.table


def cell(window, row: int, column: int) -> QPoint:
    view = table(window)
    place = view.visualRect(view.model().index(row, column))
    if column in (LOCK, SHOW):  # on the box, which stands on the left
        return QPoint(place.left() + 10, place.center().y())
    return place.center()


def press(window, row: int, column: int, modifier=NONE) -> None:
    QTest.mouseClick(table(window).viewport(), LEFT, modifier, cell(window, row, column))
    window.settle()


def double(window, row: int, column: int) -> None:
    press(window, row, column)
    QTest.mouseDClick(table(window).viewport(), LEFT, NONE, cell(window, row, column))
    window.settle()


def text(window, row: int, column: int) -> str:
    return table(window).model().index(row, column).data()


def frame(window) -> int:
    return window.widget.workbench.frame_on_screen


def timeline(window):
    return window.widget.panels.panel.timeline


def test_rows_and_the_canvas_choose_the_object(window):
    assert [text(window, r, ID) for r in (0, 1)] == ["1", "2"]
    assert text(window, 0, FRAMES) == "0–5"
    assert text(window, 0, LOWEST) == "90 %"
    assert window.widget.object_id == 2
    press(window, 0, ID)
    assert window.widget.object_id == 1
    window.layers.labels.selected_label = 2  # as napari's own picker does
    shown(window)
    assert window.widget.object_id == 2
    assert table(window).selected_ids() == [2]
    window.viewer.dims.set_current_step(0, 4)
    double(window, 0, ID)
    assert frame(window) == 0


def test_a_name_is_typed_into_the_table(window):
    double(window, 0, NAME)
    editor = table(window).viewport().findChild(QLineEdit)
    QTest.keyClicks(editor, "gu")  # N and G are keys of the canvas elsewhere
    window.widget.panels.request()  # as while objects are followed
    shown(window)
    QTest.keyClicks(editor, "nn")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    shown(window)
    assert text(window, 0, NAME) == "gunn"
    assert window.widget.workbench.notes.names == {1: "gunn"}
    assert len(table(window).objects.rows) == 2
    double(window, 0, NAME)
    editor = table(window).viewport().findChild(QLineEdit)
    window.widget.panels.request()
    shown(window)
    QTest.keyClicks(editor, "cell")  # in the place of the old name, which is selected
    QTest.keyClick(editor, Qt.Key.Key_Return)
    shown(window)
    assert text(window, 0, NAME) == "cell"


def test_hidden_objects_keep_their_masks(window):
    labels = window.layers.labels
    colour = labels.get_color(1)
    press(window, 0, SHOW)
    shown(window)
    assert labels.colormap.map(np.array([1], np.uint16))[0, 3] == 0
    assert labels.colormap.map(np.array([2], np.uint16))[0, 3] == 1
    assert (window.frame(0) == 1).any()
    press(window, 0, SHOW)
    shown(window)
    np.testing.assert_allclose(labels.get_color(1), colour)


def test_merging_and_undo(window):
    before = np.array(window.layers.labels.data)
    press(window, 0, ID)
    press(window, 1, ID, CONTROL)
    window.press(window.widget.form.objects.merge)
    shown(window)
    assert "is now part of" in window.status
    assert set(np.unique(window.layers.labels.data)) == {0, 1}
    assert [row.object_id for row in table(window).objects.rows] == [1]
    window.key("Z", CONTROL)
    shown(window)
    np.testing.assert_array_equal(window.layers.labels.data, before)
    assert [row.object_id for row in table(window).objects.rows] == [1, 2]
    assert set(window.layers.prompts) == {1, 2}


def test_three_that_are_merged_come_back_by_one_undo(window):
    window.key("N")
    window.click(20, 60)
    shown(window)
    before = np.array(window.layers.labels.data)
    for row in range(3):
        press(window, row, ID, CONTROL if row else NONE)
    window.press(window.widget.form.objects.merge)
    shown(window)
    assert "2 objects are now part of Object 1" in window.status
    assert set(np.unique(window.layers.labels.data)) == {0, 1}
    window.key("Z", CONTROL)
    shown(window)
    np.testing.assert_array_equal(window.layers.labels.data, before)
    assert set(window.layers.prompts) == {1, 2, 3}


@pytest.mark.parametrize("key", [Qt.Key.Key_Delete, Qt.Key.Key_Backspace])
def test_selected_rows_are_deleted_by_the_key(window, key):
    press(window, 0, ID)
    press(window, 1, ID, CONTROL)
    QTest.keyClick(table(window), key)
    shown(window)
    assert "2 objects were deleted" in window.status
    assert not table(window).objects.rows
    window.key("Z", CONTROL)
    shown(window)
    assert [row.object_id for row in table(window).objects.rows] == [1, 2]


def test_f2_renames_from_any_column(window):
    press(window, 0, ID)
    QTest.keyClick(table(window), Qt.Key.Key_F2)
    editor = table(window).viewport().findChild(QLineEdit)
    assert editor is not None
    QTest.keyClicks(editor, "mother")
    QTest.keyClick(editor, Qt.Key.Key_Return)
    shown(window)
    assert text(window, 0, NAME) == "mother"


def test_splitting_at_the_frame_on_screen(window):
    press(window, 0, ID)
    window.viewer.dims.set_current_step(0, 3)
    window.press(window.widget.form.objects.split)
    shown(window)
    assert window.widget.object_id == 3
    assert set(np.unique(window.frame(2))) == {0, 1, 2}
    assert set(np.unique(window.frame(3))) == {0, 2, 3}
    assert [text(window, r, FRAMES) for r in range(3)] == ["0–2", "0–5", "3–5"]
    window.key("Z", CONTROL)
    shown(window)
    assert set(np.unique(window.frame(3))) == {0, 1, 2}


def test_locking_is_a_step(window):
    press(window, 0, LOCK)
    shown(window)
    assert "is locked" in window.status
    assert window.widget.session.locked == {1}
    assert table(window).objects.rows[0].locked
    window.widget.object_id = 1
    window.click(22, 22)  # a prompt by hand counts all the same
    window.done()
    assert "It is locked" in window.status
    window.key("Z", CONTROL)
    window.done()
    window.key("Z", CONTROL)
    shown(window)
    assert not table(window).objects.rows[0].locked


def test_the_menu_offers_what_can_be_done(window):
    press(window, 0, ID)
    actions = {a.text(): a.isEnabled() for a in table(window).menu().actions() if a.text()}
    assert actions["Split here"]
    assert not actions["Merge"]
    press(window, 1, ID, CONTROL)
    actions = {a.text(): a.isEnabled() for a in table(window).menu().actions() if a.text()}
    assert actions["Merge into object 1"]
    assert not actions["Rename (F2)"]
    next(a for a in table(window).menu().actions() if a.text() == "Delete (Del)").trigger()
    shown(window)
    assert not window.layers.labels.data.any()


def test_a_click_in_the_timeline_goes_there(window):
    view = timeline(window)
    place = QPoint(round(view.x_of(4)), AXIS + ROW // 2)
    QTest.mouseClick(view.viewport(), LEFT, NONE, place)
    shown(window)
    assert (frame(window), window.widget.object_id) == (4, 1)
    assert view.overview.describe(1, 4).startswith("Object 1, frame 4: 90 % sure")
    view.setFocus()
    QTest.keyClick(view, Qt.Key.Key_Left)
    QTest.keyClick(view, Qt.Key.Key_Down)
    assert (frame(window), window.widget.object_id) == (3, 2)
    QTest.keyClick(view, Qt.Key.Key_End)
    assert frame(window) == 5


def unsure(session) -> None:
    """Make the fake session doubt object 2 on frame 3, and 1 a little on frame 4."""
    plain = session.traces

    def traces() -> dict[int, Trace]:
        found = plain()
        found[2].score[3], found[1].score[4] = 0.1, 0.4
        return found

    session.traces = traces


def test_frames_to_check_by_keys(window):
    unsure(window.widget.session)
    window.key("G")
    window.done()
    assert "2 to check: J" in window.status
    shown(window)
    form = window.widget.form.objects
    assert form.tabText(1) == "Frames to check (2)"
    window.key("J")
    assert (frame(window), window.widget.object_id) == (3, 2)
    assert window.status == "Object 2, frame 3: 10 % sure."
    window.key("J")
    assert (frame(window), window.widget.object_id) == (4, 1)
    window.key("K")
    assert (frame(window), window.widget.object_id) == (3, 2)
    mask = window.frame(3) == 2
    window.key("W")
    shown(window)
    assert "accepted" in window.status
    np.testing.assert_array_equal(window.layers.prompts[2][3].mask, mask)
    assert form.tabText(1) == "Frames to check (1)"
    window.key("J")
    assert (frame(window), window.widget.object_id) == (4, 1)
    window.key("J")
    assert "That was the last" in window.status
    window.viewer.dims.set_current_step(0, 3)
    window.widget.object_id = 2
    window.key("W")  # taken back: no prompt is left behind
    shown(window)
    assert 3 not in window.layers.prompts[2]


def accepted(window) -> dict[int, set[int]]:
    found = window.widget.workbench.notes.approved
    return {i: frames for i, frames in found.items() if frames}


def test_accepting_is_undone_with_its_prompt(window):
    shift = CONTROL | Qt.KeyboardModifier.ShiftModifier
    steps = [{}, {2: {3}}, {}]
    window.viewer.dims.set_current_step(0, 3)
    for expected in steps[1:]:
        window.key("W")
        shown(window)
        assert accepted(window) == expected
    for key, order in (("Z", steps[::-1][1:]), ("Z+", steps[1:])):
        for expected in order:
            window.key("Z", CONTROL if key == "Z" else shift)
            shown(window)
            assert accepted(window) == expected
            assert (3 in window.layers.prompts[2]) == bool(expected)
            row = window.widget.panels.review.overview.row_of(2)
            assert window.widget.panels.review.overview.approved[row, 3] == bool(expected)


def test_bad_frames_in_a_row_are_one_line(window):
    session = window.widget.session
    plain = session.traces

    def traces() -> dict[int, Trace]:
        found = plain()
        found[1].score[1:5] = 0.4, 0.3, 0.1, 0.3
        found[2].score[4] = 0.2
        return found

    session.traces = traces
    window.widget.panels.request()
    shown(window)
    form = window.widget.form.objects
    assert form.tabText(1) == "Frames to check (2)"
    model = form.checks.model()
    assert [[model.index(r, c).data() for c in range(3)] for r in range(2)] == [
        ["1", "1–4", "10 % sure"],
        ["2", "4", "20 % sure"],
    ]
    window.key("J")
    assert (frame(window), window.widget.object_id) == (3, 1)
    assert window.status == "Object 1, frames 1–4, of which 3 is the worst: 10 % sure."
    window.viewer.dims.set_current_step(0, 1)
    assert form.checks.currentIndex().row() == 0
    window.key("J")
    assert (frame(window), window.widget.object_id) == (4, 2)
    window.key("K")
    assert (frame(window), window.widget.object_id) == (3, 1)


def test_only_changed_objects_are_followed(window):
    session = window.widget.session
    window.press(window.widget.form.propagation.only_stale)
    window.key("G")
    shown(window)
    assert "No object has changed" in window.status
    window.widget.object_id = 2
    window.click(*LARGE)
    window.done()
    window.key("G")
    shown(window)
    assert session.followed == [2]
    window.press(window.widget.form.propagation.only_stale)
    window.key("G")
    shown(window)
    assert session.followed == [1, 2]


def test_an_object_ends_by_the_button(window):
    window.viewer.dims.set_current_step(0, 4)
    window.widget.form.objects.setCurrentIndex(1)
    window.press(window.widget.form.objects.end)
    shown(window)
    assert window.layers.prompts[2][4].absent
    assert not (window.frame(4) == 2).any()


def test_any_number_of_frames_is_drawn(window):
    for dark in (True, False):
        for objects, length in ((0, 1), (1, 1), (3, 2), (120, 5000)):
            assert_drawn(timeline(window), objects, length, dark)


def assert_drawn(view, objects: int, length: int, dark: bool) -> None:
    frames = np.arange(length)
    one = Trace(
        frames,
        np.linspace(0, 1, length),
        np.full(length, 5, np.float32),
        np.full(length, 300.0),
        np.full((length, 2), 9.0),
        np.zeros(length, bool),
    )
    view.set_theme(dark)
    view.show_overview(Overview(length, dict.fromkeys(range(1, objects + 1), one), {}, Notes()))
    picture = view.viewport().grab().toImage()
    assert picture.width() > 100
    if objects:
        strip = [
            picture.pixelColor(int(view.x_of(t)), AXIS + ROW // 2)
            for t in (length // 10, length - 1)
        ]
        assert all(colour.isValid() for colour in strip)
        if length > 2:
            assert strip[0].red() > strip[0].blue()  # unsure
            assert strip[1].blue() > strip[1].red()  # sure


def test_the_current_object_is_in_sight(window):
    one = Trace(*(np.full(6, 5.0) for _ in range(4)), np.full((6, 2), 9.0), np.zeros(6, bool))
    one = dataclasses.replace(one, frames=np.arange(6))
    many = Overview(6, dict.fromkeys(range(1, 60), one), {}, Notes())
    view = timeline(window)
    view.show_place(2, 50)
    view.show_overview(many)
    assert 0 < view.y_of(49) < view.viewport().height()
    table(window).show_rows(many.summaries, 50)
    place = cell(window, 49, ID)
    assert table(window).viewport().rect().contains(place)


def test_the_cursor_moves_without_leaving_traces(window):
    view = timeline(window)
    view.show_place(1, 2)
    before = view.viewport().grab().toImage()
    view.show_place(4, 2)
    assert view.viewport().grab().toImage() != before
    view.show_place(1, 2)
    assert view.viewport().grab().toImage() == before


def test_single_missing_frames_are_filled(open_docked):
    window = open_docked(blobs())
    fill = window.widget.form.session.fill_gaps
    fill.trigger()
    window.done()
    assert "No object is missing" in window.status
    for frame in (0, 2):
        window.widget.workbench.show_frame(frame)
        window.click(20, 20 + 2 * frame)
        window.done()
    assert not window.frame(1).any()
    fill.trigger()
    window.done()
    assert "1 mask was filled in" in window.status
    assert (window.frame(1) == 1).any()
    # The session does it, so that the window never waits for it.
    assert "MainThread" not in window.widget.session.threads
    window.widget.undo()
    window.done()
    assert not window.frame(1).any()


# --- in napari's window ---------------------------------------------------------------------


def test_keys_where_the_timeline_is_a_window_of_its_own(real):
    window = real
    dock = window.viewer.window._wrapped_dock_widgets[TIMELINE]
    dock.setFloating(True)
    window.settle()
    view = timeline(window)
    assert view.window() is dock
    view.setFocus()
    QTest.keyClick(view, Qt.Key.Key_Z, CONTROL)
    shown(window)
    assert window.status.startswith("Undone: propagation")
    assert not (window.frame(3) == 1).any()
    QTest.keyClick(view, Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    shown(window)
    assert (window.frame(3) == 1).any()
    QTest.keyClick(view, "N")
    assert window.widget.object_id == 3
    dock.setFloating(False)
    window.settle()
    QTest.keyClick(view, Qt.Key.Key_Z, CONTROL)
    shown(window)
    assert window.status.startswith("Undone: propagation")
    assert window.frame(0)[LARGE] == 2  # one step, not two


def test_all_fits_into_a_narrow_dock(real):
    window = real
    assert window.widget.minimumSizeHint().width() <= 300
    assert window.widget.minimumSizeHint().height() <= 300  # the rest scrolls
    view = table(window)
    view.setFixedWidth(260)
    window.settle()
    assert view.isColumnHidden(FRAMES)
    assert view.columnWidth(NAME) >= 40
    assert not view.horizontalScrollBar().isVisible()
    view.setFixedWidth(500)
    window.settle()
    assert not view.isColumnHidden(FRAMES)


def test_the_timeline_goes_with_the_widget_and_comes_back(real):
    window = real
    main = window.widget.panels.panel.window()
    assert main.corner(Qt.Corner.BottomRightCorner) == Qt.DockWidgetArea.RightDockWidgetArea
    docks = window.viewer.window.dock_widgets
    assert TIMELINE in docks
    window.viewer.window.remove_dock_widget(window.widget.panels.panel)
    window.settle()
    window.widget.form.session.timeline.trigger()
    shown(window)
    assert TIMELINE in window.viewer.window.dock_widgets
    assert timeline(window).overview.ids == [1, 2]
    window.widget.shut_down()
    window.settle()
    assert TIMELINE not in window.viewer.window.dock_widgets
