"""Rows of the form for the part of an image that the model sees: its channels and planes.

They are hidden where there is nothing to choose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import ComboBox, SpinBox
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QWidget

from napari_sam2.tracking.stack.channels import Channels
from napari_sam2.widgets.layers import layer_adapters as adapters
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.layers.sources import Part, Source
from napari_sam2.widgets.parts import narrow, unturned

MIX = "mix"
LAYERS = "layers"
_WHOLE = "whole"
_NO_AXIS = -1
_COLOURS = ("Red", "Green", "Blue")


class PartForm:
    """Which axis holds channels, which of them the model sees, and in which plane.

    Parameters
    ----------
    layout
        The rows are added to it.
    """

    def __init__(self, layout: QFormLayout) -> None:
        self._layout = layout
        self._source: Source | None = None
        self._siblings: tuple[Any, ...] = ()
        self._filling = False
        self._told: Callable[[bool], None] = lambda _: None
        self._shown: Any = None
        self._telling = False
        self.channel_axis = ComboBox(
            label="Channels along",
            choices=[],
            tooltip="The axis that holds channels, which are neither time nor depth",
        )
        self.channel = ComboBox(
            label="Channel",
            choices=[],
            tooltip="What the model sees: one channel, or up to three as red, green and blue",
        )
        self.colours = [
            ComboBox(label=name, choices=[], nullable=True, tooltip=f"What is shown as {name}")
            for name in _COLOURS
        ]
        self._mix, _ = _side_by_side([box.native for box in self.colours])
        self.planes: dict[int, SpinBox] = {}
        self._planes, self._plane_row = _side_by_side([])
        self._plane_label = QLabel("Plane")
        for box in (self.channel_axis, self.channel, *self.colours):
            narrow(box, 3)
        self._channels, _ = _side_by_side([self.channel_axis.native, self.channel.native])
        layout.addRow("Channel", self._channels)
        layout.addRow("R, G, B", self._mix)
        layout.addRow(self._plane_label, self._planes)
        self.channel_axis.changed.connect(self._on_axis)
        self.channel.changed.connect(self._on_channel)
        for box in self.colours:
            box.changed.connect(self._on_change)
        self._fill(lambda: self._show(None, None))

    def on_change(self, function: Callable[[bool], None]) -> None:
        """Call `function` when the user has chosen something else.

        It is told whether the other axes are still the same ones.
        """
        self._told = function

    def _tell(self, same_axes: bool = True) -> None:
        self._shown = None  # it may be refused, and what is so has to be shown again
        self._telling = True
        try:
            self._told(same_axes)
        finally:
            self._telling = False

    def set_enabled(self, enabled: bool) -> None:
        """Allow to choose, or not."""
        for box in (self.channel_axis, self.channel, *self.colours, *self.planes.values()):
            box.enabled = enabled

    # --- what the user chose -------------------------------------------------------------

    def part(self) -> Part:
        """Return what is chosen."""
        planes = {axis: int(box.value) for axis, box in self.planes.items()}
        axis = self.channel_axis.value
        if self.channel.value == LAYERS:
            return Part(_NO_AXIS, self._mixed(), self._siblings, planes)
        return Part(axis, self._chosen(), (), planes)

    def _chosen(self) -> Channels | None:
        value = self.channel.value
        if value == MIX:
            return self._mixed()
        return None if value in (_WHOLE, None) else int(value)

    def _mixed(self) -> tuple[int | None, ...]:
        return tuple(None if box.value is None else int(box.value) for box in self.colours)

    def _on_axis(self, axis: int) -> None:
        if self._filling:
            return
        self._fill(lambda: setattr(self.channel, "choices", ()))  # of the other axis
        self._fill(self._forget_planes)
        self._tell(same_axes=False)

    def _on_channel(self, value: Any) -> None:
        if self._filling:
            return
        if value in (MIX, LAYERS):
            texts = self._texts(value == LAYERS)
            self._fill(lambda: self._show_colours(texts, tuple(range(min(3, len(texts))))))
        self._tell()

    def _on_change(self, _value: Any) -> None:
        if not self._filling:
            self._tell()

    # --- showing -------------------------------------------------------------------------

    def show(
        self,
        source: Source | None,
        geometry: StackGeometry | None,
        siblings: tuple[Any, ...],
    ) -> None:
        """Show what is chosen.

        Parameters
        ----------
        source, geometry
            What the model sees; None where no image is worked on.
        siblings
            The layer and others of its shape, which can be mixed.
        """
        shown = (source, geometry, siblings)
        if source is None and self._telling:
            return  # on the way from one choice to the next; hidden rows would lose the keyboard
        if shown != self._shown:
            self._source, self._siblings, self._shown = source, siblings, shown
            self._fill(lambda: self._show(source, geometry))

    def _fill(self, work: Callable[[], None]) -> None:
        """Change the rows without taking it for the user's choice."""
        before, self._filling = self._filling, True
        try:
            work()
        finally:
            self._filling = before

    def _show(self, source: Source | None, geometry: StackGeometry | None) -> None:
        self._show_axis(source)
        choices: list[tuple[str, Any]] = []
        if source is not None:
            choices = self._choices(source)
        mixed = source is not None and isinstance(source.channel, tuple)
        self.channel.choices = choices
        if source is not None and choices:
            value: Any = source.channel if source.channel is not None else _WHOLE
            self.channel.value = (LAYERS if source.layers else MIX) if mixed else value
        self.channel.native.setVisible(len(choices) > 1)
        self._row(self._channels, self._has_channels(source) or len(choices) > 1)
        if source is not None and mixed:
            assert isinstance(source.channel, tuple)
            self._show_colours(self._texts(bool(source.layers)), source.channel)
        self._row(self._mix, mixed)
        self._show_planes(source, geometry)

    def _show_axis(self, source: Source | None) -> None:
        choices: list[tuple[str, int]] = [("none", _NO_AXIS)]
        if source is not None and not source.image.rgb:
            shape, names = adapters.image_shape(source.image), adapters.named_axes(source.image)
            choices += [(f"{names[a]} ({n})", a) for a, n in enumerate(shape) if n > 1]
        self.channel_axis.choices = choices
        here = None if source is None else source.channel_axis
        self.channel_axis.value = _NO_AXIS if here is None else here
        self.channel_axis.native.setVisible(self._has_channels(source))

    @staticmethod
    def _has_channels(source: Source | None) -> bool:
        """Whether an axis of the image may hold channels."""
        if source is None or source.channel_axis is not None:
            return source is not None
        return not source.image.rgb and source.image.ndim > 3

    def _choices(self, source: Source) -> list[tuple[str, Any]]:
        if source.channel_axis is not None:
            count = source.count
            single: list[tuple[str, Any]] = [(f"channel {n}", n) for n in range(count)]
            return [*single, ("a mix as red, green, blue", MIX)]
        if source.image.rgb:
            colours = [(f"{name.lower()} only", n) for n, name in enumerate(_COLOURS)]
            return [("RGB", _WHOLE), *colours, ("a mix as red, green, blue", MIX)]
        if len(self._siblings) > 1:
            return [("this layer", _WHOLE), ("a mix of layers as red, green, blue", LAYERS)]
        return [("this layer", _WHOLE)]

    def _texts(self, layers: bool) -> list[str]:
        if layers:
            return [layer.name for layer in self._siblings]
        if self._source is not None and self._source.image.rgb:
            return [name.lower() for name in _COLOURS]
        return [str(n) for n in range(0 if self._source is None else self._source.count)]

    def _show_colours(self, texts: list[str], chosen: tuple[int | None, ...]) -> None:
        picked = (*chosen, None, None)[:3]
        for box, one in zip(self.colours, picked, strict=True):
            box.choices = [(text, n) for n, text in enumerate(texts)]
            box.value = one

    def _show_planes(self, source: Source | None, geometry: StackGeometry | None) -> None:
        fixed = {} if source is None or geometry is None else dict(geometry.fixed)
        if source is None or geometry is None or set(fixed) != set(self.planes):
            self._forget_planes()
            for axis in fixed:
                box = SpinBox(value=0, min=0, max=0)
                box.native.setKeyboardTracking(False)  # a plane for every digit would be many
                unturned(box.native)
                box.changed.connect(self._on_change)
                self._plane_row.addWidget(box.native)
                self.planes[axis] = box
        for axis, box in self.planes.items():
            assert source is not None
            assert geometry is not None
            name = source.names[axis]
            box.max = geometry.shape[axis] - 1
            box.value = fixed[axis]
            box.native.setAccessibleName(f"Plane of {name}")
            box.native.setToolTip(f"The plane along {name} in which objects are followed")
        names = [] if source is None else [source.names[axis] for axis in fixed]
        self._plane_label.setText(f"Plane of {', '.join(names)}")
        self._row(self._planes, bool(fixed))

    def _forget_planes(self) -> None:
        for box in self.planes.values():
            self._plane_row.removeWidget(box.native)
            box.native.deleteLater()
        self.planes = {}

    def _row(self, field: QWidget, visible: bool) -> None:
        self._layout.setRowVisible(field, visible)


def _side_by_side(parts: list[Any]) -> tuple[QWidget, QHBoxLayout]:
    widget = QWidget()
    layout = QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for part in parts:
        layout.addWidget(part)
    return widget, layout
