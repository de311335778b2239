"""Somebody puts other pixels into the image while a session is open on it."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeFactory, blobs
from test_layers_and_session import few
from test_undo import do

from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.widgets.layers.sources import Part


def seen(desk) -> np.ndarray:
    """The first frame as the session has it, in 8 bits."""
    frames = desk.widget.session.frames
    return np.asarray(frames.read(0))


def test_a_session_is_opened_on_them_and_what_was_done_stays(desk, saved_sessions):
    do(desk, "click")
    do(desk, "propagate")
    old, masks = desk.layers, desk.layers.labels.data.copy()
    desk.viewer.layers["cells"].data = 255 - blobs()
    desk.done()
    np.testing.assert_array_equal(seen(desk), 255 - blobs()[0])
    assert "The pixels of 'cells' were replaced" in desk.status
    assert "what was done stays as layers" in desk.status
    assert desk.layers is not old
    assert not desk.prompts
    assert old.labels in desk.viewer.layers
    assert old.points in desk.viewer.layers
    np.testing.assert_array_equal(old.labels.data, masks)
    assert len(old.points.data)
    saved = saved_sessions.glob("*.ns2.json")  # a window of an earlier test may save late
    assert any(load_session(path).object_ids == [1] for path in saved)
    desk.viewer.layers["cells"].data = blobs()  # and back
    desk.done()
    assert "Restored as it was" in desk.status
    assert old.labels not in desk.viewer.layers
    np.testing.assert_array_equal(desk.layers.labels.data, masks)


def test_where_nothing_was_done_the_layers_stay(open_desk):
    """A camera that shows its frames in one layer makes no layers."""
    factory = FakeFactory()
    desk = open_desk(blobs(), session_factory=factory)
    layers, sessions = list(desk.viewer.layers), len(factory.sessions)
    for number in range(20):
        desk.viewer.layers["cells"].data = blobs() // 2 + number
    desk.done()
    np.testing.assert_array_equal(seen(desk), blobs()[0] // 2 + 19)
    assert list(desk.viewer.layers) == layers
    assert "the session is on the new ones" in desk.status
    assert len(factory.sessions) <= sessions + 2
    do(desk, "click")
    assert desk.frame(0).any()
    assert "replaced" not in desk.status


def test_the_same_array_is_no_news(desk):
    do(desk, "click")
    session, status = desk.widget.session, desk.status
    desk.viewer.layers["cells"].data = desk.viewer.layers["cells"].data
    desk.done()
    assert (desk.widget.session, desk.status) == (session, status)
    assert desk.prompts


@pytest.mark.parametrize("done", [False, True])
def test_another_shape(desk, done):
    if done:
        do(desk, "click")
    desk.viewer.layers["cells"].data = blobs(9)[:, :70]
    desk.done()
    assert desk.layers.labels.data.shape == (9, 70, 100)
    assert len(desk.widget.session.frames) == 9
    assert "were replaced" in desk.status


def test_what_cannot_be_used_ends_the_session(desk, monkeypatch):
    do(desk, "click")
    old = desk.layers

    def full(_geometry):
        raise MemoryError

    monkeypatch.setattr("napari_sam2.widgets.layers.results.new_result", full)
    desk.viewer.layers["cells"].data = 255 - blobs()
    desk.done()
    assert desk.widget.session is None
    assert desk.widget.workbench.layers is None
    assert "no room for the masklets" in desk.status
    assert old.points in desk.viewer.layers


def test_the_same_channel_and_plane_are_seen(open_desk):
    data = np.zeros((6, 4, 2, 80, 100), np.uint8)
    data[:, 2, 1] = blobs()
    desk = open_desk(data, axis_labels=("t", "z", "c", "y", "x"))
    image = desk.viewer.layers["cells"]
    desk.widget.set_image(image, 0, Part(None, 1, planes={1: 2}))
    desk.done()
    for new in (data // 2, (data // 3).transpose(2, 0, 1, 3, 4)):  # as it was, and as it is now
        do(desk, "click")
        image.data = new
        desk.done()
        bench = desk.widget.workbench
        assert (bench.source.channel, bench.layers.geometry.fixed) == (1, {1: 2})
        assert image.data.shape == (2, 6, 4, 80, 100)
        plane = new[0, 2, 1] if new.shape[0] == 6 else new[1, 0, 2]
        np.testing.assert_array_equal(seen(desk), plane)


@pytest.mark.parametrize("how", ["removed", "other", "closed"])
def test_an_image_that_was_left_is_not_watched(desk, how):
    image = desk.viewer.layers["cells"]
    do(desk, "click")
    if how == "removed":
        desk.viewer.layers.remove(image)
    elif how == "other":
        desk.widget.set_image(desk.viewer.add_image(blobs() // 2, name="other"))
    else:
        desk.widget.shut_down()
    few()
    session, status = desk.widget.session, desk.status
    image.data = 255 - blobs()
    few()
    assert (desk.widget.session, desk.status) == (session, status)


def test_one_of_the_layers_that_are_mixed(desk):
    image = desk.viewer.layers["cells"]
    other = desk.viewer.add_image(blobs() // 2, name="other")
    desk.widget.set_image(image, 0, Part(layers=(image, other)))
    desk.done()
    do(desk, "click")
    other.data = blobs() // 4
    desk.done()
    assert desk.widget.workbench.source.layers == (image, other)
    np.testing.assert_array_equal(seen(desk)[..., 1], blobs()[0] // 4)


def test_what_was_known_of_another_image_is_not_looked_at(desk):
    do(desk, "click")
    desk.widget.wait(60, panels=True)
    review = desk.widget.panels.review
    assert review.overview.ids
    longer = desk.viewer.add_image(blobs(20), name="longer")
    desk.widget.set_image(longer)
    desk.viewer.dims.set_current_step(0, 18)
    review.accept()
    assert "nothing is known there yet" in desk.status
    assert not review.overview.ids
