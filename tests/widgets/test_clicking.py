"""Objects chosen by the mouse in 2D, and clicks that reach nobody."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import LARGE, SMALL
from qtpy.QtCore import QEvent, Qt

EMPTY = (5, 75)
RIGHT, ALT = Qt.MouseButton.RightButton, Qt.KeyboardModifier.AltModifier


@pytest.fixture
def window(two_cells):
    assert two_cells.widget.object_id == 2
    return two_cells


def right_click(window, y: float, x: float, to: tuple[float, float] | None = None) -> None:
    at, end = window.pixel(y, x), window.pixel(*(to or (y, x)))
    none = Qt.MouseButton.NoButton
    window._mouse(QEvent.Type.MouseButtonPress, at, RIGHT, RIGHT)
    window._mouse(QEvent.Type.MouseMove, end, none, RIGHT)
    window._mouse(QEvent.Type.MouseButtonRelease, end, RIGHT, none)
    window.done()


def test_a_right_click_chooses_and_says_nothing_of_the_cell(window):
    for tool in ("point", "box", "polygon", "brush"):
        window.widget.object_id = 2
        window.press(window.widget.form.tools[tool])
        before = window.layers.prompts, np.array(window.layers.labels.data)
        right_click(window, *SMALL)
        assert window.widget.object_id == 1
        assert "Object 1 is chosen" in window.status
        assert window.widget.workbench.tools.current == tool
        assert window.layers.prompts == before[0]
        np.testing.assert_array_equal(window.layers.labels.data, before[1])
        right_click(window, *EMPTY)
        assert "no masklet" in window.status
        assert window.widget.object_id == 1
        assert window.layers.prompts == before[0]
    window.widget.object_id = 2
    window.press(window.widget.form.tools["point"])
    right_click(window, *SMALL, to=(20, 25))  # a drag chooses nothing, not even within a cell
    assert window.widget.object_id == 2
    assert window.widget.workbench.tools.current == "point"
    window.viewer.reset_view()  # it zooms
    window.widget.panels.editor.show([1], False)
    window.done()
    right_click(window, *SMALL)  # nor are hidden ones chosen
    assert window.widget.object_id == 2


def test_clicks_with_alt_and_while_another_layer_is_selected(window):
    before = window.layers.prompts
    window.drag(SMALL, modifiers=ALT)
    window.done()
    assert window.widget.object_id == 1
    assert window.layers.prompts == before
    window.click(*LARGE)  # a plain one is a prompt as ever
    window.done()
    assert len(window.layers.prompts[1][0].points) == 2
    # While another layer is selected, it is said why nothing happens.
    window.widget.object_id = 2
    window.viewer.layers.selection.active = window.viewer.layers["cells"]
    window.settle()
    before = window.layers.prompts
    window.click(*SMALL)
    window.done()
    assert "'cells' is selected in napari" in window.status
    assert "press Point" in window.status
    assert window.layers.prompts == before
    right_click(window, *SMALL)
    assert window.widget.object_id == 1


def test_a_new_object_begins_with_what_is_on_it(followed):
    window = followed
    window.key("Q")
    assert not window.widget.workbench.positive
    window.key("N")
    assert window.widget.workbench.positive
