"""The dock widget 'SAM 2 masklets': maps the form to the workbench and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QCoreApplication, QEvent, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_sam2.widgets.canvas.current_outline import CurrentOutline
from napari_sam2.widgets.canvas.hover import Hover
from napari_sam2.widgets.form.choices import Choices
from napari_sam2.widgets.form.forecast import Forecaster
from napari_sam2.widgets.form.form import Form
from napari_sam2.widgets.form.session_form import SessionActions
from napari_sam2.widgets.keys import KeyBindings
from napari_sam2.widgets.layers import layer_adapters as adapters
from napari_sam2.widgets.layers.sources import Part
from napari_sam2.widgets.panels.panels import Panels
from napari_sam2.widgets.scripts.leaving import close_at_exit, leave
from napari_sam2.widgets.session.controller import Controller
from napari_sam2.widgets.session.opening import SessionFactory
from napari_sam2.widgets.session.runs import Way
from napari_sam2.widgets.session.worker import WindowThread, Worker, process_events
from napari_sam2.widgets.verbs.exporting import export
from napari_sam2.widgets.verbs.following import Looking
from napari_sam2.widgets.verbs.teaching import teach
from napari_sam2.widgets.workbench import Workbench

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

_REFRESH_MS = 50


class MaskletsWidget(QWidget):
    """Prompt cells on any frame and follow them through the stack.

    Keys, with the mouse in the canvas: N new object, D it divides here, Q positive or negative
    points, U take back the last point, G propagate both ways, H repair, J and K next and previous
    frame to check, W accept, Shift+Y to 3D and back, Ctrl+Z undo, Ctrl+Shift+Z redo.

    Parameters
    ----------
    napari_viewer
        The viewer.
    session_factory
        Opens a session for a `SessionRequest`; by default with `load_model` and `TrackingSession`.
    """

    def __init__(
        self, napari_viewer: Viewer, session_factory: SessionFactory | None = None
    ) -> None:
        super().__init__()
        viewer = adapters.unwrapped(napari_viewer)
        self.viewer = viewer
        self.form = Form(lambda object_id: self.panels.colour_of(object_id), self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        self._closed = self._docked = False
        self._worker = Worker(WindowThread(self))
        self._keys = keys = KeyBindings(self._shortcuts())
        self.controller = Controller(self._worker, session_factory)
        self.workbench = Workbench(viewer, self.controller, _soon, keys)
        self._session_actions = SessionActions(self.form.session, self.workbench, keys.texts)
        self.panels = Panels(self.workbench, self.form.objects, keys, self)
        self.hover = Hover(self.workbench, self._worker, self.form.session.preview)
        self.outline = CurrentOutline(self.workbench, self.form.session.outline)
        self.forecaster = Forecaster(self.workbench, self._worker, self.form.propagation, self)
        self._timer = QTimer(self)
        self._timer.setInterval(_REFRESH_MS)
        keys.bind(viewer)
        self.choices = Choices(self.form, self.workbench)
        self._connect()
        if session_factory is None:
            self.choices.list_models(self._worker)
        self._on_theme()
        self.workbench.say_what_to_do()
        self._start_with_only_image()
        self._update()

    @property
    def closed(self) -> bool:
        """Whether it has let go of the viewer."""
        return self._closed

    # --- for scripts ---------------------------------------------------------------------

    @property
    def session(self) -> Any:
        """The live `TrackingSession`, or None while there is none."""
        return self.controller.session

    @property
    def object_id(self) -> int:
        """The object that prompts are for."""
        return self.workbench.object_id

    @object_id.setter
    def object_id(self, value: int) -> None:
        self.workbench.set_object(value)

    def set_image(self, layer: Image, axis: int | None = None, part: Part | None = None) -> None:
        """Work on a part of `layer`, with frames along `axis` (default: guessed)."""
        self.choices.set_image(layer, axis, part)

    def choose_model(self, model: str, device: str = "auto") -> None:
        """Use a model, by name or path, from now on; the prompts stay."""
        self.choices.choose_model(model, device)

    def new_object(self) -> None:
        """Start another object."""
        self.workbench.new_object()

    def delete_object(self) -> None:
        """Delete the current object, and those selected with it in the table."""
        selected = self.form.objects.table.selected_ids()
        self.panels.editor.delete(selected if self.object_id in selected else [self.object_id])

    def divide(self) -> None:
        """End the current object before the frame on screen, and make its two daughters."""
        self.workbench.dividing.divide()

    def toggle_polarity(self) -> None:
        """Switch between positive and negative points."""
        if self.workbench.require_layers() is not None:
            self.workbench.set_positive(not self.workbench.positive)

    def remove_last_point(self) -> None:
        """Take back the newest point."""
        self.workbench.prompting.remove_last_point()

    def accept(self) -> None:
        """Accept the current object's mask on the frame on screen, or take that back."""
        self.panels.review.accept()

    def show_in_3d(self) -> None:
        """Show the volume and its masklets in 3D; in 3D, go back to 2D."""
        self.workbench.space.toggle()

    def propagate(self, direction: Way = "both") -> None:
        """Follow all objects 'forward', 'backward' or 'both' ways, or 'repair'; returns at once."""
        self.workbench.following.propagate(direction)

    def repair(self) -> None:
        """Compute again only the frames that changed prompts concern; returns at once."""
        self.propagate("repair")

    def undo(self) -> None:
        """Take back what was done last: a prompt, a stroke, a deletion, a propagation."""
        self.workbench.undoing.undo()

    def redo(self) -> None:
        """Do again what was undone last."""
        self.workbench.undoing.redo()

    def export(self, path: str | Path, format: str | None = None, overwrite: bool = False) -> None:
        """Write the masklets to a file of another program; see `napari_sam2.export_masklets`."""
        export(self.workbench, Path(path), format, overwrite)

    def teach(self, path: str | Path, overwrite: bool = False, steps: int | None = None) -> None:
        """Teach the model from the frames that were prompted on; writes new weights."""
        teach(self.workbench, Path(path), overwrite, steps)

    def save_session(self, path: str | Path) -> None:
        """Write the session to a file (`.ns2.json`), and keep that up to date from now on."""
        self.controller.save(Path(path))

    def restore_session(self, path: str | Path | None = None) -> None:
        """Do again what was done to this image: in a session file, or the last time (None)."""
        self.workbench.restoring.restore(None if path is None else Path(path))

    def cancel(self) -> None:
        """End the propagation after the current frame; what is done is kept."""
        self.controller.cancel()

    def pause(self) -> None:
        """Let the propagation rest after the current frame, or go on, also with a cancelled one."""
        if self.controller.run is None:
            self.workbench.following.go_on()
        else:
            self.controller.pause()

    def wait(self, seconds: float = 60.0, panels: bool = False) -> None:
        """Process events until all work is done, or the widget is closed.

        Parameters
        ----------
        panels
            Also until the table and the timeline show what came out.

        Raises
        ------
        TimeoutError
            If it takes longer than `seconds`.
        """
        end = time.monotonic() + seconds
        while True:
            process_events()
            layers = self.workbench.layers
            working = self._worker.busy or (panels and self.panels.busy)
            if self._closed:  # what is left ends by itself, and nobody is told
                return
            if not working and not (layers and layers.waiting):
                self.workbench.following.refresh()
                return
            if time.monotonic() > end:
                raise TimeoutError(f"still working after {seconds:g} s")
            time.sleep(0.005)

    # --- wiring --------------------------------------------------------------------------

    def _shortcuts(self) -> dict[str, tuple[str, Callable[[], None]]]:
        """Text and function by key."""
        return {
            "N": ("New object", self.new_object),
            "D": ("The object divides on this frame; looks for the daughters", self.divide),
            "Q": ("Toggle positive and negative points", self.toggle_polarity),
            "U": ("Take back the last point", self.remove_last_point),
            "G": ("Propagate both ways", self.propagate),
            "H": ("Repair what corrections and divisions concern", self.repair),
            "?": ("Show this list", lambda: self._session_actions.show_keys()),
            "Control-Z": ("Undo", self.undo),
            "Control-Shift-Z": ("Redo", self.redo),
            "J": ("Next frame to check", lambda: self.panels.review.step(1)),
            "K": ("Previous frame to check", lambda: self.panels.review.step(-1)),
            "W": ("Accept the object's mask on this frame", self.accept),
            "Shift-Y": ("Show in 3D, or go back to 2D", self.show_in_3d),
        }

    def _connect(self) -> None:
        form, bench = self.form, self.workbench
        form.new_object.clicked.connect(lambda: self.new_object())
        form.objects.divide.clicked.connect(lambda: self.divide())
        form.delete_object.clicked.connect(lambda: self.delete_object())
        form.positive.clicked.connect(lambda: bench.set_positive(True))
        form.negative.clicked.connect(lambda: bench.set_positive(False))
        form.propagation.follow.toggled.connect(
            lambda on: setattr(bench.following, "on_screen", on)
        )
        form.propagation.only_stale.toggled.connect(
            lambda on: setattr(bench.following, "only_stale", on)
        )
        for told in (form.propagation.find_new.toggled, form.propagation.every.changed):
            told.connect(self._take_looking)
        form.diameter_box.textChanged.connect(self._take_looking)
        form.progress.cancel.clicked.connect(lambda: self.cancel())
        form.find_all.clicked.connect(lambda: bench.seeding.find_all(form.diameter))
        form.objects.space.clicked.connect(lambda: self.show_in_3d())
        form.session.fill_gaps.triggered.connect(lambda: self.panels.editor.close_gaps())
        form.session.timeline.triggered.connect(lambda: self.panels.show_timeline())
        form.sample.clicked.connect(lambda: bench.open_sample())
        form.progress.pause.clicked.connect(lambda: self.pause())
        form.on_tool(bench.tools.use)
        for direction, button in form.propagation.directions.items():
            button.clicked.connect(lambda _=False, d=direction: self.propagate(d))
        bench.status.connect(form.say)
        bench.changed.connect(self._update)
        bench.taught.connect(self.choices.offer_model)
        self._timer.timeout.connect(self._on_timer)
        events = self.viewer.layers.events
        events.inserted.connect(self._on_layers_changed)
        events.removed.connect(self._on_layers_changed)
        self.viewer.layers.selection.events.active.connect(self._update)
        self.viewer.events.theme.connect(self._on_theme)
        # The worker must stop with the window: Python waits for it on quitting, without limit.
        self.destroyed.connect(lambda: self.shut_down())
        application = QCoreApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self.shut_down)
        close_at_exit(self)

    def _take_looking(self, _value: object = None) -> None:
        every, diameter = self.form.propagation.find_every, self.form.diameter
        self.workbench.following.looking = Looking(every, diameter)

    def _on_layers_changed(self, event: Any) -> None:
        self.choices.offer_images()
        self._update()
        if event.type == "inserted" and self.workbench.layers is None:
            _soon(self._start_with_only_image)  # once napari is done with inserting

    def _start_with_only_image(self) -> None:
        if not self._closed:
            self.choices.start_with_only_image()

    # --- the life of the widget ----------------------------------------------------------

    def event(self, event: QEvent | None) -> bool:
        """Notice when napari takes the widget out of its dock, which is all that closing does."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None and not self._docked:
                self._docked = True
                _soon(self._open_timeline)
            elif self.parent() is None and self._docked:
                _soon(self._shut_down_if_undocked)
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Do what the key does in the canvas, where no part of the form wants it."""
        if event is not None and not self._keys.press_event(event):
            super().keyPressEvent(event)

    def _open_timeline(self) -> None:
        if not self._closed and self.parent() is not None:
            self.panels.show_timeline()

    def _shut_down_if_undocked(self) -> None:
        if not self._closed and self.parent() is None:
            self.shut_down()
            self.form.say("This widget was closed; open it again from the menu Plugins.", "info")
            self.form.set_state(has_image=False, many_frames=False, running=False)

    def shut_down(self) -> None:
        """Stop all work and let go of the viewer. Qt's side may be gone already."""
        if self._closed:
            return
        self._closed = True
        leave(self)
        with suppress(RuntimeError):
            self._timer.stop()
        self.workbench.status.disconnect()
        self.workbench.changed.disconnect()
        self.workbench.taught.disconnect()
        events = self.viewer.layers.events
        events.inserted.disconnect(self._on_layers_changed)
        events.removed.disconnect(self._on_layers_changed)
        self.choices.close()
        self.viewer.layers.selection.events.active.disconnect(self._update)
        self.viewer.events.theme.disconnect(self._on_theme)
        self.hover.close()
        self.outline.close()
        self.panels.close()
        self.workbench.close()
        self._worker.close()

    # --- showing -------------------------------------------------------------------------

    def _on_theme(self, _event: Any = None) -> None:
        background = get_theme(self.viewer.theme).background.as_rgb_tuple()
        dark = sum(background[:3]) < 3 * 128
        self.form.set_theme(dark)
        self.panels.set_theme(dark)

    def _update(self, _event: Any = None) -> None:
        """Make the form say what is so."""
        form, bench = self.form, self.workbench
        self.choices.show()
        (form.positive if bench.positive else form.negative).setChecked(True)
        form.check_tool(bench.tools.current)
        form.objects.space.setChecked(bench.space.on)
        if bench.layers is not None:
            form.show_object_colour(self.panels.colour_of(bench.object_id))
        active = self.controller.run is not None or self.controller.opening
        left = None if active else bench.following.left
        form.set_state(
            has_image=bench.layers is not None,
            many_frames=bench.layers is not None and bench.layers.geometry.length > 1,
            running=self.controller.run is not None,
            loading=self.controller.opening,
            paused=self.controller.run is not None and self.controller.run.paused.is_set(),
            any_image=bool(bench.images),
            earlier=bench.restoring.found is not None and not bench.used_ids,
            left=left is not None,
        )
        if active and not self._timer.isActive():
            self._timer.start()
        elif not active:
            self._timer.stop()
            if left is None:
                form.progress.clear()
            else:
                form.progress.show_left(*bench.following.progress(left))

    def _on_timer(self) -> None:
        self.workbench.following.refresh()
        run, download = self.controller.run, self.controller.download
        if run is not None:
            self.panels.request()
            self.form.progress.show_progress(run.done, run.total, run.rate, run.left, run.label)
        elif download is not None:
            self.form.progress.show_download(*download)


def _soon(function: Callable[[], None]) -> None:
    QTimer.singleShot(0, function)
