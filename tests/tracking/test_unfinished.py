"""Whether a propagation that was ended early can go on."""

from __future__ import annotations

import pytest

from napari_sam2.tracking.kept.history import unfinished
from napari_sam2.tracking.kept.steps import (
    AddPrompts,
    CloseGaps,
    LockObject,
    Propagate,
    RemoveObject,
    Repair,
    SetPrompt,
)
from napari_sam2.tracking.prompt import Prompt

CLICK = Prompt([[5, 5]], [True])
STOPPED = Propagate("both", object_ids=(1, 2), frames=7)
BEFORE = [AddPrompts({1: {3: CLICK}}), SetPrompt(2, 5, CLICK)]
PROMPTS = {1: {3: CLICK}, 2: {5: CLICK}}


@pytest.mark.parametrize(
    "later",
    [
        [],
        [SetPrompt(1, 9, CLICK), Repair(), CloseGaps(1)],
        [SetPrompt(1, 3, CLICK)],  # a correction of the first prompt
        [SetPrompt(4, 0, CLICK)],  # another object
    ],
)
def test_it_goes_on(later) -> None:
    prompts = {i: dict(some) for i, some in PROMPTS.items()}
    for step in later:
        if isinstance(step, SetPrompt):
            prompts.setdefault(step.object_id, {})[step.frame] = step.prompt
    rest = unfinished([*BEFORE, STOPPED, *later], prompts)
    assert rest == Propagate("both", object_ids=(1, 2), after=7)
    assert unfinished([*BEFORE, STOPPED, *later, Propagate("forward")], prompts) is None


@pytest.mark.parametrize(
    ("later", "prompts"),
    [
        (SetPrompt(1, 2, CLICK), {**PROMPTS, 1: {2: CLICK, 3: CLICK}}),  # it begins earlier
        (SetPrompt(1, 3, None), {2: {5: CLICK}}),
        (RemoveObject(2), {1: {3: CLICK}}),
        (LockObject(1, True), PROMPTS),
    ],
)
def test_it_does_not_where_other_frames_would_be_meant(later, prompts) -> None:
    assert unfinished([*BEFORE, STOPPED, later], prompts) is None


def test_there_is_none() -> None:
    assert unfinished(BEFORE, PROMPTS) is None
    assert unfinished([*BEFORE, Propagate("both")], PROMPTS) is None
