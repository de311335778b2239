"""The current object is brought into view and outlined; small screens and the wheel."""

from __future__ import annotations

import time

import numpy as np
import pytest
from fakes import LARGE, SMALL
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_sam2.widgets.canvas.in_view import camera_of
from napari_sam2.widgets.parts import VerticalArea
from napari_sam2.widgets.session.worker import process_events


@pytest.fixture
def window(two_cells):
    two_cells.key("G")
    shown(two_cells)
    return two_cells


def shown(window) -> None:
    window.widget.wait(60, panels=True)
    for _ in range(200):
        process_events()
        if not window.widget.outline.waiting:
            return
        time.sleep(0.005)


def seen(window) -> np.ndarray:
    """The part (2, 2) of the frame that is on screen, first and last pixel."""
    return window.layers.labels.corner_pixels[:, -2:]


def zoom_in_on(window, y: float, x: float) -> None:
    camera = camera_of(window.viewer)
    camera.zoom *= 6
    camera.center = (0, y, x)
    shown(window)
    window.settle()


def pick(window, row: int) -> None:
    table = window.widget.form.objects.table
    table.picked.emit(table.objects.rows[row].object_id)
    shown(window)


def test_an_object_off_screen_is_brought_into_view_at_the_same_zoom(window):
    before = camera_of(window.viewer).center
    for row in (0, 1):  # both are seen
        pick(window, row)
        assert camera_of(window.viewer).center == before
    zoom_in_on(window, *SMALL)
    zoom = camera_of(window.viewer).zoom
    pick(window, 0)
    assert (seen(window)[1] < LARGE).any()
    pick(window, 1)
    assert camera_of(window.viewer).zoom == zoom
    low, high = seen(window)
    assert (low < LARGE).all()
    assert (high > LARGE).all()


def test_the_current_object_is_outlined(window):
    picture = window.widget.outline.picture
    pick(window, 0)
    np.testing.assert_array_equal(picture.mask, window.frame(0) == 1)
    window.viewer.dims.set_current_step(0, 3)
    shown(window)
    np.testing.assert_array_equal(picture.mask, window.frame(3) == 1)
    pick(window, 1)
    np.testing.assert_array_equal(picture.mask, window.frame(3) == 2)
    window.widget.panels.editor.show([2], False)
    shown(window)
    assert picture.mask is None
    pick(window, 0)
    window.key("Z", Qt.KeyboardModifier.ControlModifier)  # no propagation any more
    shown(window)
    assert picture.mask is None
    window.viewer.dims.set_current_step(0, 0)
    shown(window)
    np.testing.assert_array_equal(picture.mask, window.frame(0) == 1)


def test_the_outline_can_be_turned_off_and_goes_with_the_widget(window):
    pick(window, 0)
    window.widget.form.session.outline.trigger()
    shown(window)
    assert window.widget.outline.picture.mask is None
    window.widget.form.session.outline.trigger()
    shown(window)
    assert window.widget.outline.picture.mask is not None
    outline, labels = window.widget.outline, window.layers.labels
    window.widget.workbench.changed.emit()  # a look is on its way
    window.widget.shut_down()
    labels.refresh()
    for _ in range(20):
        process_events()
        time.sleep(0.005)
    assert not outline.waiting
    assert outline.picture.mask is None
    assert not outline.picture._parts


def test_a_click_on_another_object_says_whose_it_is(two_followed):
    window = two_followed
    pick(window, 0)
    window.click(*LARGE)
    window.done()
    assert "Object 2 is there" in window.status
    window.click(*SMALL)
    window.done()
    assert "is there" not in window.status


def turn(box) -> None:
    at = QPointF(box.width() / 2, box.height() / 2)
    event = QWheelEvent(
        at, QPointF(box.mapToGlobal(at.toPoint())), QPoint(), QPoint(0, -120),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(box, event)
    process_events()


def test_the_wheel_leaves_boxes_alone_that_are_not_worked_with(two_followed, monkeypatch):
    window = two_followed
    form = window.widget.form
    ways = form.propagation
    parts = (form.axis, form.model, form.device, form.object_id, ways.last, ways.every)
    before = [part.value for part in parts], ways.range.value()
    for box in (*(part.native for part in parts), ways.range):
        turn(box)
        assert ([part.value for part in parts], ways.range.value()) == before
    monkeypatch.setattr(ways.every.native, "hasFocus", lambda: True)  # without a window manager
    turn(ways.every.native)
    assert ways.every.value == before[0][-1] - 1


def test_long_numbers_and_all_of_the_form_can_be_read(open_window):
    window = open_window(np.zeros((1234, 8, 8), np.uint8))
    form = window.widget.form
    assert window.widget.minimumSizeHint().width() <= 300
    for box in (form.object_id, form.propagation.last, form.propagation.every):
        line = box.native.lineEdit()
        needed = line.fontMetrics().horizontalAdvance(str(box.max))
        assert line.width() >= needed + 4  # what a line leaves free beside its text
    # All of the form is seen on a small screen.
    main = window.viewer.window._qt_window
    main.resize(1366, 700)
    for _ in range(20):
        process_events()
    (area,) = window.widget.form.findChildren(VerticalArea)
    assert area.widget().minimumSizeHint().height() <= area.viewport().height()
    for part in (window.widget.form.session.undo, window.widget.form.status):
        assert part.visibleRegion().boundingRect().height() >= part.height() - 1
