"""The outlines of a volume and of the current frame in 3D, drawn on the canvas."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2.widgets.canvas.on_canvas import OnCanvas, canvas_node

if TYPE_CHECKING:
    from napari_sam2.widgets.layers.prompt_layers import PromptLayers

_FRAME, _BOX = (1.0, 0.85, 0.2, 1.0), (0.6, 0.6, 0.6, 0.5)


class SliceMark(OnCanvas):
    """Outlines one frame of a volume, and the volume."""

    frame: int | None = None
    """What is outlined, if anything is."""

    def show(self, layers: PromptLayers, frame: int) -> None:
        """Outline a frame, if it lies in what is shown."""
        node, geometry = canvas_node(self._viewer, layers), layers.geometry
        shown = self._shown_axes(layers)
        if node is None or not set(geometry.plane) <= set(shown):
            self.hide()
            return
        if self._parent is not node:
            self._make(node)
        (height, width), low = geometry.frame_shape, -0.5
        ways = [(low, low), (low, width + low), (height + low, width + low), (height + low, low)]
        corners = np.array([geometry.to_data(frame, *way) for way in (*ways, ways[0])])
        outline, box = self._parts
        outline.set_data(corners[:, shown[::-1]])
        box.set_data(_edges([geometry.shape[axis] for axis in shown[::-1]]))
        self._show_parts(True)
        self.frame = frame

    def hide(self) -> None:
        """Show nothing."""
        self.frame = None
        super().hide()

    def _make(self, node: Any) -> None:
        from vispy.scene.visuals import Line

        self.remove()
        self._parent = node
        start = np.zeros((2, 3), np.float32)
        self._parts = [
            Line(start, color=_FRAME, parent=node, width=2),
            Line(start, color=_BOX, parent=node, connect="segments"),
        ]
        for line in self._parts:
            line.set_gl_state("translucent", depth_test=True)


def _edges(sizes: list[int]) -> npt.NDArray[np.float64]:
    """Pairs of corners (24, 3) of the 12 edges of a box of so many voxels."""
    corners = np.array(list(product((0, 1), repeat=3)))
    pairs = [(a, b) for a, b in product(corners, corners) if (b - a).sum() == abs(b - a).sum() == 1]
    return np.array(pairs).reshape(-1, 3) * sizes - 0.5
