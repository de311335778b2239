"""Previews under the mouse: in other views, on closing, and the job that computes them."""

from __future__ import annotations

import threading
import time

import numpy as np
from fakes import LARGE, SMALL, blobs

from napari_sam2.widgets.worker import Worker


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
