"""The form of the dock widget: what it shows, nothing of what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import ComboBox, SpinBox
from qtpy.QtCore import QRegularExpression, QSize, Qt
from qtpy.QtGui import QRegularExpressionValidator
from qtpy.QtWidgets import (
    QButtonGroup,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_sam2.widgets.form.model_form import ModelForm
from napari_sam2.widgets.form.part_form import PartForm
from napari_sam2.widgets.form.progress_form import ProgressForm
from napari_sam2.widgets.form.propagation_form import PropagationForm
from napari_sam2.widgets.form.session_form import SessionForm
from napari_sam2.widgets.form.status_line import StatusLine
from napari_sam2.widgets.ids import HIGHEST
from napari_sam2.widgets.layers.sources import Source
from napari_sam2.widgets.panels.objects_form import ObjectsForm
from napari_sam2.widgets.parts import (
    VerticalArea,
    button,
    heading,
    narrow,
    room_for,
    row,
    unturned,
)

_TOOLS = (
    ("point", "Point", "Click on the object"),
    ("box", "Box", "Drag a box around the object"),
    ("polygon", "Polygon", "Outline the object: click around it, then double-click"),
    ("brush", "Brush", "Paint the object in the layer 'masklets'; 1 is napari's eraser"),
)


class Form(QWidget):
    """All controls, top to bottom in the order of use."""

    def __init__(self, colour_of: Callable[[int], Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._dark = True
        self._status = ("", "info")
        self.objects = ObjectsForm(colour_of)
        self.propagation = PropagationForm()
        self.progress = ProgressForm()
        self.session = SessionForm()
        above = _column(self._image_form(), self._object_row(), self.objects, stretched=True)
        below = _column(self._tool_rows(), heading("Propagate"), self.propagation, stretched=False)
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.setChildrenCollapsible(False)
        parts.addWidget(above)
        parts.addWidget(below)
        parts.setStretchFactor(0, 1)
        parts.setStretchFactor(1, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 4)
        layout.setSpacing(4)
        self.sample = button("Try it on a sample", "Open nuclei that move and divide, made by us")
        layout.addWidget(self.sample)
        layout.addWidget(VerticalArea(parts), 1)
        # Below what scrolls: always in sight.
        layout.addWidget(self.session)
        layout.addWidget(self.progress)
        self.status = StatusLine()
        layout.addWidget(self.status)

    # --- building ------------------------------------------------------------------------

    def _image_form(self) -> QWidget:
        self.image = ComboBox(
            label="Image", choices=[], nullable=True, tooltip="The stack whose objects are followed"
        )
        self.axis = ComboBox(
            label="Frames along", choices=[], tooltip="The axis to propagate along: time or depth"
        )
        form = QWidget()
        layout = QFormLayout(form)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        layout.setHorizontalSpacing(3)
        for text, box in (("Image", self.image), ("Frames", self.axis)):
            layout.addRow(text, narrow(box))
        self.part = PartForm(layout)
        self.models = ModelForm(layout)
        self.model, self.device = self.models.model, self.models.device
        return form

    def _object_row(self) -> QHBoxLayout:
        self.swatch = QLabel()
        self.swatch.setFixedSize(QSize(18, 18))
        self.swatch.setAccessibleName("Colour of the object")
        self.object_id = SpinBox(
            value=1, min=1, max=HIGHEST, tooltip="The object that prompts are for"
        )
        self.object_id.native.setAccessibleName("Current object")
        room_for(self.object_id.native, str(HIGHEST))
        unturned(self.object_id.native)
        self.new_object = button("New (N)", "Start another object [N]", "New object")
        self.delete_object = button(
            "Delete", "Delete this object: its prompts and its masks on all frames", "Delete object"
        )
        return row(self.swatch, self.object_id.native, self.new_object, self.delete_object)

    def _tool_rows(self) -> QVBoxLayout:
        self.tools: dict[str, QPushButton] = {}
        self._tool_group = QButtonGroup(self)
        self._tool_group.setExclusive(False)  # no tool of ours may be in use
        for name, text, tip in _TOOLS:
            tool = button(text, tip, f"{text} tool")
            tool.setCheckable(True)
            self._tool_group.addButton(tool)
            self.tools[name] = tool
        self.positive = button("+ on the object", "Points say: this is the object [Q]")
        self.negative = button("− not the object", "Points say: this is not the object [Q]")
        signs = QButtonGroup(self)
        for sign in (self.positive, self.negative):
            sign.setCheckable(True)
            signs.addButton(sign)
        self.positive.setObjectName("positive")
        self.negative.setObjectName("negative")
        self.positive.setChecked(True)
        rows = QVBoxLayout()
        rows.setSpacing(4)
        rows.addLayout(row(*self.tools.values()))
        rows.addLayout(row(self.positive, self.negative))
        rows.addLayout(self._find_row())
        return rows

    def _find_row(self) -> QHBoxLayout:
        self.find_all = button(
            "Find all cells of this frame",
            "Turn every cell on this frame that is not an object yet into one",
        )
        tip = "Diameter of a typical cell in pixels; empty or 0: found out from the frame"
        self.diameter_box = QLineEdit()
        self.diameter_box.setPlaceholderText("Ø in px")
        self.diameter_box.setValidator(
            QRegularExpressionValidator(QRegularExpression("[0-9]{0,4}"), self.diameter_box)
        )
        self.diameter_box.setAccessibleName("Diameter of a cell")
        self.diameter_box.setAccessibleDescription(tip)
        self.diameter_box.setToolTip(tip)
        self.diameter_box.setFixedWidth(64)
        return row(self.find_all, self.diameter_box)

    @property
    def diameter(self) -> float | None:
        """Diameter of a typical cell in pixels, if the user gave one."""
        return float(self.diameter_box.text() or 0) or None

    def show_source(self, source: Source | None, layers: Any, images: Sequence[Any]) -> None:
        """Show what the model sees; `layers` have its geometry, `images` may be mixed with it."""
        geometry = None if layers is None else layers.geometry
        if source is not None and geometry is not None:
            self.axis.choices = source.axis_choices()
            self.axis.value = geometry.axis
        self.part.show(source, geometry, () if source is None else source.siblings(images))

    # --- showing -------------------------------------------------------------------------

    def say(self, text: str, kind: str) -> None:
        """Show a sentence; `kind` is info, busy, done or error."""
        self._status = (text, kind)
        self.status.say(text, kind, self._dark)

    def set_theme(self, dark: bool) -> None:
        """Choose colours that can be read on the theme's background."""
        self._dark = dark
        green, red = ("#1f7a40", "#a32b36") if dark else ("#9be3b4", "#ffb3ba")
        for sign, colour in ((self.positive, green), (self.negative, red)):
            sign.setStyleSheet(f"QPushButton:checked {{ background-color: {colour}; }}")
        self.say(*self._status)

    def set_state(
        self,
        has_image: bool,
        many_frames: bool,
        running: bool,
        loading: bool = False,
        paused: bool = False,
        earlier: bool = False,
        any_image: bool = True,
        left: bool = False,
    ) -> None:
        """Enable what can be used now.

        `earlier`: there is a session to restore; `any_image`: there is an image to choose; `left`:
        a propagation that was cancelled can go on.
        """
        self.sample.setVisible(not any_image)
        self.session.set_state(has_image, running, earlier)
        self.propagation.set_state(many_frames, running)
        self.objects.space.setEnabled(has_image and many_frames)
        self.progress.set_state(running, loading, paused, left)
        tools = (*self.tools.values(), self.positive, self.negative)
        for part in (self.new_object, self.delete_object, *tools):
            part.setEnabled(has_image)
        self.object_id.enabled = has_image
        for part in (self.delete_object, self.find_all, self.tools["brush"]):
            part.setEnabled(has_image and not running)
        self.diameter_box.setEnabled(has_image and not running)
        for box in (self.image, self.axis, *self.models.boxes):
            box.enabled = not running
        self.part.set_enabled(not running)

    def show_object_colour(self, colour: Any) -> None:
        """Show the colour (RGBA, 0 to 1) of the current object."""
        red, green, blue = (int(255 * c) for c in list(colour)[:3])
        style = f"background-color: rgb({red}, {green}, {blue}); border-radius: 4px;"
        if style != self.swatch.styleSheet():
            self.swatch.setStyleSheet(style)

    def check_tool(self, name: str | None) -> None:
        """Show which tool is in use."""
        for tool, part in self.tools.items():
            part.setChecked(tool == name)

    def on_tool(self, function: Callable[[str], None]) -> None:
        """Call `function` with the name of the tool that is chosen."""
        for name, tool in self.tools.items():
            tool.clicked.connect(lambda _=False, name=name: function(name))


def _column(*parts: QWidget | QLayout, stretched: bool) -> QWidget:
    column = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 4, 0)
    layout.setSpacing(6)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    if not stretched:
        layout.addStretch(1)
    return column
