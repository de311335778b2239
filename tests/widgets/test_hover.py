"""Previews under the mouse, by real mouse and key events."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from fakes import LARGE, SMALL, blobs
from hands import lasting, until

from napari_sam2.widgets.canvas.hover import REST_MS
from napari_sam2.widgets.session.worker import Worker, process_events


def picture(window):
    return window.widget.hover.picture


def asked(window) -> list[tuple[int, int]]:
    return window.widget.session.previewed


def everything(window) -> list[object]:
    """All that a preview must not touch."""
    layers = window.layers
    return [
        [layer.name for layer in window.viewer.layers],
        window.viewer.layers.selection.active.name,
        np.array(layers.labels.data).tobytes(),
        np.array(layers.points.data).tolist(),
        [np.array(data).tolist() for data in layers.shapes.data],
        layers.prompts,
        window.widget.session.prompts,
        window.widget.session.object_ids,
        list(window.widget.controller.record.history.steps),
        window.status,
    ]


@pytest.fixture
def window(kept):
    """The same window for many tests; each finds it as it was."""
    window = kept.window(lambda make: make(blobs()))
    yield window
    with kept.put_back():
        put_back(window)


def put_back(window) -> None:
    session, widget = window.widget.session, window.widget
    session.gate.set()
    session.delay, session.fast = 0.0, True
    window.done()
    window.leave()
    while widget.controller.record.history.steps:
        widget.undo()
        window.done()
    widget.object_id = 1
    widget.workbench.set_positive(True)
    session.previewed.clear()
    session.threads.clear()
    session.calls = session.interrupted = 0
    widget.hover._timer.setInterval(REST_MS)
    widget.form.session.preview.setChecked(True)
    assert not window.layers.prompts
    assert not window.layers.labels.data.any()
    assert widget.workbench.tools.current == "point"
    assert window.layers.points.mode == "add"
    assert window.viewer.dims.current_step == (0, 0, 0)


def test_resting_shows_what_a_click_gives(window):
    before = everything(window)
    window.hover(*LARGE)
    assert picture(window).mask is None
    window.rest()
    shown = picture(window).mask
    assert shown[LARGE]
    assert not shown[SMALL]
    assert everything(window) == before
    assert window.widget.session.threads == {"napari-sam2_0"}
    window.click(*LARGE)
    window.done()
    np.testing.assert_array_equal(window.frame(0) == 1, shown)
    assert picture(window).mask is None


def test_it_is_seen_where_the_cell_is(window):
    def red(y, x):
        at = window.pixel(y, x)
        shot = window.viewer.screenshot(canvas_only=True, flash=False).astype(int)
        scale = shot.shape[0] / window.canvas.height()
        return shot[round(at.y() * scale), round(at.x() * scale), :3]

    inside, outside = red(*LARGE), red(55, 85)
    window.hover(*LARGE)
    window.rest()
    assert np.abs(red(*LARGE) - inside).max() > 20
    np.testing.assert_array_equal(red(55, 85), outside)
    edge = [red(55, x) for x in np.arange(69.5, 73, 0.25)]  # the disc's right end is at 71
    assert max(np.abs(e - outside).max() for e in edge) > 60
    window.leave()
    np.testing.assert_array_equal(red(*LARGE), inside)


def test_it_goes_away(window):
    def step(frame: int) -> None:
        window.viewer.dims.set_current_step(0, frame)

    def activate(layer) -> None:
        window.viewer.layers.selection.active = layer

    layers, tools = window.layers, window.widget.form.tools
    ways = {  # and back
        "move": (lambda: window.hover(5, 5), lambda: None),
        "leave": (window.leave, lambda: None),
        "frame": (lambda: step(3), lambda: step(0)),
        "layer": (lambda: activate(layers.labels), lambda: activate(layers.points)),
        "tool": (lambda: window.press(tools["box"]), lambda: window.press(tools["point"])),
        "mode": (lambda: setattr(layers.points, "mode", "select"), lambda: None),
        "off": (window.widget.form.session.preview.trigger, lambda: None),
    }
    for way, (away, back) in ways.items():
        layers.points.mode = "add"
        window.hover(*LARGE)
        window.rest()
        assert picture(window).mask is not None, way
        away()
        assert picture(window).mask is None, way
        window.rest()
        seen = picture(window).mask
        if way == "frame":  # the mouse rests over that frame now
            assert seen[55, 66]
            assert asked(window)[-1] == (1, 3)
        else:
            assert seen is None or not seen.any(), way
        back()


def test_many_moves_are_one_preview(window):
    window.widget.hover._timer.setInterval(2000)  # a slow machine takes its time between two moves
    for x in np.linspace(10, 60, 50):
        window.hover(55, x)
    window.rest()
    assert len(asked(window)) == 1
    assert picture(window).mask[LARGE]


def test_moves_end_what_is_being_computed(window):
    session = window.widget.session
    session.gate.clear()
    window.hover(*SMALL)
    until(lambda: asked(window))
    window.hover(*LARGE)
    until(lambda: session.interrupted)
    session.gate.set()
    window.rest()
    assert picture(window).mask[LARGE]
    assert len(asked(window)) == 2


def test_a_click_does_not_wait_for_a_preview(window):
    session = window.widget.session
    session.gate.clear()
    window.hover(*LARGE)
    until(lambda: asked(window))
    window.click(*SMALL)  # the preview alone would never end
    until(lambda: session.calls)
    assert session.interrupted == 1
    session.gate.set()
    window.done()
    assert window.frame(0)[SMALL] == 1
    assert picture(window).mask is None


def test_what_has_to_be_done_first_only_delays_it(window):
    session = window.widget.session
    session.gate.clear()
    window.hover(*LARGE)
    until(lambda: asked(window))
    window.widget.controller._worker.submit(lambda: None)
    until(lambda: session.interrupted)
    session.gate.set()
    until(lambda: picture(window).mask is not None)


def test_only_before_the_first_click(window):
    window.click(*SMALL)
    window.done()
    window.hover(*LARGE)
    window.rest()
    assert not asked(window)
    window.key("N")  # the mouse rests where it is
    window.rest()
    assert asked(window) == [(2, 0)]
    assert picture(window).mask[LARGE]
    window.key("Q")  # the next click says what is not the object
    window.rest()
    assert picture(window).mask is None
    assert len(asked(window)) == 1


def test_not_outside_the_image_and_not_on_frames_that_take_long(window):
    window.hover(-4, 20)
    window.rest()
    assert not asked(window)
    window.widget.session.fast = False
    window.hover(*LARGE)
    window.rest()
    assert not asked(window)


def test_never_while_it_propagates(window):
    window.click(*SMALL)
    window.done()
    window.key("N")
    window.widget.session.delay = 0.1  # much longer in all than the mouse has to rest
    window.widget.propagate()
    run = window.widget.controller.run
    window.hover(*LARGE)
    while window.widget.controller.run is run:
        assert not asked(window)
        process_events()  # at the end, it may come in the same breath
    window.rest()  # and then it comes by itself
    assert asked(window)


def test_the_event_loop_goes_on(window):
    with lasting(window.widget.session, "preview", 11) as ends:
        window.hover(*LARGE)
        window.rest()
    assert picture(window).mask[LARGE]
    assert ends


def test_the_switch_is_remembered(open_desk):
    for on in (True, False, True):
        switch = open_desk(blobs()).widget.form.session.preview
        assert switch.isChecked() == on
        switch.trigger()


def test_stretched_and_transposed_and_closing_lets_go(open_window):
    data = np.moveaxis(blobs(), 0, 2)
    window = open_window(data, axis=2, scale=(2, 0.5, 3), translate=(5, -7, 2))
    window.viewer.dims.order = (2, 1, 0)
    window.viewer.reset_view()
    window.settle()
    picture = window.widget.hover.picture
    window.hover(*LARGE)
    window.rest()
    assert picture.mask[LARGE]
    corner = picture._parts[0].transform.translate[:2]
    np.testing.assert_allclose(corner, (55 - 11 - 1.5, 60 - 11 - 1.5))
    window.viewer.dims.ndisplay = 3
    window.rest()
    assert picture.mask is None
    window.viewer.dims.ndisplay = 2
    window.hover(*LARGE)
    window.rest()
    node = picture._parts[0]
    assert node.parent is not None
    window.widget.shut_down()
    assert node.parent is None
    assert not window.viewer.mouse_move_callbacks
    window.hover(*SMALL)
    window.viewer.layers["prompts: points"].mode = "select"
    assert not window.widget.hover.waiting


def test_a_job_that_gives_way_is_told():
    results: list[object] = []
    begun, told = threading.Event(), threading.Event()
    worker = Worker(lambda finish: finish())

    def long() -> str:
        begun.set()
        while not worker.wanted:
            time.sleep(0.001)
        told.set()
        return "gave way"

    worker.submit(long, done=results.append, gives_way=True)
    assert begun.wait(10)
    assert not worker.wanted
    worker.submit(lambda: "urgent", done=results.append)
    assert told.wait(10)
    while worker.busy:
        time.sleep(0.001)
    assert results == ["gave way", "urgent"]
    assert not worker.wanted
    worker.close()
