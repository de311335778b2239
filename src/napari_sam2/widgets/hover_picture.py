"""The picture of a preview: an outline and a faint area, drawn on the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from skimage.measure import find_contours

from napari_sam2.tracking.thin_mask import place_of
from napari_sam2.widgets.on_canvas import OnCanvas, canvas_node

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_sam2.widgets.prompt_layers import PromptLayers

_ALPHA = 0.3  # of the area
_MARGIN = 1  # px around a mask, for its outline


class HoverPicture(OnCanvas):
    """Shows one mask at a time.

    Parameters
    ----------
    viewer
        Without a window nothing is ever shown.
    area
        How opaque the area within the outline is, 0 to 1.
    """

    def __init__(self, viewer: ViewerModel, area: float = _ALPHA) -> None:
        super().__init__(viewer)
        self._alpha = area

    mask: npt.NDArray[np.bool_] | None = None
    """What is shown, (Y, X); None if nothing is."""

    def possible(self, layers: PromptLayers) -> bool:
        """Whether frames are seen from above, as they are clicked on."""
        node = canvas_node(self._viewer, layers)
        return self._flipped(layers) is not None and node is not None

    def show(self, layers: PromptLayers, mask: npt.NDArray[np.bool_], colour: Any) -> None:
        """Show a mask (Y, X) in a colour (RGBA, 0 to 1); one without pixels shows nothing."""
        self.hide()
        node, flipped = canvas_node(self._viewer, layers), self._flipped(layers)
        if node is None or flipped is None or not mask.any():
            return
        if self._parent is not node:
            self._make(node)
        (y0, x0), image = _cut(mask.T if flipped else mask)
        lines = [line[:, ::-1] + (x0, y0) for line in find_contours(image.astype(float), 0.5)]
        # One array for all lines: the last point of each is not joined to the next line.
        joined = np.concatenate([np.arange(len(line)) < len(line) - 1 for line in lines])
        area = np.zeros((*image.shape, 4), np.float32)
        area[image] = (*colour[:3], self._alpha)
        self._area.set_data(area)
        self._area.transform.translate = (x0 - 0.5, y0 - 0.5)
        for part, tint in ((self._edge, (0, 0, 0, 0.6)), (self._line, (*colour[:3], 1))):
            part.set_data(np.concatenate(lines), color=tint, connect=joined)
        self._show_parts(True)
        self.mask = mask

    def hide(self) -> None:
        """Show nothing."""
        if self.mask is not None:
            self.mask = None
            super().hide()

    def _make(self, node: Any) -> None:
        from vispy.scene.visuals import Image, Line
        from vispy.visuals.transforms import STTransform

        self.remove()
        self._parent = node
        self._area = Image(np.zeros((1, 1, 4), np.float32), parent=node)
        self._area.transform = STTransform()
        self._edge = Line(parent=node, width=4, antialias=True)
        self._line = Line(parent=node, width=2, antialias=True)
        self._parts = [self._area, self._edge, self._line]
        for order, part in enumerate(self._parts):
            part.order = order
            part.visible = False
            part.set_gl_state("translucent", depth_test=False)

    def _flipped(self, layers: PromptLayers) -> bool | None:
        """Whether x goes down on screen and y to the right; None if frames are seen otherwise."""
        y, x = layers.geometry.plane
        ways: dict[tuple[int, ...], bool] = {(y, x): False, (x, y): True}
        return ways.get(tuple(self._shown_axes(layers)))


def _cut(mask: npt.NDArray[np.bool_]) -> tuple[tuple[int, int], npt.NDArray[np.bool_]]:
    """Cut a mask to where it is and a margin; returns the corner, too, which may be negative."""
    rows, columns = place_of(mask)
    corner = rows.start - _MARGIN, columns.start - _MARGIN
    return corner, np.pad(mask[rows, columns], _MARGIN)
