"""The brush, while objects are followed and after that."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import LARGE, blobs
from hands import until
from test_undo import do

from napari_sam2.tracking.prompt import Prompt


def held_up(desk) -> None:
    """Begin a propagation that waits on its first frame."""
    desk.widget.session.gate.clear()
    desk.widget.propagate()
    until(lambda: not desk.layers.labels.editable)


def go_on(desk) -> None:
    desk.widget.session.gate.set()
    desk.done()


def halves(shape) -> tuple[Prompt, Prompt]:
    """Two daughters, as a session finds them."""
    masks = np.zeros((2, *shape), bool)
    masks[0, 15:20, 18:30] = masks[1, 22:27, 18:30] = True
    return Prompt(mask=masks[0]), Prompt(mask=masks[1])


@pytest.mark.parametrize(
    ("how", "mode"),
    [
        ("propagate", "paint"),
        ("propagate", "erase"),
        ("repair", "fill"),
        ("find", "paint"),
        ("divide", "paint"),
    ],
)
def test_the_brush_stays_in_use(desk, monkeypatch, how, mode):
    bench, session = desk.widget.workbench, desk.widget.session
    monkeypatch.setattr(session, "find_daughters", lambda *_: halves(session.frames.shape))
    do(desk, "click")
    desk.done()
    do(desk, "propagate")
    desk.done()
    desk.go(3)
    bench.tools.use("brush")
    desk.layers.labels.mode = mode
    if how == "find":
        bench.seeding.find_all()
    elif how == "divide":
        desk.widget.divide()
    else:
        desk.widget.propagate("both" if how == "propagate" else how)
    desk.done()
    assert (str(desk.layers.labels.mode), desk.layers.labels.editable) == (mode, True)
    assert desk.viewer.layers.selection.active is desk.layers.labels


@pytest.mark.parametrize("back", ["before it ends", "after that"])
def test_the_brush_comes_back_in_2d(desk, back):
    do(desk, "click")
    desk.done()
    tools = desk.widget.workbench.tools
    tools.use("brush")
    held_up(desk)
    desk.viewer.dims.ndisplay = 3
    if back == "after that":
        go_on(desk)
        assert str(desk.layers.labels.mode) == "pan_zoom"
    desk.viewer.dims.ndisplay = 2
    go_on(desk)
    assert tools.current == "brush"


def test_the_brush_of_3d_stays_there(desk):
    do(desk, "click")
    desk.done()
    desk.viewer.dims.ndisplay = 3
    desk.widget.workbench.tools.use("brush")
    desk.widget.propagate()
    desk.done()
    assert desk.widget.workbench.tools.current == "brush"


def test_the_tool_that_was_taken_up_meanwhile_counts(desk):
    do(desk, "click")
    desk.done()
    desk.widget.workbench.tools.use("brush")
    held_up(desk)
    assert desk.widget.workbench.tools.current is None
    desk.widget.workbench.tools.use("box")
    go_on(desk)
    assert desk.widget.workbench.tools.current == "box"


def test_another_image_has_a_tool_of_its_own(desk):
    do(desk, "click")
    desk.done()
    desk.widget.workbench.tools.use("brush")
    held_up(desk)
    gate = desk.widget.session.gate
    desk.widget.set_image(desk.viewer.add_image(blobs() // 2, name="other"))
    gate.set()
    desk.done()
    assert desk.widget.workbench.tools.current == "point"
    assert str(desk.layers.labels.mode) == "pan_zoom"


@pytest.mark.parametrize("way", ["both", "repair"])
def test_a_stroke_that_was_begun_is_read(desk, way):
    do(desk, "click")
    desk.done()
    do(desk, "propagate")
    desk.done()
    labels, at = desk.layers.labels, desk.layers.geometry.to_data
    labels.brush_size = 6
    with labels.block_history():  # napari's brush holds it while the button is down
        labels.paint(at(0, 70, 20), 2)
        desk.widget.propagate(way)
        desk.done()
        assert desk.frame(0)[70, 20] == 2
        assert desk.prompts[2][0].mask[70, 20]  # it was followed, too
        assert not desk.prompts[2][0].mask[70, 40]
        labels.paint(at(0, 70, 40), 2)
        labels.paint(at(0, 70, 41), 2)
    desk.done()
    assert desk.prompts[2][0].mask[70, 20]
    assert desk.prompts[2][0].mask[70, 41]
    np.testing.assert_array_equal(desk.frame(0) == 2, desk.prompts[2][0].mask)
    for expected in (20, None):  # the rest is a step; then comes the propagation
        desk.widget.undo()
        desk.done()
        assert desk.frame(0)[70, 41] == 0
        if expected:
            assert desk.frame(0)[70, expected] == 2
    assert desk.prompts[1]


def test_a_division_in_the_middle_of_a_stroke(desk, monkeypatch):
    do(desk, "click")
    desk.done()
    do(desk, "propagate")
    desk.done()
    labels, at = desk.layers.labels, desk.layers.geometry.to_data
    labels.brush_size = 6
    desk.go(3)
    session = desk.widget.session
    monkeypatch.setattr(session, "find_daughters", lambda *_: halves(session.frames.shape))
    with labels.block_history():
        labels.paint(at(2, *LARGE), 1)
        desk.widget.divide()
        desk.done()
        labels.paint(at(2, LARGE[0], LARGE[1] + 9), 1)
    desk.done()
    mask = desk.prompts[1][2].mask
    assert mask[LARGE]
    assert mask[LARGE[0], LARGE[1] + 9]
    np.testing.assert_array_equal(desk.frame(2) == 1, mask)
    for _ in range(3):  # both parts of the stroke, around the daughters
        desk.widget.undo()
        desk.done()
    assert desk.frame(2)[LARGE] != 1
    assert 2 not in desk.prompts[1]
