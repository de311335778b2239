"""The prompt layers with hundreds of prompts: what did not change costs next to nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.layers.prompt_layers import PromptLayers
from tests.steps import steps

SHAPE = (3, 400, 400)


def clicked(k: int) -> Prompt:
    return Prompt().add_points([[10 + k, 20.5], [30, 40 + k]], [True, False])


def boxed(k: int) -> Prompt:
    return Prompt(box=np.array([[10 + k, 10], [30 + k, 35]]))


def painted(k: int) -> Prompt:
    place = (slice(5 + k, 25 + k), slice(10, 30))
    return Prompt(mask=ThinMask.at(SHAPE[1:], place, np.ones((20, 20), bool)))


def layers_with(make: Callable[[int], Prompt], count: int) -> PromptLayers:
    layers = PromptLayers(
        {}, StackGeometry(SHAPE, 0, {}), np.zeros(SHAPE, np.uint16), lambda _: None
    )
    layers.put({i: {i % 3: make(i)} for i in range(1, count + 1)})
    return layers


@pytest.mark.parametrize("make", [clicked, boxed, painted])
def test_prompts_that_nobody_changed_are_not_made_again(make):
    layers = layers_with(make, 6)
    before = layers.prompts
    assert before == {i: {i % 3: make(i)} for i in range(1, 7)}
    layers.put({4: {1: make(50)}, 7: {0: make(60)}})
    assert layers.prompts[4][1] == make(50)
    assert layers.prompts[7][0] == make(60)
    for i in (1, 2, 3, 5, 6):
        assert layers.prompts[i][i % 3] is before[i][i % 3]


@pytest.mark.parametrize(("make", "most"), [(clicked, 1500), (boxed, 4500)])
def test_a_click_among_many_prompts_takes_little_for_each(make, most):
    def clicking(count: int) -> int:
        layers = layers_with(make, count)
        layers.read()
        return steps(lambda: layers.put({1: {2: clicked(3)}}))

    assert clicking(200) - clicking(100) < 100 * most  # one that is read anew takes thousands


@pytest.mark.parametrize(("make", "name"), [(clicked, "points"), (boxed, "shapes")])
def test_coming_back_touches_only_what_differs(make, name):
    layers = layers_with(make, 8)
    layer = getattr(layers, name)
    whole, wanted = layers.state(), layers.prompts
    changed: list[int] = []

    def note(event):
        if str(event.action).lower().endswith(("added", "removed")):
            changed.extend(event.data_indices)

    layers.forget(5, 2)
    layer.events.data.connect(note)
    without, left = layers.state(), layers.prompts
    layers.restore(whole, wanted)
    assert layers.prompts == wanted
    changed.clear()
    layers.restore(without, left)  # 6, 7 and 8 stay where they are
    assert layers.prompts == left
    assert len(set(changed)) == len(layer.data) // 7
    changed.clear()
    layers.restore(layers.state_of(left), left)
    assert not changed
    np.testing.assert_equal(layers.state().points, without.points)


def test_a_point_that_is_added_does_not_colour_the_others_anew():
    layers = layers_with(clicked, 5)
    coloured: list[object] = []
    layers.points.events.face_color.connect(coloured.append)
    layers.points.events.symbol.connect(coloured.append)
    layers.put({9: {0: Prompt().add_points([[50, 60]], [True])}})
    assert not coloured
    layers.put({9: {0: Prompt().add_points([[50, 60]], [False])}})
    assert str(layers.points.symbol[-1]) == "diamond"
    assert not np.allclose(layers.points.face_color[-1], layers.points.face_color[0])
