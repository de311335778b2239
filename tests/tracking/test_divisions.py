"""A cell divides: followed, undone, done again, kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.lineage_steps import Divide, SetParents
from napari_sam2.tracking.kept.session_file import SessionFile, load_session
from napari_sam2.tracking.kept.steps import (
    AdoptMasks,
    MergeObjects,
    Propagate,
    RemoveObject,
    Repair,
    SetPrompt,
    Step,
)
from napari_sam2.tracking.kept.steps_json import step_as_json, step_from_json
from napari_sam2.tracking.masks.mask_text import mask_text
from napari_sam2.tracking.prompt import Prompt
from tests.tracking.dividing import (
    DIVIDES,
    FRAMES,
    centres,
    dividing,
    dividing_cell,
    everything,
    on,
    painted,
    run,
    square,
    start,
)

_, TRUTH = dividing_cell()


# --- dividing --------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_a_division_is_followed_by_one_repair(micro, attention):
    history = dividing(micro, attention)
    session = history.session
    assert session.parents == {2: 1, 3: 1}
    before = {t: session.result(t).labels for t in range(DIVIDES)}
    later = tuple(range(DIVIDES + 1, FRAMES))
    assert session.stale_frames() == {1: later, 2: later, 3: later}
    assert session.repair_workload().frames == len(later)
    assert len(history.do(Repair())) == 1 + len(later)  # and the frame of the division
    assert session.stale_frames() == {}
    assert on(session, 1) == list(range(DIVIDES))
    for t in range(DIVIDES):  # what was before stays as it is
        np.testing.assert_array_equal(session.result(t).labels, before[t])
    for i in (2, 3):
        assert on(session, i) == list(range(DIVIDES, FRAMES))
        for t in range(DIVIDES, FRAMES):
            mask, truth = session.result(t).labels == i, TRUTH[t] == i
            assert (mask & truth).sum() / (mask | truth).sum() > 0.7, (i, t)
    history.do(Propagate("both"))  # neither comes further back, whichever way it is followed
    history.do(Propagate("backward"))
    assert [on(session, i)[0] for i in (1, 2, 3)] == [0, DIVIDES, DIVIDES]


def test_daughters_are_looked_for_without_a_change(micro):
    history = start(micro)
    session = history.session
    history.do(SetPrompt(1, 0, Prompt([centres(0)[0]], [True])))
    assert session.find_daughters(1, 0) is None  # nothing is known of the mother before
    history.do(Propagate("both"))
    seen = session.result(DIVIDES).labels
    pair = session.find_daughters(1, DIVIDES)
    assert pair is not None
    for prompt in pair:
        assert prompt.only_mask
        overlaps = [
            (prompt.mask & (TRUTH[DIVIDES] == i)).sum()
            / (prompt.mask | (TRUTH[DIVIDES] == i)).sum()
            for i in (2, 3)
        ]
        assert max(overlaps) > 0.7
    np.testing.assert_array_equal(session.result(DIVIDES).labels, seen)
    assert session.parents == {}
    # What is another object's is no daughter; and one alone is no pair.
    session.add_mask(9, DIVIDES, TRUTH[DIVIDES] == 3)
    assert session.find_daughters(1, DIVIDES) is None
    history.do(Divide(1, DIVIDES, (2, 3)))
    with pytest.raises(InputError, match="frame"):
        session.find_daughters(1, FRAMES)
    with pytest.raises(InputError, match="17"):
        session.find_daughters(17, DIVIDES)


def test_what_a_cancelled_repair_leaves_is_still_to_be_done(micro):
    history = dividing(micro)
    session = history.session
    whole = dividing(micro)
    whole.do(Repair())
    results = history.run(Repair())
    for _ in range(3):  # the frame of the division, and two
        next(results)
    results.close()
    assert session.stale_frames()[2] == tuple(range(DIVIDES + 3, FRAMES))
    history.do(Repair())
    assert session.stale_frames() == {}
    for i in (2, 3):
        assert on(session, i) == on(whole.session, i)


def test_a_daughter_that_is_clicked_later_is_followed_back_to_the_division(micro):
    history = start(micro)
    history.do(SetPrompt(1, 0, Prompt([centres(0)[0]], [True])))
    history.do(Propagate("both"))
    history.do(Divide(1, DIVIDES, (2, 3)))
    history.do(SetPrompt(3, FRAMES - 2, Prompt([centres(FRAMES - 2)[1]], [True])))
    history.do(Repair())
    assert on(history.session, 3) == list(range(DIVIDES, FRAMES))
    assert on(history.session, 2) == []


def test_a_prompt_before_the_division_wins(micro):
    history = dividing(micro)
    history.do(SetPrompt(2, 3, Prompt([centres(3)[0]], [True])))
    history.do(Propagate("both", object_ids=(2,)))
    assert on(history.session, 2)[0] == 3


def test_a_daughter_divides_again(micro):
    history = dividing(micro)
    history.do(Divide(3, DIVIDES + 3, (7, 9)))
    history.do(SetPrompt(7, DIVIDES + 3, Prompt([centres(DIVIDES + 3)[1]], [True])))
    history.do(Repair())
    assert history.session.parents == {2: 1, 3: 1, 7: 3, 9: 3}
    assert on(history.session, 3) == [6, 7, 8]
    assert on(history.session, 7) == [9, 10, 11]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((9, 5, (7, 8)), "there is no object 9"),
        ((1, FRAMES, (7, 8)), "the stack has frames 0 to 11"),
        ((1, 5, (7, 7)), "take two ids"),
        ((1, 5, (2, 7)), "there is an object 2 already"),
        ((1, 5, (0, 7)), "start at 1"),
        ((1, 5, (7, 2**33)), "must be in 1 to"),
        ((1, 2, (7, 8)), "it begins on frame 2; show it on an earlier frame"),
        ((3, 5, (7, 8)), "it has no mask; show it"),
        ((2, 3, (7, 8)), "it is prompted on frame 4; split it on frame 3"),
        ((4, 6, (7, 8)), "it has no prompt before that frame; accept or correct .* frame 5"),
    ],
)
def test_what_cannot_divide(model, given, words):
    session = painted(model, {1: 2, 2: 1, 3: 4, 4: 6})
    session.add_mask(2, 4, square(2))
    session.clear_prompt(3, 4)
    run(session.propagate("backward", object_ids=[4]))
    before = (session.prompts, session.object_ids)
    assert 5 in on(session, 4)  # followed to there, but not prompted
    with pytest.raises(InputError, match=words):
        session.divide(*given)
    assert (session.prompts, session.object_ids) == before
    assert session.parents == {}


def test_ids_are_chosen_where_none_are_given(model):
    session = painted(model, {4: 0})
    assert session.divide(4, 3) == (5, 6)


# --- undone, written down, kept --------------------------------------------------------------


def test_all_of_it_is_undone_and_done_again(micro):
    history = dividing(micro)
    states = [everything(history.session)]
    more: list[Step] = [
        Repair(),
        SetParents({3: None}),
        SetParents({3: 1, 2: None}),
        MergeObjects(2, 3),
        RemoveObject(1),
    ]
    for step in more:
        history.do(step)
        states.append(everything(history.session))
    for state in reversed(states[:-1]):
        assert history.undo() is not None
        assert everything(history.session) == state
    for state in states[1:]:
        assert history.redo() is not None
        assert everything(history.session) == state


def test_it_replays_and_is_kept(micro, tmp_path: Path):
    history = dividing(micro)
    history.do(Repair())
    history.do(Divide(3, DIVIDES + 3, (7, 9)))  # daughters that wait for a click
    path = tmp_path / "cells.ns2.json"
    KeptSession(path).save(history, SessionFile.of(history, "micro"))
    content = load_session(path)
    assert content.steps == tuple(history.steps)
    again = start(micro)
    for step in content.steps:
        again.do(step)
    assert everything(again.session) == everything(history.session)
    opened = start(micro)
    KeptSession(path).open(opened, content)  # without computing
    assert everything(opened.session) == everything(history.session)
    for one in (history, opened):  # and goes on alike
        one.do(SetPrompt(7, DIVIDES + 3, Prompt([centres(DIVIDES + 3)[1]], [True])))
        one.do(Repair())
    assert everything(opened.session) == everything(history.session)


def test_results_of_before_there_were_mothers_open(micro, monkeypatch):
    history = dividing(micro)
    written = json.dumps
    monkeypatch.setattr(
        json, "dumps", lambda o, **k: written({n: v for n, v in o.items() if n != "birth"}, **k)
    )
    rows = dict(history.session.packed([1]))
    monkeypatch.undo()
    other = start(micro).session
    other.unpack(rows)
    assert other.parents == {}


def test_results_without_the_mother_are_refused(micro):
    history = dividing(micro)
    other = start(micro).session
    with pytest.raises(ValueError, match="mother"):
        other.unpack(dict(history.session.packed([2, 3])))


@pytest.mark.parametrize("step", [Divide(3, 5, (8, 9)), SetParents({4: 3, 5: None})])
def test_steps_as_json(step):
    assert step_from_json(json.loads(json.dumps(step_as_json(step))), 1) == step


@pytest.mark.parametrize(
    "entry",
    [
        {"do": "divide", "object_id": 3, "frame": 5, "daughters": [8]},
        {"do": "divide", "object_id": 3, "frame": 5, "daughters": [8, "9"]},
        {"do": "divide", "object_id": 3, "frame": 5.5, "daughters": [8, 9]},
        {"do": "parents", "parents": {"4": "3"}},
        {"do": "parents", "parents": [4, 3]},
        {"do": "adopt", "masks": {}, "parents": {"a": 3}},
    ],
)
def test_damaged_steps_are_named(entry):
    with pytest.raises(InputError, match="step 7"):
        step_from_json(entry, 7)


def test_adopted_masks_bring_their_mothers(micro, tmp_path: Path):
    masks = {
        int(i): {t: mask_text(TRUTH[t] == i) for t in range(FRAMES) if (TRUTH[t] == i).any()}
        for i in (1, 2, 3)
    }
    history = start(micro)
    step = AdoptMasks(masks, {2: 1, 3: 1})
    assert step_from_json(json.loads(json.dumps(step_as_json(step))), 1) == step
    assert len(history.do(step)) == step.cost
    assert history.session.parents == {2: 1, 3: 1}
    assert history.session.stale_frames() == {}
    with pytest.raises(InputError, match="begins before"):
        start(micro).do(AdoptMasks(masks, {1: 2}))
