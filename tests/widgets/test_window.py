"""The widget in a real window, driven by real mouse and key events."""

from __future__ import annotations

import numpy as np
from fakes import LARGE, SMALL, FakeFactory, blobs
from hands import lasting
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QMessageBox


def test_clicks_keys_and_propagation(open_window):
    window = open_window(blobs())
    window.click(*SMALL)
    window.done()
    assert window.frame(0)[SMALL] == 1
    assert window.frame(0)[LARGE] == 0
    assert "Object 1" in window.status
    window.key("N")
    assert window.widget.object_id == 2
    window.click(*LARGE)
    window.key("Q")
    assert window.widget.form.negative.isChecked()
    window.click(55, 66)
    window.done()
    assert not (window.frame(0) == 2).any()
    window.key("U")
    window.done()
    assert window.frame(0)[LARGE] == 2
    window.key("G")
    window.done()
    for t in range(6):
        assert window.frame(t)[20, 20 + 2 * t] == 1
        assert window.frame(t)[55, 60 + 2 * t] == 2
    window.key("?")
    (sheet,) = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox)]
    for key in (*"NQUGHJKW", "Shift-Y"):
        assert f"<b>{key}</b>" in sheet.text()
    sheet.close()


def test_box_and_polygon_by_mouse(open_window):
    window = open_window(blobs())
    window.press(window.widget.form.tools["box"])
    window.drag((40, 45), (70, 75))
    window.done()
    assert window.frame(0)[LARGE] == 1
    box = window.widget.session.prompts[1][0].box
    np.testing.assert_allclose(box, [[40, 45], [70, 75]], atol=1)
    window.key("N")
    window.press(window.widget.form.tools["polygon"])
    corners = [(10, 10), (10, 30), (30, 30), (30, 10)]
    for corner in corners:
        window.click(*corner)
    window.double_click(*corners[-1])
    window.done()
    assert window.frame(0)[SMALL] == 2
    assert window.widget.session.prompts[2][0].mask[20, 20]


def test_brush_eraser_and_undo_by_mouse(open_window):
    window = open_window(blobs())
    window.press(window.widget.form.tools["brush"])
    window.layers.labels.brush_size = 6
    window.drag((70, 10), (70, 30))
    window.done()
    prompt = window.widget.session.prompts[1][0]
    assert prompt.mask[70, 20]
    assert np.array_equal(prompt.mask, window.frame(0) == 1)
    window.layers.labels.mode = "erase"
    window.drag((70, 10), (70, 18))
    window.done()
    smaller = window.widget.session.prompts[1][0].mask
    assert not smaller[70, 12]
    window.key("Z", Qt.KeyboardModifier.ControlModifier)
    window.done()
    assert window.widget.session.prompts[1][0].mask[70, 12]


def test_frames_along_another_axis_with_scale(open_window):
    axis = 2
    data = np.moveaxis(blobs(), 0, axis)
    window = open_window(data, axis=axis, scale=(2, 0.5, 3), translate=(5, -7, 2))
    window.click(*LARGE)
    window.done()
    assert window.frame(0)[LARGE] == 1
    assert window.layers.labels.data.shape == data.shape
    assert np.array_equal(window.layers.labels.scale, (2, 0.5, 3))
    window.widget.propagate()
    window.done()
    assert window.frame(5)[55, 70] == 1


def test_the_window_is_never_blocked(open_window):
    window = open_window(blobs(4))
    with lasting(window.widget.session, "_begin") as ends:
        window.click(*SMALL)
        window.widget.propagate()
        window.done()
    assert window.frame(3).any()
    assert window.widget.session.threads == {"napari-sam2_0"}
    assert len(ends) >= 2  # the click and the propagation


def test_closing_the_dock_stops_the_work(open_window):
    window = open_window(blobs(50), session_factory=FakeFactory(delay=0.1))
    window.click(*SMALL)
    window.widget.propagate()
    window.settle()
    run = window.widget.controller.run
    assert run is not None
    dock = window.viewer.window._wrapped_dock_widgets["SAM 2 masklets"]
    dock.destroyOnClose()
    window.settle()
    assert run.cancelled.is_set()
    assert window.widget._closed
    assert "N" not in map(str, window.viewer.keymap)
    window.viewer.add_image(blobs(), name="another")  # nobody listens any more
    window.settle()
    assert len(window.viewer.layers) == 5
