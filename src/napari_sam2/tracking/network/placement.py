"""Where on a stack something is looked at: on which level, in which window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from napari_sam2.tracking.masks.resampling import in_window, resized_mask
from napari_sam2.tracking.objects.estimates import Estimate
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.windows import (
    USUAL_ZOOM,
    Box,
    Geometry,
    Window,
    around,
    grown,
    suitable_zoom,
    whole,
)

_CLICK_SIDE = 12  # tokens around a click, when nothing is known of the object's size
OCTAVE = 2  # levels


class Placement:
    """The part of `Engine` that chooses places and asks the network nothing.

    Parameters
    ----------
    levels : magnifications at which frames are looked at, coarse to fine.
    windowed : look at objects in windows; otherwise at whole frames, as published.

    Attributes
    ----------
    octaves : levels that are asked about what may be of any size, fine to coarse.
    finer : one beyond them, for the smallest cells; empty where frames are too large for it.
    """

    def __init__(self, levels: Sequence[Geometry], windowed: bool) -> None:
        self.levels = {g.tokens: g for g in levels}
        self.windowed = windowed
        usual = [g for g in levels if g.zoom < 1.2 * USUAL_ZOOM] or levels
        self.octaves = [*usual[::-1][::OCTAVE]]
        self.finer = [g for g in levels[-1:] if g not in self.octaves]

    def geometry(self, window: Window) -> Geometry:
        """Return the level that a window lies on."""
        return self.levels[window.grid]

    def fitting(self, extent: Box) -> Geometry:
        """Return the level on which something is of the size that the network knows best."""
        radius = max(np.sqrt((extent[2] - extent[0]) * (extent[3] - extent[1])) / 2, 0.5)
        zoom = suitable_zoom(radius)
        return min(self.levels.values(), key=lambda g: abs(np.log(zoom / g.zoom)))

    def prompt_window(
        self, prompt: Prompt, start: Estimate | None, level: tuple[int, int] | None
    ) -> Window:
        """Choose where a prompt is answered.

        Parameters
        ----------
        prompt : what the user said.
        start : the mask that it corrects, if any.
        level : to be used; that of `start`, or what suits the prompt, if it is None.
        """
        if not self.windowed:
            return whole(next(iter(self.levels.values())))
        seen = None if start is None else self.extent(start)
        extent = _extent(prompt, seen)
        if start is not None and level is None:
            level = start.window.grid
        geometry = self.fitting(extent) if level is None else self.levels[level]
        known = prompt.thin is not None or prompt.box is not None or seen is not None
        return self.window_on(geometry, extent, 8 if known else _CLICK_SIDE)

    def extent(self, estimate: Estimate) -> Box | None:
        """Return where a mask is, in data pixels."""
        box = estimate.box()
        if box is None:
            return None
        sy, sx = self.geometry(estimate.window).scale
        return box[0] / sy, box[1] / sx, box[2] / sy, box[3] / sx

    def next_window(self, last: Estimate, faded: bool = False) -> Window:
        """Choose where to look for an object, given where it was looked for last.

        One that is not found may be farther off, so windows grow; one that faded where it was, as
        cells do at their ends in z, has not gone elsewhere.
        """
        geometry = self.geometry(last.window)
        if not self.windowed:
            return whole(geometry)
        box = last.box()
        if box is None:
            return last.window if faded else grown(geometry, last.window)
        return around(geometry, box, usual=max(last.window.height, last.window.width))

    def must_find(self, prompt: Prompt) -> bool:
        """Whether clicks alone have to tell how large the object is."""
        return len(self.levels) > 1 and prompt.box is None and prompt.thin is None

    def may_average(self, prompt: Prompt) -> bool:
        """Whether a box tells how large the object is, and several levels can show it."""
        return len(self.levels) > 1 and prompt.box is not None and prompt.thin is None

    def window_on(self, geometry: Geometry, extent: Box, least: int = 8) -> Window:
        """Return a window of a level around something, given in data pixels."""
        sy, sx = geometry.scale
        y0, x0, y1, x1 = extent
        return around(geometry, (y0 * sy, x0 * sx, y1 * sy, x1 * sx), least)

    def click_window(self, geometry: Geometry, prompt: Prompt) -> Window:
        """Return a window of a level around clicks on an object of unknown size."""
        return self.window_on(geometry, _extent(prompt, None), _CLICK_SIDE)

    def drawn(self, window: Window, prompt: Prompt) -> Tensor:
        """Return the mask of a prompt in model pixels of a window: (16 h, 16 w), 0 or 1."""
        mask = prompt.thin
        assert mask is not None
        return in_window(window, *resized_mask(self.geometry(window), mask.place, mask.part))


def _extent(prompt: Prompt, seen: Box | None) -> Box:
    """Where a prompt and the mask that it corrects are, in data pixels."""
    if prompt.thin is not None:
        rows, columns = prompt.thin.place
        return float(rows.start), float(columns.start), float(rows.stop), float(columns.stop)
    marks = [prompt.points] if prompt.box is None else [prompt.points, prompt.box]
    if seen is not None:
        marks.append(np.array(seen).reshape(2, 2))
    places = np.concatenate(marks)
    (y0, x0), (y1, x1) = places.min(axis=0), places.max(axis=0)
    return float(y0), float(x0), float(y1), float(x1)
