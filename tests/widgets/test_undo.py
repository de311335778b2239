"""Ctrl+Z and Ctrl+Shift+Z: prompts, strokes, deletions and whole propagations."""

from __future__ import annotations

import errno
import gc
import io
import os
import tempfile

import numpy as np
import pytest
from fakes import LARGE, SMALL, FakeFactory, blobs
from hands import until
from qtpy.QtCore import Qt

from napari_sam2.tracking.prompts import seeds_from_labels
from napari_sam2.widgets.layers.planes import Attic, Planes


def seen(desk) -> list[object]:
    """All that a user sees: labels, points, shapes; and what the session knows."""
    layers = desk.layers
    return [
        np.array(layers.labels.data).tobytes(),
        np.array(layers.points.data).tolist(),
        layers.points.features.to_numpy().tolist(),
        layers.points.face_color.tolist(),
        [np.array(data).tolist() for data in layers.shapes.data],
        layers.shapes.features.to_numpy().tolist(),
        desk.widget.session.prompts,
        layers.prompts,
        sorted(desk.widget.workbench.used_ids),
    ]


def do(desk, name: str) -> None:
    match name:
        case "click":
            desk.point(0, *SMALL)
        case "more clicks":
            desk.point(0, 20, 22)
            desk.point(0, 70, 90)
        case "second object":
            desk.widget.new_object()
            desk.shape(2, [(40, 50), (40, 80), (70, 80), (70, 50)], "rectangle")
        case "outline":
            desk.shape(3, [(60, 10), (60, 30), (75, 20)], "polygon")
        case "stroke":
            desk.paint(1, 70, 50, 2)
        case "stroke over both":
            desk.paint(0, 20, 20, 3, size=30)
        case "eraser":
            desk.paint(1, 70, 48, 0)
        case "move":
            desk.layers.points.data = np.add(desk.layers.points.data, [0, 1, 0])
        case "remove points":
            desk.layers.points.selected_data = set(range(len(desk.layers.points.data)))
            desk.layers.points.remove_selected()
        case "propagate":
            desk.widget.propagate()
        case "repair":
            desk.point(4, 20, 28)
            desk.done()
            desk.widget.repair()
        case "delete":
            desk.widget.object_id = 1
            desk.widget.delete_object()
    desk.done()


EVERYTHING = [
    "click",
    "more clicks",
    "second object",
    "outline",
    "stroke",
    "propagate",
    "eraser",
    "stroke over both",
    "move",
    "propagate",
    "delete",
    "propagate",
]


@pytest.mark.parametrize(
    "names",
    [
        EVERYTHING,
        ["click", "remove points", "click", "propagate", "repair"],
        ["stroke", "click", "delete", "stroke over both", "delete"],
        ["click", "second object", "remove points"],
    ],
)
def test_all_that_was_done_is_undone_and_done_again(desk, names):
    states = [seen(desk)]
    for name in names:
        do(desk, name)
        states.append(seen(desk))
    back = []
    while "nothing to undo" not in desk.status:
        back.append(seen(desk))
        desk.widget.undo()
        desk.done()
    # A step may show nothing new; what matters is that each state comes back, in order.
    waiting = iter(back)
    assert all(any(state == other for other in waiting) for state in states[::-1])
    assert seen(desk) == states[0]
    forth = []
    while "nothing to redo" not in desk.status:
        forth.append(seen(desk))
        desk.widget.redo()
        desk.done()
    waiting = iter(forth)
    assert all(any(state == other for other in waiting) for state in states)
    assert seen(desk) == states[-1]


def test_points_of_two_objects_removed_together_come_back_together(desk):
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.new_object()
    desk.point(0, *LARGE)
    desk.done()
    before = seen(desk)
    do(desk, "remove points")
    assert not desk.frame(0).any()
    desk.widget.undo()
    desk.done()
    assert seen(desk) == before


def test_a_cancelled_propagation_is_undone_as_far_as_it_came(open_desk):
    desk = open_desk(blobs(30), session_factory=FakeFactory(delay=0.01))
    desk.point(0, *SMALL)
    desk.done()
    before = seen(desk)
    desk.widget.propagate("forward")
    until(lambda: desk.widget.controller.run and desk.widget.controller.run.done >= 3)
    desk.widget.cancel()
    desk.done()
    assert desk.frame(2).any()
    assert not desk.frame(29).any()
    desk.widget.undo()
    desk.done()
    assert "Undone: propagation forward" in desk.status
    assert seen(desk) == before


def test_no_undo_while_it_propagates(open_desk):
    desk = open_desk(blobs(30), session_factory=FakeFactory(delay=0.01))
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.propagate()
    desk.widget.undo()
    assert "Cancel the propagation first" in desk.status
    desk.done()
    assert desk.frame(29).any()


def test_labels_of_other_origin_come_back(desk):
    desk.layers.labels.data[:, 50:60, 55:65] = 9
    before = np.array(desk.layers.labels.data)
    desk.point(0, *LARGE)
    desk.done()
    do(desk, "propagate")
    assert desk.frame(0)[LARGE] == 1
    desk.widget.undo()
    desk.done()
    desk.widget.undo()
    desk.done()
    np.testing.assert_array_equal(desk.layers.labels.data, before)


def test_undo_by_key_on_every_layer(open_window):
    window = open_window(blobs())
    control = Qt.KeyboardModifier.ControlModifier
    for layer in ("points", "shapes", "labels"):
        window.click(*SMALL)
        window.done()
        assert window.frame(0)[SMALL] == 1
        window.viewer.layers.selection.active = getattr(window.layers, layer)
        window.key("Z", control)
        window.done()
        assert window.frame(0)[SMALL] == 0
        assert len(window.layers.points.data) == 0
        window.key("Z", control | Qt.KeyboardModifier.ShiftModifier)
        window.done()
        assert window.frame(0)[SMALL] == 1
        window.key("Z", control)
        window.done()
        window.widget.workbench.tools.use("point")


class SmallDisk(io.FileIO):
    """A file that ends where its disk is full; it takes what still fits."""

    free = 10**9

    def write(self, data):
        if not self.free:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = super().write(memoryview(data)[: self.free])
        self.free -= taken
        return taken


def test_planes_are_as_they_were(tmp_path, monkeypatch):
    disk = SmallDisk(tmp_path / "attic", "w+")

    def opened(buffering=-1, **_):
        return disk if buffering == 0 else io.BufferedRandom(disk)

    monkeypatch.setattr(tempfile, "TemporaryFile", opened)
    attic = Attic()
    rng = np.random.default_rng(0)
    kept = {t: rng.integers(0, 3, (40, 50)).astype(np.uint16) for t in range(20)}
    kept[7][:] = 0
    planes = Planes(attic)
    for frame, plane in kept.items():
        planes.keep(frame, plane)
        if frame == 12:  # the disk is full soon
            disk.free = 100
    for frame in planes:
        np.testing.assert_array_equal(planes[frame], kept[frame])
    assert set(planes) == set(kept)


def test_room_for_planes_is_used_again():
    attic, rng = Attic(), np.random.default_rng(0)
    planes = Planes(attic)

    def size() -> int:
        attic.put(b"")  # what was given back until now is free
        return os.fstat(attic._file.fileno()).st_size

    def keep(some: Planes, frames) -> None:
        for frame in frames:
            kept[frame] = rng.integers(0, 2, (40, 50)).astype(np.uint16)
            some.keep(frame, kept[frame])

    kept: dict[int, np.ndarray] = {}
    keep(planes, range(4))
    once = size()
    for _ in range(20):
        keep(planes, [2, 0, 3])
    for frame in planes:
        np.testing.assert_array_equal(planes[frame], kept[frame])
    assert size() < 2 * once
    others = Planes(attic)
    keep(others, range(10, 30))
    assert size() > 4 * once
    del others
    gc.collect()
    assert size() < 2 * once
    for frame in planes:
        np.testing.assert_array_equal(planes[frame], kept[frame])


@pytest.mark.parametrize("what", ["delete", "merge", "split"])
def test_names_and_ticks_come_back_with_their_objects(desk, what):
    do(desk, "click")
    do(desk, "second object")
    do(desk, "propagate")
    editor, notes = desk.widget.panels.editor, desk.widget.workbench.notes
    editor.rename(2, "B")
    editor.show([2], False)
    notes.approved[2] = {1, 3}
    before = notes.as_json()
    desk.widget.object_id = 2
    desk.go(3)
    if what == "delete":
        desk.widget.delete_object()
    elif what == "merge":
        editor.merge([1, 2])
    else:
        editor.split()
    desk.done()
    after = notes.as_json()
    assert after != before
    for _ in range(2):
        desk.widget.undo()
        desk.done()
        assert notes.as_json() == before
        if what == "split":
            assert desk.widget.object_id == 2  # not the one that is gone
        desk.widget.redo()
        desk.done()
        assert notes.as_json() == after


@pytest.mark.parametrize("what", ["click", "labels"])
def test_names_go_and_come_back_with_objects_whose_making_is_undone(desk, what):
    editor, notes = desk.widget.panels.editor, desk.widget.workbench.notes
    if what == "click":
        desk.point(0, *SMALL)
    else:
        labels = np.zeros((80, 100), np.uint16)
        labels[15:25, 22:30] = 1
        desk.widget.workbench.prompting.add(seeds_from_labels(labels, 0))
    desk.done()
    editor.rename(1, "A")
    editor.show([1], False)
    desk.done()
    before = notes.as_json()
    for _ in range(2):
        desk.widget.undo()
        desk.done()
        assert notes.as_json() == {}
        desk.widget.redo()
        desk.done()
        assert notes.as_json() == before
    desk.widget.undo()
    desk.done()
    desk.point(1, *LARGE)  # another object, of the same id
    desk.done()
    assert notes.as_json() == {}
    desk.widget.undo()
    desk.widget.redo()
    desk.done()
    assert notes.as_json() == {}
