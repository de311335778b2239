"""The part of the form with all objects: the table, and the list of frames to check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QLayout, QTabWidget, QVBoxLayout, QWidget

from napari_sam2.widgets.panels.check_list import CheckList
from napari_sam2.widgets.panels.object_table import ObjectTable
from napari_sam2.widgets.parts import button, row
from napari_sam2.widgets.session.overview import Overview


class ObjectsForm(QTabWidget):
    """Two tabs, of objects and of frames to check, with their buttons.

    Parameters
    ----------
    colour_of
        Colour (RGBA, 0 to 1) of an object.
    """

    def __init__(self, colour_of: Callable[[int], Any]) -> None:
        super().__init__()
        self.table = ObjectTable(colour_of)
        self.checks = CheckList(colour_of)
        self.merge = button(
            "Merge", "Make the selected objects one, with the lowest of their numbers"
        )
        self.split = button(
            "Split here",
            "Make the current object from the frame on screen on a new object",
            "Split object at this frame",
        )
        self.divide = button(
            "Divides (D)",
            "The current object ends before the frame on screen, and two daughters begin there. "
            "They are looked for; if none is found, click on one, then N, and on the other [D]",
            "Object divides here",
        )
        self.space = button("3D", "Show the slices and masklets in 3D, or go back [Shift+Y]", "3D")
        self.space.setCheckable(True)
        self.previous = button(
            "◀ (K)", "Go to the frame above in this list [K]", "Previous frame to check"
        )
        self.next = button("(J) ▶", "Go to the next frame in this list [J]", "Next to check")
        self.accept = button(
            "Accept (W)",
            "The current object's mask on this frame is right; again takes that back [W]",
            "Accept this frame",
        )
        self.end = button(
            "Ends here",
            "The current object is gone from this frame on; Repair removes what comes after",
            "Object ends here",
        )
        self.setDocumentMode(True)
        self.setAccessibleName("Objects and frames to check")
        editing = row(self.merge, self.split, self.divide, self.space)
        self.addTab(_page(self.table, editing), "Objects")
        decisions = row(self.previous, self.next, self.accept, self.end)
        self.addTab(_page(self.checks, decisions), "Frames to check")

    def show_checks(self, overview: Overview, place: int | None) -> None:
        """Show the frames to check, and which of them is on screen."""
        self.checks.show_overview(overview, place)
        count = len(overview.order)
        text = f"Frames to check ({count})" if count else "Frames to check"
        if self.tabText(1) != text:
            self.setTabText(1, text)


def _page(table: QWidget, buttons: QLayout) -> QWidget:
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(0, 2, 0, 0)
    layout.setSpacing(4)
    layout.addWidget(table, 1)
    layout.addLayout(buttons)
    return page
