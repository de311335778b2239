"""The object table, the list of frames to check and the timeline, joined to a workbench."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QMainWindow, QVBoxLayout, QWidget

from napari_sam2.widgets.keys import KeyBindings
from napari_sam2.widgets.panels.legend import Legend
from napari_sam2.widgets.panels.objects_form import ObjectsForm
from napari_sam2.widgets.panels.selecting import Selecting
from napari_sam2.widgets.panels.timeline import Timeline
from napari_sam2.widgets.session.worker import WindowThread, Worker
from napari_sam2.widgets.verbs.object_editor import ObjectEditor
from napari_sam2.widgets.verbs.review import Review
from napari_sam2.widgets.workbench import Workbench

_PAUSE_MS = 200
_REST = 4  # an overview may take a fifth of the time while objects are followed
TIMELINE = "SAM 2 timeline"


class TimelinePanel(QWidget):
    """The timeline with its legend, for a dock of its own."""

    def __init__(self, colour_of: Callable[[int], Any], keys: KeyBindings) -> None:
        super().__init__()
        self._keys = keys
        self.setObjectName(TIMELINE)
        self.timeline, self.legend = Timeline(colour_of), Legend()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 0, 2, 0)
        layout.setSpacing(0)
        layout.addWidget(self.timeline, 1)
        layout.addWidget(self.legend)

    def set_theme(self, dark: bool) -> None:
        """Choose colours for a dark or a light background."""
        self.timeline.set_theme(dark)
        self.legend.set_theme(dark)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Do what the key does in the canvas."""
        if event is not None and not self._keys.press_event(event):
            super().keyPressEvent(event)


class Panels(QObject):
    """Shows what is known of all objects, and does what is chosen there.

    Parameters
    ----------
    bench
        Has the objects.
    table
        The part of the form with the table, the list and their buttons.
    keys
        For the timeline, where the canvas does not hear them.
    parent
        Lives as long as this.
    """

    def __init__(
        self, bench: Workbench, table: ObjectsForm, keys: KeyBindings, parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._bench, self.form, self._keys = bench, table, keys
        self._worker = Worker(WindowThread(self))
        self.review = Review(bench, self._compute)
        self.editor = ObjectEditor(bench)
        self.selecting = Selecting(bench, table.table, lambda: self.review.overview)
        self.panel: TimelinePanel | None = None
        self._dark = True
        self._rest = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._refresh)
        self._connect()

    @property
    def busy(self) -> bool:
        """Whether something newer is about to be shown."""
        return self._worker.busy or self.selecting.busy or self._timer.isActive()

    def colour_of(self, object_id: int) -> Any:
        """Colour (RGBA, 0 to 1) of an object."""
        colours = self._bench.colours
        return np.zeros(4) if colours is None else colours.of(object_id)

    def _connect(self) -> None:
        form, editor, bench = self.form, self.editor, self._bench
        table = form.table
        table.picked.connect(self.review.go_to)
        table.frame_wanted.connect(self.review.go_to)
        table.objects.renamed.connect(editor.rename)
        table.objects.locked.connect(lambda i, on: editor.lock([i], on))
        table.objects.shown.connect(lambda i, on: editor.show([i], on))
        table.action.connect(self._do)
        table.rule_chosen.connect(self.selecting.select)
        table.mother_chosen.connect(
            lambda mother: bench.dividing.set_mother(table.selected_ids(), mother)
        )
        form.merge.clicked.connect(lambda: self._do("merge"))
        form.split.clicked.connect(lambda: self._do("split"))
        form.checks.visited.connect(self.review.visit)
        form.next.clicked.connect(lambda: self.review.step(1))
        form.previous.clicked.connect(lambda: self.review.step(-1))
        form.accept.clicked.connect(lambda: self.review.accept())
        form.end.clicked.connect(lambda: bench.prompting.end_here())
        self.review.changed.connect(self._show)
        bench.changed.connect(self._on_bench)
        bench.viewer.dims.events.point.connect(self._on_frame)
        bench.space.moved.connect(self._on_frame)

    def _do(self, action: str) -> None:
        """Do what was chosen in the table's menu."""
        editor, ids = self.editor, self.form.table.selected_ids()
        rows = [row for row in self.form.table.objects.rows if row.object_id in ids]
        if action == "new":
            self._bench.new_object()
        elif action == "split":
            editor.split()
        elif action == "divide":
            self._bench.dividing.divide(ids[0])
        elif action == "merge":
            editor.merge(ids or [self._bench.object_id])
        elif action == "delete":
            editor.delete(ids)
        elif action == "show":
            editor.show(ids, not any(row.visible for row in rows))
        elif action == "follow":
            self._bench.following.propagate("both", tuple(ids))
        elif action == "only":
            editor.show(self.review.overview.ids, False)
            editor.show(ids, True)
        else:
            editor.lock(ids, not all(row.locked for row in rows))

    # --- keeping up ----------------------------------------------------------------------

    def request(self) -> None:
        """Show soon what is so; many calls become one."""
        if not self._timer.isActive():
            self._timer.start(max(_PAUSE_MS, int(1000 * self._rest)))

    def _refresh(self) -> None:
        if self._worker.busy:  # never more than one overview at a time
            self.request()
        else:
            self.review.refresh()

    def _compute(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        def timed() -> Any:
            start = time.perf_counter()
            result = job()
            running = self._bench.controller.run is not None
            self._rest = _REST * (time.perf_counter() - start) if running else 0.0
            return result

        self._worker.submit(timed, done=done, failed=self._bench.controller.tell)

    def _on_bench(self) -> None:
        self.form.table.show_current(self._bench.object_id)
        self._on_frame()
        self.request()

    def _show(self) -> None:
        overview, bench = self.review.overview, self._bench
        if bench.colours is not None:
            bench.colours.hide(bench.notes.hidden, max([bench.object_id, *overview.ids]))
        self.form.table.show_rows(overview.summaries, bench.object_id)
        self.form.show_checks(overview, self.review.place)
        if self.panel is not None:
            self.panel.timeline.show_overview(overview)
        self._on_frame()

    def _on_frame(self, _event: Any = None) -> None:
        """Show which frame and object are current."""
        if self._bench.layers is None:
            return
        self.form.checks.show_place(self.review.place)
        if self.panel is not None:
            self.panel.timeline.show_place(self._bench.frame_on_screen, self._bench.object_id)

    # --- the timeline's dock -------------------------------------------------------------

    def show_timeline(self) -> None:
        """Dock the timeline below the canvas, where there is a window."""
        window: Any = getattr(self._bench.viewer, "window", None)
        if window is None or (self.panel is not None and self.panel.parent() is not None):
            return
        self.panel = TimelinePanel(self.colour_of, self._keys)
        self.panel.timeline.picked.connect(self.review.go_to)
        self.panel.set_theme(self._dark)
        window.add_dock_widget(self.panel, name=TIMELINE, area="bottom")
        main = self.panel.window()
        if isinstance(main, QMainWindow):  # below the canvas, but not below our dock: it is high
            corner, area = Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea
            main.setCorner(corner, area)
        self._show()

    def set_theme(self, dark: bool) -> None:
        """Choose colours for a dark or a light background."""
        self._dark = dark
        if self.panel is not None:
            self.panel.set_theme(dark)

    def close(self) -> None:
        """Let go of the viewer. Qt's side may be gone already."""
        self._worker.close()
        self.selecting.close()
        self.review.changed.disconnect()
        self._bench.viewer.dims.events.point.disconnect(self._on_frame)
        self._bench.space.moved.disconnect(self._on_frame)
        panel, self.panel = self.panel, None
        with suppress(RuntimeError):
            self._timer.stop()
        if panel is not None:
            # Of a window that closes, napari's or Qt's part may be gone.
            with suppress(RuntimeError, LookupError, AttributeError):
                self._bench.viewer.window.remove_dock_widget(panel)
                panel.deleteLater()
