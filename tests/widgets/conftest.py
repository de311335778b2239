"""A real window with a fake or a real session, and hands on its mouse."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import napari
import numpy as np
import pytest
from fakes import FakeFactory, blobs
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sam2.widgets.dock import MaskletsWidget


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
            QApplication.processEvents()
            time.sleep(0.01)

    def pixel(self, y: float, x: float) -> QPointF:
        """Where on the canvas the data pixel (y, x) of the frame on screen is."""
        geometry = self.layers.geometry
        here = self.layers.points.world_to_data(self.viewer.dims.point)
        frame = 0 if geometry.axis is None else round(here[geometry.axis])
        world = self.layers.points.data_to_world(geometry.to_data(frame, y, x))
        shown = [world[d] for d in self.viewer.dims.displayed]
        view = self.viewer.window._qt_viewer.canvas.view
        px, py = (view.transform * view.scene.transform).map(shown[::-1])[:2]
        assert 0 <= px < self.canvas.width()
        assert 0 <= py < self.canvas.height()
        return QPointF(float(px), float(py))

    def _mouse(self, kind: Any, at: QPointF, button: Any, buttons: Any) -> None:
        where = QPointF(self.canvas.mapToGlobal(at.toPoint()))
        event = QMouseEvent(kind, at, where, button, buttons, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self.canvas, event)
        QApplication.processEvents()

    def drag(self, *places: tuple[float, float]) -> None:
        """Press at the first place, move over the others, release at the last; data pixels."""
        none, left = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton
        points = [self.pixel(*place) for place in places]
        self._mouse(QEvent.Type.MouseMove, points[0], none, none)
        self._mouse(QEvent.Type.MouseButtonPress, points[0], left, left)
        for start, end in zip(points, points[1:], strict=False):
            for part in (0.25, 0.5, 0.75, 1.0):
                self._mouse(QEvent.Type.MouseMove, start + (end - start) * part, none, left)
        self._mouse(QEvent.Type.MouseButtonRelease, points[-1], left, none)

    def click(self, y: float, x: float) -> None:
        self.drag((y, x))

    def key(self, key: str) -> None:
        self.canvas.setFocus()
        QTest.keyClick(self.canvas, key)
        self.settle()

    def press(self, button: Any) -> None:
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.settle()

    def done(self) -> None:
        self.widget.wait(30)


@pytest.fixture
def factory() -> FakeFactory:
    return FakeFactory()


@pytest.fixture(scope="session")
def shared_viewer(qapp: Any) -> Iterator[Any]:
    """One window for all tests: napari needs seconds to make one."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1100, 800)
    yield viewer
    viewer.close()


@pytest.fixture
def open_window(shared_viewer: Any, factory: FakeFactory) -> Iterator[Callable[..., Window]]:
    """Open the widget on an image, at frame 0."""
    viewer = shared_viewer
    widgets: list[MaskletsWidget] = []

    def make(data: np.ndarray | None = None, *, session_factory: Any = factory, **image: Any):
        if data is not None:
            viewer.add_image(data, name="cells", **image)
        widget = MaskletsWidget(viewer, session_factory=session_factory)
        widgets.append(widget)
        viewer.window.add_dock_widget(widget, name="SAM 2 masklets")
        window = Window(viewer, widget)
        window.settle()
        window.done()
        viewer.dims.set_current_step(range(viewer.dims.ndim), [0] * viewer.dims.ndim)
        viewer.reset_view()
        window.settle()
        return window

    yield make
    for widget in widgets:
        if not widget._closed:
            viewer.window.remove_dock_widget(widget)
        widget._shut_down()
    viewer.layers.clear()
    viewer.dims.ndisplay = 2
    QApplication.processEvents()


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    return open_window(blobs())
