"""The widget with a fake or a real session, in a window or without one."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import napari
import numpy as np
import pytest
from fakes import LARGE, SMALL, FakeFactory, blobs
from hands import Desk, Docked, DockedModel, Window, shown
from napari.components import ViewerModel
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QMessageBox
from vispy.gloo.glir import GlirProgram
from written import MANIFEST, PLUGIN

from napari_sam2.tracking.kept import pace
from napari_sam2.widgets.dock import MaskletsWidget
from napari_sam2.widgets.session.saving import FOLDER_VARIABLE
from napari_sam2.widgets.session.worker import process_events


@pytest.fixture(autouse=True, scope="session")
def cheap_drawing() -> Iterator[None]:
    """What layers leave in the driver stays there, and the same shaders are read once.

    Where layers leave and images stay, Mesa 22 draws with a program that vispy has deleted, and
    ends the process. Before each layer leaves, napari collects garbage, for drivers of Windows.
    """
    known = SimpleNamespace(sub=functools.cache(re.sub), finditer=re.finditer, M=re.M)
    with (
        mock.patch.object(GlirProgram, "delete"),
        mock.patch("napari._vispy.canvas.gc", SimpleNamespace(collect=lambda: 0)),
        mock.patch("vispy.gloo.program.re", known),
    ):
        yield


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
        desk.widget.shut_down()
        with contextlib.suppress(RuntimeError):  # a test may have deleted it
            desk.widget.close()
            desk.widget.deleteLater()


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    return open_desk(blobs())


@pytest.fixture
def open_docked(qapp: Any, factory: FakeFactory) -> Iterator[Callable[..., Docked]]:
    """Open the widget on an image in a window without a canvas, at frame 0."""
    opened: list[Docked] = []

    def make(data: np.ndarray, *, session_factory: Any = factory, **image: Any) -> Docked:
        viewer = DockedModel()
        viewer.add_image(data, name="cells", **image)
        docked = Docked(viewer, MaskletsWidget(viewer, session_factory=session_factory))
        opened.append(docked)
        viewer.window.add_dock_widget(docked.widget, name="SAM 2 masklets")
        viewer.window.main.show()
        docked.done()
        viewer.dims.set_current_step(range(viewer.dims.ndim), [0] * viewer.dims.ndim)
        return docked

    yield make
    for docked in opened:
        docked.widget.shut_down()
        docked.viewer.window.main.close()
        docked.viewer.window.main.deleteLater()
    process_events()


@pytest.fixture(scope="session")
def shared_viewer(qapp: Any) -> Iterator[Any]:
    """One window for all tests: napari needs seconds to make one."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(900, 700)
    yield viewer
    viewer.close()


class Kept:
    """A window that several tests of a file use, until a test needs another one."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._window: Window | None = None
        self._open = contextlib.ExitStack()

    def window(self, prepare: Callable[[Callable[..., Window]], Window]) -> Window:
        """Return the window; where there is none, `prepare` is given the way to open one."""
        if self._window is None:
            make = self._open.enter_context(windows_in(self._viewer, FakeFactory()))
            self._window = prepare(make)
        return self._window

    def close(self) -> None:
        self._window = None
        self._open.close()

    @contextlib.contextmanager
    def put_back(self) -> Iterator[None]:
        """Close what a test leaves behind, if it cannot be made as it was."""
        try:
            yield
        except BaseException:
            self.close()
            raise


@pytest.fixture(scope="module")
def kept(shared_viewer: Any) -> Iterator[Kept]:
    kept = Kept(shared_viewer)
    yield kept
    kept.close()


@pytest.fixture
def open_window(
    shared_viewer: Any, kept: Kept, factory: FakeFactory
) -> Iterator[Callable[..., Window]]:
    """Open the widget on an image in a window, at frame 0."""
    kept.close()
    with windows_in(shared_viewer, factory) as make:
        yield make


@contextlib.contextmanager
def windows_in(viewer: Any, factory: FakeFactory) -> Iterator[Callable[..., Window]]:
    widgets: list[MaskletsWidget] = []

    def make(data: np.ndarray, *, session_factory: Any = factory, axis: int | None = None, **image):
        with unseen(viewer):
            layer = viewer.add_image(data, name="cells", **image)
            widget = MaskletsWidget(viewer, session_factory=session_factory)
            widgets.append(widget)
            viewer.window.add_dock_widget(widget, name="SAM 2 masklets")
            if axis is not None:
                widget.set_image(layer, axis)
                viewer.dims.order = (axis, *(a for a in range(data.ndim) if a != axis))
            window = Window(viewer, widget)
            window.done()
            viewer.dims.set_current_step(range(viewer.dims.ndim), [0] * viewer.dims.ndim)
            viewer.reset_view()
        window.settle()
        return window

    yield make
    with unseen(viewer):
        for widget in widgets:
            if widget.parent() is not None:
                viewer.window.remove_dock_widget(widget)
            widget.shut_down()
        viewer.dims.ndisplay = 2
        viewer.layers.clear()
        viewer.dims.order = tuple(range(viewer.dims.ndim))
        process_events()
    process_events()


@contextlib.contextmanager
def unseen(viewer: Any) -> Iterator[None]:
    """Draw nothing of the window meanwhile, which takes a quarter of the time of a test."""
    native = viewer.window._qt_window
    native.setUpdatesEnabled(False)
    try:
        yield
    finally:
        native.setUpdatesEnabled(True)


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    return open_window(blobs())


@pytest.fixture
def followed(open_docked: Callable[..., Docked]) -> Docked:
    """An object, clicked on frame 0 and followed through the others; without a canvas."""
    window = open_docked(blobs())
    window.click(*SMALL)
    window.done()
    window.key("G")
    shown(window)
    return window


def two_cells_in(window: Any) -> Any:
    """Click on each blob; the second object is the current one then."""
    window.click(*SMALL)
    window.done()
    window.key("N")
    window.click(*LARGE)
    window.done()
    return window


@pytest.fixture
def two_cells(open_window: Callable[..., Window]) -> Window:
    """Two objects; the second is the current one."""
    return two_cells_in(open_window(blobs()))


@pytest.fixture
def two_followed(open_docked: Callable[..., Docked]) -> Docked:
    """Two objects, followed from frame 0 through the others; without a canvas."""
    window = two_cells_in(open_docked(blobs()))
    window.key("G")
    shown(window)
    return window


@pytest.fixture(scope="session")
def plugin() -> None:
    """napari's plugins, with the manifest of this checkout."""
    manager = PluginManager.instance()
    manager.discover()
    if PLUGIN in manager._manifests:
        manager.unregister(PLUGIN)
    manager.register(PluginManifest.from_file(MANIFEST))
