"""Masklets and sessions through napari's own File menu: opened, saved, and left alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fakes import FakeFactory, blobs
from hands import until
from menus import menu_of
from napari.components import ViewerModel
from napari.layers import Labels
from written import DROPPED, FILES, PLUGIN, labels

from napari_sam2 import export_masklets, open_masklets
from napari_sam2.layer_data import image_settings
from napari_sam2.layer_reader import get_reader
from napari_sam2.layer_writer import write_coco, write_zarr
from napari_sam2.stacks import open_all
from napari_sam2.tracking.errors import InputError, OutputError
from napari_sam2.tracking.kept import keeping
from napari_sam2.widgets.dock import MaskletsWidget
from napari_sam2.widgets.scripts import scripting, session_files
from napari_sam2.widgets.session.worker import process_events

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.mark.parametrize("kind", DROPPED)
@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
def test_exported_and_dropped(tmp_path, kind, axes):
    path = tmp_path / DROPPED[kind]
    scale = {axes[0]: 3.0, "Y": 0.5, "X": 0.25}
    export_masklets(path, labels(), kind, axes=axes, scale=scale, unit="micrometer")
    viewer = ViewerModel()
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert layer._type_string == "labels"
    np.testing.assert_array_equal(np.asarray(layer.data), labels())
    np.testing.assert_allclose(layer.scale, (3, 0.5, 0.25))
    assert layer.axis_labels == tuple(axes.lower())
    assert str(layer.units[2]) == "micrometer"


@pytest.mark.parametrize("suffix", [".json", ".zarr", ".ctc"])
def test_saved_with_the_file_menu(tmp_path, suffix):
    viewer = ViewerModel()
    layer = viewer.add_labels(
        labels(), name="cells", scale=(3, 0.5, 0.25), axis_labels=("z", "y", "x"), units="um"
    )
    for _ in range(2):  # the second time it is replaced
        (written,) = viewer.layers.save(str(tmp_path / f"cells{suffix}"), plugin=PLUGIN)
    stack = open_masklets(written)
    np.testing.assert_array_equal(np.asarray(stack.data), layer.data)
    if suffix != ".ctc":
        assert (stack.axes, stack.unit) == ("ZYX", "micrometer")
        assert stack.scale == {"Z": 3, "Y": 0.5, "X": 0.25}


@pytest.mark.parametrize(
    ("first", "unit", "step"), [("t", "minute", 300), ("z", "um", 5000), ("t", "pixel", 5)]
)
def test_steps_are_saved_in_seconds_and_one_unit_of_length(tmp_path, first, unit, step):
    units = (unit, "nm", "nm") if unit != "pixel" else None
    layer = Labels(labels(), scale=(5, 2, 2), axis_labels=(first, "y", "x"), units=units)
    data, meta, _ = layer.as_layer_data_tuple()
    (written,) = write_zarr(str(tmp_path / "a.zarr"), data, meta)
    expected = {first.upper(): step, "Y": 2, "X": 2}
    assert open_masklets(written).scale == pytest.approx(expected)


def test_a_plain_name_is_still_saved_by_napari(tmp_path):
    viewer = ViewerModel()
    viewer.add_labels(labels(), name="cells")
    (written,) = viewer.layers.save(str(tmp_path / "cells"))
    assert written.endswith(".tif")


def test_labels_of_four_axes_are_refused(tmp_path):
    data, meta, _ = Labels(np.zeros((2, 2, 8, 8), np.uint8), name="volume").as_layer_data_tuple()
    with pytest.raises(InputError, match="'volume' has 4 axes"):
        write_coco(str(tmp_path / "v.json"), data, meta)


def others(folder: Path) -> list[Path]:
    """Files and folders of other programs that look a little like ours."""
    made = []
    for name, text in (
        ("package.json", '{"name": "thing", "version": "1"}'),
        ("list.json", '[{"images": 1, "file_name": 2}]'),
        ("broken.json", "\x00\x01"),
        ("empty.json", ""),
    ):
        (folder / name).write_text(text)
        made.append(folder / name)
    (folder / "folder.json").mkdir()
    return [*made, folder / "folder.json", folder / "nothing.json"]


def test_what_is_not_ours_is_left_alone(tmp_path):
    for path in others(tmp_path):
        assert get_reader(str(path)) is None, path
        assert session_files.get_reader(str(path)) is None, path
    assert get_reader([str(tmp_path / "package.json")]) is None
    (tmp_path / "bad.ns2.json").write_text('{"images": 1, "file_name": 2}')
    assert get_reader(str(tmp_path / "bad.ns2.json")) is None
    read = session_files.get_reader(str(tmp_path / "bad.ns2.json"))
    with pytest.raises(InputError, match="lacks"):
        read(str(tmp_path / "bad.ns2.json"))


@pytest.fixture
def session(open_desk, tmp_path) -> Path:
    """A session on channel 1 of a file in plane 2, with one object on all frames."""
    data = np.zeros((6, 4, 2, 80, 100), np.uint8)
    data[:, 2, 1] = blobs()
    image = tmp_path / "cells.tif"
    tifffile.imwrite(image, data, imagej=True, metadata={"axes": "TZCYX"})
    desk = open_desk()
    opened = open_all(image)
    desk.viewer.add_image(opened.data, **image_settings(opened, 1))
    desk.done()
    desk.viewer.dims.set_current_step(1, 0)
    desk.viewer.dims.set_current_step(2, 2)
    desk.widget.set_image(desk.viewer.layers[0])
    desk.done()
    assert desk.layers.geometry.fixed == {1: 2}
    desk.point(0, 20, 20)
    desk.done()
    desk.widget.propagate()
    desk.done()
    desk.widget.save_session(tmp_path / "cells.ns2.json")
    desk.done()
    return tmp_path / "cells.ns2.json"


def test_a_session_dropped_on_napari(shared_viewer, session, monkeypatch):
    monkeypatch.setattr("napari_sam2.widgets.session.controller.SessionOpener", FakeFactory)
    viewer = shared_viewer
    try:
        (image,) = viewer.open(session, plugin=PLUGIN)
        assert image.name == "cells"
        until(lambda: viewer.window.dock_widgets)
        widget = viewer.window.dock_widgets["SAM 2 masklets"]
        assert isinstance(widget, MaskletsWidget)
        widget.wait()
        bench = widget.workbench
        assert bench.source.channel == 1
        assert bench.layers.geometry.fixed == {1: 2}
        found = viewer.layers["masklets"].data
        assert found.shape == (6, 4, 80, 100)
        for frame in range(6):
            assert found[frame, 2, 20, 20 + 2 * frame] == 1
        # And back: the layer is saved as a session by napari's own menu.
        (written,) = viewer.layers["masklets"].save(
            str(session.with_name("again.ns2.json")), plugin=PLUGIN
        )
        assert json.loads(Path(written).read_text())["image"]["channel"] == 1
        with pytest.raises(OutputError, match="has no session"):
            viewer.add_labels(labels(), name="other").save(
                str(session.with_name("other.ns2.json")), plugin=PLUGIN
            )
    finally:
        widget = viewer.window.dock_widgets["SAM 2 masklets"]
        viewer.window.remove_dock_widget(widget)
        widget.shut_down()
        viewer.layers.clear()
        process_events()


def test_a_session_whose_image_is_gone(session):
    (session.parent / "cells.tif").unlink()
    with pytest.raises(Exception, match="give the image, too: open it"):
        ViewerModel().open(session, plugin=PLUGIN)


@pytest.fixture
def saved(desk, monkeypatch):
    """Saves the masklets of the desk as a session, as napari's File menu does."""
    monkeypatch.setattr(session_files.napari, "current_viewer", lambda: desk.viewer)
    monkeypatch.setattr(scripting, "open_widget", lambda _: desk.widget)
    return lambda path: session_files.write_session(str(path), desk.layers.labels.data, {})


def test_a_session_that_cannot_be_saved_is_said_although_there_is_an_older_file(
    desk, saved, tmp_path, monkeypatch
):
    path = tmp_path / "old.ns2.json"
    desk.point(0, 20, 20)
    desk.done()
    assert saved(path) == [str(path)]
    with monkeypatch.context() as patched:
        patched.setattr(keeping, "save_session", full)
        with pytest.raises(OutputError, match="no space left"):
            saved(path)
    desk.widget.choose_model("micro", "cpu")
    with pytest.raises(OutputError, match="model is still loading"):
        saved(tmp_path / "new.ns2.json")


def full(path: Path, *_: object) -> None:
    raise OutputError(f"cannot write {path}: no space left on the disk")


def test_saving_does_not_wait_for_a_propagation(desk, factory, saved, tmp_path):
    desk.point(0, 20, 20)
    desk.done()
    gate = factory.sessions[-1].gate
    gate.clear()
    desk.widget.propagate()
    try:
        with pytest.raises(OutputError, match="Cancel the propagation first"):
            saved(tmp_path / "new.ns2.json")
    finally:
        gate.set()
    desk.done()
    saved(tmp_path / "new.ns2.json")


@pytest.mark.parametrize("kind", DROPPED)
def test_exported_dropped_imported_corrected_and_exported_again(open_desk, tmp_path, kind):
    export_masklets(tmp_path / FILES[kind], labels(), kind)
    desk = open_desk(blobs())
    (layer,) = desk.viewer.open(tmp_path / FILES[kind], plugin=PLUGIN)
    menu_of(desk, "Masklets from a layer")[layer.name].trigger()
    desk.done()
    assert desk.status.startswith("Imported.")
    np.testing.assert_array_equal(desk.layers.labels.data, labels())
    desk.widget.export(tmp_path / "again.tif")
    desk.done()
    np.testing.assert_array_equal(open_masklets(tmp_path / "again.tif").data, labels())
    desk.widget.object_id = 7
    desk.point(4, 55, 68)
    desk.done()
    assert desk.frame(4)[55, 68] == 7
    for _ in range(2):
        desk.widget.undo()
        desk.done()
    assert not desk.layers.labels.data.any()
    desk.widget.redo()
    desk.done()
    np.testing.assert_array_equal(desk.layers.labels.data, labels())


def test_folders_are_left_to_the_readers_of_others(tmp_path):
    export_masklets(tmp_path / "01_RES", labels(), "ctc")
    (tmp_path / "01_RES" / "res_track.txt").unlink()
    (layer,) = ViewerModel().open(tmp_path / "01_RES")  # without asking which reader to take
    np.testing.assert_array_equal(np.asarray(layer.data), labels())
