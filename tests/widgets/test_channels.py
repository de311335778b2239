"""Channels and planes: what the model sees of an image that is more than a stack of frames."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from fakes import LARGE, SMALL, blobs
from hands import click_on
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from typer.testing import CliRunner

from napari_sam2.cli import app
from napari_sam2.export.labels import read_labels
from napari_sam2.stacks import open_all
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.widgets.layers import layer_adapters as adapters
from napari_sam2.widgets.layers.sources import Part, Source
from napari_sam2.widgets.scripts.scripting import attach
from napari_sam2.widgets.session.opening import SessionOpener
from napari_sam2.widgets.session.worker import process_events


def two_channels(length: int = 6) -> np.ndarray:
    """Noise in channel 0, the cells only in channel 1; (T, 2, Y, X)."""
    cells = blobs(length)
    noise = np.random.default_rng(0).integers(0, 40, cells.shape, np.uint8)
    return np.stack([noise, cells], axis=1)


def choose(box, value) -> None:
    """Choose with the keyboard, as a person does."""
    native = box.native
    values = [box.choices[i] for i in range(len(box.choices))]
    native.setFocus()
    QTest.keyClick(native, Qt.Key.Key_Home)
    for _ in range(values.index(value)):
        QTest.keyClick(native, Qt.Key.Key_Down)
    process_events()


@pytest.mark.parametrize(
    ("shape", "labels", "axis"),
    [
        ((9, 2, 8, 8), None, 1),
        ((3, 9, 8, 8), None, 0),
        ((9, 8, 8), None, None),
        ((2, 8, 8), None, None),
        ((9, 3, 8, 8), ("t", "z", "y", "x"), None),
        ((9, 7, 8, 8), ("t", "Channel", "y", "x"), 1),
        ((9, 1, 8, 8), ("t", "c", "y", "x"), None),
        ((3, 2, 8, 8), None, None),
        ((2, 5, 9, 8, 8), None, 0),
        ((5, 9, 2, 8, 8), None, None),
        ((9, 8, 8, 2), None, 3),
        ((9, 8, 2), None, None),
        ((3, 8, 8, 2), None, None),
    ],
)
def test_guess_of_the_channels(shape, labels, axis):
    layer = Image(np.zeros(shape, np.uint8), rgb=False, axis_labels=labels)
    assert adapters.guess_channel_axis(layer) == axis


def test_channels_are_told_by_the_metadata():
    data = np.zeros((9, 7, 8, 8), np.uint8)
    assert adapters.guess_channel_axis(Image(data, metadata={"axes": "TCYX"}, rgb=False)) == 1
    assert adapters.guess_channel_axis(Image(data, metadata={"axes": "TZYX"}, rgb=False)) is None


def test_a_cell_that_only_the_second_channel_shows(open_window, saved_sessions):
    window = open_window(two_channels(), axis_labels=("t", "c", "y", "x"), scale=(3, 1, 0.5, 0.5))
    part = window.widget.form.part
    assert part.channel.native.isVisible()
    assert part.channel.value == 0
    window.click(*SMALL)
    window.done()
    assert "nothing found" in window.status
    choose(part.channel, 1)
    window.done()
    window.click(*SMALL)
    window.done()
    window.key("G")
    window.done()
    assert window.layers.labels.data.shape == (6, 80, 100)
    assert window.layers.labels.axis_labels == ("t", "y", "x")
    np.testing.assert_allclose(window.layers.labels.scale, (3, 0.5, 0.5))
    for frame in range(6):
        assert window.frame(frame)[20, 20 + 2 * frame] == 1
        assert not window.frame(frame)[55].any()
    # The masks are there whichever channel is on screen.
    image = window.viewer.layers["cells"]
    assert image.data.shape == (2, 6, 80, 100)
    assert image.axis_labels == ("c", "t", "y", "x")
    for channel in (0, 1):
        window.viewer.dims.set_current_step(0, channel)
        window.settle()
        seen = np.asarray(window.layers.labels._slice.image.view)
        assert (seen > 0).any()
    saved = [load_session(path).image for path in saved_sessions.glob("*.ns2.json")]
    assert sorted(image.channel for image in saved) == [0, 1]


def test_the_session_follows_the_channel(open_docked, saved_sessions, tmp_path):
    window = open_docked(two_channels())
    window.viewer.dims.set_current_step(0, 1)
    choose(window.widget.form.part.channel, 1)
    window.done()
    window.click(*SMALL)
    window.done()
    window.key("G")
    window.done()
    window.widget.save_session(tmp_path / "cells.ns2.json")
    window.done()
    expected = np.array(window.layers.labels.data)
    window.widget.set_image(window.viewer.layers["cells"], part=Part(channel=0))
    window.done()
    assert window.widget.workbench.source.channel == 0
    window.widget.restore_session(tmp_path / "cells.ns2.json")
    window.done()
    assert window.widget.workbench.source.channel == 1
    assert window.widget.form.part.channel.value == 1
    np.testing.assert_array_equal(window.layers.labels.data, expected)


@pytest.mark.parametrize(
    ("choice", "given"),
    [
        (1, ()),
        ((1, None, 0), ()),
        ((1,), ()),
    ],
)
def test_the_terminal_does_the_same(open_desk, tmp_path, choice, given):
    data = two_channels(4)
    tifffile.imwrite(tmp_path / "cells.tif", data, imagej=True, metadata={"axes": "TCYX"})
    desk = open_desk(session_factory=SessionOpener())
    from napari_sam2.layer_data import image_settings

    opened = open_all(tmp_path / "cells.tif")
    desk.viewer.add_image(opened.data, **image_settings(opened, choice))
    desk.done()
    assert desk.widget.workbench.source.file_axes(desk.layers.geometry) == "TCYX"
    desk.point(0, *LARGE)
    desk.done()
    desk.widget.propagate()
    desk.done()
    assert desk.frame(3).any()
    desk.widget.save_session(tmp_path / "cells.ns2.json")
    desk.done()
    out = tmp_path / "out.tif"
    command = ["track", "--session", str(tmp_path / "cells.ns2.json"), "--output", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(read_labels(out), desk.layers.labels.data)


def test_a_mix_by_hand(open_docked):
    window = open_docked(two_channels(), axis_labels=("t", "c", "y", "x"))
    part = window.widget.form.part
    assert not part.colours[0].native.isVisible()
    choose(part.channel, "mix")
    window.done()
    assert [box.value for box in part.colours] == [0, 1, None]
    assert window.widget.workbench.source.channel == (0, 1, None)
    choose(part.colours[0], 1)
    window.done()
    choose(part.colours[1], None)
    window.done()
    frames = window.widget.session.frames
    assert frames.rgb
    np.testing.assert_array_equal(frames.read(2)[..., 0], blobs()[2])
    assert not frames.read(2)[..., 1:].any()
    window.click(*SMALL)
    window.done()
    assert window.frame(0)[SMALL] == 1


def test_a_mix_of_layers(open_docked):
    window = open_docked(np.zeros_like(blobs()))
    window.viewer.add_image(blobs().astype(np.uint16) * 7, name="GFP")
    window.viewer.add_image(np.zeros((6, 40, 40), np.uint8), name="other shape")
    window.settle()
    part = window.widget.form.part
    assert part.channel.native.isVisible()
    choose(part.channel, "layers")
    window.done()
    source = window.widget.workbench.source
    assert [layer.name for layer in source.layers] == ["cells", "GFP"]
    frames = window.widget.session.frames
    np.testing.assert_array_equal(frames.read(1)[..., 1], blobs()[1].astype(np.uint16) * 7)
    assert window.layers.labels.data.shape == blobs().shape


def test_colours_of_rgb(open_docked):
    dark = np.zeros_like(blobs())
    window = open_docked(np.stack([dark, blobs(), dark], axis=-1), rgb=True)
    part = window.widget.form.part
    assert part.channel.native.isVisible()
    assert not part.channel_axis.native.isVisible()
    window.click(*SMALL)
    window.done()
    assert "nothing found" in window.status  # the fake looks at red
    choose(part.channel, 1)
    window.done()
    window.click(*SMALL)
    window.done()
    assert window.frame(0)[SMALL] == 1
    assert window.layers.labels.data.shape == blobs().shape


def test_rgba(open_desk):
    data = np.concatenate([np.repeat(blobs()[..., None], 3, -1), blobs()[..., None]], axis=-1)
    desk = open_desk(data, rgb=True)
    desk.point(0, *SMALL)
    desk.done()
    assert desk.frame(0)[SMALL] == 1


@pytest.mark.parametrize("along", ["t", "z"])
def test_a_volume_over_time_with_channels(open_docked, along):
    """Everything is at plane 2 of the other axis in channel 1; (T, Z, C, Y, X)."""
    dark = np.zeros_like(blobs())
    cells = np.stack([dark, dark, blobs(), dark, dark], axis=1)
    if along == "z":
        cells = cells.swapaxes(0, 1)
    data = np.stack([np.zeros_like(cells), cells], axis=2)
    window = open_docked(data, axis_labels=("t", "z", "c", "y", "x"))
    form = window.widget.form
    choose(form.part.channel, 1)
    window.done()
    axis = "tz".index(along)
    choose(form.axis, axis)
    window.done()
    (plane,) = form.part.planes.values()
    assert plane.native.isVisible()
    plane.native.selectAll()
    QTest.keyClicks(plane.native, "1")
    QTest.keyClick(plane.native, Qt.Key.Key_Return)
    window.done()
    QTest.keyClick(plane.native, Qt.Key.Key_Up)
    window.done()
    assert window.layers.geometry.fixed == {1 - axis: 2}
    assert window.widget.workbench.source.channel == 1
    assert window.viewer.dims.current_step[1 + 1 - axis] == 2
    window.click(*SMALL)
    window.done()
    window.key("G")
    window.done()
    assert window.layers.labels.data.shape == cells.shape
    labels = np.moveaxis(window.layers.labels.data, axis, 0)
    assert all(labels[t, 2, 20, 20 + 2 * t] == 1 for t in range(6))
    assert not labels[:, [0, 1, 3, 4]].any()


def test_what_the_plane_was_is_in_the_session(open_desk, saved_sessions):
    data = np.zeros((6, 5, 80, 100), np.uint8)
    data[:, 3] = blobs()
    desk = open_desk(data, axis_labels=("t", "z", "y", "x"))
    live = attach_to(desk, planes={1: 3})
    live.add_points(1, 0, [SMALL])
    (path,) = saved_sessions.glob("*.ns2.json")
    image = load_session(path).image
    assert (image.axes, image.select) == ("TZYX", {"Z": 3})
    again = open_desk(data, axis_labels=("t", "z", "y", "x"))
    again.widget.restore_session(path)
    again.done()
    assert again.layers.geometry.fixed == {1: 3}
    assert again.frame(0)[SMALL] == 1


def test_axes_that_are_named_are_no_channels(open_desk):
    data = np.zeros((3, 30, 80, 100), np.uint8)  # two or three of something look like channels
    data[:, 2] = blobs(3)
    desk = open_desk(data)
    assert desk.widget.workbench.source.channel_axis == 0
    live = attach_to(desk, axis=0, planes={1: 2})
    assert live.masklets.shape == data.shape
    assert desk.layers.geometry.fixed == {1: 2}
    assert live.add_points(1, 1, [SMALL]).any()
    assert live.masklets[1, 2][SMALL] == 1


def attach_to(desk, **part):
    """`attach` for a viewer without a window."""
    window = SimpleNamespace(dock_widgets={"SAM 2 masklets": desk.widget})
    return attach(SimpleNamespace(window=window), **part)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"channel": 2}, "channel 2 does not exist; there are 0 to 1"),
        ({"channel": (0, 1, 0, 1)}, "one to three channels"),
        ({"channel": (None, None)}, "choose a channel"),
        ({"channel_axis": 7}, "no axis 7 for channels"),
        ({"channel_axis": -1, "channel": 0}, "has no channels"),
        ({"axis": 3}, "axis 3 does not exist"),
        ({"planes": {0: 1}}, "no plane to choose; leave out the planes"),
    ],
)
def test_wrong_choices_are_said(open_desk, part, words):
    desk = open_desk(two_channels())
    before = desk.widget.workbench.source
    with pytest.raises(InputError, match=words):
        attach_to(desk, **part)
    assert words.lower() in desk.status.lower()
    assert desk.widget.workbench.source is before


def test_layers_that_cannot_be_mixed(open_desk):
    desk = open_desk(blobs())
    one = desk.viewer.layers["cells"]
    other = desk.viewer.add_image(np.zeros((6, 40, 40), np.uint8))
    colour = desk.viewer.add_image(np.zeros((*blobs().shape, 3), np.uint8), rgb=True)
    for layer, words in ((other, "mix layers of one shape"), (colour, "is RGB")):
        with pytest.raises(InputError, match=words):
            Source.of(desk.viewer, one, Part(layers=(one, layer)))


def test_moving_the_channels_keeps_every_place(open_desk):
    desk = open_desk(
        two_channels(),
        axis_labels=("t", "c", "y", "x"),
        scale=(3, 1, 0.5, 0.4),
        translate=(1, 0, 7, 8),
        rotate=20,
    )
    image, labels = desk.viewer.layers["cells"], desk.layers.labels
    plain = Image(
        two_channels(), rgb=False, scale=(3, 1, 0.5, 0.4), translate=(1, 0, 7, 8), rotate=20
    )
    t, c, y, x = plain.data_to_world((2, 1, 30, 40))
    np.testing.assert_allclose(image.data_to_world((1, 2, 30, 40)), (c, t, y, x))
    np.testing.assert_allclose(labels.data_to_world((2, 30, 40)), (t, y, x))


def test_zarr_and_several_resolutions(open_desk):
    zarr = pytest.importorskip("zarr")
    data = two_channels()
    array = zarr.zeros(data.shape, chunks=(1, 1, *data.shape[2:]), dtype="u1")
    array[:] = data
    small = zarr.zeros((6, 2, 40, 50), chunks=(1, 1, 40, 50), dtype="u1")
    desk = open_desk()
    desk.viewer.add_image([array, small], multiscale=True, name="cells", rgb=False)
    desk.done()
    live = attach_to(desk, channel=[1, 0])
    assert desk.widget.workbench.source.channel == (1, 0, None)
    live = attach_to(desk, channel=1)
    assert live.add_points(1, 2, [(20, 24)])[20, 24]
    assert live.masklets.shape == (6, 80, 100)


def start_afresh(window) -> None:
    menu = window.widget._session_actions.menu()
    next(a for a in menu.actions() if a.text().startswith("Start over")).trigger()
    window.done()


def test_choosing_the_same_image_does_nothing(open_docked, factory):
    window = open_docked(blobs())
    window.click(*SMALL)
    window.done()
    layers, labels = window.layers, np.array(window.layers.labels.data)
    click_on(window.widget.form.image, "cells")
    window.done()
    assert window.layers is layers
    np.testing.assert_array_equal(layers.labels.data, labels)
    assert len(factory.requests) == 1
    assert len(window.viewer.layers) == 4
    other = window.viewer.add_image(blobs(), name="another")
    window.settle()
    for name, image in (("another", other), ("cells", window.viewer.layers["cells"])):
        click_on(window.widget.form.image, name)
        window.done()
        assert window.widget.workbench.image is image
    assert len(factory.requests) == 4  # once for what was done there before


def test_a_fresh_start(open_docked, factory):
    data = np.stack([np.zeros_like(blobs()), blobs()], axis=0)  # (Z, T, Y, X)
    window = open_docked(data, axis_labels=("z", "t", "y", "x"))
    assert window.layers.geometry.fixed == {0: 0}
    window.viewer.dims.set_current_step(0, 1)
    window.click(*SMALL)
    window.done()
    assert "More > Start over" in window.status
    start_afresh(window)
    assert window.layers.geometry.fixed == {0: 1}
    assert len(factory.requests) == 2
    window.click(*SMALL)
    window.done()
    assert window.frame(0)[SMALL] == 1
    first = window.layers
    start_afresh(window)  # what is done stays, but is not gone on with
    assert window.layers is not first
    assert first.labels in window.viewer.layers
    window.widget.restore_session()
    window.done()
    assert window.frame(0)[SMALL] == 1


def test_a_fresh_start_keeps_the_axes(open_docked):
    cells = np.stack([np.zeros_like(blobs()), blobs()], axis=0)
    data = np.stack([cells, cells], axis=2)  # (Z, T, C, Y, X)
    window = open_docked(data, axis_labels=("z", "t", "c", "y", "x"))
    form = window.widget.form
    choose(form.axis, 0)
    window.done()
    choose(form.part.channel, 1)
    window.done()
    window.viewer.dims.set_current_step(2, 4)
    start_afresh(window)
    assert window.layers.geometry.axis == 0
    assert window.layers.geometry.fixed == {1: 4}
    assert window.widget.workbench.source.channel == 1


def columns_of(path) -> dict[str, list[float]]:
    """Mean intensities in a table, by what the names of their columns end in."""
    table = np.genfromtxt(path, delimiter=",", names=True)
    start = "intensity_mean"
    names = [name for name in table.dtype.names if name.startswith(start)]
    return {name.removeprefix(start): table[name].tolist() for name in names}


@pytest.mark.parametrize("channel", [1, (1, None, 0)])
def test_all_channels_are_measured_whichever_the_model_sees(open_desk, tmp_path, channel):
    data = np.stack([blobs(3) * 0 + 3, blobs(3), blobs(3) * 0 + 5, blobs(3) * 0 + 8], axis=1)
    desk = open_desk(data, axis_labels=("t", "c", "y", "x"))
    desk.widget.set_image(desk.viewer.layers["cells"], part=Part(channel=channel))
    desk.done()
    desk.point(1, *LARGE)
    desk.done()
    desk.widget.export(tmp_path / "a.csv")
    desk.done()
    mask = desk.frame(1) > 0
    wanted = {"_0": [3], "_1": [blobs(3)[1][mask].mean()], "_2": [5], "_3": [8]}
    found = columns_of(tmp_path / "a.csv")
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(np.atleast_1d(found[name]), values)


def test_layers_of_the_same_shape_are_measured_by_name(open_desk, tmp_path):
    desk = open_desk(blobs(3))
    desk.point(1, *LARGE)
    desk.done()
    desk.widget.export(tmp_path / "alone.csv")
    desk.done()
    assert list(columns_of(tmp_path / "alone.csv")) == [""]
    desk.viewer.add_image(blobs(3) * 0 + np.float32(2.5), name="GFP [long]")
    desk.viewer.add_image(np.zeros((3, 40, 40), np.uint8), name="other shape")
    desk.done()
    desk.widget.export(tmp_path / "both.csv")
    desk.done()
    alone, both = (columns_of(tmp_path / name) for name in ("alone.csv", "both.csv"))
    assert both == {"_cells": alone[""], "_GFP_long": 2.5}
