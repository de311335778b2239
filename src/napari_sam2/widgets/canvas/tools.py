"""The tools that prompts are made with: layers and their modes. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

PROMPTS_IN_2D = "Prompts are made in 2D: a click in 3D has no depth. Shift+Y goes back to 2D."

if TYPE_CHECKING:
    from napari_sam2.widgets.workbench import Workbench


class Tools:
    """Takes up points, boxes, polygons and the brush.

    Parameters
    ----------
    bench
        Has the layers.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._aside: str | None = None
        self._resting: tuple[str, bool] | None = None  # mode of the labels; whether it was in 3D

    def _all(self) -> dict[str, tuple[Any, str]]:
        """Layer and its mode by the name of the tool; none while there are no layers."""
        layers = self._bench.layers
        if layers is None:
            return {}
        return {
            "point": (layers.points, "add"),
            "box": (layers.shapes, "add_rectangle"),
            "polygon": (layers.shapes, "add_polygon"),
            "brush": (layers.labels, "paint"),
        }

    def use(self, name: str) -> None:
        """Take up a tool: point, box, polygon or brush."""
        bench = self._bench
        layers = bench.require_layers()
        if layers is None:
            bench.changed.emit()
            return
        layer, mode = self._all()[name]
        if bench.space.on:
            self._aside = name
        if bench.space.on and name != "brush":
            bench.status.emit(PROMPTS_IN_2D, "info")
        elif not layer.editable:
            bench.status.emit("Painting has to wait until the propagation ends.", "info")
        else:
            layer.visible = True
            bench.viewer.layers.selection.active = layer
            layer.mode = mode
            if name == "brush":  # napari's X leaves it at none
                layer.selected_label = bench.object_id
            layers.apply_current()
        bench.changed.emit()

    def take_ours(self) -> None:
        """Take up points, unless a tool of ours is in use or the view is 3D."""
        if self.current is None and not self._bench.space.on:
            self.use("point")

    def put_aside(self, name: str | None) -> None:
        """Leave the mouse to the view, until `take_up` goes on with a tool."""
        self._aside = name or self._aside
        if self._bench.layers is not None:
            for layer in self._bench.layers.layers:
                layer.mode = "pan_zoom"

    def take_up(self) -> None:
        """Take up again what was put aside, unless another layer is being worked on."""
        name, self._aside = self._aside, None
        layers, active = self._bench.layers, self._bench.viewer.layers.selection.active
        if name is not None and layers is not None and active in layers.layers:
            self.use(name)
        else:
            self._bench.changed.emit()

    def let_paint(self, on: bool) -> None:
        """Allow painting, or not while a propagation writes the labels; after that, go on with it.

        What is painted until then is read: napari would drop the stroke, and the mode.
        """
        layers = self._bench.layers
        if layers is None:
            return
        labels = layers.labels
        if on:
            labels.editable = True
            self._go_on_painting(labels)
        elif labels.editable:
            painting = labels._block_history
            if labels._staged_history:
                labels._commit_staged_history()
                layers.read()
            if str(labels.mode) != "pan_zoom":
                self._resting = str(labels.mode), self._bench.space.on
            labels.editable = False
            labels._block_history = painting  # the rest of the stroke is one piece, too

    def _go_on_painting(self, labels: Any) -> None:
        resting, self._resting = self._resting, None
        if resting is None or str(labels.mode) != "pan_zoom":
            return
        mode, deep = resting
        if deep or not self._bench.space.on:
            labels.mode = mode
        elif mode == "paint":
            self._aside = self._aside or "brush"

    @property
    def current(self) -> str | None:
        """The tool in use, if it is one of ours."""
        active = self._bench.viewer.layers.selection.active
        for name, (layer, mode) in self._all().items():
            if layer is active and str(layer.mode) == mode:
                return name
        return None
