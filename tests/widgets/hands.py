"""The widget as a person has it: in a window under the mouse, or without one."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QEnterEvent, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget, QMainWindow, QWidget

from napari_sam2.widgets.dock import MaskletsWidget
from napari_sam2.widgets.layers.layer_adapters import show_frame
from napari_sam2.widgets.panels.object_model import NAME
from napari_sam2.widgets.session.worker import process_events


def until(what: Callable[[], Any], seconds: float = 60.0) -> None:
    """Let the window and its thread work until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came"
        process_events()
        time.sleep(0.001)  # the thread gets Python's lock


class Opened:
    """The widget on a viewer."""

    def __init__(self, viewer: Any, widget: MaskletsWidget) -> None:
        self.viewer = viewer
        self.widget = widget

    @property
    def layers(self) -> Any:
        layers = self.widget.workbench.layers
        assert layers is not None
        return layers

    @property
    def status(self) -> str:
        return self.widget.form.status.text()

    def frame(self, frame: int) -> np.ndarray:
        return np.asarray(self.layers.labels.data[self.layers.geometry.index(frame)])

    def done(self) -> None:
        self.widget.wait(120)


class Window(Opened):
    """A napari window with our widget docked, and a person in front of it."""

    @property
    def canvas(self) -> Any:
        return self.viewer.window._qt_viewer.canvas.native

    def settle(self) -> None:
        for _ in range(3):
            process_events()
            time.sleep(0.01)

    def pixel(self, y: float, x: float) -> QPointF:
        """Where on the canvas the data pixel (y, x) of the frame on screen is."""
        geometry = self.layers.geometry
        here = self.layers.points.world_to_data(self.viewer.dims.point)
        frame = 0 if geometry.axis is None else round(here[geometry.axis])
        world = self.layers.points.data_to_world(geometry.to_data(frame, y, x))
        offset = self.viewer.dims.ndim - len(world)  # the axis of channels, if there is one
        shown = [world[d - offset] for d in self.viewer.dims.displayed]
        view = self.viewer.window._qt_viewer.canvas.view
        px, py = (view.transform * view.scene.transform).map(shown[::-1])[:2]
        assert 0 <= px < self.canvas.width()
        assert 0 <= py < self.canvas.height()
        return QPointF(float(px), float(py))

    def _mouse(
        self,
        kind: Any,
        at: QPointF,
        button: Any,
        buttons: Any,
        modifiers: Any = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        where = QPointF(self.canvas.mapToGlobal(at.toPoint()))
        event = QMouseEvent(kind, at, where, button, buttons, modifiers)
        QApplication.sendEvent(self.canvas, event)
        process_events()

    def hover(self, y: float, x: float) -> None:
        """Move the mouse to a place, without a button."""
        none, at = Qt.MouseButton.NoButton, self.pixel(y, x)
        QApplication.sendEvent(self.canvas, QEnterEvent(at, at, at))
        self._mouse(QEvent.Type.MouseMove, at, none, none)

    def leave(self) -> None:
        """Take the mouse out of the canvas."""
        QApplication.sendEvent(self.canvas, QEvent(QEvent.Type.Leave))
        self.settle()

    def rest(self) -> None:
        """Leave the mouse where it is, until a preview is there or will not be."""
        hover = self.widget.hover
        for _ in range(1000):
            process_events()
            if not hover.waiting and not self.widget._worker.busy:
                return
            time.sleep(0.005)
        raise AssertionError("it never ended")

    def drag(
        self,
        *places: tuple[float, float],
        modifiers: Any = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        """Press at the first place, move over the others, release at the last; data pixels."""
        none, left = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton
        points = [self.pixel(*place) for place in places]
        self._mouse(QEvent.Type.MouseMove, points[0], none, none)
        self._mouse(QEvent.Type.MouseButtonPress, points[0], left, left, modifiers)
        for start, end in itertools.pairwise(points):
            for part in (0.25, 0.5, 0.75, 1.0):
                self._mouse(
                    QEvent.Type.MouseMove, start + (end - start) * part, none, left, modifiers
                )
        self._mouse(QEvent.Type.MouseButtonRelease, points[-1], left, none, modifiers)

    def click(self, y: float, x: float) -> None:
        self.drag((y, x))

    def double_click(self, y: float, x: float) -> None:
        left, at = Qt.MouseButton.LeftButton, self.pixel(y, x)
        self.drag((y, x))
        self._mouse(QEvent.Type.MouseButtonDblClick, at, left, left)
        self._mouse(QEvent.Type.MouseButtonRelease, at, left, Qt.MouseButton.NoButton)

    def key(self, key: str, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        self.canvas.setFocus()
        QTest.keyClick(self.canvas, key, modifier)
        self.settle()

    def press(self, button: Any) -> None:
        press(button)
        self.settle()


class Desk(Opened):
    """The widget on a viewer without a window: fast, and all but the mouse is there."""

    @property
    def prompts(self) -> dict[int, Any]:
        return self.widget.session.prompts

    def go(self, frame: int) -> None:
        show_frame(self.viewer, self.layers.points, self.layers.geometry, frame)

    def point(self, frame: int, y: float, x: float) -> None:
        self.layers.points.add(self.layers.geometry.to_data(frame, y, x)[None])

    def shape(self, frame: int, corners: list[tuple[float, float]], kind: str) -> None:
        data = [self.layers.geometry.to_data(frame, y, x) for y, x in corners]
        self.layers.shapes.add(np.array(data), shape_type=kind)

    def paint(self, frame: int, y: float, x: float, value: int, size: int = 6) -> None:
        self.go(frame)
        self.layers.labels.brush_size = size
        self.layers.labels.paint(self.layers.geometry.to_data(frame, y, x), value)


class Docks:
    """What of napari's window the widget asks for: a place for it and for its timeline."""

    def __init__(self) -> None:
        self.main = QMainWindow()
        self.main.setCentralWidget(QWidget())
        self.main.resize(1100, 800)
        self.dock_widgets: dict[str, QWidget] = {}

    def add_dock_widget(self, widget: QWidget, name: str, area: str = "right") -> None:
        dock = QDockWidget(name, self.main)
        dock.setWidget(widget)
        place = {"right": "RightDockWidgetArea", "bottom": "BottomDockWidgetArea"}[area]
        self.main.addDockWidget(getattr(Qt.DockWidgetArea, place), dock)
        self.dock_widgets[name] = widget

    def remove_dock_widget(self, widget: QWidget) -> None:
        (name,) = [name for name, there in self.dock_widgets.items() if there is widget]
        dock = self.dock_widgets.pop(name).parent()
        widget.setParent(None)
        dock.deleteLater()


class DockedModel(ViewerModel):
    """A viewer without a canvas, in whose window there are docks only."""

    _window: Any = None

    def __init__(self) -> None:
        super().__init__()
        self._window = Docks()

    @property
    def window(self) -> Docks:
        return self._window


class Docked(Desk):
    """The widget and its timeline in a window without napari's canvas, which is slow to draw.

    Its parts are clicked and hear keys as in napari. A click into the image is a new point.
    """

    def settle(self) -> None:
        process_events()

    def click(self, y: float, x: float) -> None:
        assert self.viewer.layers.selection.active is self.layers.points
        assert self.layers.points.mode == "add"
        place = np.array(self.layers.points.world_to_data(self.viewer.dims.point))
        plane = list(self.layers.geometry.plane)
        place[plane] = self.layers.geometry.to_data(0, y, x)[plane]
        self.layers.points.add(place[None])
        self.settle()

    def key(self, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.widget, key, modifier)
        self.settle()

    def press(self, button: Any) -> None:
        press(button)
        self.settle()


def press(button: Any) -> None:
    """Click on a button; a check box may be wider than what of it can be clicked."""
    assert button.isVisible()
    place = QPoint(10, button.height() // 2)
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=place)


def shown(window: Window | Docked) -> None:
    """Wait until the table and the timeline show what is known."""
    window.widget.wait(120, panels=True)
    window.settle()


def go(window: Window | Docked, frame: int) -> None:
    window.viewer.dims.set_current_step(0, frame)
    window.settle()


def rows(window: Window | Docked) -> dict[int, str]:
    """What the column of names shows, by object."""
    model = window.widget.form.objects.table.objects
    return {r.object_id: model.index(n, NAME).data() for n, r in enumerate(model.rows)}


@contextlib.contextmanager
def lasting(session: Any, method: str, rounds: int = 3) -> Iterator[list[int]]:
    """Let each call of a session's method last until the window has done some rounds meanwhile.

    Yields how many rounds of its events the window had done by the end of each call. A window
    that waits for a call lets it fail, after a minute.
    """
    ends: list[int] = []
    timer, call, done = QTimer(), getattr(session, method), 0

    def another_round() -> None:
        nonlocal done
        done += 1

    def held(*args: Any, **kwargs: Any) -> Any:
        result, least = call(*args, **kwargs), done + rounds
        for _ in range(6000):
            if done >= least:
                ends.append(done)
                return result
            time.sleep(0.01)
        raise AssertionError("the window waits for the session")

    timer.timeout.connect(another_round)
    timer.start(0)  # in every round
    setattr(session, method, held)
    yield ends
    timer.stop()


def click_on(box, text: str) -> None:
    """Open a box with the mouse and click on one of its entries."""
    native = box.native
    view = native.view()
    for _ in range(20):  # what the window still has to do may close the list
        native.showPopup()
        QTest.qWait(QApplication.doubleClickInterval() + 50)  # Qt takes an earlier one for a slip
        if view.isVisible():
            break
    entry = native.model().index(native.findText(text), 0)
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(entry).center()
    )
    for _ in range(2000):  # with the entry that was chosen already, it closes later
        if not view.isVisible():
            break
        QTest.qWait(5)
