"""Small squares and discs of one colour."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPixmap

_SIDE = 12


def swatch(rgb: Iterable[float], round_: bool = True) -> QPixmap:
    """Return a disc or a square of a colour, RGB 0 to 255."""
    return _drawn(tuple(int(c) for c in rgb), round_)


@lru_cache(maxsize=1024)
def _drawn(rgb: tuple[int, ...], round_: bool) -> QPixmap:
    pixmap = QPixmap(2 * _SIDE, 2 * _SIDE)
    pixmap.setDevicePixelRatio(2)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(*rgb))
    painter.setPen(QColor(128, 128, 128))
    area = QRectF(1, 1, _SIDE - 2, _SIDE - 2)
    painter.drawEllipse(area) if round_ else painter.drawRect(area)
    painter.end()
    return pixmap
