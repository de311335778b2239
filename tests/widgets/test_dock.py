"""What the widget does, without the mouse."""

from __future__ import annotations

import time
from importlib import resources
from typing import Any

import numpy as np
import pytest
from fakes import LARGE, SMALL, FakeFactory, blobs
from napari.utils._proxies import PublicOnlyProxy
from npe2 import PluginManifest
from qtpy.QtCore import QCoreApplication, QEvent, QObject

from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.dock import MaskletsWidget
from napari_sam2.widgets.parts import room_for


def test_each_object_has_its_own_points(desk):
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.new_object()
    assert desk.widget.object_id == 2
    assert desk.widget.form.object_id.value == 2
    desk.point(0, *LARGE)
    desk.done()
    assert desk.frame(0)[SMALL] == 1
    assert desk.frame(0)[LARGE] == 2
    assert set(desk.prompts) == {1, 2}


def test_new_object_without_prompt_stays(desk):
    desk.widget.form.new_object.click()
    assert desk.widget.object_id == 1
    assert "click on a cell" in desk.status


def test_the_sign_of_points(desk):
    desk.point(0, *SMALL)
    desk.point(0, *LARGE)
    desk.widget.form.negative.click()
    desk.point(0, 55, 66)
    desk.done()
    assert desk.frame(0)[SMALL] == 1
    assert desk.frame(0)[LARGE] == 0
    assert desk.layers.points.features["positive"].tolist() == [True, True, False]
    assert len(set(map(tuple, desk.layers.points.face_color))) == 2
    assert list(desk.layers.points.symbol) == ["disc", "disc", "diamond"]


def test_selecting_a_point_does_not_change_the_next_one(desk):
    desk.point(0, *SMALL)
    desk.widget.toggle_polarity()
    desk.layers.points.mode = "select"
    desk.layers.points.selected_data = {0}
    desk.widget.workbench.tools.use("point")
    desk.point(0, 40, 40)
    assert desk.layers.points.features["positive"].tolist() == [True, False]


def test_polygon_is_a_mask(desk):
    desk.shape(0, [(10, 10), (10, 30), (30, 30), (30, 10)], "polygon")
    desk.done()
    mask = desk.prompts[1][0].mask
    assert mask[20, 20]
    assert not mask[40, 20]
    assert desk.frame(0)[11, 12] == 1


def test_a_renamed_image_has_its_new_name_in_the_form(desk):
    desk.viewer.layers["cells"].name = "nuclei"
    assert desk.widget.form.image.native.currentText() == "nuclei"
    assert desk.widget.form.image.value is desk.viewer.layers["nuclei"]
    assert desk.layers is not None


def test_the_brush_paints_also_after_the_labels_were_swapped(desk):
    desk.layers.labels.swap_selected_and_background_labels()
    assert desk.layers.labels.selected_label == 0
    desk.widget.workbench.tools.use("brush")
    assert desk.layers.labels.selected_label == 1
    desk.layers.labels.swap_selected_and_background_labels()
    desk.widget.object_id = 4
    assert desk.layers.labels.selected_label == 4


def test_a_pasted_box_is_a_prompt_at_once(desk):
    desk.shape(0, [(10, 10), (10, 30), (30, 30), (30, 10)], "rectangle")
    desk.done()
    shapes = desk.layers.shapes
    desk.go(0)
    shapes.selected_data = {0}
    shapes._copy_data()
    desk.go(3)
    shapes._paste_data()
    desk.done()
    assert sorted(desk.prompts[1]) == [0, 3]
    assert desk.prompts[1][3] == desk.prompts[1][0]


@pytest.mark.parametrize("angle", [0.0, 0.5, np.pi / 4, 2.0])
def test_what_was_turned_is_taken_as_it_lies(desk, angle):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([(-6, -20), (-6, 20), (6, 20), (6, -20)]) @ turn + (40, 50)
    pixels = (np.moveaxis(np.indices((80, 100)), 0, -1) - (40, 50)) @ turn.T
    far = np.abs(pixels / (6, 20))
    wanted = {"ellipse": (far**2).sum(axis=-1) < 1, "rectangle": far.max(axis=-1) < 1}
    for object_id, (kind, area) in enumerate(wanted.items(), start=1):
        desk.widget.object_id = object_id
        desk.shape(0, [tuple(corner) for corner in corners], kind)
        desk.done()
        prompt = desk.prompts[object_id][0]
        if kind == "rectangle" and not angle:
            np.testing.assert_allclose(prompt.box, [[34.5, 30.5], [45.5, 69.5]])
        else:
            assert prompt.box is None
            assert (prompt.painted.whole() ^ area).sum() < 0.1 * area.sum()


def test_ellipse_is_a_mask_and_a_line_is_refused(desk):
    desk.shape(0, [(10, 10), (10, 30), (30, 30), (30, 10)], "ellipse")
    desk.done()
    mask = desk.prompts[1][0].mask
    assert mask[20, 20]
    assert not mask[11, 11]
    desk.shape(0, [(10, 10), (10, 30)], "line")
    desk.done()
    assert "Lines are no prompts" in desk.status
    assert len(desk.layers.shapes.data) == 1


def test_box_then_points_refine(desk):
    desk.shape(0, [(40, 45), (40, 75), (70, 75), (70, 45)], "rectangle")
    desk.point(0, *SMALL)
    desk.done()
    prompt = desk.prompts[1][0]
    np.testing.assert_allclose(prompt.box, [[40.5, 45.5], [69.5, 74.5]])  # within the lines
    assert prompt.points.tolist() == [list(SMALL)]
    assert desk.frame(0)[LARGE] == 1
    assert desk.frame(0)[SMALL] == 1


def test_brush_replaces_the_points_there(desk):
    desk.point(0, *SMALL)
    desk.done()
    desk.paint(0, 20, 32, 1)
    desk.done()
    prompt = desk.prompts[1][0]
    assert prompt.mask[20, 20]
    assert prompt.mask[20, 32]
    assert len(prompt.points) == 0
    assert len(desk.layers.points.data) == 0


def test_eraser_and_undo_change_the_prompt(desk):
    desk.paint(0, 70, 20, 1)
    desk.done()
    desk.paint(0, 70, 50, 1)
    desk.done()
    desk.widget.undo()
    desk.done()
    assert desk.prompts[1][0].mask[70, 20]
    assert not desk.prompts[1][0].mask[70, 50]
    assert not desk.frame(0)[70, 50]
    desk.widget.redo()
    desk.done()
    assert desk.frame(0)[70, 50]
    desk.paint(0, 70, 20, 0, size=20)
    desk.done()
    assert not desk.prompts[1][0].mask[70, 20]
    assert desk.prompts[1][0].mask[70, 50]
    desk.paint(0, 70, 50, 0, size=20)
    desk.done()
    assert not desk.prompts[1]


def test_painting_with_another_label_chooses_that_object(desk):
    desk.layers.labels.selected_label = 7
    assert desk.widget.object_id == 7
    desk.widget.object_id = 3
    assert desk.layers.labels.selected_label == 3
    desk.paint(2, 70, 20, 3)
    desk.done()
    assert list(desk.prompts) == [3]
    assert list(desk.prompts[3]) == [2]


def test_removing_and_moving_points(desk):
    desk.point(0, *SMALL)
    desk.point(0, *LARGE)
    desk.done()
    desk.layers.points.selected_data = {1}
    desk.layers.points.remove_selected()
    desk.done()
    assert len(desk.prompts[1][0].points) == 1
    assert desk.frame(0)[LARGE] == 0
    desk.layers.points.data = [[0, *LARGE]]
    desk.done()
    assert desk.frame(0)[SMALL] == 0
    assert desk.frame(0)[LARGE] == 1
    desk.widget.remove_last_point()
    desk.done()
    assert not desk.prompts[1]
    assert desk.frame(0).max() == 0
    desk.widget.remove_last_point()
    assert "no point" in desk.status


def test_unusable_prompts_are_said_and_taken_back(desk):
    desk.layers.points.add([[0, -5, 10]])
    desk.done()
    assert "outside the image" in desk.status
    assert len(desk.layers.points.data) == 0
    desk.shape(0, [(40, 45), (40, 45.2), (40.2, 45.2), (40.2, 45)], "rectangle")
    desk.done()
    assert "too small" in desk.status
    assert len(desk.layers.shapes.data) == 0


def test_only_the_newest_prompt_is_answered(desk):
    desk.widget.session.gate.clear()
    for x in (17, 19, 21, 23):
        desk.point(0, 20, x)
        desk.layers.read()
    desk.widget.session.gate.set()
    desk.done()
    assert len(desk.prompts[1][0].points) == 4
    assert desk.widget.session.calls <= 2


def test_errors_are_words(desk, caplog):
    desk.widget.session.error = InputError("the frame is empty; choose another")
    desk.point(0, *SMALL)
    desk.done()
    assert desk.status == "The frame is empty; choose another."
    desk.widget.session.error = KeyError("secret")
    desk.point(0, *LARGE)
    desk.done()
    assert "unexpectedly" in desk.status
    assert "secret" not in desk.status
    assert "secret" in caplog.text


def test_a_model_that_fails_is_said(open_desk):
    broken = FakeFactory(error=InputError("this computer has no device 'cuda'; use auto"))
    desk = open_desk(blobs(), session_factory=broken)
    assert desk.status.startswith("This computer has no device")
    desk.widget.propagate()
    desk.point(0, *SMALL)
    desk.done()
    assert "no device" in desk.status


def test_cancel_of_a_download(open_desk, qtbot):
    downloads: list[str] = []

    def download(request, progress):
        try:
            for have in range(10_000):
                progress(have * 1_000_000, 10_000_000_000)
                time.sleep(0.01)
        finally:
            downloads.append(request.model)

    desk = open_desk()
    desk.widget.controller._factory = download
    desk.viewer.add_image(blobs())
    form = desk.widget.form
    qtbot.waitUntil(lambda: form.progress.bar.format().endswith("of 10000 MB"), timeout=5000)
    form.progress.cancel.click()
    desk.done()
    assert downloads == ["micro"]
    assert "cancelled" in desk.status
    desk.widget.propagate()
    assert "Choose a model" in desk.status
    desk.widget.controller._factory = FakeFactory()
    form.model.native.activated.emit(0)
    desk.done()
    assert desk.widget.session is not None


def test_removing_the_image_is_said(open_desk):
    desk = open_desk(blobs(20), session_factory=FakeFactory(delay=0.03))
    desk.point(0, *SMALL)
    desk.widget.propagate()
    labels = desk.layers.labels
    desk.viewer.layers.remove("cells")
    desk.done()
    assert "was removed" in desk.status
    assert labels in desk.viewer.layers
    assert desk.widget.session is None


def test_removing_a_prompt_layer_is_said(desk):
    desk.viewer.layers.remove(desk.layers.points)
    desk.done()
    assert "Choose the image again" in desk.status
    desk.widget.set_image(desk.viewer.layers["cells"])
    desk.done()
    desk.point(0, *SMALL)
    desk.done()
    assert desk.frame(0)[SMALL] == 1


def test_empty_state_and_first_image(open_desk):
    desk = open_desk()
    assert "Open an image" in desk.status
    shown = PluginManifest.from_file(resources.files("napari_sam2") / "napari.yaml").display_name
    assert f"File > Open Sample > {shown}." in desk.status
    assert not desk.widget.form.new_object.isEnabled()
    desk.widget.propagate()
    assert "Open an image" in desk.status
    desk.viewer.add_image(blobs(), name="later")
    desk.done()
    assert desk.widget.session is not None
    assert "Click on a cell" in desk.status


def test_another_image_takes_empty_layers_along(desk, factory):
    assert len(desk.viewer.layers) == 4
    other = desk.viewer.add_image(blobs(3), name="other")
    desk.widget.form.image.value = other
    desk.done()
    assert len(desk.viewer.layers) == 5
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.form.image.value = desk.viewer.layers["cells"]
    desk.done()
    assert len(desk.viewer.layers) == 8  # what holds work stays


def test_delete_object(desk):
    desk.point(0, *SMALL)
    desk.widget.new_object()
    desk.point(0, *LARGE)
    desk.widget.propagate()
    desk.done()
    desk.widget.form.delete_object.click()
    desk.done()
    assert not any((desk.frame(t) == 2).any() for t in range(6))
    assert all((desk.frame(t) == 1).any() for t in range(6))
    assert desk.widget.session.object_ids == [1]
    assert len(desk.layers.points.data) == 1


def test_another_device_keeps_the_prompts(desk, factory):
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.form.device.value = "cpu"
    desk.done()
    assert len(factory.sessions) == 2
    assert list(desk.prompts) == [1]
    assert desk.frame(0)[SMALL] == 1


def test_one_plane_of_a_volume_over_time(open_desk):
    data = np.stack([np.zeros_like(blobs()), blobs(), np.zeros_like(blobs())], axis=1)
    desk = open_desk(data, scale=(1, 2, 0.5, 0.5), axis_labels=("t", "z", "y", "x"))
    desk.viewer.dims.set_current_step(1, 1)
    desk.widget.set_image(desk.viewer.layers["cells"])
    desk.done()
    desk.point(0, *SMALL)
    desk.widget.propagate()
    desk.done()
    assert desk.layers.labels.data.shape == data.shape
    assert desk.frame(5)[20, 30] == 1
    assert desk.layers.labels.data[:, 0].max() == 0
    desk.layers.points.add([[0, 2, 20, 20]])
    desk.done()
    assert "tracks in the plane" in desk.status


def test_frames_along_the_second_axis(open_desk):
    data = np.moveaxis(blobs(), 0, 1)
    desk = open_desk(data, axis_labels=("y", "t", "x"), scale=(2, 3, 0.5))
    assert desk.layers.geometry.axis == 1
    desk.point(0, *SMALL)
    desk.widget.propagate()
    desk.done()
    assert desk.layers.labels.data[20, 5, 30] == 1
    assert desk.layers.labels.data.shape == data.shape


def test_one_image(open_desk):
    desk = open_desk(blobs(1)[0])
    desk.point(0, *SMALL)
    desk.done()
    assert desk.frame(0)[SMALL] == 1
    assert not desk.widget.form.propagation.directions["both"].isEnabled()


def test_rgb(open_desk):
    desk = open_desk(np.repeat(blobs()[..., None], 3, axis=-1), rgb=True)
    desk.point(0, *SMALL)
    desk.widget.propagate()
    desk.done()
    assert desk.layers.labels.data.shape == (6, 80, 100)
    assert desk.frame(5)[20, 30] == 1


def test_works_with_napari_s_proxy_of_the_viewer(desk, qtbot, factory):
    widget = MaskletsWidget(PublicOnlyProxy(desk.viewer), session_factory=factory)
    qtbot.addWidget(widget)
    widget.wait()
    assert widget.session is not None
    widget.shut_down()


def test_deleting_the_widget_stops_the_work(open_desk, qtbot):
    desk = open_desk(blobs(50), session_factory=FakeFactory(delay=0.03))
    desk.point(0, *SMALL)
    desk.widget.propagate()
    worker, controller = desk.widget._worker, desk.widget.controller
    desk.widget.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    qtbot.waitUntil(lambda: worker._closed, timeout=3000)
    worker._threads.shutdown(wait=True)
    assert controller.session is None
    desk.viewer.add_image(blobs(), name="another")  # nobody listens any more


@pytest.mark.parametrize("high", [-0.6, -0.2, 0.0])
def test_a_box_that_holds_no_pixel_is_refused(desk, high):
    desk.shape(0, [(-10, 10), (-10, 30), (high, 30), (high, 10)], "rectangle")
    desk.done()
    assert "outside the image" in desk.status
    assert not len(desk.layers.shapes.data)
    desk.shape(0, [(-10, 10), (-10, 30), (0.2, 30), (0.2, 10)], "rectangle")
    desk.done()
    assert desk.prompts[1][0].box is not None


def test_boxes_that_stay_as_they_are_are_not_styled_anew(desk):
    """Each click would lay out and draw the dock again."""
    styled = []

    class Watch(QObject):
        def eventFilter(self, _: Any, event: Any) -> bool:
            styled.extend([event.type()] if event.type() == QEvent.Type.StyleChange else [])
            return False

    watch, box = Watch(), desk.widget.form.propagation.last.native
    box.installEventFilter(watch)
    desk.widget.workbench.changed.emit()
    desk.widget.choices.show()
    assert not styled
    room_for(box, "12345")
    assert styled
