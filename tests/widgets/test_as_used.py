"""What went wrong for somebody who worked with the window as its guide says."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fakes import LARGE, SMALL, FakeFactory, blobs
from hands import until
from napari.layers._source import layer_source
from qtpy.QtCore import Qt

from napari_sam2.widgets.session.worker import process_events

CONTROL = Qt.KeyboardModifier.ControlModifier


def test_undo_and_work_that_ends_while_a_polygon_is_drawn(open_window):
    window = open_window(blobs())
    window.click(*SMALL)
    window.done()
    window.key("N")
    window.click(*LARGE)
    window.done()
    for corners in ([(40, 30), (60, 30)], [(40, 30), (60, 30), (60, 50)]):
        window.widget.workbench.tools.use("polygon")
        for corner in corners:
            window.click(*corner)
        assert window.layers.shapes._is_creating
        window.key("Z", CONTROL)
        window.done()
        assert "shape was discarded" in window.status
        assert not window.layers.shapes._is_creating
        assert not len(window.layers.shapes.data)
        assert len(window.layers.points.data) == 2
        assert set(window.widget.session.prompts) == {1, 2}
    window.key("Z", CONTROL)
    window.done()
    assert "Undone" in window.status
    assert len(window.layers.points.data) == 1
    # Work that ends meanwhile: it is no prompt before it is finished, and nothing else is lost.
    window.widget.workbench.tools.use("polygon")
    for corner in [(40, 30), (60, 30), (60, 50)]:
        window.click(*corner)
    window.layers.read()  # as before a propagation
    assert list(window.layers.prompts) == [1]
    assert window.layers.prompts[1][0].mask is None
    window.layers.hold()
    window.widget.workbench.show_layers(window.widget.controller.record.layers)
    window.layers.release()
    window.done()
    assert list(window.layers.prompts) == [1]
    assert len(window.layers.points.data) == 1
    window.click(*LARGE)  # the next corner of another polygon
    window.key("Z", CONTROL)
    assert len(window.layers.points.data) == 1


def test_a_click_while_the_model_loads_is_answered(open_desk):
    made, go = threading.Event(), threading.Event()

    class Slow(FakeFactory):
        def __call__(self, request, progress):
            session = super().__call__(request, progress)
            made.set()
            assert go.wait(60)
            return session

    desk = open_desk()
    desk.widget.controller._factory = Slow()
    desk.viewer.add_image(blobs())
    until(made.is_set)
    desk.point(0, *SMALL)
    process_events()  # the click is on its way
    go.set()
    desk.done()
    assert desk.widget.session.prompts[1][0].points.tolist() == [list(SMALL)]
    assert desk.frame(0)[SMALL] == 1


def test_a_mask_that_is_erased_whole_is_said_not_to_be_there(desk):
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.propagate()
    desk.done()
    assert desk.frame(3).any()
    desk.paint(3, 20, 26, 0, size=40)
    desk.done()
    assert not desk.frame(3).any()
    assert desk.prompts[1][3].absent
    assert "is not on frame 3" in desk.status
    desk.widget.undo()
    desk.done()
    assert 3 not in desk.prompts[1]
    assert desk.frame(3).any()


def test_what_undo_brings_back_is_not_selected(desk):
    for frame in (0, 2):
        desk.point(frame, *SMALL)
        desk.done()
    desk.shape(1, [(10, 10), (10, 30), (30, 30), (30, 10)], "rectangle")
    desk.done()
    desk.widget.undo()
    desk.widget.redo()
    desk.done()
    assert not desk.layers.points.selected_data
    assert not desk.layers.shapes.selected_data


def test_u_takes_back_a_point_of_the_current_object(desk):
    desk.point(0, *SMALL)
    desk.widget.new_object()
    desk.point(0, *LARGE)
    desk.done()
    desk.widget.object_id = 1
    desk.widget.remove_last_point()
    desk.done()
    assert list(desk.layers.prompts) == [2]
    desk.widget.remove_last_point()
    assert "Object 1 has no point to take back" in desk.status
    assert list(desk.layers.prompts) == [2]


def test_n_waits_while_cells_are_found(open_desk):
    desk = open_desk(blobs(), session_factory=FakeFactory(delay=0.03))
    desk.widget.form.propagation.find_new.setChecked(True)
    desk.widget.propagate()  # before there is any object
    desk.done()
    assert "nothing to propagate" in desk.status.lower()
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.new_object()  # 2, before the first is found
    assert desk.widget.workbench.following.wish("both").finding.first_id == 3
    desk.widget.object_id = 1
    desk.widget.workbench.following.finding = True
    desk.widget.new_object()
    assert "press N when that is over" in desk.status
    assert desk.widget.object_id == 1
    desk.widget.workbench.following._on_run_ended()
    desk.widget.new_object()
    assert desk.widget.object_id == 2


def test_a_click_with_the_box_tool_is_no_box(open_window):
    window = open_window(blobs())
    window.click(*SMALL)
    window.done()
    window.widget.workbench.tools.use("box")
    for zoom in (0.3, 3.0):
        window.viewer.camera.zoom = zoom
        window.settle()
        window.click(*SMALL)
        window.done()
        assert "too small" in window.status
    assert window.widget.session.prompts[1][0].box is None
    window.viewer.reset_view()
    window.drag((10, 10), (30, 32))
    window.done()
    assert window.widget.session.prompts[1][0].box is not None


def test_several_objects_are_deleted_and_come_back_as_one(desk):
    for place in (SMALL, LARGE, (70, 90)):  # there is nothing at the last
        desk.point(0, *place)
        desk.done()
        desk.widget.new_object()
    desk.widget.panels.editor.rename(2, "mother")
    desk.widget.panels.editor.delete([1, 2])
    desk.done()
    assert desk.status == "2 objects were deleted."
    assert list(desk.layers.prompts) == [3]
    desk.widget.undo()
    desk.done()
    assert "deletion of 2 objects" in desk.status
    assert list(desk.layers.prompts) == [1, 2, 3]
    assert desk.widget.workbench.notes.names == {2: "mother"}
    assert set(np.unique(desk.frame(0))) == {0, 1, 2}
    desk.widget.redo()
    desk.done()
    assert not desk.frame(0).any()
    assert desk.widget.workbench.notes.names == {}


def test_layers_that_are_left_behind_are_hidden(desk):
    desk.point(0, *SMALL)
    desk.done()
    left = desk.layers.layers
    desk.widget.workbench.restoring.restart()
    desk.done()
    assert not any(layer.visible for layer in left)
    assert all(layer in desk.viewer.layers for layer in left)
    assert all(layer.visible for layer in desk.layers.layers)


def test_a_deletion_of_several_in_a_file() -> None:
    from napari_sam2.tracking.kept.steps import RemoveObject
    from napari_sam2.tracking.kept.steps_json import step_as_json, step_from_json

    for step in (RemoveObject(3), RemoveObject(3, (4, 7))):
        assert step_from_json(step_as_json(step), 1) == step
    assert step_as_json(RemoveObject(3)) == {"do": "remove", "object_id": 3}


@pytest.fixture
def calibrated(tmp_path: Path) -> Path:
    """A z-stack as tifffile writes it, with its axes, and an ImageJ one with a scale."""
    stack = blobs(4)
    tifffile.imwrite(tmp_path / "named.tif", stack, metadata={"axes": "ZYX"})
    tifffile.imwrite(
        tmp_path / "imagej.tif",
        stack,
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"},
    )
    return tmp_path


@pytest.mark.parametrize("name", ["named.tif", "imagej.tif"])
def test_what_the_file_says_of_axes_and_scale_counts(open_desk, calibrated: Path, name) -> None:
    desk = open_desk()
    with layer_source(path=str(calibrated / name)):  # as napari's own reader opens it
        desk.viewer.add_image(blobs(4))
    desk.done()
    desk.point(0, *SMALL)
    desk.done()
    source, geometry = desk.widget.workbench.source, desk.layers.geometry
    assert source.frame_axis(geometry) == "Z"
    scale, unit = source.frame_scale(geometry)
    desk.widget.export(calibrated / "cells.csv")
    desk.done()
    head, row, *_ = (calibrated / "cells.csv").read_text(encoding="utf-8").splitlines()
    values = dict(zip(head.split(","), row.split(","), strict=True))
    assert "time_s" not in values
    if name == "imagej.tif":
        assert (scale, unit) == ({"Z": 2.0, "Y": 0.25, "X": 0.25}, "micrometer")
        assert float(values["area_um2"]) == float(values["area_px"]) / 16
    else:
        assert (scale, unit) == ({"Z": 1.0, "Y": 1.0, "X": 1.0}, None)
    desk.viewer.layers[0].scale = (3, 0.5, 0.5)  # what the user says wins
    assert source.frame_scale(geometry) == ({"Z": 3.0, "Y": 0.5, "X": 0.5}, None)


def test_the_slider_of_channels_follows_the_choice(open_desk) -> None:
    cells = blobs()
    desk = open_desk(np.stack([np.zeros_like(cells), cells], axis=1), axis_labels=tuple("tcyx"))
    bench, part = desk.widget.workbench, desk.widget.form.part
    assert (bench.source.channel, desk.viewer.dims.current_step[0]) == (0, 0)
    desk.viewer.dims.set_current_step(0, 1)
    desk.point(0, *SMALL)
    desk.done()
    assert desk.status.endswith("The model sees channel 0.")
    part.channel.value = 1
    desk.done()
    assert (bench.source.channel, desk.viewer.dims.current_step[0]) == (1, 1)
    desk.viewer.dims.set_current_step(0, 0)
    part.channel.value = 0
    desk.done()
    part.channel.value = 1
    desk.done()
    assert desk.viewer.dims.current_step[0] == 1
    desk.point(0, *SMALL)
    desk.done()
    assert "The model sees" not in desk.status
