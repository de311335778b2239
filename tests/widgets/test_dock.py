"""The widget in a real window, driven by mouse and keys."""

from __future__ import annotations

import time

import numpy as np
import pytest
from fakes import FakeFactory, blobs
from qtpy.QtCore import QTimer

from napari_sam2.tracking.errors import InputError

SMALL = (20, 20)
LARGE = (55, 60)


def test_click_shows_a_mask_there(window):
    window.click(*SMALL)
    window.done()
    assert window.frame(0)[SMALL] == 1
    assert window.frame(0)[LARGE] == 0
    assert window.frame(1).max() == 0
    assert "Object 1" in window.status


def test_negative_click_takes_away(window):
    window.click(*SMALL)
    window.click(*LARGE)
    window.done()
    assert window.frame(0)[LARGE] == 1
    window.key("Q")
    assert window.widget.form.negative.isChecked()
    window.click(55, 66)
    window.done()
    assert window.frame(0)[LARGE] == 0
    assert window.frame(0)[SMALL] == 1
    assert window.layers.points.features["positive"].tolist() == [True, True, False]


def test_each_object_has_its_own_points(window):
    window.click(*SMALL)
    window.done()
    window.key("N")
    assert window.widget.object_id == 2
    window.click(*LARGE)
    window.done()
    assert window.frame(0)[SMALL] == 1
    assert window.frame(0)[LARGE] == 2
    assert set(window.widget.session.prompts) == {1, 2}


def test_new_object_without_prompt_stays(window):
    window.press(window.widget.form.new_object)
    assert window.widget.object_id == 1
    assert "click on a cell" in window.status


def test_box_by_mouse(window):
    window.press(window.widget.form.tools["box"])
    window.drag((40, 45), (70, 75))
    window.done()
    assert window.frame(0)[LARGE] == 1
    box = window.widget.session.prompts[1][0].box
    np.testing.assert_allclose(box, [[40, 45], [70, 75]], atol=1)


def test_polygon_is_a_mask(window):
    window.layers.shapes.add(
        [[0, 10, 10], [0, 10, 30], [0, 30, 30], [0, 30, 10]], shape_type="polygon"
    )
    window.done()
    mask = window.widget.session.prompts[1][0].mask
    assert mask[20, 20]
    assert not mask[40, 20]
    assert window.frame(0)[11, 12] == 1


def test_brush_stroke_is_a_mask(window):
    window.press(window.widget.form.tools["brush"])
    window.layers.labels.brush_size = 6
    window.drag((70, 10), (70, 30))
    window.done()
    prompt = window.widget.session.prompts[1][0]
    assert prompt.mask[70, 20]
    assert np.array_equal(prompt.mask, window.frame(0) == 1)
    # The eraser changes the same prompt.
    window.layers.labels.mode = "erase"
    window.drag((70, 10), (70, 18))
    window.done()
    smaller = window.widget.session.prompts[1][0].mask
    assert smaller.sum() < prompt.mask.sum()
    assert not smaller[70, 12]


def test_brush_replaces_the_points_there(window):
    window.click(*SMALL)
    window.done()
    window.press(window.widget.form.tools["brush"])
    window.layers.labels.brush_size = 8
    window.click(20, 32)
    window.done()
    prompt = window.widget.session.prompts[1][0]
    assert prompt.mask[20, 20]
    assert prompt.mask[20, 32]
    assert len(prompt.points) == 0
    assert len(window.layers.points.data) == 0


def test_undo_of_a_stroke_changes_the_prompt(window):
    window.press(window.widget.form.tools["brush"])
    window.drag((70, 10), (70, 20))
    window.drag((70, 40), (70, 50))
    window.done()
    window.viewer.window._qt_viewer.canvas.native.setFocus()
    window.layers.undo()
    window.done()
    mask = window.widget.session.prompts[1][0].mask
    assert mask[70, 15]
    assert not mask[70, 45]


def test_removing_a_point_removes_it_from_the_prompt(window):
    window.click(*SMALL)
    window.click(*LARGE)
    window.done()
    window.layers.points.selected_data = {1}
    window.layers.points.remove_selected()
    window.done()
    assert len(window.widget.session.prompts[1][0].points) == 1
    assert window.frame(0)[LARGE] == 0
    window.key("U")
    window.done()
    assert not window.widget.session.prompts.get(1)
    assert window.frame(0).max() == 0


def test_click_outside_is_said_and_taken_back(window):
    window.layers.points.add([[0, -5, 10]])
    window.done()
    assert "outside the image" in window.status
    assert len(window.layers.points.data) == 0


def test_propagate_and_progress(window):
    window.click(*SMALL)
    window.key("G")
    window.done()
    for t in range(6):
        assert window.frame(t)[20, 20 + 2 * t] == 1
    assert window.status.startswith("Done: 6 frames")
    assert window.layers.labels.editable


@pytest.mark.parametrize(("direction", "expected"), [("forward", [2, 3, 4, 5]), ("backward", [0, 1])])
def test_directions(window, direction, expected):
    window.viewer.dims.set_current_step(0, 2)
    window.click(20, 24)
    window.done()
    window.press(window.widget.form.directions[direction])
    window.done()
    filled = [t for t in range(6) if t != 2 and window.frame(t).any()]
    assert filled == [t for t in expected if t != 2]


def test_propagate_without_prompts_is_said(window):
    window.key("G")
    window.done()
    assert "click" in window.status


def test_cancel_keeps_what_is_done(open_window):
    window = open_window(blobs(20), session_factory=FakeFactory(delay=0.05))
    window.click(*SMALL)
    window.done()
    window.key("G")
    deadline = time.monotonic() + 10
    while (window.widget.controller.run is None or window.widget.controller.run.done < 3) and (
        time.monotonic() < deadline
    ):
        window.settle()
    assert not window.layers.labels.editable
    window.press(window.widget.form.cancel)
    window.done()
    filled = [t for t in range(20) if window.frame(t).any()]
    assert 3 <= len(filled) < 20
    assert "kept" in window.status
    assert window.layers.labels.editable


def test_the_window_is_never_blocked(open_window):
    window = open_window(blobs(4), session_factory=FakeFactory(delay=0.25))
    beats: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(time.monotonic()))
    timer.start(10)
    window.click(*SMALL)
    window.widget.propagate()
    window.done()
    timer.stop()
    assert window.frame(3).any()
    assert np.diff(beats).max() < 0.2
    assert window.widget.session.threads == {"napari-sam2_0"}


def test_newest_prompt_wins(open_window):
    window = open_window(blobs(), session_factory=FakeFactory(delay=0.15))
    for x in (17, 19, 21, 23):
        window.click(20, x)
    window.done()
    assert len(window.widget.session.prompts[1][0].points) == 4
    assert window.frame(0)[SMALL] == 1


def test_errors_are_words(window, caplog):
    window.widget.session.error = InputError("the frame is empty; choose another")
    window.click(*SMALL)
    window.done()
    assert window.status == "The frame is empty; choose another."
    window.widget.session.error = KeyError("secret")
    window.click(*LARGE)
    window.done()
    assert "unexpectedly" in window.status
    assert "secret" not in window.status
    assert "Traceback" not in window.status
    assert "secret" in caplog.text


def test_a_model_that_fails_is_said(open_window):
    broken = FakeFactory(error=InputError("this computer has no device 'cuda'; use auto"))
    window = open_window(blobs(), session_factory=broken)
    assert window.status.startswith("This computer has no device")
    window.click(*SMALL)
    window.widget.propagate()
    window.done()
    assert "no device" in window.status


def test_removing_the_image_is_said(open_window):
    window = open_window(blobs(20), session_factory=FakeFactory(delay=0.05))
    window.click(*SMALL)
    window.widget.propagate()
    window.settle()
    labels = window.layers.labels
    window.viewer.layers.remove("cells")
    window.done()
    assert "was removed" in window.status
    assert labels in window.viewer.layers
    assert labels.editable


def test_empty_state_and_first_image(open_window):
    window = open_window()
    assert "Open an image" in window.status
    assert not window.widget.form.new_object.isEnabled()
    window.widget.propagate()
    assert "Open an image" in window.status
    window.viewer.add_image(blobs(), name="later")
    window.settle()
    window.done()
    assert window.widget.session is not None


def test_delete_object(window):
    window.click(*SMALL)
    window.key("N")
    window.click(*LARGE)
    window.key("G")
    window.done()
    window.press(window.widget.form.delete_object)
    window.done()
    assert not any((window.frame(t) == 2).any() for t in range(6))
    assert all((window.frame(t) == 1).any() for t in range(6))
    assert window.widget.session.object_ids == [1]
    assert len(window.layers.points.data) == 1


def test_another_model_keeps_the_prompts(window, factory):
    window.click(*SMALL)
    window.done()
    window.widget.form.device.value = "cpu"
    window.done()
    assert len(factory.sessions) == 2
    assert list(window.widget.session.prompts) == [1]
    assert window.frame(0)[SMALL] == 1


def test_closing_the_dock_stops_the_work(open_window, qtbot):
    window = open_window(blobs(50), session_factory=FakeFactory(delay=0.05))
    window.click(*SMALL)
    window.widget.propagate()
    window.settle()
    worker, bench = window.widget._worker, window.widget.workbench
    window.viewer.window.remove_dock_widget(window.widget)
    window.widget.deleteLater()
    qtbot.waitUntil(lambda: worker._closed, timeout=3000)
    worker._threads.shutdown(wait=True)
    assert bench.controller.session is None
    window.viewer.add_image(blobs(), name="another")  # nobody listens any more
