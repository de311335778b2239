"""Exports from the window, seeds from other layers, and what the buttons and menus do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile
from fakes import LARGE, SMALL, FakeFactory, blobs
from hands import until
from menus import submenu
from napari.layers import Labels, Points
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QMessageBox
from test_undo import seen

from napari_sam2.export.formats import FORMATS, open_masklets
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.everything import Found
from napari_sam2.widgets.dock import MaskletsWidget
from napari_sam2.widgets.layers.seen import show_current
from napari_sam2.widgets.scripts.live_session import LiveSession
from napari_sam2.widgets.scripts.scripting import open_dock
from napari_sam2.widgets.session.runs import Run
from napari_sam2.widgets.session.worker import process_events
from napari_sam2.widgets.verbs.exporting import filters, with_suffix
from napari_sam2.widgets.verbs.seeding import _show_search


@pytest.fixture
def worked(open_desk):
    desk = open_desk(blobs(), scale=(5, 0.5, 0.5), units=("s", "um", "um"))
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.new_object()
    desk.point(0, *LARGE)
    desk.done()
    desk.widget.propagate()
    desk.done()
    return desk


@pytest.mark.parametrize("format", ["tiff", "imagej", "zarr", "ctc", "coco", "sa-v"])
def test_every_format_with_masks_reads_back(worked, tmp_path, format):
    path = with_suffix(str(tmp_path / "cells"), format)
    worked.widget.export(path, format)
    worked.done()
    assert worked.status == f"Exported: {path}."
    stack = open_masklets(path, "TYX" if format == "ctc" else None)
    np.testing.assert_array_equal(np.asarray(stack.data), worked.layers.labels.data)
    if format in ("tiff", "imagej", "zarr"):
        assert stack.scale["Y"] == pytest.approx(0.5)
        assert stack.unit == "micrometer"


def test_steps_are_exported_in_seconds_and_one_unit_of_length(open_desk, tmp_path):
    units = ("minute", "um", "um")
    desk = open_desk(blobs(), scale=(5, 0.5, 0.5), units=units, axis_labels=("t", "y", "x"))
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.export(tmp_path / "a.tif")
    desk.done()
    assert open_masklets(tmp_path / "a.tif").scale["T"] == pytest.approx(300)
    units = ("um", "nm", "nm")
    desk = open_desk(blobs(), scale=(2, 500, 250), units=units, axis_labels=("z", "y", "x"))
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.export(tmp_path / "b.tif")
    desk.done()
    stack = open_masklets(tmp_path / "b.tif")
    assert stack.scale == pytest.approx({"Z": 2000, "Y": 500, "X": 250})
    assert stack.unit == "nanometer"


def test_tables_hold_sizes_and_intensities(worked, tmp_path):
    worked.widget.export(tmp_path / "cells.csv")
    worked.done()
    lines = (tmp_path / "cells.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 6
    assert "200" in lines[1]  # the mean of a bright disc


def test_a_volume_over_time_exports_the_plane_that_was_tracked(open_desk, tmp_path):
    data = np.stack([blobs(), blobs() // 2], axis=1)  # T, Z, Y, X
    desk = open_desk(data)
    desk.widget.set_image(desk.viewer.layers["cells"], 0)
    desk.done()
    geometry = desk.layers.geometry
    desk.layers.points.add(geometry.to_data(0, *SMALL)[None])
    desk.done()
    desk.widget.export(tmp_path / "plane.tif")
    desk.done()
    plane = tifffile.imread(tmp_path / "plane.tif")
    assert plane.shape == (6, 80, 100)
    np.testing.assert_array_equal(plane[0], desk.frame(0))


def test_an_export_that_cannot_be_written_is_said(worked, tmp_path):
    worked.widget.export(tmp_path / "cells.docx")
    worked.done()
    assert "is a name for no format" in worked.status
    (tmp_path / "file").write_text("")
    worked.widget.export(tmp_path / "file" / "cells.tif")
    worked.done()
    assert "file" in worked.status
    assert worked.widget.controller.run is None


def test_a_cancelled_export_leaves_nothing(open_desk, tmp_path, monkeypatch):
    desk = open_desk(blobs(400))
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.export(tmp_path / "cells.tif")
    until(lambda: desk.widget.controller.run and desk.widget.controller.run.done)
    desk.widget.cancel()
    desk.done()
    assert "cancelled" in desk.status
    assert not list(tmp_path.iterdir())


def test_the_export_dialog(worked, tmp_path, monkeypatch):
    asked = []

    def answer(_parent, _title, start, kinds, kind):
        asked.append((start, kinds, kind))
        return str(tmp_path / "cells"), next(k for k, name in filters().items() if name == "coco")

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    worked.widget.form.session.export.click()
    worked.done()
    assert (tmp_path / "cells.json").is_file()
    assert len(asked[0][1].split(";;")) == len(FORMATS)
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    worked.widget.form.session.export.click()
    worked.done()
    assert filters()[asked[1][2]] == "coco"  # the format of the last time
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    worked.widget.form.session.export.click()
    worked.done()
    assert len(list(tmp_path.iterdir())) == 1


def test_the_session_dialogs(worked, open_desk, tmp_path, monkeypatch):
    path = tmp_path / "mine.ns2.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), ""))
    worked.widget._session_actions.save()
    worked.done()
    assert path.is_file()
    again = open_desk(blobs(), scale=(5, 0.5, 0.5), units=("s", "um", "um"))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    again.widget._session_actions.open()
    again.done()
    np.testing.assert_array_equal(again.layers.labels.data, worked.layers.labels.data)


def test_buttons_follow_what_can_be_done(open_desk, worked):
    form = worked.widget.form.session
    assert form.restore.isHidden()
    form.undo.click()
    worked.done()
    assert "Undone: propagation both" in worked.status
    form.redo.click()
    worked.done()
    assert worked.frame(5).any()
    again = open_desk(blobs(), scale=(5, 0.5, 0.5), units=("s", "um", "um"))
    button = again.widget.form.session.restore
    assert not button.isHidden()
    button.click()
    again.done()
    assert button.isHidden()
    np.testing.assert_array_equal(again.layers.labels.data, worked.layers.labels.data)
    empty = open_desk()
    assert not empty.widget.form.session.export.isEnabled()


def seeds(desk) -> list[str]:
    menu = desk.widget._session_actions.menu()
    return [action.text() for action in submenu(menu, menu.actions()[0].text()).actions()]


def test_labels_of_another_tool_become_objects(desk):
    found = np.zeros((6, 80, 100), np.int32)
    found[2, 15:26, 20:30] = 5
    found[2, 50:60, 60:70] = 9
    desk.viewer.add_layer(Labels(found, name="cellpose"))
    desk.viewer.add_layer(Labels(found[2, :40], name="too small"))
    assert seeds(desk) == ["cellpose", "too small"]
    desk.go(2)
    desk.widget.workbench.seeding.add_layer(desk.viewer.layers["cellpose"])
    desk.done()
    np.testing.assert_array_equal(desk.frame(2), found[2])
    before = seen(desk)
    desk.widget.workbench.seeding.add_layer(desk.viewer.layers["cellpose"])  # again: new numbers
    desk.done()
    assert set(desk.prompts) == {5, 9, 14, 18}
    desk.widget.undo()
    desk.done()
    assert seen(desk) == before
    desk.go(3)
    desk.widget.workbench.seeding.add_layer(desk.viewer.layers["cellpose"])
    assert "no labels on frame 3" in desk.status
    desk.widget.workbench.seeding.add_layer(desk.viewer.layers["too small"])
    assert "has the shape" in desk.status


def test_points_of_another_layer_become_objects(open_desk):
    desk = open_desk(blobs(), scale=(1, 2, 2))
    places = [(0, 40, 40), (0, 110, 120), (3, 40, 52), (0, 900, 900)]  # in the world, y and x * 2
    desk.viewer.add_layer(Points(np.array(places, float), ndim=3, name="spots"))
    desk.go(0)
    desk.widget.workbench.seeding.add_layer(desk.viewer.layers["spots"])
    desk.done()
    assert set(desk.prompts) == {1, 2}, desk.status
    assert desk.frame(0)[SMALL] == 1
    assert desk.frame(0)[LARGE] == 2
    desk.go(1)
    desk.widget.workbench.seeding.add_layer(desk.viewer.layers["spots"])
    assert "no points on frame 1" in desk.status


def test_points_without_frames_are_on_the_frame_on_screen(open_desk):
    desk = open_desk(blobs(), scale=(1, 2, 2))
    desk.viewer.add_layer(Points([[40.0, 52.0], [900.0, 900.0]], name="spots"))
    desk.go(3)
    desk.widget.workbench.seeding.add_layer(desk.viewer.layers["spots"])
    desk.done()
    assert [*desk.prompts[1]] == [3]
    assert desk.frame(3)[20, 26] == 1


def test_only_some_objects_are_followed(open_desk):
    desk = open_desk(blobs(), session_factory=FakeFactory())
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.object_id = 2
    desk.point(0, *LARGE)
    desk.done()
    desk.widget.workbench.following.propagate("forward", (2,))
    desk.done()
    step = desk.widget.controller.record.history.steps[-1]
    assert step.object_ids == (2,)


def test_what_the_model_sees_lies_on_the_image(open_desk):
    desk = open_desk(blobs(), scale=(3, 2, 2), translate=(0, 5, 7))
    desk.point(2, *SMALL)
    desk.done()
    desk.go(2)
    for _ in range(2):  # the second takes the place of the first
        show_current(desk.widget.workbench)
        desk.done()
    layer = desk.viewer.layers["what the model sees"]
    assert len([la for la in desk.viewer.layers if "model sees" in la.name]) == 1
    assert layer.data.shape == (1, 40, 60, 3)
    for here in ((2, 10, 12), (2, 20, 30)):  # the same place of the world is the same pixel
        world = desk.viewer.layers["cells"].data_to_world(here)
        place = layer.world_to_data(world)
        np.testing.assert_allclose(place[1:], [2 * (here[1] - 9.75), 2 * (here[2] - 11.75)])
        assert abs(place[0]) < 0.5
    assert "the network sees this" in desk.status
    assert [la.name for la in desk.widget.workbench.images] == ["cells"]
    desk.widget.object_id = 7
    show_current(desk.widget.workbench)
    desk.done()
    assert "no object 7" in desk.status


def test_a_sample_to_try(open_desk):
    desk = open_desk()
    button = desk.widget.form.sample
    assert not button.isHidden()
    button.click()
    desk.done()
    process_events()
    desk.done()
    assert button.isHidden()
    assert desk.layers.geometry.length > 5


def test_the_command_of_the_menus(shared_viewer, monkeypatch):
    monkeypatch.setattr("napari_sam2.widgets.session.controller.SessionOpener", FakeFactory)
    for _ in range(2):  # the second time it is open already
        open_dock(shared_viewer)
    widgets = [
        w for w in shared_viewer.window.dock_widgets.values() if isinstance(w, MaskletsWidget)
    ]
    assert len(widgets) == 1
    shared_viewer.window.remove_dock_widget(widgets[0])
    widgets[0].shut_down()


def test_all_cells_of_a_frame_become_objects(desk):
    desk.go(0)
    desk.point(0, *SMALL)
    desk.done()
    before = seen(desk)
    desk.widget.form.find_all.click()
    desk.done()
    desk.done()
    assert set(desk.prompts) == {1, 2}  # what is an object already is left out
    assert desk.frame(0)[LARGE] == 2
    desk.widget.undo()
    desk.done()
    assert seen(desk) == before
    desk.widget.redo()
    desk.done()
    desk.widget.form.find_all.click()
    desk.done()
    assert "No other cells" in desk.status


def test_a_search_can_be_cancelled(open_desk):
    desk = open_desk(blobs(), session_factory=FakeFactory(delay=0.2))
    desk.widget.form.find_all.click()
    desk.widget.cancel()
    desk.done()
    assert "cancelled" in desk.status
    assert not desk.layers.prompts


def test_all_cells_by_name(desk):
    sam = LiveSession(desk.widget)
    assert sam.find_all(3, diameter=22) == [1]
    assert desk.frame(3)[55, 66] == 1
    assert sam.find_all(3) == [2]
    assert set(np.unique(desk.frame(3))) == {0, 1, 2}
    with pytest.raises(InputError, match="A diameter of 10000 px"):
        sam.find_all(3, diameter=1e4)


def type_diameter(window, text):
    box = window.widget.form.diameter_box
    QTest.mouseDClick(box, Qt.MouseButton.LeftButton)  # selects what is there
    QTest.keyClicks(box, text) if text else QTest.keyClick(box, Qt.Key.Key_Delete)
    return box.text()


def test_a_search_that_is_cancelled_keeps_the_cells_so_far(open_desk, monkeypatch):
    desk = open_desk(blobs())
    session = desk.widget.session
    search = session.segment_everything

    def looked(*args, **kwargs):
        *_, last = search(*args, **kwargs)
        yield replace(last, done=1, total=9, cells=[], look=1)
        yield replace(last, done=10, total=30, cells=last.cells[:1], look=2)
        desk.widget.cancel()
        yield replace(last, done=11, total=30, cells=last.cells[:1], look=2)
        raise AssertionError("it goes on")

    monkeypatch.setattr(session, "segment_everything", looked)
    desk.widget.form.find_all.click()
    desk.done()
    assert "Cancelled. 1 cell was found until then" in desk.status
    assert sorted(desk.widget.session.prompts) == [1]
    desk.widget.undo()
    desk.done()
    assert not desk.widget.session.prompts


def test_a_search_that_fails_adds_nothing(open_desk, monkeypatch):
    desk = open_desk(blobs())
    session = desk.widget.session
    search = session.segment_everything

    def looked(*args, **kwargs):
        *_, last = search(*args, **kwargs)
        yield replace(last, done=1, total=9)
        raise InputError("the file is gone")

    monkeypatch.setattr(session, "segment_everything", looked)
    desk.widget.form.find_all.click()
    desk.done()
    assert "The file is gone" in desk.status
    assert not desk.widget.session.prompts


def test_each_look_of_a_search_is_counted_from_its_beginning():
    run, before = Run(), None
    found = [Found(0, 100, []), Found(90, 100, []), Found(110, 400, [], look=2)]
    shown = []
    for now in found:
        before = _show_search(run, now, before)
        shown.append((run.done, run.total, run.label))
    assert shown[1] == (90, 100, "look 1: 90 of 100")
    assert shown[2] == (20, 310, "look 2: 20 of 310")


def test_the_diameter_of_a_cell_is_typed(open_docked):
    window = open_docked(blobs())
    asked = []
    real = window.widget.session.segment_everything

    def noted(frame, taken=None, diameter=None):
        asked.append(diameter)
        return real(frame, taken, diameter)

    window.widget.session.segment_everything = noted
    form = window.widget.form
    assert type_diameter(window, "a2.5") == "25"  # whole numbers only
    window.press(form.find_all)
    window.done()
    assert window.frame(0)[LARGE] == 1
    assert window.frame(0)[SMALL] == 0
    assert type_diameter(window, "9999") == "9999"
    window.press(form.find_all)
    window.done()
    assert "A diameter of 9999 px" in window.status
    for text in ("0", ""):
        type_diameter(window, text)
        window.press(form.find_all)
        window.done()
    assert window.frame(0)[SMALL] == 2
    assert asked == [25, 9999, None, None]
