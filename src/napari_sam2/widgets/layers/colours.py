"""Colours of objects, and which of them the Labels layer shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import CyclicLabelColormap

from napari_sam2.widgets.ids import HIGHEST

# New objects must have a colour of their own before the next look at the ids.
_SPARE = 64


class ObjectColours:
    """The colours of a Labels layer, from which some objects can be left out.

    Parameters
    ----------
    labels
        The layer; its own colours are kept, also when the user shuffles them.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._own: Any = labels.colormap
        self._made: CyclicLabelColormap | None = None
        self._hidden: frozenset[int] = frozenset()
        self._upto = 0

    def of(self, object_id: int) -> npt.NDArray[np.float64]:
        """Colour (RGBA, 0 to 1) of an object, also while it is not shown."""
        self._look()
        return np.asarray(self._colours(np.array([object_id], self._labels.data.dtype))[0])

    def _look(self) -> None:
        """Take the layer's colours for its own, if they are others than those made here."""
        now = self._labels.colormap
        if now is self._made or now is self._own:
            return
        if self._made is not None and isinstance(now, CyclicLabelColormap):
            # napari shuffled all, and other objects would be clear now.
            colours = np.array(now.colors)
            colours[:, 3] = 1
            now = CyclicLabelColormap(colors=colours)
            self._labels.colormap = now
        self._own, self._made, self._hidden = now, None, frozenset()

    def _colours(self, ids: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Colours of ids, also of those that napari's 'show selected' leaves out."""
        selecting, self._own.use_selection = self._own.use_selection, False
        try:
            return np.array(self._own.map(ids))
        finally:
            self._own.use_selection = selecting

    def hide(self, hidden: set[int], highest: int) -> None:
        """Leave objects out of the layer; `highest` is the largest id in use."""
        self._look()
        if hidden == self._hidden and (not hidden or highest <= self._upto):
            return
        self._hidden, self._made = frozenset(hidden), None
        shown = self._own
        if hidden:
            # A table of all ids: a dictionary of 60,000 takes napari most of a second. It cannot
            # shuffle a table with the very highest id, so only if that is in use.
            self._upto = max(min(highest + _SPARE, HIGHEST - 1), highest, *hidden)
            colours = self._colours(np.arange(self._upto + 1, dtype=np.uint16))
            colours[0] = colours[-1]  # the background is clear in any case
            colours[list(hidden), 3] = 0
            shown = self._made = CyclicLabelColormap(colors=colours)
        shown.use_selection = self._labels.show_selected_label
        shown.selection = self._labels.selected_label
        self._labels.colormap = shown
