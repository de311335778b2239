"""Z-stacks in 3D and back, by real mouse and key events in a real window."""

from __future__ import annotations

import itertools
from importlib import resources
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeFactory, blobs
from hands import until
from npe2 import PluginManifest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QInputDialog

from napari_sam2.training.samples import sample_zstack
from napari_sam2.widgets.canvas.picking import values_at, voxels_along
from napari_sam2.widgets.scripts import scripting
from napari_sam2.widgets.verbs import following

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
ZYX = ("z", "y", "x")
SMALL, LARGE = (5, 20, 25), (6, 50, 65)  # the middles, (z, y, x)


def balls(length: int = 12) -> np.ndarray:
    """Two bright balls in a volume (Z, Y, X), flat along z by the half."""
    z, y, x = np.mgrid[:length, :80, :100]
    volume = np.zeros(z.shape, np.uint8)
    for (cz, cy, cx), r in ((SMALL, 8), (LARGE, 11)):
        inside = 4 * (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= r * r
        volume[inside] = 200
    return volume


def followed_balls(make):
    """A window with both balls clicked on, on frame 5, and followed."""
    return followed(make(balls(), axis_labels=ZYX, scale=(2, 1, 1)))


@pytest.fixture
def volume(kept):
    """The same window for many tests; each finds it as it was."""
    window = kept.window(followed_balls)
    before, angles = said(window), camera(window).angles
    yield window
    with kept.put_back():
        put_back(window, before)
        camera(window).angles = angles


def put_back(window, before) -> None:
    widget, viewer = window.widget, window.viewer
    window.done()
    if viewer.dims.ndisplay == 3:
        widget.show_in_3d()
    for layer in [la for la in viewer.layers if la.name == "what the model sees"]:
        viewer.layers.remove(layer)
    widget.panels.editor.show([1, 2], True)
    for layer in viewer.layers:
        layer.visible = True
    while len(widget.controller.record.history.steps) > len(before[-1]):
        widget.undo()
        window.done()
    widget.object_id = 2
    widget.workbench.tools.use("point")
    widget.workbench.show_frame(5)
    viewer.reset_view()
    window.leave()
    widget.wait(60, panels=True)
    window.settle()
    assert viewer.dims.ndisplay == 2
    assert len(viewer.layers) == 4
    assert said(window) == before


def followed(window):
    for number, (_, y, x) in enumerate((SMALL, LARGE)):
        window.widget.workbench.show_frame(5)
        if number:
            window.key("N")
        window.click(y, x)
        window.done()
    window.key("G")
    window.done()
    assert (window.layers.labels.data == 2).any()
    return window


def space(window):
    return window.widget.workbench.space


def frame(window) -> int:
    return window.widget.workbench.frame_on_screen


def camera(window):
    return window.viewer.scene.camera


def place(window, z: float, y: float, x: float) -> QPointF:
    """Where on the canvas a voxel is, in 3D."""
    labels = window.layers.labels
    data = np.zeros(labels.ndim)
    data[list(window.layers.geometry.plane)] = y, x
    data[window.layers.geometry.axis] = z
    for axis, step in window.layers.geometry.fixed.items():
        data[axis] = step
    world = labels.data_to_world(data)
    offset = window.viewer.dims.ndim - labels.ndim
    shown = [world[d - offset] for d in window.viewer.dims.displayed]
    view = window.viewer.window._qt_viewer.canvas.view
    mapped = (view.transform * view.scene.transform).map(shown[::-1])
    return QPointF(*(mapped[:2] / mapped[3]).astype(float))


def click(window, z: float, y: float, x: float) -> None:
    """Click on a voxel, in 3D."""
    drag(window, place(window, z, y, x))


def drag(window, *places: QPointF) -> None:

    none = Qt.MouseButton.NoButton
    window._mouse(QEvent.Type.MouseMove, places[0], none, none)
    window._mouse(QEvent.Type.MouseButtonPress, places[0], LEFT, LEFT)
    for start, end in itertools.pairwise(places):
        for part in (0.25, 0.5, 0.75, 1.0):
            window._mouse(QEvent.Type.MouseMove, start + (end - start) * part, none, LEFT)
    window._mouse(QEvent.Type.MouseButtonRelease, places[-1], LEFT, none)
    window.settle()


def said(window):
    """All that only prompts and their answers may change."""
    layers = window.layers
    return [
        np.array(layers.points.data).tolist(),
        [np.array(data).tolist() for data in layers.shapes.data],
        np.array(layers.labels.data).tobytes(),
        list(window.widget.controller.record.history.steps),
    ]


def coloured(window) -> int:
    """Pixels of the canvas that are not grey."""
    shot = window.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    return int((np.ptp(shot, axis=-1) > 40).sum())


def buttons(window):
    return window.viewer.window._qt_viewer.viewerButtons


@pytest.mark.parametrize("way", ["key", "button", "menu", "napari"])
def test_there_and_back(volume, way):
    window, before = volume, said(volume)
    form = window.widget.form

    def toggle():
        match way:
            case "key":
                window.key("Y", SHIFT)
            case "button":
                window.press(form.objects.space)
            case "menu":
                menu = window.widget._session_actions.menu()
                next(a for a in menu.actions() if "(Shift+Y)" in a.text()).trigger()
            case "napari":
                QTest.mouseClick(buttons(window).ndisplayButton, LEFT)
        window.settle()

    window.widget.workbench.show_frame(8)
    camera(window).zoom *= 2
    zoom, centre = camera(window).zoom, camera(window).center
    for _ in range(1 if way in ("button", "menu") else 2):  # which do what the key does
        toggle()
        assert window.viewer.dims.ndisplay == 3
        assert form.objects.space.isChecked()
        assert frame(window) == space(window).mark.frame == 8
        assert window.layers.points.mode == "pan_zoom"
        assert not any(tool.isChecked() for tool in form.tools.values())
        toggle()
        assert window.viewer.dims.ndisplay == 2
        assert not form.objects.space.isChecked()
        assert space(window).mark.frame is None
        assert frame(window) == 8
        assert window.widget.workbench.tools.current == "point"
    assert window.viewer.layers["cells"].visible
    if way != "napari":
        assert camera(window).zoom == pytest.approx(zoom)
        assert camera(window).center == pytest.approx(centre)
    assert said(window) == before
    window.widget.workbench.show_frame(5)
    window.click(50, 65)
    window.done()
    assert len(window.widget.session.prompts[2][5].points) == 2


@pytest.mark.parametrize(
    ("tool", "toggle"),
    [("box", "napari"), ("polygon", "key"), ("brush", "napari")],
)
def test_the_tool_comes_back(volume, tool, toggle):
    window = volume
    window.press(window.widget.form.tools[tool])
    for current in (None, tool):
        if toggle == "key":
            window.key("Y", SHIFT)
        else:
            QTest.mouseClick(buttons(window).ndisplayButton, LEFT)
            window.settle()
        assert window.widget.workbench.tools.current == current
    assert window.widget.form.tools[tool].isChecked()


def test_masklets_are_seen_alone_and_in_proportion(volume):
    window = volume
    image, labels = window.viewer.layers["cells"], window.layers.labels
    opacity = labels.opacity
    window.key("Y", SHIFT)
    assert not image.visible
    assert labels.opacity == 1
    np.testing.assert_array_equal(labels.scale, (2, 1, 1))
    assert coloured(window) > 500
    # A ball that is flat in voxels is round with its scale: as wide as high, from the side.
    window.layers.points.visible = False
    window.widget.panels.editor.show([1], False)
    camera(window).set_view_direction((0, 1, 0), (-1, 0, 0))
    window.widget.wait(60, panels=True)
    window.settle()
    shot = window.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    rows, columns = np.nonzero(np.ptp(shot, axis=-1) > 40)
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), rel=0.15)
    window.key("Y", SHIFT)
    assert image.visible
    assert labels.opacity == opacity


def test_the_command_in_the_palette(volume):
    manifest = PluginManifest.from_file(resources.files("napari_sam2") / "napari.yaml")
    (name,) = [c.python_name for c in manifest.contributions.commands if "3d" in c.id]
    command = getattr(scripting, name.removeprefix("napari_sam2.widgets.scripts.scripting:"))
    for displayed in (3, 2):
        command(volume.viewer)
        assert volume.viewer.dims.ndisplay == displayed


def test_drawing_a_volume_takes_a_fifth_of_the_time(monkeypatch):
    clock, drawn = [0.0], []
    monkeypatch.setattr(following, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    pulse = following.Pulse()
    assert not pulse.due(False)
    for _ in range(1000):  # a timer of 10 ms, and 100 ms to draw
        clock[0] += 0.01
        if pulse.due(True):
            drawn.append(clock[0])
            clock[0] += 0.1
    assert 0.15 < len(drawn) * 0.1 / clock[0] < 0.2
    for _ in range(200):  # what came last is drawn, too, but once
        clock[0] += 0.01
        if pulse.due(False):
            drawn.append(clock[0])
    assert drawn[-1] < clock[0] - 1


def test_places_on_disk_are_read_as_those_in_memory(tmp_path):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=(12, 80, 100), dtype="u1")
    array[:] = balls()
    places = voxels_along(np.zeros(3), np.array([11.9, 79.9, 99.9]), array.shape)
    assert (places >= 0).all()
    assert (places < array.shape).all()
    assert np.abs(np.diff(places, axis=0)).max() == 1  # no voxel is jumped over
    np.testing.assert_array_equal(values_at(array, places), values_at(balls(), places))
    assert values_at(array, places).any()


def test_a_click_chooses_the_masklet_and_its_frame(volume):
    window, before = volume, said(volume)
    window.key("Y", SHIFT)
    click(window, *SMALL)
    assert window.widget.object_id == 1
    assert frame(window) <= 5  # its near side
    assert window.status.startswith(f"Object 1, frame {frame(window)}.")
    there = place(window, *LARGE)
    drag(window, there, there + QPointF(2, 1))  # hands tremble
    assert window.widget.object_id == 2
    here = frame(window)
    assert window.frame(here)[LARGE[1] - 11 : LARGE[1] + 12].any()
    assert space(window).mark.frame == here
    timeline = window.widget.panels.panel.timeline
    assert (timeline._frame, timeline._object_id) == (here, 2)
    click(window, 5, 70, 10)
    assert window.status.startswith("No masklet there. Prompts are made in 2D")
    assert said(window) == before
    window.key("Y", SHIFT)
    assert frame(window) == here


def test_the_nearest_masklet_in_sight_is_chosen(volume):
    window = volume
    window.layers.labels.data[0, 40:60, 50:80] = 1  # in front of the large ball
    window.key("Y", SHIFT)
    camera(window).set_view_direction((1, 0, 0), (0, -1, 0))
    space(window).fit()
    click(window, *LARGE)
    assert (window.widget.object_id, frame(window)) == (1, 0)
    window.widget.panels.editor.show([1], False)
    click(window, *LARGE)
    assert window.widget.object_id == 2
    assert frame(window) == np.nonzero(window.layers.labels.data[:, 50, 65] == 2)[0][0]
    window.layers.labels.data[0, 40:60, 50:80] = 0


def test_a_drag_turns_the_view(volume):
    window, before = volume, said(volume)
    window.key("Y", SHIFT)
    angles, chosen = camera(window).angles, window.widget.object_id
    middle = place(window, *SMALL)
    drag(window, middle, middle + QPointF(60, 30))
    assert camera(window).angles != angles
    assert window.widget.object_id == chosen
    assert said(window) == before


def test_prompts_in_3d_are_refused(volume):
    window, before = volume, said(volume)
    window.key("Y", SHIFT)
    for tool in ("point", "box", "polygon"):
        window.press(window.widget.form.tools[tool])
        assert "Prompts are made in 2D" in window.status
        assert window.widget.workbench.tools.current is None
        click(window, *LARGE)
    window.widget.form.say("", "info")
    window.key("2")  # napari's key for adding points
    assert "Prompts are made in 2D" in window.status
    assert window.layers.points.mode == "pan_zoom"
    click(window, *LARGE)
    window.done()
    assert said(window) == before
    window.key("Y", SHIFT)  # the last one that was asked for
    assert window.widget.workbench.tools.current == "polygon"


def test_the_brush_works_on_what_is_there(volume):
    window = volume
    window.key("Y", SHIFT)
    window.press(window.widget.form.tools["brush"])
    window.layers.labels.mode = "erase"
    window.layers.labels.brush_size = 6
    camera(window).set_view_direction((1, 0, 0), (0, -1, 0))
    space(window).fit()
    window.settle()
    near = np.nonzero(window.layers.labels.data[:, 50, 65] == 2)[0][0]
    before = window.frame(near).copy()
    click(window, *LARGE)
    window.done()
    assert before[50, 65] == 2
    assert window.frame(near)[50, 65] == 0
    prompt = window.widget.session.prompts[2][near]
    np.testing.assert_array_equal(prompt.mask, window.frame(near) == 2)
    window.key("Z", Qt.KeyboardModifier.ControlModifier)
    window.done()
    np.testing.assert_array_equal(window.frame(near), before)
    window.key("Y", SHIFT)
    assert window.widget.workbench.tools.current == "brush"


def test_the_timeline_and_keys_in_3d(volume):
    window = volume
    window.key("Y", SHIFT)
    window.widget.wait(60, panels=True)
    view = window.widget.panels.panel.timeline
    QTest.mouseClick(view.viewport(), LEFT, NONE, QPoint(round(view.x_of(3)), round(view.y_of(0))))
    assert (frame(window), window.widget.object_id) == (3, 1)
    assert space(window).mark.frame == 3
    window.key("N")
    assert "click on a cell in 2D" in window.status
    window.key("Z", Qt.KeyboardModifier.ControlModifier)
    window.done()
    assert "Undone: propagation" in window.status
    assert not window.frame(3).any()
    window.key("Z", Qt.KeyboardModifier.ControlModifier | SHIFT)
    window.done()
    assert window.frame(3).any()
    window.key("Y", SHIFT)
    assert frame(window) == 3


def test_no_preview_in_3d(volume):
    window = volume
    window.key("N")
    window.key("Y", SHIFT)
    before = list(window.widget.session.previewed)
    drag(window, place(window, *LARGE))
    window.rest()
    assert window.widget.hover.picture.mask is None
    assert window.widget.session.previewed == before
    window.key("Y", SHIFT)
    window.hover(*LARGE[1:])
    window.rest()
    assert window.widget.session.previewed != before


def test_what_the_model_sees_in_3d(volume):
    window = volume
    window.key("Y", SHIFT)
    menu = window.widget._session_actions.menu()
    next(a for a in menu.actions() if a.text() == "What the model sees").trigger()
    window.done()
    assert "the network sees this" in window.status
    assert coloured(window) > 500
    window.key("Y", SHIFT)
    assert "what the model sees" in window.viewer.layers
    assert coloured(window) > 100


# --- in windows of their own -----------------------------------------------------------------


def test_images_stay_where_there_is_nothing_else(open_window):
    window = open_window(balls(), axis_labels=ZYX, scale=(2, 1, 1))
    window.key("Y", SHIFT)
    window.click(*LARGE[1:])
    window.done()
    window.key("Y", SHIFT)
    assert window.viewer.layers["cells"].visible
    window.key("Y", SHIFT)


def test_what_is_seen_is_chosen(open_window):
    """napari's drawing is the judge: the object has the colour that is under the mouse."""
    images, truth = sample_zstack(12, (96, 96))
    window = open_window(images, axis_labels=ZYX, scale=(1.4, 1, 1))
    writer = window.widget.workbench.writer
    for t, labels in enumerate(truth):
        writer.write(t, labels, np.unique(labels)[1:])
    window.key("Y", SHIFT)
    window.layers.points.visible = window.layers.shapes.visible = False
    rng, compared = np.random.default_rng(0), 0
    for view, up in (((1, 0.6, 0.5), (0, -1, 0)), ((-1, 0.9, -0.3), (0, -1, 0))):
        camera(window).set_view_direction(view, up)
        space(window).fit()
        space(window).mark.hide()
        window.settle()
        shot = window.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)
        scale = shot.shape[0] / window.canvas.height()
        for at in rng.uniform((9, 9), np.array(shot.shape[:2]) - 9, (400, 2)):
            y, x = at.round().astype(int)
            patch = shot[y - 4 : y + 5, x - 4 : x + 5].reshape(-1, 3)
            length = np.linalg.norm(patch, axis=1)
            hues = patch / length[:, None].clip(1)
            if length.min() < 60 or (hues @ hues[40]).min() < 0.999:  # an edge, or nothing
                continue
            drag(window, QPointF(x / scale, y / scale))
            colour = window.layers.labels.get_color(window.widget.object_id)[:3]
            assert colour @ hues[40] / np.linalg.norm(colour) > 0.995
            compared += 1
            if compared % 8 == 0:
                break
    assert compared == 16


def test_the_volume_fills_while_it_propagates(open_window):
    # Slow enough for the gate to close between frames.
    window = open_window(
        balls(16), session_factory=FakeFactory(delay=0.1), axis_labels=ZYX, scale=(2, 1, 1)
    )
    window.widget.workbench.show_frame(5)
    window.click(*LARGE[1:])
    window.done()
    gate, slider = window.widget.session.gate, window.viewer.dims.point
    gate.clear()
    window.widget.propagate("forward")
    run = window.widget.controller.run
    window.key("Y", SHIFT)
    assert not window.viewer.layers["cells"].visible
    size = coloured(window)
    for frame_done in (2, 4):
        gate.set()
        until(lambda n=frame_done: run.done >= n)
        gate.clear()
        until(lambda least=size + 20: coloured(window) > least)
        assert window.widget.controller.run is run
        until(lambda n=frame_done: space(window).mark.frame >= 4 + n)
        size = coloured(window)
    assert window.viewer.dims.point == slider  # moving it would draw the image anew, too
    gate.set()
    window.done()
    assert frame(window) == 5  # back where the prompts are


def test_saved_and_restored_in_3d(open_window, tmp_path):
    window = followed_balls(open_window)
    window.key("Y", SHIFT)
    path = tmp_path / "balls.ns2.json"
    window.widget.save_session(path)
    window.done()
    before = np.array(window.layers.labels.data)
    window.widget.set_image(window.viewer.layers["cells"])
    window.done()
    window.widget.restore_session(path)
    window.done()
    np.testing.assert_array_equal(window.layers.labels.data, before)
    assert window.viewer.dims.ndisplay == 3
    click(window, *LARGE)
    assert window.widget.object_id == 2
    window.key("Y", SHIFT)
    assert window.widget.workbench.tools.current == "point"
    assert window.viewer.layers["cells"].visible


def test_closing_in_3d_leaves_all_as_it_was(open_window):
    window = followed_balls(open_window)
    window.key("Y", SHIFT)
    points, image = window.layers.points, window.viewer.layers["cells"]
    window.widget.workbench.show_frame(7)
    window.widget.shut_down()
    assert image.visible
    assert round(window.viewer.dims.point[0] / 2) == 7
    assert not [c for c in window.viewer.mouse_drag_callbacks if "sam2" in c.__module__]
    points.mode = "add"
    assert points.mode == "add"
    window.viewer.dims.ndisplay = 2


def test_one_volume_of_a_time_lapse(open_window):
    data = np.stack([np.zeros_like(balls()), balls(), np.zeros_like(balls())])
    window = open_window(data, axis_labels=("t", *ZYX), scale=(1, 2, 1, 1))
    window.viewer.dims.set_current_step(0, 1)
    window.widget.set_image(window.viewer.layers["cells"], 1)
    window.done()
    followed(window)
    window.key("Y", SHIFT)
    assert window.viewer.dims.displayed == (1, 2, 3)
    assert space(window).mark.frame == 5
    click(window, *SMALL)
    assert window.widget.object_id == 1
    assert frame(window) <= 5
    window.viewer.dims.set_current_step(0, 0)  # nothing is at this time
    click(window, *SMALL)
    assert "No masklet there" in window.status
    window.key("Y", SHIFT)
    assert window.viewer.dims.current_step[0] == 0


def test_a_plane_through_time_in_a_volume(open_window):
    data = np.stack([balls()] * 4)
    window = open_window(data, axis_labels=("t", *ZYX), scale=(1, 2, 1, 1))
    window.viewer.dims.set_current_step(1, 5)
    window.widget.set_image(window.viewer.layers["cells"])
    window.done()
    window.click(*LARGE[1:])
    window.done()
    window.widget.propagate()
    window.done()
    window.key("Y", SHIFT)
    assert set(window.viewer.dims.displayed) == {0, 2, 3}
    click(window, 2, *LARGE[1:])
    assert window.widget.object_id == 1
    window.key("Y", SHIFT)
    QTest.mouseClick(buttons(window).ndisplayButton, LEFT)
    window.settle()
    assert window.viewer.dims.displayed == (1, 2, 3)  # the volume at one time
    window.viewer.dims.set_current_step(0, 3)
    assert frame(window) == 3
    assert space(window).mark.frame == 3
    QTest.mouseClick(buttons(window).ndisplayButton, LEFT)
    window.settle()
    assert frame(window) == 3


def test_channels_in_3d(open_window):
    data = np.stack([balls(), balls() // 2])
    window = open_window(data, axis_labels=("c", *ZYX), scale=(1, 2, 1, 1))
    followed(window)
    window.key("Y", SHIFT)
    click(window, *LARGE)
    assert window.widget.object_id == 2
    window.key("Y", SHIFT)


def test_frames_along_the_last_axis(open_window):
    data = np.moveaxis(balls(), 0, 2)
    window = open_window(data, axis=2, axis_labels=("y", "x", "z"), scale=(1, 1, 2))
    followed(window)
    window.key("Y", SHIFT)
    assert window.viewer.dims.displayed == (2, 0, 1)
    click(window, *LARGE)
    assert window.widget.object_id == 2
    window.key("Y", SHIFT)
    assert window.viewer.dims.order == (2, 0, 1)


def test_time_as_depth_with_napari_s_button(open_window):
    window = open_window(blobs())
    window.click(55, 60)
    window.done()
    QTest.mouseClick(buttons(window).ndisplayButton, LEFT)
    window.settle()
    window.key("G")
    window.done()
    assert window.frame(5).any()
    window.viewer.dims.ndisplay = 2
    assert frame(window) == 0


def test_time_as_depth_is_said(open_window):
    window = open_window(blobs(), axis_labels=("t", "y", "x"))
    window.key("Y", SHIFT)
    assert "The third axis is time" in window.status
    assert "unknown" not in window.status


def test_one_image_has_no_depth(open_window):
    window = open_window(balls()[5])
    window.key("Y", SHIFT)
    assert window.viewer.dims.ndisplay == 2
    assert "single frame" in window.status


def test_an_unknown_step_is_said_and_asked_for(open_window, monkeypatch):
    window = open_window(balls(), axis_labels=ZYX)
    other = window.viewer.add_image(balls(), name="other channel")
    window.widget.workbench.tools.use("point")
    window.settle()
    followed(window)
    window.widget.workbench.show_frame(8)
    window.key("Y", SHIFT)
    assert "The step between slices is unknown" in window.status
    asked = []

    def answer(_parent, title, text, value, *_):
        asked.append((title, text, value))
        return 2.5, True

    monkeypatch.setattr(QInputDialog, "getDouble", answer)
    menu = window.widget._session_actions.menu()
    next(a for a in menu.actions() if a.text().startswith("Step between")).trigger()
    assert [value for *_, value in asked] == [1.0]
    for layer in (*window.layers.layers, window.viewer.layers["cells"], other):
        np.testing.assert_array_equal(layer.scale, (2.5, 1, 1))
    assert frame(window) == 8
    click(window, *LARGE)
    assert window.widget.object_id == 2
    here = frame(window)
    window.key("Y", SHIFT)
    assert frame(window) == here
    window.key("Y", SHIFT)
    assert "unknown" not in window.status
    window.key("Y", SHIFT)
