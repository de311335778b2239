"""Parts that forms are made of."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, QPoint, QSize, Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QWidget,
)

_SPIN_BUTTON = 20  # px, in napari's style


def heading(text: str) -> QLabel:
    """Return a bold line of text."""
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def button(text: str, tip: str, name: str | None = None) -> QPushButton:
    """Return a button that can be as narrow as its text."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setAccessibleName(name or text)
    made.setAccessibleDescription(tip)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    made.setMinimumWidth(made.fontMetrics().horizontalAdvance(text) + 14)
    # A click must leave the keyboard with the canvas, where our keys are.
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return made


def row(*widgets: QWidget) -> QHBoxLayout:
    """Return widgets side by side."""
    made = QHBoxLayout()
    made.setContentsMargins(0, 0, 0, 0)
    made.setSpacing(4)
    for widget in widgets:
        made.addWidget(widget)
    return made


def pop_up(menu: QMenu, place: QPoint) -> None:
    """Show a menu that was made for this once; it goes when it is closed, with what is in it."""
    menu.aboutToHide.connect(menu.deleteLater)
    menu.popup(place)


class _WheelGuard(QObject):
    """Leaves the wheel to what scrolls around a box that is not being worked with."""

    def eventFilter(self, box: QObject | None, event: QEvent | None) -> bool:
        """Refuse turns of the wheel over a box without the keyboard."""
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        assert isinstance(box, QWidget)
        if box.hasFocus():
            return False
        event.ignore()
        return True


def unturned(box: QWidget) -> None:
    """Let the wheel change a box only while it has the keyboard: else it scrolls the dock."""
    if box.focusPolicy() == Qt.FocusPolicy.WheelFocus:
        box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    guard = _WheelGuard(box)
    for part in (box, *box.findChildren(QLineEdit)):
        part.installEventFilter(guard)


def room_for(box: QAbstractSpinBox, text: str) -> None:
    """Make a spin box as wide as a text needs it between the buttons of napari's style."""
    width = box.fontMetrics().horizontalAdvance(text) + 2 * _SPIN_BUTTON + 6
    style = f"padding: 1px 0px; min-width: {width}px; max-width: {width}px;"
    if box.styleSheet() != style:  # the same one would lay out and draw the dock anew
        box.setStyleSheet(style)
        box.setAlignment(Qt.AlignmentFlag.AlignHCenter)


def narrow(box: Any, least: int = 6) -> QComboBox:
    """Return the native box of a magicgui ComboBox, made to fit into a narrow dock.

    Parameters
    ----------
    least
        Characters that there is always room for; long texts must not widen the dock.
    """
    native: QComboBox = box.native
    native.setAccessibleName(box.label)
    native.setToolTip(box.tooltip)
    native.setMinimumContentsLength(least)
    native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    unturned(native)
    return native


class VerticalArea(QScrollArea):
    """Scrolls a widget up and down where it does not fit; never narrower than the widget."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__()
        self.setWidget(widget)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def _widened(self, size: QSize, height: int) -> QSize:
        return QSize(size.width() + self.verticalScrollBar().sizeHint().width(), height)

    def sizeHint(self) -> QSize:
        """Return the room that the whole widget wants."""
        size = self.widget().sizeHint()
        return self._widened(size, size.height())

    def minimumSizeHint(self) -> QSize:
        """Return the width of the widget, and little height."""
        return self._widened(self.widget().minimumSizeHint(), 120)
