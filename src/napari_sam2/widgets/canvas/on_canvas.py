"""Drawing on napari's canvas over all layers: in no list, saved with nothing, never clicked on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_sam2.widgets.layers.prompt_layers import PromptLayers


class OnCanvas:
    """Some visuals of vispy that are shown, hidden and taken away together.

    Parameters
    ----------
    viewer
        Without a window nothing is ever shown.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._parent: Any = None
        self._parts: list[Any] = []

    def hide(self) -> None:
        """Show nothing."""
        self._show_parts(False)

    def remove(self) -> None:
        """Take everything out of the canvas."""
        for part in self._parts:
            part.parent = None
        self._parts, self._parent = [], None
        self.hide()

    def _show_parts(self, shown: bool) -> None:
        for part in self._parts:
            part.visible = shown

    def _shown_axes(self, layers: PromptLayers) -> list[int]:
        """Axes of the prompts' layers that are on screen, in the order of the screen's."""
        dims = self._viewer.dims
        return [axis - (dims.ndim - layers.points.ndim) for axis in dims.displayed]


def canvas_node(viewer: ViewerModel, layers: PromptLayers) -> Any:
    """Return what draws the points, whose transform is the image's; None without a window."""
    window: Any = getattr(viewer, "window", None)
    try:
        # napari has no public way to draw on its canvas but layers.
        return window._qt_viewer.canvas.layer_to_visual[layers.points].node
    except (AttributeError, KeyError):
        return None
