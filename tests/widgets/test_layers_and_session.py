"""The layers and the session stay the same, whatever is done while something else is."""

from __future__ import annotations

import time

import numpy as np
import pytest
from fakes import FakeFactory, blobs
from test_undo import SMALL, do

from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.layers import drawing
from napari_sam2.widgets.layers.drawing import area_of
from napari_sam2.widgets.session.worker import process_events


def few() -> None:
    for _ in range(5):
        process_events()
        time.sleep(0.005)


def test_what_stands_in_the_layers_is_not_read_anew_with_each_click(desk, monkeypatch):
    areas = []
    monkeypatch.setattr(drawing, "area_of", lambda *args: areas.append(1) or area_of(*args))
    desk.shape(1, [(10, 10), (10, 30), (30, 20)], "polygon")
    desk.shape(1, [(40, 40), (40, 60), (60, 50)], "polygon")
    desk.done()
    assert len(areas) == 2
    mask = desk.layers.prompts[1][1].mask
    assert mask[15, 20]
    assert mask[45, 50]
    for x in range(20, 25):
        desk.point(0, 20, x)
    desk.done()
    assert len(areas) == 2
    before = desk.layers.prompts[1][0]
    desk.layers.read()
    assert desk.layers.prompts[1][0] is before
    assert desk.layers.prompts[1][0].points[:, 1].tolist() == [20, 21, 22, 23, 24]
    assert desk.layers.prompts[1][1].thin is desk.layers._read()[1, 1].thin


def test_a_click_taken_back_leaves_what_was_painted(desk):
    desk.paint(0, 20, 20, 1, size=6)
    desk.done()
    painted = desk.frame(0).copy()
    desk.point(0, *SMALL)
    desk.done()
    assert (desk.frame(0) != painted).any()
    desk.widget.remove_last_point()
    desk.done()
    np.testing.assert_array_equal(desk.frame(0), painted)


def test_a_click_taken_back_leaves_what_was_accepted(desk):
    do(desk, "click")
    do(desk, "propagate")
    desk.go(3)
    desk.widget.wait(panels=True)
    desk.widget.accept()
    desk.done()
    accepted = desk.frame(3).copy()
    desk.point(3, 55, 66)
    desk.done()
    assert (desk.frame(3) != accepted).any()
    desk.widget.remove_last_point()
    desk.done()
    np.testing.assert_array_equal(desk.frame(3), accepted)


@pytest.mark.parametrize("how", ["removed", "left"])
def test_layers_that_were_left_say_nothing_any_more(desk, how):
    do(desk, "click")
    old = desk.layers
    if how == "removed":
        desk.viewer.layers.remove(old.labels)
        desk.widget.set_image(desk.viewer.layers["cells"])
    else:
        desk.widget.workbench.restoring.restart()
    desk.done()
    assert desk.layers is not old
    status = desk.status
    old.points.add(desk.layers.geometry.to_data(2, 55, 64)[None])
    old.shapes.add([[1, 5, 5], [1, 9, 9]], shape_type="line")
    old.labels.selected_label = 33
    desk.done()
    assert desk.prompts == {}
    assert desk.widget.object_id == 1
    assert desk.status == status


def test_two_strokes_while_the_worker_is_busy_are_undone_together(open_desk):
    factory = FakeFactory()
    desk = open_desk(blobs(), session_factory=factory)
    do(desk, "click")
    before = desk.frame(1).copy()
    factory.sessions[-1].gate.clear()
    desk.widget.new_object()
    desk.point(2, 55, 64)
    few()
    for x in (20, 40):
        desk.paint(1, 60, x, 5)
        few()
    factory.sessions[-1].gate.set()
    desk.done()
    assert desk.frame(1)[60, 20] == desk.frame(1)[60, 40] == 5
    desk.widget.undo()
    desk.done()
    assert 5 not in desk.prompts
    np.testing.assert_array_equal(desk.frame(1), before)


def test_what_was_painted_is_taken_back_where_it_is_refused(open_desk):
    factory = FakeFactory()
    desk = open_desk(blobs(), session_factory=factory)
    do(desk, "click")
    do(desk, "propagate")
    before = [desk.frame(t).copy() for t in range(6)]
    factory.sessions[-1].error = InputError("no such thing")
    desk.paint(2, *np.argwhere(before[2] == 1).mean(axis=0), 0, size=20)
    desk.done()
    desk.paint(3, 60, 10, 1)
    desk.done()
    assert "No such thing" in desk.status
    assert list(desk.layers.prompts[1]) == [0]
    for t, labels in enumerate(before):
        np.testing.assert_array_equal(desk.frame(t), labels)


@pytest.mark.parametrize("what", ["undo", "delete"])
def test_of_a_stroke_that_was_taken_back_nothing_comes_back(open_desk, what):
    """It is erased in part before the worker has heard of it, and of what took it back."""
    factory = FakeFactory()
    desk = open_desk(blobs(), session_factory=factory)
    do(desk, "click")
    before = desk.frame(1).copy()
    factory.sessions[-1].gate.clear()
    desk.widget.object_id = 9
    desk.point(2, 55, 64)  # is being answered
    few()
    desk.widget.object_id = 2
    desk.paint(1, 20, 60, 2, size=12)
    few()
    desk.widget.undo() if what == "undo" else desk.widget.delete_object()
    few()
    desk.paint(1, 20, 56, 0, size=8)
    few()
    factory.sessions[-1].gate.set()
    desk.done()
    for _ in range(5):
        desk.widget.undo()
        desk.done()
    assert not desk.prompts
    np.testing.assert_array_equal(desk.frame(1), before)


WHAT = {
    "lock": lambda desk: desk.widget.panels.editor.lock([1], True),
    "gaps": lambda desk: desk.widget.panels.editor.close_gaps(),
    "merge": lambda desk: desk.widget.panels.editor.merge([1, 2]),
    "undo": lambda desk: desk.widget.undo(),
    "a division that is refused": lambda desk: desk.widget.workbench.dividing.divide(1, 0),
}


@pytest.mark.parametrize(
    ("what", "answered"), [*((what, False) for what in WHAT), ("merge", True), ("undo", True)]
)
def test_a_click_while_something_else_is_done_keeps_its_point(open_desk, what, answered):
    factory = FakeFactory(delay=0.1)
    desk = open_desk(blobs(), session_factory=factory)
    for object_id, frame, y, x in ((1, 0, 20, 20), (2, 1, 55, 62), (3, 2, 55, 64)):
        desk.widget.object_id = object_id
        desk.point(frame, y, x)
        few() if object_id == 3 and not answered else desk.done()
    WHAT[what](desk)
    few()
    desk.widget.object_id = 9
    desk.point(3, 20, 26)
    few()
    desk.done()
    assert 9 in desk.prompts
    assert {i: some for i, some in desk.prompts.items() if some} == desk.layers.prompts
    assert (desk.frame(3) == 9).any()
    desk.widget.object_id = 9  # a merge goes on with the object that is kept
    desk.point(3, 24, 26)
    desk.done()
    assert len(desk.prompts[9][3].points) == 2
    for _ in range(2):  # both clicks, and no more
        desk.widget.undo()
        desk.done()
    assert 9 not in desk.layers.prompts
    assert {i: some for i, some in desk.prompts.items() if some} == desk.layers.prompts


def test_a_click_on_what_is_being_undone_stands_alone(open_desk):
    desk = open_desk(blobs(), session_factory=FakeFactory(delay=0.1))
    do(desk, "click")
    desk.widget.object_id = 2
    desk.point(2, 55, 64)
    few()
    desk.widget.undo()
    few()
    desk.point(2, 20, 24)
    few()
    desk.done()
    assert desk.prompts[2][2].points.tolist() == [[20, 24]]
    assert desk.layers.prompts[2][2] == desk.prompts[2][2]


def test_a_click_that_is_refused_leaves_the_others(open_desk, monkeypatch):
    factory = FakeFactory()
    desk = open_desk(blobs(), session_factory=factory)
    do(desk, "click")
    session = factory.sessions[-1]
    well = session.set_prompt

    def set_prompt(object_id: int, frame: int, prompt: object) -> object:
        session.gate.wait(60)
        if object_id == 2:
            raise MemoryError
        return well(object_id, frame, prompt)

    monkeypatch.setattr(session, "set_prompt", set_prompt)
    session.gate.clear()
    for object_id in (2, 3):
        desk.widget.object_id = object_id
        desk.point(object_id, 55, 60 + 2 * object_id)
        few()
    session.gate.set()
    desk.done()
    assert list(desk.layers.prompts) == [1, 3]
    assert desk.layers.prompts == {i: some for i, some in desk.prompts.items() if some}
