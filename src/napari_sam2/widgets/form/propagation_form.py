"""The part of the form about propagation: which way, which frames and objects, what it takes."""

from __future__ import annotations

from collections.abc import Mapping

from magicgui.widgets import SpinBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget
from superqt import QRangeSlider
from superqt.utils import signals_blocked

from napari_sam2.widgets.parts import button, room_for, row, unturned


class PropagationForm(QWidget):
    """A button for each way, and what it is limited to."""

    def __init__(self) -> None:
        super().__init__()
        self.directions = {
            "backward": button("◀ Back", "Follow all objects to the first frame"),
            "both": button("Both (G)", "Follow all objects through the whole stack [G]"),
            "forward": button("Ahead ▶", "Follow all objects to the last frame"),
            "repair": button(
                "Repair (H)",
                "After corrections and divisions: compute only the frames that they concern [H]",
            ),
        }
        for name, way in self.directions.items():
            way.setAccessibleName("Repair" if name == "repair" else f"Propagate {name}")
        self._tips = {name: way.toolTip() for name, way in self.directions.items()}
        self.forecast = QLabel()
        self.forecast.setWordWrap(True)
        self.forecast.setAccessibleName("What propagating both ways will take")
        self.forecast.setToolTip(
            "Estimated from propagations with this model on this computer, or before the first "
            "one, roughly, from what clicks take. The buttons' tooltips say it for each way"
        )
        self.follow = QCheckBox("Show as they finish")
        self.follow.setToolTip("Move along with the propagation until you move the slider yourself")
        self.follow.setChecked(True)
        self.only_stale = QCheckBox("Only changed")
        self.only_stale.setToolTip(
            "Follow only objects that are new or whose prompts changed since they were followed"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row(*self.directions.values()))
        layout.addWidget(self.forecast)
        layout.addLayout(self._range_row())
        layout.addLayout(self._find_row())
        layout.addLayout(row(self.only_stale, self.follow))

    def _find_row(self) -> QHBoxLayout:
        self.find_new = QCheckBox("Find new cells every")
        self.find_new.setToolTip(
            "While all objects are followed, look for cells that came into view or were missed; "
            "they become objects from there on. The diameter beside 'Find all cells' counts here, "
            "too"
        )
        self.every = SpinBox(value=10, min=1, max=999, tooltip="Frames from one look to the next")
        self.every.native.setAccessibleName("Frames between two looks for new cells")
        room_for(self.every.native, "999")
        unturned(self.every.native)
        made = row(self.find_new, self.every.native, QLabel("frames"))
        made.addStretch(1)
        return made

    @property
    def find_every(self) -> int:
        """Frames from one look for new cells to the next; 0: none."""
        return int(self.every.value) if self.find_new.isChecked() else 0

    def _range_row(self) -> QHBoxLayout:
        self.first = SpinBox(value=0, min=0, max=0, tooltip="The first frame to follow objects to")
        self.last = SpinBox(value=0, min=0, max=0, tooltip="The last frame to follow objects to")
        self.first.native.setAccessibleName("First frame")
        self.last.native.setAccessibleName("Last frame")
        for box in (self.first, self.last):
            unturned(box.native)
        self.range = QRangeSlider(Qt.Orientation.Horizontal)
        self.range.setAccessibleName("Frames to follow objects over")
        self.range.setToolTip("Drag an end, or the bar, to follow objects over some frames only")
        self.range.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.range.setMinimumWidth(50)
        unturned(self.range)
        self.range.valueChanged.connect(self._take_range)
        self.first.changed.connect(lambda first: self._keep_order(first, self.last))
        self.last.changed.connect(lambda last: self._keep_order(last, self.first))
        made = row(QLabel("Frames"), self.first.native, self.range, self.last.native)
        made.setStretchFactor(self.range, 1)
        return made

    def _take_range(self, ends: tuple[int, int]) -> None:
        """Put what the slider says into the boxes, the one first that the other leaves room for."""
        low, high = (int(end) for end in ends)
        boxes = [(self.first, low), (self.last, high)]
        for box, value in boxes if low <= self.last.value else boxes[::-1]:
            box.value = value

    def _keep_order(self, value: int, other: SpinBox) -> None:
        """Take the other end along where one is moved past it; the slider shows both."""
        if (value > other.value) == (other is self.last):
            other.value = value
        with signals_blocked(self.range):
            self.range.setValue((self.first.value, self.last.value))

    def show_range(self, first: int, last: int, length: int) -> None:
        """Show which frames objects are followed over."""
        most, ends = length - 1, (self.first.value, self.last.value)
        if ends == tuple(self.range.value()) == (first, last) and (
            self.first.max == self.last.max == self.range.maximum() == most
        ):
            return  # else all would be drawn anew with each click
        with signals_blocked(self.range):
            self.range.setRange(0, length - 1)
        for box in (self.first, self.last):
            box.max = max(box.max, length - 1)
            room_for(box.native, f"{length - 1:02d}")
        self._take_range((first, last))
        for box in (self.first, self.last):
            box.max = length - 1
        with signals_blocked(self.range):
            self.range.setValue((first, last))

    def show_forecasts(self, texts: Mapping[str, str]) -> None:
        """Say what propagating will take, by direction."""
        self.forecast.setText(f"Both: {texts['both']}" if "both" in texts else "")
        for name, way in self.directions.items():
            text = f"\n{texts[name]}" if name in texts else ""
            way.setToolTip(self._tips[name] + text)
            way.setAccessibleDescription(way.toolTip())

    def set_state(self, many_frames: bool, running: bool) -> None:
        """Enable what can be used now."""
        for way in self.directions.values():
            way.setEnabled(many_frames and not running)
        self.find_new.setEnabled(many_frames and not running)
        for number in (self.first, self.last, self.every):
            number.enabled = many_frames and not running
        self.range.setEnabled(many_frames and not running)
