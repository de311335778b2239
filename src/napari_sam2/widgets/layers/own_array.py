"""The masklets show the array of the session: another one is put aside, as a layer. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_sam2.widgets.layers.layer_adapters import copied_transform

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2.widgets.workbench import Workbench

NAME = "other masklets"


class OwnArray:
    """Looks whether somebody puts another array into the masklets, as napari's conversion does.

    Masks are written into ours, are saved and exported from it, and undo goes back in it: in
    another one nobody would see them.

    Parameters
    ----------
    bench
        Has the layers.
    defer
        Runs a function once the event at hand is over.
    """

    def __init__(self, bench: Workbench, defer: Callable[[Callable[[], None]], None]) -> None:
        self._bench, self._defer = bench, defer
        self._labels: Labels | None = None
        self._array: Any = None

    def watch(self, labels: Labels) -> None:
        """Look at this layer, which has our array, from now on, and at no other."""
        self.leave()
        self._labels, self._array = labels, labels.data
        labels.events.data.connect(self._on_data)

    def leave(self) -> None:
        """Look at none any more."""
        if self._labels is not None:
            self._labels.events.data.disconnect(self._on_data)
        self._labels = self._array = None

    def _on_data(self, _event: Any) -> None:
        """Put ours back at once: what is painted next belongs there."""
        labels = self._labels
        if labels is None or labels.data is self._array:
            return
        other, labels.data = labels.data, self._array
        self._bench.placing.lay_over()  # with other axes, it lost its place
        self._defer(lambda: self._put_aside(labels, other))

    def _put_aside(self, labels: Labels, other: Any) -> None:
        """Add what was put there as a hidden layer, in the place of an older one."""
        from napari.layers import Labels

        bench, layers = self._bench, self._bench.viewer.layers
        place = copied_transform(labels) if other.ndim == labels.ndim else {}
        layer = Labels(other, name=NAME, visible=False, metadata={**labels.metadata}, **place)
        active = layers.selection.active
        if NAME in layers:
            layers.remove(NAME)
        layers.append(layer)
        layers.selection.active = active
        bench.tools.let_paint(bench.controller.run is None)  # napari allows it with every array
        bench.status.emit(
            f"'{labels.name}' shows the masks of the session, and still does. What was put there "
            f"is the hidden layer '{NAME}'.",
            "info",
        )
        bench.changed.emit()
