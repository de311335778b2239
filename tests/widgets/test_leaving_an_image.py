"""The image, or a layer of ours, is removed from the viewer."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import SMALL, blobs
from test_layers_and_session import few
from test_undo import do, seen

OURS = ("masklets", "prompts: boxes", "prompts: points")


def names(desk) -> list[str]:
    return sorted(layer.name for layer in desk.viewer.layers)


def work(desk) -> None:
    do(desk, "click")
    do(desk, "propagate")
    desk.done()


def test_masklets_do_not_lie_over_the_next_image(desk):
    work(desk)
    old, masks = desk.layers, np.array(desk.layers.labels.data)
    desk.viewer.layers.remove("cells")
    few()
    assert "was removed; what was done is kept, and hidden. Open an image" in desk.status
    desk.viewer.add_image(blobs()[:, ::-1], name="second")
    desk.done()
    assert desk.widget.workbench.image is desk.viewer.layers["second"]
    assert not any(layer.visible for layer in old.layers)
    assert not desk.layers.labels.data.any()
    np.testing.assert_array_equal(old.labels.data, masks)


def test_the_same_pixels_again_show_them_once(desk):
    work(desk)
    before, old = seen(desk), desk.layers
    desk.viewer.layers.remove("cells")
    desk.viewer.add_image(blobs(), name="again")
    desk.done()
    assert "'Restore' brings that back" in desk.status
    desk.widget.restore_session()
    desk.done()
    assert seen(desk) == before
    assert names(desk) == sorted(("again", *OURS))
    assert not set(old.layers) & set(desk.viewer.layers)


@pytest.mark.parametrize("name", OURS)
def test_a_layer_of_ours_comes_back_with_the_image(desk, name):
    work(desk)
    before = seen(desk)
    desk.viewer.layers.remove(name)
    desk.done()
    assert "Choose the image again to go on" in desk.status
    desk.widget.set_image(desk.viewer.layers["cells"])
    desk.done()
    assert seen(desk) == before
    assert names(desk) == sorted(("cells", *OURS))
    assert all(layer.visible for layer in desk.layers.layers)


@pytest.mark.parametrize("name", ["cells", *OURS])
def test_layers_that_hold_nothing_go_along(desk, name):
    desk.viewer.layers.remove(name)
    desk.done()
    assert f"'{name}' was removed. " in desk.status
    assert names(desk) == ([] if name == "cells" else ["cells"])


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("how", ["clear", "selected"])
def test_all_are_removed_at_once(desk, how, done):
    if done:
        work(desk)
    layers = desk.viewer.layers
    if how == "clear":
        layers.clear()
    else:
        layers.select_all()
        layers.remove_selected()
    few()
    assert not len(layers)
    assert desk.widget.session is None
    desk.viewer.add_image(blobs(), name="again")
    desk.done()
    desk.point(0, *SMALL)
    desk.done()
    assert desk.frame(0)[SMALL] == 1
