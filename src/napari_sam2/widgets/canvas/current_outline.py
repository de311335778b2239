"""An outline around the current object, so that it is seen which of many it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtGui import QAction  # type: ignore[attr-defined]

from napari_sam2.widgets.canvas.hover_picture import HoverPicture
from napari_sam2.widgets.remembered import settings
from napari_sam2.widgets.workbench import Workbench

if TYPE_CHECKING:
    from napari_sam2.widgets.layers.prompt_layers import PromptLayers

_KEY = "outline"
_REST_MS = 30
_WHITE = (1.0, 1.0, 1.0, 1.0)
_MOST = 2**24  # pixels of a frame: a look at more would hold up the window


class CurrentOutline(QObject):
    """Outlines the mask of the current object on the frame on screen, in 2D.

    Parameters
    ----------
    bench
        Has the object and the masks.
    switch
        Turns it on and off; its state is remembered.
    """

    def __init__(self, bench: Workbench, switch: QAction) -> None:
        super().__init__(switch)
        self._bench, self._viewer, self._switch = bench, bench.viewer, switch
        self._layers: PromptLayers | None = None
        self._closed = False
        self.picture = HoverPicture(self._viewer, area=0.0)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST_MS)
        self._timer.timeout.connect(self._look)
        switch.setChecked(bool(settings().value(_KEY, True, type=bool)))
        switch.toggled.connect(self._on_switch)
        bench.changed.connect(self._on_bench)
        for event in self._events():
            event.connect(self._request)

    def _events(self) -> list[Any]:
        dims = self._viewer.dims.events
        return [dims.point, dims.ndisplay, dims.order]

    @property
    def waiting(self) -> bool:
        """Whether something newer is about to be shown."""
        return self._timer.isActive()

    def _on_switch(self, on: bool) -> None:
        settings().setValue(_KEY, on)
        self._request()

    def _on_bench(self) -> None:
        if self._bench.layers is not self._layers:
            self._watch(self._bench.layers)
        self._request()

    def _watch(self, layers: PromptLayers | None) -> None:
        """Look when these masks change, and not when the ones before do."""
        if self._layers is not None:
            for event in _events_of(self._layers):
                event.disconnect(self._request)
        self._layers = layers
        if layers is not None:
            for event in _events_of(layers):
                event.connect(self._request)

    def _request(self, _event: Any = None) -> None:
        """Look soon; many calls become one."""
        if not self._closed:
            self._timer.start()

    def _look(self) -> None:
        bench, layers, writer = self._bench, self._bench.layers, self._bench.writer
        if (
            self._closed
            or layers is None
            or writer is None
            or not self._switch.isChecked()
            or not layers.labels.visible
            or bench.object_id in bench.notes.hidden
            or bench.object_id not in writer.object_ids
            or layers.geometry.frame_shape[0] * layers.geometry.frame_shape[1] > _MOST
            or not self.picture.possible(layers)
        ):
            self.picture.hide()
            return
        mask = writer.read(bench.frame_on_screen) == bench.object_id
        self.picture.show(layers, mask, _WHITE)

    def close(self) -> None:
        """Let go of the viewer; Qt's side may be gone already."""
        self._closed = True
        for event in self._events():
            event.disconnect(self._request)
        self._watch(None)
        self.picture.remove()


def _events_of(layers: PromptLayers) -> list[Any]:
    events = layers.labels.events
    return [events.set_data, events.visible]
