"""The picture of a preview: an outline and a faint area, drawn on the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from skimage.measure import find_contours

from napari_sam2.tracking.masks.thin_mask import place_of
from napari_sam2.widgets.canvas.on_canvas import OnCanvas, canvas_node

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_sam2.widgets.layers.prompt_layers import PromptLayers

_ALPHA = 0.3  # of the area
_MARGIN = 1  # px around a mask, for its outline


class HoverPicture(OnCanvas):
    """Shows one mask at a time.

    Parameters
    ----------
    viewer
        Without a window nothing is ever shown.
    area
        How opaque the area within the outline is, 0 to 1; with 0 there is only the outline.
    """

    mask: npt.NDArray[np.bool_] | None = None
    """What is shown, (Y, X); None if nothing is."""

    def __init__(self, viewer: ViewerModel, area: float = _ALPHA) -> None:
        super().__init__(viewer)
        self._alpha = area

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
        *areas, edge, line = self._parts
        for area in areas:
            picture = np.zeros((*image.shape, 4), np.float32)
            picture[image] = (*colour[:3], self._alpha)
            area.set_data(picture)
            area.transform.translate = (x0 - 0.5, y0 - 0.5)
        for part, tint in ((edge, (0, 0, 0, 0.6)), (line, (*colour[:3], 1))):
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
        if self._alpha:
            area = Image(np.zeros((1, 1, 4), np.float32), parent=node)
            area.transform = STTransform()
            self._parts.append(area)
        self._parts += [Line(parent=node, width=width, antialias=True) for width in (4, 2)]
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
