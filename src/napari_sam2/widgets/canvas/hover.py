"""What the first click on a cell would give, shown while the mouse rests over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QTimer
from qtpy.QtGui import QAction  # type: ignore[attr-defined]

from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.canvas.hover_picture import HoverPicture
from napari_sam2.widgets.remembered import settings
from napari_sam2.widgets.session.runs import Cancelled
from napari_sam2.widgets.session.worker import Worker
from napari_sam2.widgets.workbench import Workbench

if TYPE_CHECKING:
    from napari_sam2.widgets.layers.prompt_layers import PromptLayers

REST_MS = 120
_KEY = "preview"


@dataclass(frozen=True)
class _Place:
    """Where a click would be: on which object and frame, and (y, x) in data pixels."""

    object_id: int
    frame: int
    point: tuple[float, float]


class Hover(QObject):
    """Previews the first click for the current object on the frame on screen.

    A preview is computed on the session's thread and gives way to whatever else is to be done
    there. It changes nothing: not the session, no layer.

    Parameters
    ----------
    bench
        Has the session, the object and the tool.
    worker
        Of the session.
    switch
        Turns previews on and off; its state is remembered.
    """

    def __init__(self, bench: Workbench, worker: Worker, switch: QAction) -> None:
        super().__init__(switch)
        self._bench, self._worker, self._switch = bench, worker, switch
        self._viewer = bench.viewer
        self._layers: PromptLayers | None = None
        self._position: tuple[float, ...] | None = None
        self._ticket = 0
        self.picture = HoverPicture(self._viewer)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REST_MS)
        self._timer.timeout.connect(self._look)
        switch.setChecked(bool(settings().value(_KEY, True, type=bool)))
        switch.toggled.connect(self._on_switch)
        bench.changed.connect(self._on_bench)
        self._viewer.mouse_move_callbacks.append(self._on_move)
        self._viewer.mouse_drag_callbacks.append(self._on_press)
        for event in self._events():
            event.connect(self._on_view)
        self._viewer.events.mouse_over_canvas.connect(self._on_canvas)

    def _events(self) -> list[Any]:
        dims, selection = self._viewer.dims.events, self._viewer.layers.selection.events
        return [dims.point, dims.ndisplay, dims.order, selection.active]

    @property
    def waiting(self) -> bool:
        """Whether the mouse may have rested for long enough soon."""
        return self._timer.isActive()

    # --- when ----------------------------------------------------------------------------

    def _on_move(self, _viewer: Any, event: Any) -> None:
        self._position = tuple(event.position)
        self._wait()

    def _on_press(self, _viewer: Any, _event: Any) -> None:
        self._position = None
        self.clear()

    def _on_canvas(self, _event: Any = None) -> None:
        if not self._viewer.mouse_over_canvas:
            self._position = None
            self.clear()

    def _on_view(self, _event: Any = None) -> None:
        self._wait()

    def _on_bench(self) -> None:
        if self._bench.layers is not self._layers:
            self._watch(self._bench.layers)
        self._wait()

    def _watch(self, layers: PromptLayers | None) -> None:
        """Look when the mode of these points changes, and not when that of those before does."""
        if self._layers is not None:
            self._layers.points.events.mode.disconnect(self._on_view)
        self._layers = layers
        if layers is not None:
            layers.points.events.mode.connect(self._on_view)

    def _on_switch(self, on: bool) -> None:
        settings().setValue(_KEY, on)
        self._wait()

    def _wait(self) -> None:
        """Take away what is shown, and look anew once the mouse has rested for a while."""
        self.clear()
        if self._position is not None and self._switch.isChecked():
            self._timer.start()

    def clear(self) -> None:
        """Take away what is shown, and end what is being computed."""
        self._ticket += 1
        self._timer.stop()
        self.picture.hide()

    # --- what ----------------------------------------------------------------------------

    def _place(self) -> _Place | None:
        """Return where the mouse rests, if a click there would be the first one."""
        bench, layers = self._bench, self._bench.layers
        if self._position is None or layers is None or bench.tools.current != "point":
            return None
        if (
            not bench.positive
            or bench.controller.session is None
            or bench.controller.run is not None
        ):
            return None
        dims = self._viewer.dims
        if len(self._position) != dims.ndim:
            return None
        world = [self._position[d] if d in dims.displayed else p for d, p in enumerate(dims.point)]
        coords = np.asarray(layers.points.world_to_data(world))
        if layers.waiting or layers.geometry.complaint(coords) is not None:
            return None
        frame = int(layers.geometry.frames_of(coords)[0])
        if frame in layers.prompts.get(bench.object_id, {}):
            return None
        y, x = layers.geometry.yx(coords)[0]
        return _Place(bench.object_id, frame, (float(y), float(x)))

    def _look(self) -> None:
        """Ask for a preview where the mouse rests."""
        place, layers = self._place(), self._bench.layers
        if place is None or layers is None or not self.picture.possible(layers):
            return
        session, ticket = self._bench.controller.session, self._ticket

        def check() -> None:
            if ticket != self._ticket or self._worker.wanted:
                raise Cancelled

        def job() -> npt.NDArray[np.bool_] | None:
            check()
            if not session.answers_fast(place.frame):
                return None
            return session.preview(place.object_id, place.frame, place.point, check).mask

        def done(mask: npt.NDArray[np.bool_] | None) -> None:
            if mask is not None and ticket == self._ticket and place == self._place():
                colours = self._bench.colours
                assert colours is not None
                self.picture.show(layers, mask, colours.of(place.object_id))

        def failed(error: Exception) -> None:
            if ticket == self._ticket and isinstance(error, Cancelled):
                self._wait()  # something else had to be done first
            elif not isinstance(error, Cancelled | InputError):
                self._bench.controller.tell(error)

        self._worker.submit(job, done=done, failed=failed, key=_KEY, gives_way=True)

    def close(self) -> None:
        """Let go of the viewer; Qt's side may be gone already."""
        self._ticket += 1
        self._viewer.mouse_move_callbacks.remove(self._on_move)
        self._viewer.mouse_drag_callbacks.remove(self._on_press)
        for event in self._events():
            event.disconnect(self._on_view)
        self._viewer.events.mouse_over_canvas.disconnect(self._on_canvas)
        self._watch(None)
        self.picture.remove()
