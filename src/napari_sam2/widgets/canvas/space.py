"""The view in space: to 3D and back, and what the mouse does there. No Qt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_sam2.widgets.canvas.clicking import DRAG
from napari_sam2.widgets.canvas.in_view import camera_of
from napari_sam2.widgets.canvas.picking import masklet_under
from napari_sam2.widgets.canvas.slice_mark import SliceMark
from napari_sam2.widgets.canvas.tools import PROMPTS_IN_2D
from napari_sam2.widgets.layers import layer_adapters as adapters

if TYPE_CHECKING:
    from napari_sam2.widgets.layers.prompt_layers import PromptLayers
    from napari_sam2.widgets.workbench import Workbench

_BACK = "Shift+Y goes back to 2D"
# Obliquely from above the first slice, y down on screen; in world coordinates (frames, y, x).
_VIEW, _UP = (1.0, 0.6, 0.5), (0.0, -1.0, 0.0)
# Modes of the points that leave the data alone.
_IDLE = ("pan_zoom", "transform")


@dataclass
class _Looks:
    """How things looked before `Space.toggle`."""

    order: tuple[int, ...]
    centre: tuple[float, ...]
    zoom: float
    hidden: list[Any] = field(default_factory=list)
    labels: Any = None
    opacity: float = 1.0


class Space:
    """Shows the masklets in 3D, and keeps prompts and frames in order meanwhile.

    Where the frames are slices of what is shown in 3D, no slider tells which of them is current:
    this does, an outline shows it, and the slider stands there once the view is 2D again.

    Parameters
    ----------
    bench
        Has the viewer, the layers and the tools.
    """

    moved = Signal()
    """Another frame is current, in 3D."""

    def __init__(self, bench: Workbench) -> None:
        self._bench, self._viewer = bench, bench.viewer
        self._layers: PromptLayers | None = None
        self._looks: _Looks | None = None
        self._tool: str | None = None  # the last one in 2D
        self.frame: int | None = None
        """The current frame, while the view is 3D and all frames are seen, as slices."""
        self.mark = SliceMark(self._viewer)
        events = self._viewer.dims.events
        # Last: napari itself may move the slider.
        events.ndisplay.connect(self._on_display, position="last")
        events.order.connect(self._on_axes, position="last")
        events.point.connect(self._on_point)
        self._viewer.mouse_drag_callbacks.append(self._on_press)
        self._viewer.layers.selection.events.active.connect(self._on_tool)
        bench.changed.connect(self._on_bench)

    @property
    def on(self) -> bool:
        """Whether the view is 3D."""
        return bool(self._viewer.dims.ndisplay == 3)

    @property
    def deep(self) -> bool:
        """Whether the view is 3D and all frames are seen, as slices."""
        return self.frame is not None

    def _shown_axis(self, axis: int) -> int:
        """Return the viewer's axis of one of the layers'."""
        assert self._bench.layers is not None
        return int(self._viewer.dims.ndim - self._bench.layers.labels.ndim + axis)

    # --- to 3D and back ------------------------------------------------------------------

    def toggle(self) -> None:
        """Show the followed volume in 3D, from a good place; or go back to 2D."""
        bench, dims = self._bench, self._viewer.dims
        if self.on:
            dims.ndisplay = 2
            return
        if bench.layers is None or bench.source is None:
            bench.say_what_to_do()
            bench.changed.emit()
            return
        geometry = bench.layers.geometry
        if geometry.axis is None:
            bench.status.emit("A single frame cannot be shown in 3D.", "info")
            bench.changed.emit()
            return
        camera = self._camera
        self._looks = _Looks(tuple(dims.order), tuple(camera.center), float(camera.zoom))
        volume = [self._shown_axis(a) for a in (geometry.axis, *geometry.plane)]
        dims.order = (*(a for a in dims.order if a not in volume), *volume)
        dims.ndisplay = 3
        self._show_masklets_alone()
        camera.set_view_direction(_VIEW, _UP)
        self.fit()
        bench.status.emit(self._greeting(), "info")

    @property
    def _camera(self) -> Any:
        return camera_of(self._viewer)

    def fit(self) -> None:
        """Show all of the volume, from where it is seen now."""
        if self.on:
            self._viewer.reset_view(reset_camera_angle=False)

    def _show_masklets_alone(self) -> None:
        """Hide the images, whose haze lies over the surfaces, where there are any."""
        bench, looks = self._bench, self._looks
        if bench.layers is None or looks is None or not self._any_volume():
            return
        labels = bench.layers.labels
        looks.labels, looks.opacity = labels, labels.opacity
        looks.hidden = [layer for layer in bench.images if layer.visible]
        labels.visible, labels.opacity = True, 1.0
        for layer in looks.hidden:
            layer.visible = False

    def _any_volume(self) -> bool:
        """Whether masks are on several frames, or soon will be."""
        writer = self._bench.writer
        if writer is None or not writer.object_ids:
            return False
        return self._bench.controller.run is not None or len(writer.frames) > 1

    def _greeting(self) -> str:
        bench = self._bench
        assert bench.source is not None
        assert bench.layers is not None
        text = f"3D: drag to turn, click on a masklet to choose it; {_BACK}."
        if self._looks is not None and self._looks.hidden:
            text += " The image is hidden; its eye in the list of layers shows it."
        geometry = bench.layers.geometry
        if geometry.axis is not None and adapters.is_time(bench.source.names[geometry.axis]):
            text += " The third axis is time."
        elif not bench.source.knows_step(geometry):
            text += (
                " The step between slices is unknown, so each is as deep as a pixel is wide: "
                "More > Step between slices."
            )
        return text

    def _on_display(self, _event: Any = None) -> None:
        if self.on:
            self._enter()
        else:
            self._leave()

    def _enter(self) -> None:
        """Put the tool aside and mark the frame."""
        if self._bench.layers is not None:
            self._bench.tools.put_aside(self._tool)
            self._on_axes()
            self._bench.changed.emit()

    def _leave(self) -> None:
        """Go on in 2D on the current frame."""
        self.mark.hide()
        self._restore_looks()
        self._to_slider()
        bench = self._bench
        bench.tools.take_up()
        if bench.layers is not None:
            bench.status.emit(f"In 2D again, on frame {bench.frame_on_screen}.", "info")

    def _restore_looks(self) -> None:
        """Undo what `toggle` changed, as far as the user left it at that."""
        looks, self._looks = self._looks, None
        if looks is None:
            return
        for layer in looks.hidden:
            layer.visible = True
        if looks.labels is not None and looks.labels.opacity == 1:
            looks.labels.opacity = looks.opacity
        if len(looks.order) == self._viewer.dims.ndim:
            self._viewer.dims.order = looks.order
            self._camera.center, self._camera.zoom = looks.centre, looks.zoom

    # --- the current frame ---------------------------------------------------------------

    def show_frame(self, frame: int) -> None:
        """Make a frame the current one, while `deep`."""
        if frame != self.frame:
            self.frame = frame
            self._show_mark()
            self.moved.emit()

    def _on_axes(self, _event: Any = None) -> None:
        """Keep the current frame where its axis is shown, and leave it to the slider elsewhere."""
        layers = self._bench.layers
        if not self.on or layers is None:
            return
        axis = layers.geometry.axis
        if axis is None or self._shown_axis(axis) not in self._viewer.dims.displayed:
            self._to_slider()
        elif self.frame is None:
            self.frame = adapters.frame_on_screen(self._viewer, layers.labels, layers.geometry)
        self._show_mark()

    def _to_slider(self) -> None:
        layers, frame = self._bench.layers, self.frame
        self.frame = None
        if layers is not None and frame is not None:
            adapters.show_frame(self._viewer, layers.labels, layers.geometry, frame)

    def _on_point(self, _event: Any = None) -> None:
        """Follow the sliders, which others may have moved."""
        layers = self._bench.layers
        if self.deep and self.on and layers is not None:
            here = adapters.frame_on_screen(self._viewer, layers.labels, layers.geometry)
            self.show_frame(here)
        elif self.on:
            self._show_mark()

    def _show_mark(self) -> None:
        layers = self._bench.layers
        if layers is not None and self.on:
            self.mark.show(layers, self._bench.frame_on_screen)

    def _on_bench(self) -> None:
        if self._bench.layers is self._layers:
            return
        self._let_go()
        self._layers = self._bench.layers
        if self._layers is not None:
            for layer in self._layers.layers:
                layer.events.mode.connect(self._on_tool)
            self._on_tool()
            if self.on:
                self._enter()

    def _let_go(self) -> None:
        self.mark.hide()
        self.frame = None
        for layer in () if self._layers is None else self._layers.layers:
            layer.events.mode.disconnect(self._on_tool)
        self._layers = None

    # --- the mouse -----------------------------------------------------------------------

    def _on_tool(self, _event: Any = None) -> None:
        """Keep napari's own tools from making points somewhere in the depth."""
        layers = self._bench.layers
        if not self.on:
            self._tool = self._bench.tools.current
        elif layers is not None and str(layers.points.mode) not in _IDLE:
            layers.points.mode = "pan_zoom"
            self._bench.status.emit(PROMPTS_IN_2D, "info")

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        """Choose a masklet by a click; a drag turns the view."""
        layers = self._bench.layers
        if not self.on or layers is None or event.button != 1:
            return
        active = self._viewer.layers.selection.active
        if str(getattr(active, "mode", "pan_zoom")) != "pan_zoom":
            return  # the mouse is for that: painting, say
        start = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.linalg.norm(np.array(event.pos) - start) < DRAG:
            hidden = self._bench.notes.hidden
            self._choose(masklet_under(self._viewer, layers, event, hidden))

    def _choose(self, hit: tuple[int, int] | None) -> None:
        bench = self._bench
        if hit is None:
            bench.status.emit(f"No masklet there. {PROMPTS_IN_2D}", "info")
            return
        object_id, frame = hit
        bench.set_object(object_id)
        bench.show_frame(frame)
        name = bench.notes.name(object_id)
        bench.status.emit(f"{name}, frame {frame}. {_BACK}, to that frame.", "info")

    # --- the end -------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the viewer, and leave it as it was."""
        events = self._viewer.dims.events
        events.ndisplay.disconnect(self._on_display)
        events.order.disconnect(self._on_axes)
        events.point.disconnect(self._on_point)
        self._viewer.layers.selection.events.active.disconnect(self._on_tool)
        self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._to_slider()
        self._let_go()
        self._restore_looks()
        self.mark.remove()
