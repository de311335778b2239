"""Divisions in the timeline: a line from the mother's row to each daughter's first frame."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QPointF
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF

from napari_sam2.widgets.session.overview import Overview

_REACH = 5.0  # px, from the line into the daughter's row


def lines(
    overview: Overview, x_of: Callable[[int], float], y_of: Callable[[int], float]
) -> list[QPolygonF]:
    """Return the corners of a line for each daughter that has masks.

    Parameters
    ----------
    overview
        Of all objects.
    x_of, y_of
        Middle of a frame's column and of a row, in pixels.
    """
    found = []
    for row, one in enumerate(overview.summaries):
        above = None if one.mother is None else overview.row_of(one.mother)
        if above is None or one.first is None:
            continue
        x = (x_of(one.first) + x_of(one.first - 1)) // 2 + 0.5  # sharp, in the middle of a pixel
        corners = [(x, y_of(above)), (x, y_of(row)), (x + _REACH, y_of(row))]
        found.append(QPolygonF([QPointF(*corner) for corner in corners]))
    return found


def draw_lineage(
    painter: QPainter,
    overview: Overview,
    x_of: Callable[[int], float],
    y_of: Callable[[int], float],
) -> None:
    """Draw the lines."""
    for line in lines(overview, x_of, y_of):
        draw_line(painter, line)


def draw_line(painter: QPainter, line: QPolygonF) -> None:
    """Draw one line; it can be seen on all colours of the timeline."""
    for width, value in ((3.0, 0), (1.0, 255)):
        painter.setPen(QPen(QColor(value, value, value), width))
        painter.drawPolyline(line)
