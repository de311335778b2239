"""Window and session stay in step, whatever is done while something else is being worked on."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.widgets.session.worker import process_events
from tests.tracking.toy import moving_disk, toy_model

LENGTH = 4


class Gate:
    """Makes sessions whose answers wait while the gate is closed."""

    def __init__(self) -> None:
        self.model = toy_model()
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()

    def __call__(self, request: Any, progress: Any) -> TrackingSession:
        class Gated(TrackingSession):
            def set_prompt(_, *args: Any, **kwargs: Any) -> Any:
                self.asked.set()
                assert self.open.wait(60)
                return super().set_prompt(*args, **kwargs)

        return Gated(self.model, request.frames())

    def close(self) -> None:
        """Let answers wait."""
        self.open.clear()
        self.asked.clear()

    def until_asked(self) -> None:
        """Return once an answer waits: until then, what is newer takes its place."""
        end = time.monotonic() + 60
        while not self.asked.is_set():
            assert time.monotonic() < end
            process_events()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture
def desk(open_desk: Callable[..., Any], gate: Gate) -> Any:
    return open_desk(moving_disk(LENGTH), session_factory=gate)


def labels(desk: Any) -> np.ndarray:
    return np.stack([np.array(desk.frame(t)) for t in range(LENGTH)])


def assert_in_step(desk: Any) -> None:
    session, layers = desk.widget.session, desk.layers
    known = {i: some for i, some in session.prompts.items() if some}
    assert {i: sorted(some) for i, some in layers.prompts.items()} == {
        i: sorted(some) for i, some in known.items()
    }
    for i, some in known.items():
        for t, prompt in some.items():
            shown = layers.prompts[i][t]
            assert prompt.absent == shown.absent
            assert len(prompt.points) == len(shown.points)
            assert (prompt.mask is None) == (shown.mask is None)
    for t in range(LENGTH):
        np.testing.assert_array_equal(desk.frame(t), session.result(t).labels)


def test_deleted_while_a_click_is_answered(desk: Any, gate: Gate) -> None:
    desk.point(0, 30, 30)
    desk.done()
    gate.open.clear()
    desk.point(1, 30, 34)
    process_events()
    desk.widget.delete_object()
    desk.point(2, 30, 38)
    gate.open.set()
    desk.done()
    assert list(desk.widget.session.prompts[1]) == [2]
    assert_in_step(desk)
    for _ in range(2):
        desk.widget.undo()
        desk.done()
    assert sorted(desk.widget.session.prompts[1]) == [0, 1]
    assert_in_step(desk)


@pytest.mark.parametrize("kind", ["point", "box"])
@pytest.mark.parametrize("frame", [0, 1])
def test_painted_while_a_prompt_is_answered(desk: Any, gate: Gate, kind: str, frame: int) -> None:
    """Undo of the answer brings back nothing of what was painted beside it meanwhile."""
    desk.paint(1, 8, 80, 1, size=5)
    desk.done()
    before = labels(desk)
    gate.close()
    if kind == "point":
        desk.point(1, 30, 34)
    else:
        desk.shape(1, [(22, 26), (22, 40), (38, 40), (38, 26)], "rectangle")
    gate.until_asked()
    desk.paint(frame, 50, 70, 1, size=9)
    gate.open.set()
    desk.done()
    assert_in_step(desk)
    after = labels(desk)
    for _ in range(2):
        desk.widget.undo()
        desk.done()
    np.testing.assert_array_equal(labels(desk), before)
    assert_in_step(desk)
    for _ in range(2):
        desk.widget.redo()
        desk.done()
    np.testing.assert_array_equal(labels(desk), after)


@pytest.mark.parametrize(
    "places", [[(50, 70, 1), (50, 75, 2)], [(50, 70, 1), (20, 20, 2), (60, 70, 1)]]
)
@pytest.mark.parametrize("closed", [False, True])
def test_several_objects_painted(desk: Any, gate: Gate, places: list[Any], closed: bool) -> None:
    """One over the other, or in turns; while a click is answered, too."""
    before = labels(desk)
    if closed:
        gate.close()
    desk.point(1, 30, 34)
    gate.until_asked()
    for y, x, i in places:
        desk.paint(0, y, x, i, size=9)
        process_events()
    painted = desk.frame(0).copy()
    gate.open.set()
    desk.done()
    np.testing.assert_array_equal(desk.frame(0), painted)
    assert_in_step(desk)
    after, steps = labels(desk), 0
    while desk.widget.workbench.controller.record.history.last is not None:
        desk.widget.undo()
        desk.done()
        steps += 1
        assert_in_step(desk)
    np.testing.assert_array_equal(labels(desk), before)
    for _ in range(steps):
        desk.widget.redo()
        desk.done()
    np.testing.assert_array_equal(labels(desk), after)


def test_what_is_painted_over_another_object_stays(desk: Any) -> None:
    desk.point(0, 30, 30)  # answered by the network
    desk.done()
    desk.paint(0, 50, 70, 2, size=9)
    desk.done()
    desk.paint(0, 50, 75, 3, size=9)
    desk.done()
    desk.paint(0, 30, 32, 3, size=9)
    desk.done()
    shown = desk.frame(0).copy()
    assert (shown[46:55, 71:80] == 3).sum() > 60
    assert_in_step(desk)
    desk.widget.workbench.set_object(4)
    desk.point(0, 20, 80)  # writes the frame again
    desk.done()
    now = desk.frame(0)
    np.testing.assert_array_equal(
        now[(shown == 2) | (shown == 3)], shown[(shown == 2) | (shown == 3)]
    )
    assert_in_step(desk)


def test_undo_leaves_masks_of_an_earlier_session(desk: Any) -> None:
    """After a change of the model, until objects are followed anew."""
    desk.point(0, 30, 30)
    desk.done()
    desk.widget.propagate("forward")
    desk.done()
    followed = labels(desk)
    assert (followed[3] == 1).any()
    desk.widget.workbench.starting.open_session()
    desk.done()
    assert not desk.widget.session.result(3).quality
    before = labels(desk)
    np.testing.assert_array_equal(before[3], followed[3])
    for object_id in (2, 1):
        desk.widget.workbench.set_object(object_id)
        desk.point(3, 20, 80)
        desk.done()
        desk.widget.undo()
        desk.done()
        np.testing.assert_array_equal(labels(desk)[3], before[3])


def let_an_undo_wait(desk: Any, gate: Gate) -> None:
    desk.point(0, 30, 30)
    desk.done()
    gate.open.clear()
    desk.point(1, 30, 34)
    process_events()
    desk.widget.undo()


def test_said_to_end_while_an_undo_waits(desk: Any, gate: Gate) -> None:
    let_an_undo_wait(desk, gate)
    desk.go(3)
    desk.widget.workbench.prompting.end_here()
    gate.open.set()
    desk.done()
    assert sorted(desk.widget.session.prompts[1]) == [0, 3]
    assert_in_step(desk)


def test_divided_while_an_undo_waits(desk: Any, gate: Gate) -> None:
    let_an_undo_wait(desk, gate)
    desk.widget.workbench.dividing.divide(1, 2, find=False)
    gate.open.set()
    desk.done()
    assert desk.widget.session.prompts[1][2].absent
    assert_in_step(desk)


def test_what_was_refused_does_not_come_back_with_undo(desk: Any, gate: Gate) -> None:
    gate.open.clear()
    desk.go(3)
    desk.widget.workbench.prompting.end_here()  # refused: nobody has shown it yet
    desk.point(0, 30, 30)
    process_events()
    desk.point(1, 30, 34)
    process_events()
    gate.open.set()
    desk.done()
    desk.widget.undo()
    desk.done()
    assert list(desk.widget.session.prompts[1]) == [0]
    assert_in_step(desk)


def test_painted_while_a_click_on_the_frame_is_answered(desk: Any, gate: Gate) -> None:
    gate.open.clear()
    desk.point(0, 30, 30)
    process_events()
    desk.widget.new_object()
    desk.paint(0, 55, 85, 2)
    process_events()
    gate.open.set()
    desk.done()
    assert_in_step(desk)
    desk.widget.undo()  # the stroke
    desk.done()
    assert list(desk.widget.session.prompts) == [1]
    assert (desk.frame(0) == 1).any()
    assert_in_step(desk)


def _anything(chance: random.Random, desk: Any) -> str:
    """Do something that a user can do, where and whenever."""
    widget, bench = desk.widget, desk.widget.workbench
    frame, y, x = chance.randrange(LENGTH), chance.uniform(3, 60), chance.uniform(3, 90)
    ids = sorted(bench.used_ids) or [1]
    corners = [(y, x), (y, x + 12), (y + 12, x + 12), (y + 12, x)]

    def refuse() -> None:
        bench.set_positive(False)
        desk.point(frame, y, x)
        bench.set_positive(True)

    def pick() -> None:
        widget.object_id = chance.choice(ids)

    def merge() -> None:
        if len(ids) > 1:
            widget.panels.editor.merge(chance.sample(ids, 2))

    def end() -> None:
        desk.go(frame)
        bench.prompting.end_here()

    def paint(value: int) -> None:
        if desk.layers.labels.editable:
            desk.paint(frame, y, x, value, size=9)

    doings: dict[str, Callable[[], Any]] = {
        "point": lambda: desk.point(frame, y, x),
        "negative point": refuse,
        "polygon": lambda: desk.shape(frame, corners[:3], "polygon"),
        "paint": lambda: paint(bench.object_id),
        "erase": lambda: paint(0),
        "new": widget.new_object,
        "pick": pick,
        "delete": widget.delete_object,
        "undo": widget.undo,
        "redo": widget.redo,
        "propagate": widget.propagate,
        "repair": widget.repair,
        "cancel": widget.cancel,
        "merge": merge,
        "split": lambda: (desk.go(frame), widget.panels.editor.split()),
        "divide": lambda: bench.dividing.divide(chance.choice(ids), frame),
        "lock": lambda: widget.panels.editor.lock([chance.choice(ids)], chance.random() < 0.5),
        "end": end,
        "accept": lambda: (desk.go(frame), bench.prompting.approve(bench.object_id, frame)),
        "fill gaps": lambda: widget.panels.editor.close_gaps(),
    }
    name = chance.choice([*doings, "point", "point", "undo"])
    doings[name]()
    return name


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_done(desk: Any, seed: int) -> None:
    chance, done = random.Random(seed), []
    for _ in range(10):
        done.append(_anything(chance, desk))
        desk.done()
        try:
            assert_in_step(desk)
        except AssertionError as error:
            raise AssertionError(f"after {', '.join(done)}") from error
    for _ in range(2 * len(done)):
        desk.widget.undo()
        desk.done()
    assert not labels(desk).any()
    assert not desk.layers.prompts
    assert not desk.widget.session.object_ids


def test_a_mask_said_while_an_undo_waits_is_in_the_labels(desk: Any, gate: Gate) -> None:
    mask = np.zeros((64, 96), bool)
    mask[40:50, 70:90] = True
    gate.open.clear()
    desk.point(0, 30, 30)
    process_events()
    desk.widget.undo()
    desk.widget.workbench.prompting.say(2, 1, Prompt(mask=mask))
    gate.open.set()
    desk.done()
    np.testing.assert_array_equal(desk.frame(1) == 2, mask)
    assert_in_step(desk)


def test_the_shape_drawn_last_is_the_one_that_counts(desk: Any) -> None:
    corners = [(20.0, 20.0), (20.0, 40.0), (44.0, 40.0), (44.0, 20.0)]
    desk.shape(0, corners, "rectangle")
    desk.done()
    desk.shape(0, corners[:3], "polygon")
    desk.done()
    prompt = desk.widget.session.prompts[1][0]
    assert prompt.mask is not None
    assert prompt.box is None
    desk.shape(0, corners[1:], "polygon")  # areas add up
    desk.done()
    assert list(desk.layers.shapes.shape_type) == ["polygon", "polygon"]
    assert desk.widget.session.prompts[1][0].mask.sum() > prompt.mask.sum()
    for _ in range(2):
        desk.shape(0, [(y + 2, x) for y, x in corners], "rectangle")
        desk.done()
        assert list(desk.layers.shapes.shape_type) == ["rectangle"]
    prompt = desk.widget.session.prompts[1][0]
    assert prompt.mask is None
    assert prompt.box[0, 0] == 22.5
    assert_in_step(desk)
    for _ in range(2):
        desk.widget.undo()
        desk.done()
    assert list(desk.layers.shapes.shape_type) == ["polygon"]
    assert_in_step(desk)
