"""The marks of the timeline: their shapes, and how they are drawn."""

from __future__ import annotations

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF

MARK = 4.0  # px, half the size of a mark
SHAPES = {"jump": "triangle", "approved": "tick", "prompted": "diamond"}
"""Marks of an overview and their shapes."""


def draw_mark(painter: QPainter, shape: str, at: QPointF) -> None:
    """Draw a mark; the shapes differ, for eyes that do not tell the colours."""
    r = MARK
    if shape == "tick":
        way = QPolygonF([at + QPointF(-r, 0), at + QPointF(-1, r - 1), at + QPointF(r, -r)])
        for width, colour in ((4.0, QColor(0, 0, 0)), (2.0, QColor(255, 255, 255))):
            painter.setPen(QPen(colour, width))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline(way)
        return
    corners = [(0, -r), (r, 0), (0, r), (-r, 0)]
    if shape == "triangle":
        corners = [(0, -r), (r, r - 1), (-r, r - 1)]
    painter.setPen(QPen(QColor(0, 0, 0), 1))
    painter.setBrush(QColor(255, 255, 255) if shape == "diamond" else QColor(255, 220, 0))
    painter.drawPolygon(QPolygonF([at + QPointF(x, y) for x, y in corners]))


def draw_gap(painter: QPainter, start: QPointF, stop: QPointF) -> None:
    """Draw the line that stands for frames on which an object was not found."""
    painter.setPen(QPen(QColor(230, 97, 1), 3))
    painter.drawLine(start, stop)
