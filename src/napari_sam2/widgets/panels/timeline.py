"""The timeline of confidence: a row for each object, a column for each frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import (  # type: ignore[attr-defined]
    QEvent,
    QPointF,
    QRectF,
    QSize,
    QSizeF,
    Qt,
    Signal,
)
from qtpy.QtGui import (
    QColor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
)
from qtpy.QtWidgets import QAbstractScrollArea, QToolTip, QWidget

from napari_sam2.widgets.panels.marks import MARK, SHAPES, draw_gap, draw_mark
from napari_sam2.widgets.panels.swatch import swatch
from napari_sam2.widgets.panels.timeline_lineage import draw_lineage
from napari_sam2.widgets.panels.timeline_picture import TimelinePicture
from napari_sam2.widgets.session.overview import EMPTY, Overview

ROW = 15  # px
AXIS = 16  # px, the numbers of the frames
_GAP = 2  # px between rows
_KEYS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}


class Timeline(QAbstractScrollArea):
    """Shows an overview; a click goes to the frame and chooses the object.

    Parameters
    ----------
    colour_of
        Colour (RGBA, 0 to 1) of an object.
    """

    picked = Signal(int, int)
    """Object and frame."""

    def __init__(self, colour_of: Callable[[int], Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._colour_of = colour_of
        self.overview: Overview = EMPTY
        self._picture: TimelinePicture | None = None
        self._drawn: QPixmap | None = None
        self._gutter = 0
        self._frame, self._object_id = 0, 1
        self._dark = True
        self._held: int | None = None
        self.setAccessibleName("Timeline of confidence")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalScrollBar().setSingleStep(ROW)
        self.viewport().setCursor(Qt.CursorShape.PointingHandCursor)

    def sizeHint(self) -> QSize:
        """Return room for six objects."""
        return QSize(400, AXIS + 6 * ROW + 4)

    def minimumSizeHint(self) -> QSize:
        """Return room for two objects."""
        return QSize(120, AXIS + 2 * ROW + 4)

    # --- showing -------------------------------------------------------------------------

    def show_overview(self, overview: Overview) -> None:
        """Show other numbers."""
        others = overview.ids != self.overview.ids
        self.overview = overview
        # Room for the objects' numbers and names.
        width = self.fontMetrics().horizontalAdvance
        longest = max((width(f"0000 {s.name}") for s in overview.summaries), default=0)
        self._gutter = 24 + min(max(longest, width("0000")), 130)
        self._picture = None
        self._on_size()
        if others:
            self._scroll_to(self._object_id)
        self._redraw()

    def show_place(self, frame: int, object_id: int) -> None:
        """Mark the frame on screen and the current object."""
        if (frame, object_id) == (self._frame, self._object_id):
            return
        self._frame = frame
        if object_id != self._object_id:
            self._object_id = object_id
            self._scroll_to(object_id)
            self._drawn = None
        self.setAccessibleDescription(self.overview.describe(object_id, frame))
        self.viewport().update()

    def set_theme(self, dark: bool) -> None:
        """Choose colours for a dark or a light background."""
        self._dark = dark
        self._redraw()

    def _redraw(self) -> None:
        self._drawn = None
        self.viewport().update()

    def _scroll_to(self, object_id: int) -> None:
        row = self.overview.row_of(object_id)
        if row is None:
            return
        bar, room = self.verticalScrollBar(), self.viewport().height() - AXIS
        if row * ROW < bar.value():
            bar.setValue(row * ROW)
        elif (row + 1) * ROW > bar.value() + room:
            bar.setValue((row + 1) * ROW - room)

    def _on_size(self) -> None:
        room = self.viewport().height() - AXIS
        bar = self.verticalScrollBar()
        bar.setRange(0, max(0, len(self.overview.ids) * ROW - room))
        bar.setPageStep(max(room, ROW))

    def resizeEvent(self, event: Any) -> None:
        """Use the new room."""
        super().resizeEvent(event)
        self._picture = None
        self._on_size()
        self._redraw()

    def scrollContentsBy(self, _dx: int, _dy: int) -> None:
        """Draw other rows."""
        self._redraw()

    def changeEvent(self, event: QEvent | None) -> None:
        """Use the new font, palette or style."""
        super().changeEvent(event)
        self._redraw()

    # --- geometry ------------------------------------------------------------------------

    def _strip(self) -> QRectF:
        """Where the frames are."""
        left, size = self._gutter, self.viewport().size()
        return QRectF(left, AXIS, max(size.width() - left - 6, 1), max(size.height() - AXIS, 0))

    def x_of(self, frame: int) -> float:
        """Middle of a frame's column, in pixels."""
        strip = self._strip()
        return strip.left() + (frame + 0.5) * strip.width() / max(self.overview.length, 1)

    def y_of(self, row: int) -> float:
        """Middle of a row, in pixels."""
        return AXIS + (row + 0.5) * ROW - self.verticalScrollBar().value()

    def frame_at(self, x: float) -> int:
        """Frame of a place; the nearest one beside the strip."""
        strip, length = self._strip(), self.overview.length
        return int(np.clip((x - strip.left()) * length / strip.width(), 0, max(length - 1, 0)))

    def object_at(self, y: float) -> int | None:
        """Object of a place, if there is one."""
        row = int((y - AXIS + self.verticalScrollBar().value()) // ROW)
        ids = self.overview.ids
        return ids[row] if y >= AXIS and 0 <= row < len(ids) else None

    # --- painting ------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw what is on screen; as long as only the frame changes, only the cursor moves."""
        if self._drawn is None:
            self._drawn = self._draw()
        painter = QPainter(self.viewport())
        try:
            painter.drawPixmap(0, 0, self._drawn)
            if self.overview.ids and self.overview.length:
                self._draw_cursor(painter, self._strip())
        finally:  # Qt must not find it in use, whatever went wrong
            painter.end()

    def _draw(self) -> QPixmap:
        """Draw all but the cursor."""
        ratio = self.devicePixelRatioF()
        drawn = QPixmap((QSizeF(self.viewport().size()) * ratio).toSize())
        drawn.setDevicePixelRatio(ratio)
        drawn.fill(self.palette().window().color())
        painter = QPainter(drawn)
        try:
            painter.setFont(self.font())
            self._paint(painter)
        finally:
            painter.end()
        return drawn

    def _paint(self, painter: QPainter) -> None:
        """Paint one image, then the marks."""
        strip, text = self._strip(), self.palette().windowText().color()
        if not self.overview.ids or not self.overview.length:
            painter.setPen(text)
            words = "Objects appear here once they have a mask."
            painter.drawText(self.viewport().rect(), Qt.AlignmentFlag.AlignCenter, words)
            return
        if self._picture is None:
            self._picture = TimelinePicture(self.overview, int(strip.width()))
        offset = self.verticalScrollBar().value()
        first = offset // ROW
        rows = slice(first, min(len(self.overview.ids), int((offset + strip.height()) // ROW) + 1))
        painter.save()
        painter.setClipRect(QRectF(0, AXIS, self.viewport().width(), strip.height()))
        top = AXIS + first * ROW - offset
        area = QRectF(strip.left(), top, strip.width(), (rows.stop - first) * ROW)
        painter.drawImage(area, self._picture.image(rows, self._dark))
        self._draw_rows(painter, rows, strip)
        self._draw_marks(painter, self._picture, rows)
        draw_lineage(painter, self.overview, self.x_of, lambda row: self.y_of(row) - _GAP / 2)
        painter.restore()
        self._draw_axis(painter, strip, text)

    def _draw_rows(self, painter: QPainter, rows: slice, strip: QRectF) -> None:
        background, text = self.palette().window().color(), self.palette().windowText().color()
        metrics, width = self.fontMetrics(), self.viewport().width()
        for row, summary in enumerate(self.overview.summaries[rows], start=rows.start):
            middle = self.y_of(row)
            line = QRectF(0, middle + ROW / 2 - _GAP, width, _GAP)
            painter.fillRect(line, background)
            label = QRectF(22, middle - ROW / 2, strip.left() - 26, ROW - _GAP)
            if summary.object_id == self._object_id:
                painter.fillRect(label.adjusted(-22, 0, 0, 0), self.palette().highlight())
            colour = [255 * c for c in self._colour_of(summary.object_id)[:3]]
            painter.drawPixmap(QPointF(5, middle - _GAP / 2 - 6), swatch(colour))
            painter.setPen(text)
            words = f"{summary.object_id} {summary.name}".strip()
            words = metrics.elidedText(words, Qt.TextElideMode.ElideRight, int(label.width()))
            painter.drawText(label, Qt.AlignmentFlag.AlignVCenter, words)

    def _draw_marks(self, painter: QPainter, picture: TimelinePicture, rows: slice) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        strip = self._strip()
        step = strip.width() / picture.columns
        for row, start, stop in picture.runs("gap", rows):
            y = self.y_of(row) - _GAP / 2
            left, right = strip.left() + start * step, strip.left() + stop * step
            draw_gap(painter, QPointF(left + 1, y), QPointF(max(right - 1, left + 2), y))
        for name, shape in SHAPES.items():
            pixels = picture.marks(name, rows).astype(float)
            pixels[:, 1] = strip.left() + (pixels[:, 1] + 0.5) * step
            # Marks that would lie on each other are drawn once.
            cells = np.unique(pixels // (1, 2 * MARK), axis=0, return_index=True)[1]
            for row, x in pixels[cells]:
                draw_mark(painter, shape, QPointF(x, self.y_of(int(row)) - _GAP / 2))

    def _draw_axis(self, painter: QPainter, strip: QRectF, text: QColor) -> None:
        painter.setPen(text)
        length = self.overview.length
        room = self.fontMetrics().horizontalAdvance("00000") * length / strip.width()
        step = next(s for s in _steps() if s >= max(room, 1))
        for frame in range(0, length, step):
            x = self.x_of(frame)
            painter.drawLine(QPointF(x, AXIS - 3), QPointF(x, AXIS - 1))
            area = QRectF(x - 40, 0, 80, AXIS - 3)
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, str(frame))

    def _draw_cursor(self, painter: QPainter, strip: QRectF) -> None:
        x, bright = self.x_of(self._frame), 255 if self._dark else 0
        # With an outline, so that it is seen on all colours of the strip.
        for width, value in ((4, 255 - bright), (2, bright)):
            painter.setPen(QPen(QColor(value, value, value), width))
            painter.drawLine(QPointF(x, AXIS - 4), QPointF(x, strip.bottom()))

    # --- what the user does --------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go to the frame and choose the object; beside the strip, only one of them."""
        assert event is not None
        if event.button() != Qt.MouseButton.LeftButton or not self.overview.ids:
            return
        place = event.position()
        found = self.object_at(place.y())
        self._held = self._object_id if found is None else found
        inside = place.x() >= self._strip().left()
        self.picked.emit(self._held, self.frame_at(place.x()) if inside else self._frame)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Move through the frames of the object that was pressed on."""
        assert event is not None
        if self._held is not None:
            frame = self.frame_at(event.position().x())
            if frame != self._frame:
                self.picked.emit(self._held, frame)

    def mouseReleaseEvent(self, _event: QMouseEvent | None) -> None:
        """Let go."""
        self._held = None

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Arrows move by one frame or object, Home and End to the ends; the rest is not ours."""
        assert event is not None
        ids, last = self.overview.ids, self.overview.length - 1
        key = Qt.Key(event.key())
        if not ids or key not in (*_KEYS, Qt.Key.Key_Home, Qt.Key.Key_End):
            event.ignore()
            return
        across, down = _KEYS.get(key, (0, 0))
        row = (self.overview.row_of(self._object_id) or 0) + down
        frame = {Qt.Key.Key_Home: 0, Qt.Key.Key_End: last}.get(key, self._frame + across)
        row, frame = int(np.clip(row, 0, len(ids) - 1)), int(np.clip(frame, 0, last))
        self.picked.emit(ids[row], frame)

    def viewportEvent(self, event: QEvent | None) -> bool:
        """Say the numbers under the mouse."""
        if event is not None and event.type() == QEvent.Type.ToolTip:
            place: Any = event
            object_id = self.object_at(place.pos().y())
            text = ""
            if object_id is not None:
                text = self.overview.describe(object_id, self.frame_at(place.pos().x()))
            QToolTip.showText(place.globalPos(), text, self)
            return True
        return super().viewportEvent(event)


def _steps() -> Any:
    """Yield 1, 2, 5, 10, 20, 50 and so on."""
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10
