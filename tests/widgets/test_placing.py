"""Somebody moves the image after the dock was opened: its scale, units, a rotation."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import SMALL, blobs
from test_channels import two_channels
from test_layers_and_session import few
from test_undo import do

from napari_sam2.widgets.layers.slice_step import set_step
from napari_sam2.widgets.layers.sources import Part


def over(desk, place) -> list[np.ndarray]:
    """Where a place of the image without channels is in the world, by each prompt layer."""
    return [layer.data_to_world(place) for layer in desk.layers.layers]


MOVES = {
    "scale": (1, 0.325, 0.4),
    "translate": (0, 30, 5),
    "rotate": 20,
    "shear": (0, 0, 0.3),
    "affine": np.diag([1, 2, 3, 1]),
}


@pytest.mark.parametrize("name", MOVES)
def test_the_prompt_layers_move_along(desk, name):
    do(desk, "click")
    image, status = desk.viewer.layers["cells"], desk.status
    setattr(image, name, MOVES[name])
    desk.done()
    where = image.data_to_world((2, *SMALL))
    for place in over(desk, (2, *SMALL)):
        np.testing.assert_allclose(place, where)
    assert desk.status == status
    np.testing.assert_array_equal(desk.layers.points.data[0], (0, *SMALL))


def test_units_and_names_of_axes_come_along(desk):
    image, bench = desk.viewer.layers["cells"], desk.widget.workbench
    image.units, image.axis_labels = ("um", "um", "um"), ("z", "y", "x")
    desk.done()
    for layer in desk.layers.layers:
        assert (layer.units, layer.axis_labels) == (image.units, image.axis_labels)
    assert bench.source.frame_axis(desk.layers.geometry) == "Z"
    assert desk.widget.form.axis.native.currentText() == "z (6 frames)"


def test_clicks_of_a_volume_over_time_with_channels_stay_in_place(open_desk):
    data = np.stack([two_channels()] * 3, axis=1)
    desk = open_desk(data, axis_labels=("t", "z", "c", "y", "x"))
    image = desk.viewer.layers["cells"]
    image.scale, image.rotate, image.shear = (1, 4, 3, 0.5, 0.4), 20, np.arange(10) / 50
    image.translate = (1, 2, 3, 4, 5)
    desk.done()
    c, *where = image.data_to_world((0, 2, 1, *SMALL))
    del c
    for place in over(desk, (2, 1, *SMALL)):
        np.testing.assert_allclose(place, where)


def test_the_step_between_slices_moves_all_once(desk):
    do(desk, "click")
    desk.go(3)
    set_step(desk.widget.workbench, 2.5)
    desk.done()
    for layer in (desk.viewer.layers["cells"], *desk.layers.layers):
        np.testing.assert_array_equal(layer.scale, (2.5, 1, 1))
    assert desk.widget.workbench.frame_on_screen == 3


def test_of_several_layers_the_one_worked_on_counts(desk):
    image = desk.viewer.layers["cells"]
    other = desk.viewer.add_image(blobs() // 2, name="other")
    desk.widget.set_image(image, 0, Part(layers=(image, other)))
    desk.done()
    other.scale = (1, 5, 5)
    few()
    np.testing.assert_array_equal(desk.layers.points.scale, (1, 1, 1))
    image.scale = (1, 2, 2)
    few()
    np.testing.assert_array_equal(desk.layers.points.scale, (1, 2, 2))


@pytest.mark.parametrize("how", ["removed", "other", "closed"])
def test_layers_of_an_image_that_was_left_stay(desk, how):
    image = desk.viewer.layers["cells"]
    do(desk, "click")
    old = desk.layers
    if how == "removed":
        desk.viewer.layers.remove(image)
    elif how == "other":
        desk.widget.set_image(desk.viewer.add_image(blobs() // 2, name="other"))
    else:
        desk.widget.shut_down()
    few()
    image.scale = (1, 2, 2)
    few()
    for layer in old.layers:
        np.testing.assert_array_equal(layer.scale, (1, 1, 1))
