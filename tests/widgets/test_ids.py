"""Ids of new objects, where the highest that the Labels layer holds is taken."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.ids import HIGHEST, free_ids


def test_free_ids():
    assert free_ids(()) == 1
    assert free_ids({3}) == 4
    assert free_ids({HIGHEST}) == 1
    assert free_ids({1, 3, 4, HIGHEST}) == 2
    assert free_ids({1, 3, 4, HIGHEST}, 2) == 5
    assert free_ids({HIGHEST - 2}, 2) == HIGHEST - 1
    assert free_ids({HIGHEST - 1}, 2) == 1
    assert free_ids(range(2, HIGHEST + 1)) == 1
    with pytest.raises(InputError, match="all taken"):
        free_ids(range(1, HIGHEST + 1))
    with pytest.raises(InputError, match="no room for 2 more"):
        free_ids([*range(1, 9), *range(10, HIGHEST + 1)], 2)


def with_highest(desk) -> None:
    """Import one object whose id is the highest there is, and click on object 1."""
    labels = np.zeros((6, 80, 100), np.uint16)
    labels[:, 15:25, 15:25] = HIGHEST
    desk.widget.workbench.seeding.adopt(desk.viewer.add_labels(labels, name="other"))
    desk.done()
    desk.widget.object_id = 1
    desk.point(0, 55, 60)
    desk.done()


def test_new_objects_after_the_highest_id(desk, monkeypatch):
    with_highest(desk)
    desk.widget.new_object()
    assert desk.widget.object_id == 2
    desk.widget.object_id = 1
    desk.widget.propagate()
    desk.done()
    desk.go(3)
    desk.widget.panels.editor.split()
    desk.done()
    assert set(desk.prompts) == {1, 2, HIGHEST}
    desk.widget.workbench.dividing.divide(1, 2)
    desk.done()
    assert {3, 4} <= set(desk.prompts)
    desk.widget.object_id = 2
    used = set(range(1, HIGHEST + 1))
    monkeypatch.setattr(desk.widget.workbench.writer, "object_ids", used)
    for refused in (
        desk.widget.new_object,
        desk.widget.panels.editor.split,
        lambda: desk.widget.workbench.dividing.divide(1, 1),
    ):
        refused()
        assert "ids up to 65535" in desk.status


def test_ids_of_other_layers_that_are_too_large(desk):
    labels = np.zeros((6, 80, 100), np.uint32)
    labels[:, 15:25, 15:25], labels[:, 50:60, 55:65] = HIGHEST + 2, 7
    other = desk.viewer.add_labels(labels, name="other")
    desk.go(0)
    desk.widget.workbench.seeding.adopt(other)
    desk.done()
    assert "ids above 65535" in desk.status
    desk.widget.workbench.seeding.add_layer(other)
    desk.done()
    assert sorted(desk.prompts) == [1, 2]
    assert desk.frame(0)[20, 20] == 2
    assert desk.frame(0)[55, 60] == 1


def test_objects_of_a_layer_beside_the_highest_id(desk):
    with_highest(desk)
    desk.go(0)
    labels = np.zeros((80, 100), np.uint16)
    labels[70:75, 15:25] = 1
    desk.widget.workbench.seeding.add_layer(desk.viewer.add_labels(labels, name="more"))
    desk.done()
    points = desk.viewer.add_points([[0, 40, 40]], name="points")
    desk.widget.workbench.seeding.add_layer(points)
    desk.done()
    assert sorted(desk.prompts) == [1, 2, 3, HIGHEST]
    for wrong in (0, HIGHEST + 1):
        with pytest.raises(InputError, match="from 1 to 65535"):
            desk.widget.workbench.prompting.say(wrong, 0, Prompt(absent=True))
