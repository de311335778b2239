"""The tools that prompts are made with: layers and their modes. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
        if not layer.editable:
            bench.status.emit("Painting has to wait until the propagation ends.", "info")
        else:
            layer.visible = True
            bench.viewer.layers.selection.active = layer
            layer.mode = mode
            layers.apply_current()
        bench.changed.emit()

    @property
    def current(self) -> str | None:
        """The tool in use, if it is one of ours."""
        active = self._bench.viewer.layers.selection.active
        for name, (layer, mode) in self._all().items():
            if layer is active and str(layer.mode) == mode:
                return name
        return None
