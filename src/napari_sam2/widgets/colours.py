"""Colours of objects, and which of them the Labels layer shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

# New objects must have a colour before the next look at the ids.
_SPARE = 64
_CLEAR = np.zeros(4)


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
        self._made: DirectLabelColormap | None = None
        self._state: tuple[frozenset[int], int] = (frozenset(), 0)

    def of(self, object_id: int) -> npt.NDArray[np.float64]:
        """Colour (RGBA, 0 to 1) of an object, also while it is not shown."""
        self._look()
        return np.asarray(self._own.map(np.array([object_id], self._labels.data.dtype))[0])

    def _look(self) -> None:
        if self._labels.colormap is not self._made and self._labels.colormap is not self._own:
            self._own, self._made = self._labels.colormap, None
            self._state = frozenset(), 0

    def hide(self, hidden: set[int], highest: int) -> None:
        """Leave objects out of the layer; `highest` is the largest id in use."""
        self._look()
        if not hidden:
            if self._made is not None:
                self._labels.colormap = self._own
                self._made, self._state = None, (frozenset(), 0)
            return
        known, upto = self._state
        if known == hidden and highest <= upto:
            return
        # A table of all ids: napari draws from it as fast as from its own colours.
        upto = highest + _SPARE
        kind = self._labels.data.dtype
        ids = np.arange(1, min(upto, np.iinfo(kind).max) + 1)
        colours: dict[int | None, Any] = dict(
            zip(ids.tolist(), self._own.map(ids.astype(kind)), strict=True)
        )
        colours.update(dict.fromkeys(hidden, _CLEAR))
        colours.update({None: _CLEAR, 0: _CLEAR})
        self._made = DirectLabelColormap(color_dict=colours)
        self._labels.colormap = self._made
        self._made = self._labels.colormap
        self._state = frozenset(hidden), upto
