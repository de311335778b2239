"""A real window with a fake or a real session, and hands on its mouse."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from fakes import FakeFactory, blobs
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QPoint, QPointF, QSettings, Qt, QTimer
from qtpy.QtGui import QEnterEvent, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_sam2.tracking import pace
from napari_sam2.widgets.dock import MaskletsWidget
from napari_sam2.widgets.layer_adapters import show_frame
from napari_sam2.widgets.saving import FOLDER_VARIABLE
from napari_sam2.widgets.worker import process_events


class Window:
    """A napari window with our widget docked, and a person in front of it."""

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

    @property
    def canvas(self) -> Any:
        return self.viewer.window._qt_viewer.canvas.native

    def frame(self, frame: int) -> np.ndarray:
        return np.asarray(self.layers.labels.data[self.layers.geometry.index(frame)])

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
        # A check box may be wider than what of it can be clicked.
        place = QPoint(10, button.height() // 2)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=place)
        self.settle()

    def done(self) -> None:
        self.widget.wait(120)


@contextlib.contextmanager
def beating(session: Any, method: str, rounds: int = 3) -> Iterator[list[float]]:
    """Let each call of a session's method last until the window has done some rounds meanwhile.

    Yields the processor time of the window's thread at each round of its events. A window that
    waits for a call lets it fail, after a minute.
    """
    beats: list[float] = []
    timer, call = QTimer(), getattr(session, method)

    def held(*args: Any, **kwargs: Any) -> Any:
        result, least = call(*args, **kwargs), len(beats) + rounds
        for _ in range(6000):
            if len(beats) >= least:
                return result
            time.sleep(0.01)
        raise AssertionError("the window waits for the session")

    timer.timeout.connect(lambda: beats.append(time.thread_time()))
    timer.start(0)  # in every round
    setattr(session, method, held)
    yield beats
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


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that no test expects must not wait for ever."""

    def asked(_parent: Any, _title: str, text: str, *_: Any) -> None:
        raise AssertionError(text)

    monkeypatch.setattr(QMessageBox, "question", asked)


@pytest.fixture(autouse=True)
def saved_sessions(tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sessions are saved by themselves: not among the user's."""
    folder = tmp_path_factory.mktemp("sessions")
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    return folder


@pytest.fixture(autouse=True)
def remembered(tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where choices and measurements are remembered: not among the user's."""
    folder = tmp_path_factory.mktemp("settings")
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(folder))
    monkeypatch.setattr(pace, "user_cache_path", lambda *_, **__: folder)


@pytest.fixture
def factory() -> FakeFactory:
    return FakeFactory()


class Desk:
    """The widget on a viewer without a window: fast, and all but the mouse is there."""

    def __init__(self, viewer: ViewerModel, widget: MaskletsWidget) -> None:
        self.viewer = viewer
        self.widget = widget

    @property
    def layers(self) -> Any:
        layers = self.widget.workbench.layers
        assert layers is not None
        return layers

    @property
    def prompts(self) -> dict[int, Any]:
        return self.widget.session.prompts

    @property
    def status(self) -> str:
        return self.widget.form.status.text()

    def frame(self, frame: int) -> np.ndarray:
        return np.asarray(self.layers.labels.data[self.layers.geometry.index(frame)])

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

    def done(self) -> None:
        self.widget.wait(120)


@pytest.fixture
def open_desk(qapp: Any, factory: FakeFactory) -> Iterator[Callable[..., Desk]]:
    """Open the widget on an image, without a window."""
    desks: list[Desk] = []

    def make(data: np.ndarray | None = None, *, session_factory: Any = factory, **image: Any):
        viewer = ViewerModel()
        if data is not None:
            viewer.add_image(data, name="cells", **image)
        desk = Desk(viewer, MaskletsWidget(viewer, session_factory=session_factory))
        desks.append(desk)
        desk.done()
        return desk

    yield make
    for desk in desks:
        desk.widget._shut_down()
        with contextlib.suppress(RuntimeError):  # a test may have deleted it
            desk.widget.close()
            desk.widget.deleteLater()


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    return open_desk(blobs())


@pytest.fixture(scope="session")
def shared_viewer(qapp: Any) -> Iterator[Any]:
    """One window for all tests: napari needs seconds to make one."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1100, 800)
    yield viewer
    viewer.close()


@pytest.fixture
def open_window(shared_viewer: Any, factory: FakeFactory) -> Iterator[Callable[..., Window]]:
    """Open the widget on an image in a window, at frame 0."""
    viewer = shared_viewer
    widgets: list[MaskletsWidget] = []

    def make(data: np.ndarray, *, session_factory: Any = factory, axis: int | None = None, **image):
        layer = viewer.add_image(data, name="cells", **image)
        widget = MaskletsWidget(viewer, session_factory=session_factory)
        widgets.append(widget)
        viewer.window.add_dock_widget(widget, name="SAM 2 masklets")
        if axis is not None:
            widget.set_image(layer, axis)
            viewer.dims.order = (axis, *(a for a in range(data.ndim) if a != axis))
        window = Window(viewer, widget)
        window.settle()
        window.done()
        viewer.dims.set_current_step(range(viewer.dims.ndim), [0] * viewer.dims.ndim)
        viewer.reset_view()
        window.settle()
        return window

    yield make
    for widget in widgets:
        if widget.parent() is not None:
            viewer.window.remove_dock_widget(widget)
        widget._shut_down()
    viewer.dims.ndisplay = 2
    viewer.layers.clear()
    viewer.dims.order = tuple(range(viewer.dims.ndim))
    process_events()


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    return open_window(blobs())
