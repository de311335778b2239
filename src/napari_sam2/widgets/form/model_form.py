"""Rows of the form for the model: which one, what it costs, how it looks at frames, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import QModelIndex, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QStyledItemDelegate,
    QStyleOptionViewItem,
)

from napari_sam2.widgets.parts import narrow, row

DEVICES = ("auto", "cpu", "cuda", "mps")
_DETAIL = Qt.ItemDataRole.UserRole + 1
_MODEL_TIP = "'micro' is in the package and fast; the others are downloaded on first use"
# Short text, what the popup adds to it, and value.
_LOOKS = (
    ("whole frames", "as published by Meta", ""),
    ("near each cell", "fast with many small cells, quality unknown", "windowed"),
)


class ModelForm:
    """Boxes whose text is short, for narrow docks; the lists and the tooltips say the rest.

    Parameters
    ----------
    layout
        The rows are added to it.
    """

    def __init__(self, layout: QFormLayout) -> None:
        self._layout = layout
        self._details: dict[str, str] = {}
        self.model = ComboBox(label="Model", choices=[], tooltip=_MODEL_TIP)
        self.looks = ComboBox(
            label="Looks at",
            choices=[(text, value) for text, _, value in _LOOKS],
            tooltip=(
                "Whole frames, as published: for few or large cells, and to compare with others. "
                "Near each cell: only a window that follows it, much faster with many small cells "
                "and without a GPU; what that does to the masks was not measured"
            ),
        )
        self.device = ComboBox(
            label="Device",
            choices=DEVICES,
            tooltip="Where the network runs; 'auto' takes a GPU if there is one",
        )
        where = narrow(self.device, 3)
        where.setMaximumWidth(76)
        both = row(narrow(self.model), where)
        both.setStretchFactor(self.model.native, 1)
        layout.addRow(self.model.label, both)
        layout.addRow(self.looks.label, narrow(self.looks))
        for box in (self.model, self.looks):
            box.native.setItemDelegate(_Detailed(box.native))
        self.model.changed.connect(lambda _: self._show_details())

    @property
    def boxes(self) -> tuple[Any, ...]:
        """All that can be chosen."""
        return self.model, self.looks, self.device

    def offer(self, models: Sequence[tuple[str, str, str]], chosen: str) -> None:
        """Offer models: short text, details and value of each."""
        self._details = {value: detail for _, detail, value in models}
        self.model.choices = ()  # magicgui would keep what is there already in its place
        self.model.choices = [(text, value) for text, _, value in models]
        self.model.value = chosen
        _add_details(self.model.native, [detail for _, detail, _ in models])
        self._show_details()

    def show_looks(self, attention: str | None, choice: bool) -> None:
        """Show how frames are looked at; `choice`: whether the model leaves one."""
        self.looks.value = "windowed" if attention == "windowed" else ""
        self._layout.setRowVisible(self.looks.native, choice)
        _add_details(self.looks.native, [detail for _, detail, _ in _LOOKS])

    def _show_details(self) -> None:
        detail = self._details.get(str(self.model.value), "")
        native: QComboBox = self.model.native
        lines = (str(self.model.value), detail, _MODEL_TIP)
        native.setToolTip("\n".join(line for line in lines if line))
        native.setAccessibleDescription(detail)


class _Detailed(QStyledItemDelegate):
    """Draws entries of a list with their details."""

    def initStyleOption(self, option: QStyleOptionViewItem | None, index: QModelIndex) -> None:
        """Add the details to the text."""
        super().initStyleOption(option, index)
        detail = index.data(_DETAIL)
        if option is not None and detail:
            option.text = f"{option.text} · {detail}"


def _add_details(box: QComboBox, details: Sequence[str]) -> None:
    """Set the details of the entries of a box, and make the list wide enough for them."""
    for number, detail in enumerate(details):
        box.setItemData(number, detail, _DETAIL)
    view = box.view()
    assert view is not None
    view.setMinimumWidth(view.sizeHintForColumn(0) + 24)  # and a scroll bar
