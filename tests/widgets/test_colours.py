"""Colours of objects, and objects that are not shown. No window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_sam2.widgets.ids import HIGHEST
from napari_sam2.widgets.layers.colours import ObjectColours
from tests.steps import steps

IDS = np.array([0, 1, 7, 300, 60_000, HIGHEST], np.uint16)


@pytest.fixture
def labels() -> Labels:
    return Labels(np.full((2, 32, 32), 60_000, np.uint16))


def shown(labels: Labels) -> np.ndarray:
    return labels.colormap.map(IDS)


def test_hidden_objects_are_clear_and_the_others_as_they_were(labels):
    before, colours = shown(labels), ObjectColours(labels)
    colours.hide({7, HIGHEST}, HIGHEST)
    np.testing.assert_array_equal(shown(labels)[:, 3], [0, 1, 0, 1, 1, 0])
    kept = [0, 1, 3, 4]
    np.testing.assert_allclose(shown(labels)[kept], before[kept])
    np.testing.assert_allclose([colours.of(int(i)) for i in IDS[1:]], before[1:])
    colours.hide({1}, HIGHEST)
    np.testing.assert_array_equal(shown(labels)[:, 3], [0, 0, 1, 1, 1, 1])
    colours.hide({7}, 300)
    colours.hide(set(), 60_000)
    np.testing.assert_array_equal(shown(labels), before)


def test_hiding_one_of_many_objects_does_nothing_for_each(labels):
    colours = ObjectColours(labels)
    colours.hide({1}, 60_000)
    assert steps(lambda: colours.hide({2}, 60_000)) < 60_000


def test_colours_are_shuffled_while_some_are_hidden(labels):
    colours = ObjectColours(labels)
    colours.hide(set(range(1, 60_000)), 60_000)
    labels.new_colormap(seed=1)
    colours.hide({7}, 60_000)
    np.testing.assert_array_equal(shown(labels)[:, 3], [0, 1, 0, 1, 1, 1])
    new = shown(labels)
    colours.hide(set(), 60_000)
    np.testing.assert_array_equal(shown(labels)[:, 3], [0, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(shown(labels)[[1, 3, 4]], new[[1, 3, 4]])


def test_only_the_selected_label_is_shown_meanwhile(labels):
    colours, before = ObjectColours(labels), shown(labels)
    labels.selected_label, labels.show_selected_label = 300, True
    np.testing.assert_allclose(colours.of(1), before[1])
    colours.hide({7}, 60_000)
    np.testing.assert_array_equal(shown(labels)[:, 3], [0, 0, 0, 1, 0, 0])
    labels.show_selected_label = False
    np.testing.assert_array_equal(shown(labels)[:, 3], [0, 1, 0, 1, 1, 1])
    colours.hide(set(), 60_000)
    np.testing.assert_array_equal(shown(labels), before)


def test_objects_that_come_later_have_a_colour(labels):
    colours = ObjectColours(labels)
    colours.hide({1}, 7)
    assert shown(labels)[3, 3] == 1
    colours.hide({1}, 60_000)
    np.testing.assert_allclose(shown(labels)[4], colours.of(60_000))
