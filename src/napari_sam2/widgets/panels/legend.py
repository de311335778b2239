"""What the colours and marks of the timeline mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent, QPolygonF
from qtpy.QtWidgets import QWidget

from napari_sam2.widgets.panels.confidence_colours import NOTHING, score_colours
from napari_sam2.widgets.panels.marks import draw_gap, draw_mark
from napari_sam2.widgets.panels.timeline_lineage import draw_line

_BAR = 60  # px
_MARKS = (
    ("diamond", "prompted"),
    ("tick", "accepted"),
    ("triangle", "jump"),
    ("line", "gap"),
    ("fork", "daughter"),
    ("square", "no mask"),
)


class Legend(QWidget):
    """One line with all colours and marks, as far as there is room."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._dark = True
        self.setAccessibleName("Legend of the timeline")
        self.setToolTip(
            "Score of each mask: predicted overlap with the object, times how sure that it is there"
        )
        self.setFixedHeight(18)

    def set_theme(self, dark: bool) -> None:
        """Choose colours for a dark or a light background."""
        self._dark = dark
        self.update()

    def minimumSizeHint(self) -> QSize:
        """Be as narrow as need be."""
        return QSize(60, 18)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw the bar, then the marks."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        x = self._say(painter, 6, "0 % sure") + 4
        colours = score_colours(np.linspace(0, 1, _BAR))
        image = QImage(colours.tobytes(), _BAR, 1, 3 * _BAR, QImage.Format.Format_RGB888)
        painter.drawImage(QRectF(x, 4, _BAR, 10), image)
        x = self._say(painter, x + _BAR + 4, "100 %") + 16
        for shape, words in _MARKS:
            at = QPointF(x + 4, 9)
            if shape == "line":
                draw_gap(painter, at - QPointF(5, 0), at + QPointF(5, 0))
            elif shape == "fork":
                draw_line(painter, QPolygonF([QPointF(x, 3), QPointF(x, 13), QPointF(x + 7, 13)]))
            elif shape == "square":
                painter.fillRect(QRectF(x - 1, 4, 10, 10), QColor(*NOTHING[self._dark]))
            else:
                draw_mark(painter, shape, at)
            x = self._say(painter, x + 13, words) + 14

    def _say(self, painter: QPainter, x: float, words: str) -> Any:
        painter.setPen(self.palette().windowText().color())
        width = self.fontMetrics().horizontalAdvance(words)
        painter.drawText(QRectF(x, 0, width + 2, 18), Qt.AlignmentFlag.AlignVCenter, words)
        return x + width
