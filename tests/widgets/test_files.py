"""Masklets and sessions through napari's own File menu: opened, saved, and left alone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fakes import FakeFactory, blobs
from menus import submenu
from napari.components import ViewerModel
from napari.layers import Labels
from npe2 import PluginManager
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from napari_sam2 import export_masklets, open_masklets
from napari_sam2.layer_data import image_settings
from napari_sam2.layer_reader import get_reader
from napari_sam2.layer_writer import write_coco, write_zarr
from napari_sam2.stacks import open_all
from napari_sam2.tracking import keeping
from napari_sam2.tracking.errors import InputError, OutputError
from napari_sam2.widgets import scripting, session_files
from napari_sam2.widgets.dock import MaskletsWidget
from napari_sam2.widgets.sources import Part
from napari_sam2.widgets.worker import process_events

PLUGIN = "napari-sam2"
DROPPED = {"coco": "coco.json", "sa-v": "video.json"}
FILES = {**DROPPED, "ctc": "01_RES", "zarr": "labels.zarr", "tiff": "labels.tif"}
MANIFEST = Path(__file__).resolve().parents[2] / "src" / "napari_sam2" / "napari.yaml"


@pytest.fixture(autouse=True)
def plugin() -> None:
    """napari's plugins, with the manifest of this checkout."""
    manager = PluginManager.instance()
    manager.discover()
    if PLUGIN in manager._manifests:
        manager.unregister(PLUGIN)
    from npe2 import PluginManifest

    manager.register(PluginManifest.from_file(MANIFEST))


def labels() -> np.ndarray:
    """Object 300 on all frames, object 7 on the first four; (6, 80, 100)."""
    cells = (blobs() > 0).astype(np.uint16)
    cells[:, :40] *= 300
    cells[:, 40:] *= 7
    cells[4:, 40:] = 0
    return cells


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
    monkeypatch.setattr("napari_sam2.widgets.controller.SessionOpener", FakeFactory)
    viewer = shared_viewer
    try:
        (image,) = viewer.open(session, plugin=PLUGIN)
        assert image.name == "cells"
        end = time.monotonic() + 60
        while not viewer.window.dock_widgets and time.monotonic() < end:
            process_events()
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
        widget._shut_down()
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


def menu_of(desk, name: str) -> dict:
    """Actions of a menu of 'More' by name."""
    part = submenu(desk.widget._session_actions.menu(), name)
    return {action.text(): action for action in part.actions()}


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


def test_imports_do_not_take_the_ids_of_others(open_desk):
    desk = open_desk(blobs())
    desk.point(0, 20, 20)
    desk.done()
    layer = desk.viewer.add_labels((labels() == 7).astype(np.uint8), name="other")
    desk.widget.workbench.seeding.adopt(layer)
    desk.done()
    assert desk.widget.session.object_ids == [1, 2]
    small = desk.viewer.add_labels(np.zeros((6, 4, 4), np.uint8), name="small")
    desk.widget.workbench.seeding.adopt(small)
    desk.done()
    assert "choose labels of the same image" in desk.status


def test_folders_are_left_to_the_readers_of_others(tmp_path):
    export_masklets(tmp_path / "01_RES", labels(), "ctc")
    (tmp_path / "01_RES" / "res_track.txt").unlink()
    (layer,) = ViewerModel().open(tmp_path / "01_RES")  # without asking which reader to take
    np.testing.assert_array_equal(np.asarray(layer.data), labels())


def choose_for_import(desk, monkeypatch, path: Path) -> None:
    """Take the entry of the menu, with this answer to its dialog."""
    opened = (lambda *_: str(path)) if path.is_dir() else (lambda *_: (str(path), ""))
    name = "getExistingDirectory" if path.is_dir() else "getOpenFileName"
    monkeypatch.setattr(f"napari_sam2.widgets.session_form.QFileDialog.{name}", opened)
    entries = menu_of(desk, "Import masklets")
    (chosen,) = [a for text, a in entries.items() if ("a folder" in text) == path.is_dir()]
    chosen.trigger()
    desk.done()


@pytest.mark.parametrize("kind", [*FILES, "imagej", "plain"])
def test_imported_with_the_menu(open_desk, tmp_path, monkeypatch, kind):
    path = tmp_path / FILES.get(kind, "labels.tif")
    if kind == "plain":
        tifffile.imwrite(path, labels(), photometric="minisblack")
    else:
        export_masklets(path, labels(), kind)
    desk = open_desk(blobs(), scale=(3, 0.5, 0.25), translate=(1, 2, 3))
    choose_for_import(desk, monkeypatch, path)
    assert desk.status.startswith("Imported.")
    np.testing.assert_array_equal(desk.layers.labels.data, labels())
    layer = desk.viewer.layers[path.name.split(".")[0]]
    np.testing.assert_array_equal(np.asarray(layer.data), labels())
    np.testing.assert_allclose(layer.scale, (3, 0.5, 0.25))
    np.testing.assert_allclose(layer.translate, (1, 2, 3))
    assert not layer.visible  # the masklets show the same
    assert desk.viewer.layers.selection.active is desk.layers.points
    desk.widget.undo()
    desk.done()
    assert not desk.layers.labels.data.any()


def test_a_cancelled_dialog_imports_nothing(desk, monkeypatch):
    before = list(desk.viewer.layers)
    for name, answer in (("getExistingDirectory", ""), ("getOpenFileName", ("", ""))):
        dialog = f"napari_sam2.widgets.session_form.QFileDialog.{name}"
        monkeypatch.setattr(dialog, lambda *_, answer=answer: answer)
    for action in menu_of(desk, "Import masklets").values():
        action.trigger()
    desk.done()
    assert list(desk.viewer.layers) == before


def test_what_cannot_be_imported_is_said(desk, tmp_path, monkeypatch):
    before = list(desk.viewer.layers)
    export_masklets(tmp_path / "small.tif", labels()[:, :40], "tiff")
    choose_for_import(desk, monkeypatch, tmp_path / "small.tif")
    assert "'small.tif' has the shape (6, 40, 100)" in desk.status
    (tmp_path / "empty").mkdir()
    choose_for_import(desk, monkeypatch, tmp_path / "empty")
    assert "empty" in desk.status
    assert list(desk.viewer.layers) == before
    assert not desk.widget.workbench.used_ids


def test_objects_from_regions_of_imagej(open_desk, tmp_path, monkeypatch):
    """A box on its slice, and what has no slice on that on screen; one undo."""
    box = ImagejRoi(roitype=ROI_TYPE.RECT, top=20, left=26, bottom=28, right=36, position=5)
    points = ImagejRoi.frompoints([(30, 60), (60, 24)])
    points.roitype = ROI_TYPE.POINT
    roiwrite(tmp_path / "RoiSet.zip", [box, points], name=["box", "points"])
    chosen = (str(tmp_path / "RoiSet.zip"), "")
    dialog = "napari_sam2.widgets.session_form.QFileDialog.getOpenFileName"
    monkeypatch.setattr(dialog, lambda *_: chosen)
    desk = open_desk(blobs())
    desk.widget._session_actions.add_rois()
    desk.done()
    here, prompts = desk.widget.workbench.frame_on_screen, desk.widget.session.prompts
    assert {i: list(by_frame) for i, by_frame in prompts.items()} == {1: [4], 2: [here], 3: [here]}
    np.testing.assert_array_equal(prompts[1][4].box, [[20, 26], [27, 35]])
    np.testing.assert_array_equal(prompts[2][here].points, [[60, 30]])
    desk.widget.undo()
    desk.done()
    assert not desk.widget.session.prompts
    (tmp_path / "RoiSet.zip").write_bytes(b"nonsense")
    desk.widget._session_actions.add_rois()
    assert "RoiSet.zip holds no regions that can be read" in desk.status


@pytest.mark.parametrize("along", ["t", "z"])
def test_imported_into_a_plane(open_desk, tmp_path, monkeypatch, along):
    """Of (T, Z, Y, X), the cells at index 2 of the other axis."""
    data = np.zeros((6, 4, 80, 100), np.uint8)
    data[:, 2] = blobs()
    data = data if along == "t" else data.swapaxes(0, 1)
    export_masklets(tmp_path / "labels.tif", labels(), "tiff")
    desk = open_desk(
        data, axis_labels=("t", "z", "y", "x"), scale=(5, 4, 3, 2), translate=(1, 1, 1, 1)
    )
    axis = "tz".index(along)
    desk.widget.set_image(desk.viewer.layers["cells"], axis, Part(planes={1 - axis: 2}))
    desk.done()
    choose_for_import(desk, monkeypatch, tmp_path / "labels.tif")
    for frame in range(6):
        np.testing.assert_array_equal(desk.frame(frame), labels()[frame])
    layer = desk.viewer.layers["labels"]
    world = desk.layers.labels.data_to_world(desk.layers.geometry.to_data(3, 20, 26))
    assert np.asarray(layer.data)[tuple(np.round(layer.world_to_data(world)).astype(int))] == 300
    desk.widget.undo()
    desk.done()
    menu_of(desk, "Objects from a layer")["labels"].trigger()  # it fits there, too
    desk.done()
    assert desk.widget.session.object_ids == [7, 300]


@pytest.mark.parametrize("along", ["t", "z"])
@pytest.mark.parametrize("named", ["both", "swapped", "image", "file", "channels", "none", "ctc"])
def test_of_labels_of_all_planes_the_one_on_screen_is_imported(
    open_desk, tmp_path, monkeypatch, named, along
):
    """By the names of the axes; by their order where the image or the file has none."""
    axis = "tz".index(along)
    data = np.zeros((6, 6, 80, 100), np.uint16)  # as long as deep: nothing else tells them apart
    data[:, 2] = labels()
    data = data if along == "t" else data.swapaxes(0, 1)
    image = {"axis_labels": ("t", "z", "y", "x")} if named not in ("file", "none") else {}
    path = tmp_path / ("labels.npy" if named in ("image", "none") else "labels.tif")
    if path.suffix == ".npy":
        np.save(path, data)
    elif named == "ctc":
        path = tmp_path / "01_RES"
        path.mkdir()
        (path / "man_track.txt").write_text("300 0 5 0\n7 0 3 0\n")
        for t, volume in enumerate(data):
            tifffile.imwrite(path / f"mask{t:03}.tif", volume)
    else:
        letters = {"both": "TZYX", "swapped": "ZTYX", "file": "TZYX", "channels": "TCYX"}[named]
        written = data.swapaxes(0, 1) if named == "swapped" else data
        tifffile.imwrite(path, written, metadata={"axes": letters}, ome=True)
    desk = open_desk((data > 0).astype(np.uint8), **image)
    desk.widget.set_image(desk.viewer.layers["cells"], axis, Part(-1, planes={1 - axis: 2}))
    desk.done()
    choose_for_import(desk, monkeypatch, path)
    assert desk.status.startswith("Imported."), desk.status
    for frame in range(6):
        np.testing.assert_array_equal(desk.frame(frame), labels()[frame])
    assert not desk.layers.labels.data.swapaxes(0, axis)[:, [0, 1, 3, 4, 5]].any()


def test_of_five_axes_the_plane_is_imported(open_desk, tmp_path, monkeypatch):
    data = np.zeros((2, 6, 3, 80, 100), np.uint16)
    data[1, :, 2] = labels()
    np.save(tmp_path / "labels.npy", data)
    desk = open_desk((data > 0).astype(np.uint8))
    part = Part(-1, planes={0: 1, 2: 2})
    desk.widget.set_image(desk.viewer.layers["cells"], 1, part)
    desk.done()
    choose_for_import(desk, monkeypatch, tmp_path / "labels.npy")
    np.testing.assert_array_equal(desk.layers.labels.data, data)


@pytest.mark.parametrize("shape", [(6, 4, 80, 100), (6, 5, 80, 100)])
def test_labels_with_other_axes_than_the_image(open_desk, tmp_path, monkeypatch, shape):
    """What is said can be done in the window."""
    tifffile.imwrite(
        tmp_path / "labels.tif", np.ones(shape, np.uint8), imagej=True, metadata={"axes": "TZYX"}
    )
    data = blobs() if shape[1] == 4 else np.zeros((6, 4, 80, 100), np.uint8)
    desk = open_desk(data, axis_labels=("t", "z", "y", "x")[-data.ndim :])
    choose_for_import(desk, monkeypatch, tmp_path / "labels.tif")
    assert f"has the shape {shape}, but the image {data.shape}" in desk.status
    assert "or of its frames alone: (6, 80, 100)" in desk.status
    assert not desk.widget.workbench.used_ids


@pytest.fixture
def busy_desk(open_desk):
    """A desk with an object, and a layer of two others over it."""
    desk = open_desk(blobs())
    desk.point(0, 20, 20)
    desk.done()
    return desk, desk.viewer.add_labels(labels(), name="other")


@pytest.mark.parametrize("calls", [0, 1, 2, 6])
def test_an_import_shows_how_far_it_is_and_ends_early(busy_desk, calls):
    """It is cancelled at once, while a frame is taken in, or with the last one."""
    desk, layer = busy_desk
    before, session = desk.layers.labels.data.copy(), desk.widget.session
    original, ran = session.result, []

    def result(frame):
        run = desk.widget.controller.run
        ran.append((run.done, run.total))
        if len(ran) == calls:
            run.cancelled.set()
        return original(frame)

    session.result = result
    desk.widget.workbench.seeding.adopt(layer)
    if not calls:
        desk.widget.cancel()
    desk.done()
    assert "cancelled" in desk.status
    assert ran == [(6 + k, 12) for k in range(calls)]  # all frames were read before
    np.testing.assert_array_equal(desk.layers.labels.data, before)
    assert session.object_ids == [1]
    session.result = original
    desk.widget.workbench.seeding.adopt(layer)
    desk.done()
    assert session.object_ids == [1, 8, 301]


def test_seeds_that_are_cancelled_leave_nothing(busy_desk):
    desk, layer = busy_desk
    before, session = desk.layers.labels.data.copy(), desk.widget.session
    original = session.result

    def result(frame):
        desk.widget.controller.run.cancelled.set()
        return original(frame)

    session.result = result
    desk.widget.workbench.seeding.add_layer(layer)
    desk.done()
    assert "cancelled" in desk.status
    np.testing.assert_array_equal(desk.layers.labels.data, before)
    assert session.object_ids == list(desk.layers.prompts) == [1]
