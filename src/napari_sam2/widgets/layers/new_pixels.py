"""Other pixels in the image that is worked on: noticed, and a session opened on them. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.widgets.layers.arrays import MOVED_KEY, lazy
from napari_sam2.widgets.layers.layer_adapters import full_resolution
from napari_sam2.widgets.layers.sources import Part

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam2.widgets.workbench import Workbench


class NewPixels:
    """Looks whether somebody puts another array into a layer that the model sees.

    What is written into the same array goes unnoticed: napari says nothing of it.

    Parameters
    ----------
    bench
        Opens a session on the new pixels.
    defer
        Runs a function once the event at hand is over: an array may be put there by us.
    """

    def __init__(self, bench: Workbench, defer: Callable[[Callable[[], None]], None]) -> None:
        self._bench, self._defer = bench, defer
        self._known: list[tuple[Image, Any]] = []
        self._waiting = False
        self.news = ""
        """What is to be said of them once the session is open."""

    def watch(self, layers: Sequence[Image]) -> None:
        """Look at these layers from now on, and at no others."""
        self.leave()
        self._known = [(layer, full_resolution(layer)) for layer in layers]
        for layer in layers:
            layer.events.data.connect(self._on_data)

    def leave(self) -> None:
        """Look at none any more."""
        for layer, _ in self._known:
            layer.events.data.disconnect(self._on_data)
        self._known, self.news = [], ""

    def take_news(self) -> str:
        """Return what is to be said, once."""
        news, self.news = self.news, ""
        return news

    def _on_data(self, _event: Any) -> None:
        if not self._waiting:  # a camera may put many there in a row
            self._waiting = True
            self._defer(self._take)

    def _take(self) -> None:
        """Open a session on the pixels as they are now, if they are others."""
        self._waiting = False
        bench, known = self._bench, self._known
        for layer, old in known:
            _move_as_before(layer, old)
        now = [full_resolution(layer) for layer, _ in known]
        if all(new is old for new, (_, old) in zip(now, known, strict=True)):
            return
        alike = all(new.shape == old.shape for new, (_, old) in zip(now, known, strict=True))
        assert bench.image is not None
        text = f"The pixels of '{bench.image.name}' were replaced"
        if bench.used_ids:
            text += ": this is a new session on them; what was done stays as layers."
        else:
            text += "; the session is on the new ones. Click on a cell."
        if bench.used_ids or not alike:
            self._begin_again(alike)
        else:  # the layers fit, and there is nothing in them
            self.watch([layer for layer, _ in known])
            bench.starting.open_session()
        self.news = text if self._known else ""

    def _begin_again(self, alike: bool) -> None:
        """Start on the same image, where its shape is the same on the same part of it."""
        bench = self._bench
        image, source, layers = bench.image, bench.source, bench.layers
        assert image is not None
        assert source is not None
        assert layers is not None
        axis, part = None, Part()
        if alike:
            channels = -1 if source.channel_axis is None else source.channel_axis
            axis, planes = layers.geometry.axis, layers.geometry.fixed
            part = Part(channels, source.channel, source.layers, planes)
        if bench.starting.start(image, axis, part) is not None:
            bench.starting.drop_image()  # it would go on with pixels that are not there any more
            bench.changed.emit()


def _move_as_before(layer: Image, old: Any) -> None:
    """Move the channels of new pixels to the front, where we moved those of the old ones."""
    axis, new = layer.metadata.get(MOVED_KEY, 0), full_resolution(layer)
    shape = [*old.shape[1 : axis + 1], old.shape[0], *old.shape[axis + 1 :]]
    if axis and not layer.multiscale and list(new.shape) == shape != list(old.shape):
        order = [axis, *(a for a in range(layer.ndim) if a != axis)]
        layer.data = (new if isinstance(new, np.ndarray) else lazy(new)).transpose(order)
