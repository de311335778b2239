"""A benchmark that runs in seconds: the shipped weights on clips that training cannot have drawn.

The floors are what was measured less two to three hundredths. Without memory attention J falls to
0.2, without the memory encoder to 0.5, without the prompt encoder the click to 0.1. All is averaged
over the clips: there it hardly matters if one object of thirty is answered otherwise on another
machine.
"""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.evaluation.protocols import first_frame_scores, propagate
from napari_sam2.evaluation.sequences import Sequence, Task, prepare
from napari_sam2.model.sam2 import SAM2
from napari_sam2.training.synthetic import make_clip

UNSEEN = 2**31  # training draws seeds below it
CLIPS = {"nuclei": 0, "adherent": 0, "colony": 1, "tissue": 0, "organelles": 0}
FRAMES, SIZE, OBJECTS = 6, 160, 6


@pytest.fixture(scope="module")
def model(shared_micro: SAM2) -> SAM2:
    return shared_micro


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    clips = [make_clip(UNSEEN + n, FRAMES, (SIZE, SIZE), kind) for kind, n in CLIPS.items()]
    return [prepare(Sequence(c.kind, c.images, c.labels), None, OBJECTS) for c in clips]


def test_the_clips_are_worth_it(tasks: list[Task]) -> None:
    assert [len(task.objects) for task in tasks] == [OBJECTS] * len(CLIPS)
    assert {len(task.images) for task in tasks} == {FRAMES}


@pytest.mark.parametrize(("prompt", "floor"), [("click", 0.74), ("box", 0.79)])
def test_first_answer(model: SAM2, tasks: list[Task], prompt: str, floor: float) -> None:
    scores = [list(first_frame_scores(model, task, prompt).values()) for task in tasks]
    assert np.mean([np.mean(some) for some in scores]) >= floor


@pytest.mark.parametrize(("prompt", "floor"), [("mask", 0.84), ("click", 0.765)])
def test_following(model: SAM2, tasks: list[Task], prompt: str, floor: float) -> None:
    assert np.mean([propagate(model, task, prompt).j for task in tasks]) >= floor
