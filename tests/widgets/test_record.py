"""What steps write into the labels, and undo takes back: parts of frames, and all that changed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.steps import RemoveObject, SetPrompt
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.layers.layer_change import LayerChange
from napari_sam2.widgets.layers.painting import Stroke
from napari_sam2.widgets.layers.results import ResultWriter
from napari_sam2.widgets.session.record import Record
from tests.tracking.crowd import FRAMES, crowd, shown, steps
from tests.tracking.toy import SHAPE, toy_model


@pytest.fixture(scope="module")
def model():
    return toy_model()


def recorded(model, seed: int) -> tuple[Record, np.ndarray]:
    """The steps of a crowd, and its labels."""
    array = np.zeros((FRAMES, *SHAPE), np.uint16)
    writer = ResultWriter(array, StackGeometry.of(array.shape, 0, (0, 0, 0)))
    record = Record(crowd(model, seed, "windowed"), writer)
    for _ in record.resume(range(FRAMES), lambda _: None):
        pass
    return record, array


@pytest.mark.parametrize("seed", range(6))
def test_labels_are_those_of_the_session_after_each_step_and_back(model, seed):
    record, array = recorded(model, seed)
    states = [array.copy()]
    for step in steps(np.random.default_rng(seed)):
        try:
            for _ in record.run(step):
                pass
        except InputError:
            pass
        else:
            states.append(array.copy())
        np.testing.assert_array_equal(array, shown(record.history.session), err_msg=str(step))
    assert len(states) > 3
    for state in states[-2::-1]:
        record.undo()
        np.testing.assert_array_equal(array, state)
    for state in states[1:]:
        record.redo()
        np.testing.assert_array_equal(array, state)


def test_a_stroke_during_a_step_is_no_part_of_what_that_brings_back(model):
    record, array = recorded(model, 0)
    before = array.copy()
    doomed = int(array[0][array[0] > 0][0])
    y, x = np.argwhere(array[0] == doomed)[0]
    began = time.monotonic()
    array[0, y : y + 9, x : x + 9] = 30
    stroke = Stroke(before[0].copy(), array[0].copy(), began)
    for _ in record.run(RemoveObject(doomed)):
        pass
    mask = Prompt(mask=array[0] == 30)
    for _ in record.run(SetPrompt(30, 0, mask), LayerChange(1, None, {0: [stroke]}), write=False):
        pass
    record.undo()
    assert not (array == 30).any()
    record.undo()
    np.testing.assert_array_equal(array, before)
