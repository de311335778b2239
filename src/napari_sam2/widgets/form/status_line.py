"""The sentence at the bottom of the form."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QWidget

# Readable on napari's dark and light backgrounds alike.
_COLOURS = {"error": ("#ff8a80", "#b3261e"), "done": ("#7ee2a8", "#0b6b3a")}
_LEAST_HEIGHT = 54


class StatusLine(QWidget):
    """A sentence in as many lines as it needs.

    A label in a layout would have all of napari's window laid out and drawn anew, twice, with each
    sentence; this is only where it needs more lines than before, or less.
    """

    def __init__(self) -> None:
        super().__init__()
        self.label = QLabel(self)
        self.label.setWordWrap(True)
        self.label.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.label.setAccessibleName("Status")
        self.setMinimumHeight(_LEAST_HEIGHT)

    def text(self) -> str:
        """Return the sentence."""
        return self.label.text()

    def say(self, text: str, kind: str, dark: bool) -> None:
        """Show a sentence in the colour of its kind: info, busy, done or error."""
        self.label.setText(text)
        self.label.setAccessibleDescription(text)
        colours = _COLOURS.get(kind)
        colour = f"color: {colours[0 if dark else 1]};" if colours else ""
        style = f"QLabel {{ padding: 4px; {colour} }}"
        if style != self.label.styleSheet():
            self.label.setStyleSheet(style)

    def event(self, event: QEvent | None) -> bool:
        """Have the height that a new sentence needs, which its label asks for."""
        if event is not None and event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Show):
            self._fit()
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Let the sentence have all of it."""
        super().resizeEvent(event)
        self.label.resize(self.size())
        self._fit()

    def _fit(self) -> None:
        height = max(_LEAST_HEIGHT, self.label.heightForWidth(self.width()))
        if height != self.minimumHeight():
            self.setMinimumHeight(height)
