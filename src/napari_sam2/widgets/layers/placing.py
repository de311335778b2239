"""The prompt layers lie where their image does, also when somebody moves it. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.widgets.layers.layer_adapters import COPIED

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam2.widgets.workbench import Workbench


class Placing:
    """Lays the prompt layers over their image again when its scale, units and the like change.

    Without that, a click would be read as another pixel than the one it was made on.

    Parameters
    ----------
    bench
        Has the image and the layers.
    defer
        Runs a function once the event at hand is over: what is pasted comes one by one, and we
        ourselves may be moving the layers.
    """

    def __init__(self, bench: Workbench, defer: Callable[[Callable[[], None]], None]) -> None:
        self._bench, self._defer = bench, defer
        self._image: Image | None = None
        self._waiting = False

    def watch(self, image: Image) -> None:
        """Look at this image from now on, and at no other."""
        self.leave()
        self._image = image
        for name in COPIED:
            image.events[name].connect(self._on_moved)

    def leave(self) -> None:
        """Look at none any more."""
        if self._image is not None:
            for name in COPIED:
                self._image.events[name].disconnect(self._on_moved)
        self._image = None

    def _on_moved(self, _event: Any) -> None:
        if not self._waiting:
            self._waiting = True
            self._defer(self._take)

    def _take(self) -> None:
        self._waiting = False
        self.lay_over()
        self._bench.changed.emit()  # axes may have other names

    def lay_over(self) -> None:
        """Lay the prompt layers over the image as it lies now."""
        source, layers = self._bench.source, self._bench.layers
        if source is None or layers is None or len(source.axes) != layers.labels.ndim:
            return  # other pixels have other axes: they get layers of their own
        for name, value in source.transform.items():
            for layer in layers.layers:
                if not np.array_equal(np.asarray(getattr(layer, name)), np.asarray(value)):
                    setattr(layer, name, value)
