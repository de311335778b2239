"""Masklets come from files and layers: with the menu, into a plane, from other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from fakes import blobs
from menus import menu_of
from roifile import ROI_TYPE, ImagejRoi, roiwrite
from written import FILES, labels

from napari_sam2 import export_masklets
from napari_sam2.widgets.layers.sources import Part

pytestmark = pytest.mark.usefixtures("plugin")


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


def choose_for_import(desk, monkeypatch, path: Path) -> None:
    """Take the entry of the menu, with this answer to its dialog."""
    opened = (lambda *_: str(path)) if path.is_dir() else (lambda *_: (str(path), ""))
    name = "getExistingDirectory" if path.is_dir() else "getOpenFileName"
    monkeypatch.setattr(f"napari_sam2.widgets.form.session_form.QFileDialog.{name}", opened)
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
        dialog = f"napari_sam2.widgets.form.session_form.QFileDialog.{name}"
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
    dialog = "napari_sam2.widgets.form.session_form.QFileDialog.getOpenFileName"
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


@pytest.mark.parametrize(
    ("named", "along"),
    [
        ("both", "z"),
        ("swapped", "t"),
        ("swapped", "z"),
        ("image", "t"),
        ("file", "z"),
        ("channels", "t"),
        ("none", "z"),
        ("ctc", "t"),
    ],
)
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
