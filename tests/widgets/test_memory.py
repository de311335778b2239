"""What was removed from the viewer is not kept in memory: labels may be as large as the image."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from fakes import SMALL, blobs
from qtpy.QtWidgets import QMenu

from napari_sam2.widgets.session.worker import process_events


@pytest.mark.parametrize("how", ["removed", "left"])
def test_masklets_are_let_go_once_they_are_removed(desk, how):
    desk.point(0, *SMALL)
    desk.done()
    labels, names = weakref.ref(desk.layers.labels), [one.name for one in desk.layers.layers]
    if how == "left":
        desk.widget.set_image(desk.viewer.add_image(blobs(4), name="others"))
        desk.done()
    for name in names:
        desk.viewer.layers.remove(name)
    desk.widget.wait(panels=True)
    process_events()
    gc.collect()
    assert labels() is None


@pytest.mark.parametrize("which", ["more", "table"])
def test_a_menu_that_was_closed_keeps_no_layer(window, which):
    theirs = weakref.ref(window.viewer.add_labels(np.zeros((6, 80, 100), np.uint8), name="theirs"))
    form = window.widget.form
    if which == "more":
        window.press(form.session.more)
    else:
        table = form.objects.table
        table.customContextMenuRequested.emit(table.rect().center())
    (menu,) = [menu for menu in window.widget.findChildren(QMenu) if menu.isVisible()]
    menu.close()
    window.settle()
    assert not window.widget.findChildren(QMenu)
    window.viewer.layers.remove("theirs")
    window.settle()
    gc.collect()
    assert theirs() is None
