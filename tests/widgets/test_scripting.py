"""`attach(viewer)`: what the mouse does, by name, on the same layers and with the same undo."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fakes import LARGE, SMALL, FakeFactory, blobs
from qtpy.QtCore import Qt, QTimer
from test_undo import seen

import napari_sam2
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.scripts.live_session import LiveSession


@pytest.fixture
def sam(desk) -> LiveSession:
    return LiveSession(desk.widget)


def test_it_is_what_the_mouse_does(open_desk):
    by_hand, by_name = open_desk(blobs()), open_desk(blobs())
    sam = LiveSession(by_name.widget)
    by_hand.point(0, *SMALL)
    by_hand.done()
    mask = sam.add_points(1, 0, [SMALL])
    assert mask[SMALL]
    assert not mask[LARGE]
    assert seen(by_hand) == seen(by_name)
    by_hand.widget.toggle_polarity()
    by_hand.point(0, 70, 90)
    by_hand.done()
    sam.add_points(1, 0, [(70, 90)], [False])
    assert seen(by_hand)[:3] == seen(by_name)[:3]
    assert seen(by_hand)[6:] == seen(by_name)[6:]
    by_hand.widget.propagate()
    by_hand.done()
    sam.propagate()
    assert seen(by_hand)[0] == seen(by_name)[0]
    assert np.array_equal(sam.masklets, by_hand.layers.labels.data)
    for _ in range(3):
        sam.undo()
    assert not sam.masklets.any()
    assert not sam.prompts


def test_boxes_masks_and_many_at_once(desk, sam):
    assert sam.add_box(3, 1, [[40, 45], [70, 80]])[55, 62]
    painted = np.zeros((80, 100), bool)
    painted[5:9, 5:9] = True
    np.testing.assert_array_equal(sam.add_mask(4, 2, painted), painted)
    with pytest.raises(InputError, match="a mask is of one object, but holds values from 1 to 2"):
        sam.add_mask(5, 2, painted + np.uint8(1))
    assert desk.widget.object_id == 4
    labels = np.zeros((80, 100), int)
    labels[15:25, 22:30] = 7
    labels[50:60, 60:70] = 8
    before = seen(desk)
    sam.add_labels(labels, 3)
    assert set(sam.prompts) == {3, 4, 7, 8}
    np.testing.assert_array_equal(desk.frame(3), labels)
    assert len(desk.widget.controller.record.history.steps) == 3
    sam.undo()
    assert seen(desk) == before
    sam.redo()
    np.testing.assert_array_equal(desk.frame(3), labels)
    sam.add_mask(4, 2, np.roll(painted, 3, 1))  # another mask takes the place of the first
    assert desk.frame(2)[6, 5] == 0
    assert desk.frame(2)[6, 11] == 4


def test_it_is_printed_with_its_image(desk, sam):
    sam.add_points(1, 0, [SMALL])
    assert repr(sam) == f"LiveSession({desk.widget.workbench.image.name!r}, objects: 1)"


def test_ends_and_approvals(desk, sam):
    sam.add_points(1, 0, [SMALL])
    sam.propagate()
    sam.approve(1, 3)
    assert "approve" not in sam.status
    np.testing.assert_array_equal(sam.prompts[1][3].mask, desk.frame(3) == 1)
    sam.end_object(1, 5)
    assert sam.prompts[1][5].absent
    assert not desk.frame(5).any()
    assert "not on frame 5" in sam.status
    state = seen(desk)
    sam.undo()
    assert 5 not in sam.prompts[1]
    assert desk.frame(5).any()
    sam.redo()
    assert seen(desk) == state
    sam.add_points(1, 5, [(20, 30)])  # it is there after all
    assert not sam.prompts[1][5].absent
    assert desk.frame(5)[20, 30] == 1
    desk.go(2)
    desk.widget.workbench.prompting.approve(9, 2)
    assert "no mask on frame 2" in desk.status


def test_objects_are_deleted_locked_merged_and_named(desk, sam):
    sam.add_points(1, 0, [SMALL])
    sam.add_points(2, 0, [LARGE])
    sam.add_mask(3, 0, np.pad(np.ones((4, 4), bool), ((5, 71), (50, 46))))
    sam.lock([2, np.int64(1)])
    assert desk.widget.session.locked == {1, 2}
    sam.lock(1, False)
    assert desk.widget.session.locked == {2}
    for _ in range(2):
        sam.undo()
    assert not desk.widget.session.locked
    assert sam.merge(np.array([3, 1])) == 1
    assert set(np.unique(sam.masklets)) == {0, 1, 2}
    sam.rename(2, "mitotic")
    assert desk.widget.workbench.notes.names == {2: "mitotic"}
    sam.delete([1, 2, 2])
    assert not sam.masklets.any()
    assert not sam.prompts
    for _ in range(2):
        sam.undo()
    assert set(np.unique(sam.masklets)) == {0, 1, 2, 3}
    for wrong in (lambda: sam.delete([1, 9]), lambda: sam.lock(9), lambda: sam.rename(9, "x")):
        with pytest.raises(InputError, match="no object 9"):
            wrong()
    with pytest.raises(InputError, match="two objects or more"):
        sam.merge([1])
    assert set(np.unique(sam.masklets)) == {0, 1, 2, 3}


def test_objects_are_split_and_followed_alone(desk, sam):
    sam.add_points(1, 0, [SMALL])
    sam.add_points(2, 0, [LARGE])
    sam.propagate(object_ids=[np.int64(2)])
    assert [(desk.frame(4) == i).any() for i in (1, 2)] == [False, True]
    sam.propagate()
    whole = [desk.frame(t) == 1 for t in range(6)]
    assert sam.split(1, 3) == 3
    for t, mask in enumerate(whole):
        np.testing.assert_array_equal(desk.frame(t) == (1 if t < 3 else 3), mask)
    assert desk.widget.object_id == 3
    sam.undo()
    assert set(np.unique(sam.masklets)) == {0, 1, 2}
    for call, words in (
        (lambda: sam.split(9, 3), "no object 9"),
        (lambda: sam.split(1, 99), "frame 99 does not exist"),
        (lambda: sam.propagate(object_ids=[9]), "no object 9"),
        (lambda: sam.propagate(find_every=2, object_ids=1), "object_ids or find_every"),
    ):
        with pytest.raises(InputError, match=words):
            call()
    assert set(np.unique(sam.masklets)) == {0, 1, 2}


def test_unusable_prompts_raise_and_change_nothing(desk, sam):
    sam.add_points(1, 0, [SMALL])
    before = seen(desk)
    with pytest.raises(InputError, match="frame 6 does not exist"):
        sam.add_points(1, 6, [SMALL])
    with pytest.raises(InputError, match="outside the frame"):
        sam.add_points(2, 0, [(500, 3)])
    with pytest.raises(InputError, match="pairs"):
        sam.add_points(2, 0, [*SMALL, *LARGE])
    with pytest.raises(InputError, match="has shape"):
        sam.add_mask(2, 0, np.ones((3, 3)))
    with pytest.raises(InputError, match="no labels"):
        sam.add_labels(np.zeros((80, 100), int), 0)
    with pytest.raises(InputError):
        sam.add_prompts({2: {0: Prompt([SMALL], [True]), 1: Prompt([(99, 999)], [True])}})
    assert seen(desk) == before


def test_ids_and_frames_are_whole_numbers_also_of_numpy(desk, sam):
    sam.add_points(np.uint8(4), np.int64(5), SMALL)
    assert {i: list(by_frame) for i, by_frame in desk.prompts.items()} == {4: [5]}
    assert type(desk.widget.object_id) is int
    for call in (
        lambda: sam.add_points(1.5, 0, [SMALL]),
        lambda: sam.add_points(1, 0.5, [SMALL]),
        lambda: sam.add_points(1, 0, [1, 2, 3]),
        lambda: sam.add_points(1, 0, [SMALL], [0.7]),
        lambda: sam.add_box(1, "first", [[0, 0], [9, 9]]),
        lambda: sam.end_object(4, -1),
        lambda: sam.approve(4, -1),
        lambda: sam.approve(4, 6),
        lambda: sam.divide(4, 99),
        lambda: sam.set_parent(4, 0.5),
        lambda: sam.delete(4.5),
        lambda: sam.propagate(find_every=2.5),
    ):
        with pytest.raises(InputError):
            call()
    assert {i: list(by_frame) for i, by_frame in desk.prompts.items()} == {4: [5]}
    assert desk.widget.object_id == 4


def test_attach_in_a_window(open_window):
    window = open_window(blobs())
    sam = napari_sam2.attach(window.viewer)
    assert sam.widget is window.widget
    sam.add_points(1, 0, [LARGE])
    window.click(*SMALL)  # the mouse goes on where the script was
    window.done()
    assert len(sam.prompts[1][0].points) == 2
    window.key("Z", Qt.KeyboardModifier.ControlModifier)
    window.done()
    assert len(sam.prompts[1][0].points) == 1
    quality = sam.quality(0)
    assert list(quality) == [1]


def test_attach_opens_the_widget_and_asks_for_an_image(shared_viewer, monkeypatch):
    monkeypatch.setattr("napari_sam2.widgets.session.controller.SessionOpener", FakeFactory)
    with pytest.raises(InputError, match="open an image first"):
        napari_sam2.attach(shared_viewer)
    with pytest.raises(InputError, match="is the viewer, not NoneType"):
        napari_sam2.attach(None)
    one = shared_viewer.add_image(blobs(), name="one")
    sam = napari_sam2.attach(shared_viewer, one)
    for wrong in ("one", one.data):
        with pytest.raises(InputError, match=r"the image is a layer, viewer\.layers"):
            napari_sam2.attach(shared_viewer, wrong)
    try:
        assert sam.widget.workbench.image is one
        assert napari_sam2.attach(shared_viewer).widget is sam.widget
        assert sam.add_points(2, 1, [SMALL]).any()
    finally:
        shared_viewer.window.remove_dock_widget(sam.widget)
        sam.widget.shut_down()
        shared_viewer.layers.clear()


def test_what_the_session_refuses_does_not_stay_in_the_layers(desk, sam):
    sam.add_points(1, 0, [SMALL])
    before = seen(desk)
    desk.widget.session.error = InputError("no such thing")
    desk.point(2, *LARGE)
    desk.done()
    assert sam.status == "No such thing."
    desk.widget.session.error = None
    assert seen(desk) == before


def test_what_cannot_be_done_raises(desk, sam, tmp_path):
    with pytest.raises(InputError, match="to propagate"):
        sam.propagate()
    sam.add_points(1, 0, [SMALL])
    before = seen(desk)
    taken = tmp_path / "taken.tif"
    taken.write_bytes(b"precious")
    for call, words in (
        (lambda: sam.propagate("sideways"), "'sideways'"),
        (lambda: sam.find_all(99), "frame 99 does not exist"),
        (lambda: sam.save(tmp_path / "cells.txt"), r"no name for a session; choose one in \.ns2"),
        (lambda: sam.find_all(0, diameter=-1), "diameter"),
        (lambda: sam.end_object(77, 3), "no prompt on another frame"),
        (lambda: sam.approve(9, 2), "no mask on frame 2"),
        (lambda: sam.export(tmp_path / "x.png"), "x.png"),
        (lambda: sam.export(taken), "taken.tif"),
        (lambda: sam.save(taken / "s.ns2.json"), "s.ns2.json"),
    ):
        with pytest.raises(InputError, match=words):
            call()
    assert taken.read_bytes() == b"precious"
    assert seen(desk) == before
    sam.export(taken, overwrite=True)
    assert taken.read_bytes() != b"precious"


def test_what_the_session_refuses_raises(desk, sam):
    sam.add_points(1, 0, [SMALL])
    before = seen(desk)
    desk.widget.session.error = InputError("no such thing")
    with pytest.raises(InputError, match="No such thing"):
        sam.add_points(2, 0, [LARGE], [False])
    with pytest.raises(InputError, match="No such thing"):
        sam.add_prompts({3: {0: Prompt([LARGE], [True])}})
    desk.widget.session.error = None
    assert seen(desk) == before


def test_a_viewer_that_was_closed_is_refused():
    class Docks:
        def values(self):
            raise RuntimeError("wrapped C/C++ object has been deleted")

    closed = SimpleNamespace(window=SimpleNamespace(dock_widgets=Docks()))
    with pytest.raises(InputError, match="the viewer was closed; open another one"):
        napari_sam2.attach(closed)


def test_names_are_text_or_nothing(desk, sam):
    sam.add_points(1, 0, [SMALL])
    sam.rename(1, "mitotic")
    with pytest.raises(InputError, match="a name is text, not 5"):
        sam.rename(1, 5)
    assert desk.widget.workbench.notes.names == {1: "mitotic"}
    sam.rename(1, None)
    assert desk.widget.workbench.notes.names == {}


def test_what_is_no_labels_layer_and_what_names_no_object(desk, sam):
    for wrong in ("cells", desk.viewer.layers["cells"], None):
        with pytest.raises(InputError, match=r"a Labels layer, viewer\.layers\['name'\], not "):
            sam.adopt(wrong)
    sam.add_points(1, 0, [SMALL])
    with pytest.raises(InputError, match="object_ids names no object"):
        sam.propagate(object_ids=[])


def test_a_window_that_was_closed_says_so(open_desk):
    desk = open_desk(blobs(), session_factory=FakeFactory(delay=0.2))
    sam = LiveSession(desk.widget)
    sam.add_points(1, 0, [SMALL])
    QTimer.singleShot(300, desk.widget.shut_down)  # while it is at work
    with pytest.raises(InputError, match="the window was closed"):
        sam.propagate()
    assert sam.status.startswith("the window was closed")
    assert repr(sam) == "LiveSession(closed)"
    for call in (
        sam.propagate,
        sam.wait,
        sam.undo,
        sam.frames_to_check,
        lambda: sam.masklets,
        lambda: sam.prompts,
        lambda: sam.rename(1, "x"),
        lambda: sam.quality(0),
    ):
        with pytest.raises(InputError, match="the window was closed"):
            call()
