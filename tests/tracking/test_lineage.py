"""Mothers and daughters: said, checked, undone, done again, kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.history import History
from napari_sam2.tracking.keeping import KeptSession
from napari_sam2.tracking.lineage import ancestors, begin
from napari_sam2.tracking.lineage_steps import Divide, SetParents
from napari_sam2.tracking.mask_text import mask_text
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.session_file import SessionFile, load_session
from napari_sam2.tracking.steps import (
    AdoptMasks,
    MergeObjects,
    Propagate,
    RemoveObject,
    Repair,
    SetPrompt,
    SplitObject,
    Step,
)
from napari_sam2.tracking.steps_json import step_as_json, step_from_json
from napari_sam2.weights import load_model
from tests.tracking.dividing import DIVIDES, FRAMES, SHAPE, centres, dividing_cell
from tests.tracking.toy import moving_disk, toy_model

IMAGES, TRUTH = dividing_cell()


@pytest.fixture(scope="module")
def toy():
    return toy_model()


@pytest.fixture(scope="module")
def micro():
    return load_model("micro", device="cpu")


def start(model, attention=None) -> History:
    frames = Frames(IMAGES, contrast=(0, 255))
    return History(TrackingSession(model, frames, TrackingPolicy(attention=attention)))


def square(n: int) -> np.ndarray:
    """One of six masks that do not touch."""
    mask = np.zeros(SHAPE, bool)
    mask[8 + 30 * (n % 2) :, 8 + 28 * (n // 2) :][:16, :16] = True
    return mask


def a_session(model, first: dict[int, int]) -> TrackingSession:
    """Objects by id, each painted on the one frame that is given."""
    session = start(model).session
    for i, frame in first.items():
        session.add_mask(i, frame, square(i % 6))
    return session


def on(session: TrackingSession, object_id: int) -> list[int]:
    return [t for t in range(FRAMES) if (session.result(t).labels == object_id).any()]


def run(results) -> list[int]:
    return [result.frame for result in results]


def dividing(model, attention=None) -> History:
    """The mother is followed through the stack, divides, and both daughters are clicked."""
    history = start(model, attention)
    history.do(SetPrompt(1, 0, Prompt([centres(0)[0]], [True])))
    history.do(Propagate("both"))
    history.do(Divide(1, DIVIDES, (2, 3)))
    for i, centre in zip((2, 3), centres(DIVIDES), strict=True):
        history.do(SetPrompt(i, DIVIDES, Prompt([centre], [True])))
    return history


# --- saying it -------------------------------------------------------------------------------


def test_a_mother_is_said_and_taken_back(toy):
    session = a_session(toy, {1: 0, 2: 5, 3: 5})
    session.set_parent(2, 1)
    session.set_parent(3, 1)
    assert session.parents == {2: 1, 3: 1}
    session.set_parent(2, None)
    assert session.parents == {3: 1}


@pytest.mark.parametrize(
    ("object_id", "parent", "words"),
    [
        (3, 9, "there is no object 9"),
        (9, 1, "there is no object 9"),
        (3, 3, "cannot be its own mother"),
        (1, 3, "object 3 descends from object 1"),
        (4, 1, "object 4 is on frame 0 already, but object 1 begins on frame 0"),
        (1, 4, "a mother begins before"),
    ],
)
def test_what_cannot_be_a_mother(toy, object_id, parent, words):
    session = a_session(toy, {1: 0, 2: 3, 3: 6, 4: 0})
    session.set_parent(2, 1)
    session.set_parent(3, 2)
    with pytest.raises(InputError, match=words):
        session.set_parent(object_id, parent)
    assert session.parents == {2: 1, 3: 2}


def test_a_mother_needs_a_mask(toy):
    session = a_session(toy, {1: 0, 2: 3})
    session.clear_prompt(1, 0)
    with pytest.raises(InputError, match="object 1 has no mask yet"):
        session.set_parent(2, 1)


def test_a_daughter_is_not_followed_to_before_her_mother_ends(micro):
    history = start(micro)
    history.do(SetPrompt(1, 0, Prompt([centres(0)[0]], [True])))
    history.do(SetPrompt(1, DIVIDES, Prompt(absent=True)))
    history.do(SetPrompt(2, DIVIDES + 1, Prompt([centres(DIVIDES + 1)[0]], [True])))
    history.do(SetParents({2: 1}))
    assert history.session.stale_frames() == {2: (6, *range(8, FRAMES))}
    history.do(Repair())
    assert on(history.session, 2) == list(range(DIVIDES, FRAMES))
    history.do(Propagate("both"))
    assert on(history.session, 1) == list(range(DIVIDES))
    assert on(history.session, 2) == list(range(DIVIDES, FRAMES))
    history.do(SetParents({2: None}))
    history.do(Propagate("both"))
    assert on(history.session, 2)[0] < DIVIDES


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
def test_what_cannot_divide(toy, given, words):
    session = a_session(toy, {1: 2, 2: 1, 3: 4, 4: 6})
    session.add_mask(2, 4, square(2))
    session.clear_prompt(3, 4)
    run(session.propagate("backward", object_ids=[4]))
    before = (session.prompts, session.object_ids)
    assert 5 in on(session, 4)  # followed to there, but not prompted
    with pytest.raises(InputError, match=words):
        session.divide(*given)
    assert (session.prompts, session.object_ids) == before
    assert session.parents == {}


def test_ids_are_chosen_where_none_are_given(toy):
    session = a_session(toy, {4: 0})
    assert session.divide(4, 3) == (5, 6)


# --- what other changes make of it -----------------------------------------------------------


def test_deleting_a_mother_frees_her_daughters(micro):
    history = dividing(micro)
    history.do(RemoveObject(1))
    assert history.session.parents == {}
    history.do(Propagate("both"))
    assert on(history.session, 2)[0] == DIVIDES  # it begins where it was said to
    history.undo()
    history.undo()
    assert history.session.parents == {2: 1, 3: 1}
    history.redo()
    assert history.session.parents == {}
    history.do(SetPrompt(1, 0, Prompt([centres(0)[0]], [True])))  # another one with its id
    assert history.session.parents == {}


def test_merged_objects_have_the_mother_of_the_first_and_all_daughters(toy):
    first = {1: 0, 2: 2, 3: 4, 4: 6, 5: 8, 6: 8}
    session = a_session(toy, first)
    for daughter, mother in ((2, 1), (4, 3), (5, 4), (6, 2)):
        session.set_parent(daughter, mother)
    session.merge_objects(4, 2)  # 2 begins first
    assert session.parents == {4: 1, 5: 4, 6: 4}
    session.merge_objects(4, 1)  # a daughter with her mother
    assert session.parents == {5: 4, 6: 4}


def test_a_mother_merged_with_her_granddaughter_makes_no_circle(toy):
    session = a_session(toy, {1: 0, 2: 3, 3: 6})
    session.set_parent(2, 1)
    session.set_parent(3, 2)
    session.merge_objects(3, 1)
    assert session.parents == {2: 3}


def test_a_mother_merged_with_her_daughter_is_not_her_own_mother(toy):
    session = a_session(toy, {1: 2, 2: 5})
    session.set_parent(2, 1)
    session.add_mask(2, 0, square(2))  # the daughter is shown before her mother, too
    session.merge_objects(1, 2)
    assert session.parents == {}


def test_a_split_leaves_the_mother_before_and_daughters_behind(toy):
    session = a_session(toy, {1: 0, 2: 2, 3: 8, 4: 4})
    session.add_mask(2, 6, square(2))
    session.set_parent(2, 1)
    session.set_parent(3, 2)
    session.set_parent(4, 2)
    new = session.split_object(2, 5)
    assert session.parents == {2: 1, 3: new, 4: 2}


def test_split_parts_of_a_daughter_are_followed_on_their_own(micro):
    history = dividing(micro)
    history.do(Repair())
    history.do(SplitObject(2, 9, 4))
    assert history.session.stale_frames() == {}


# --- undone, written down, kept --------------------------------------------------------------


def everything(session: TrackingSession) -> list[object]:
    results = [session.result(t) for t in range(FRAMES)]
    stale = dict(sorted(session.stale_frames().items()))
    births = {i: session._objects[i].birth for i in sorted(session.object_ids)}
    return [[r.labels.tobytes() for r in results], session.prompts, stale, births]


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


IDS = st.integers(1, 6)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("parent"), IDS, st.one_of(st.none(), IDS)),
        st.tuples(st.just("divide"), IDS, st.integers(0, FRAMES - 1)),
        st.tuples(st.just("merge"), IDS, IDS),
        st.tuples(st.just("split"), IDS, st.integers(0, FRAMES - 1)),
        st.tuples(st.just("remove"), IDS, st.none()),
        st.tuples(st.just("undo"), st.none(), st.none()),
    ),
    max_size=12,
)


def as_step(kind: str, a: int, b: int | None, free: int) -> Step:
    if kind == "parent":
        return SetParents({a: b})
    if kind == "divide":
        return Divide(a, b or 0, (free, free + 1))
    if kind == "merge":
        return MergeObjects(a, b or 1)
    return SplitObject(a, b or 0, free) if kind == "split" else RemoveObject(a)


@pytest.fixture(scope="module")
def six(toy):
    """A session with six objects, each prompted twice, and how to come back to it."""
    session = start(toy).session
    for i in range(1, 7):
        session.add_mask(i, i - 1, square(i % 6))
        session.add_mask(i, i + 4, square(i % 6))
    kept = session.snapshot()

    def anew() -> History:
        session.restore({**dict.fromkeys(session.object_ids), **kept})
        return History(session)

    return anew


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MOVES)
def test_whatever_is_done_the_lineage_stays_a_forest(six, moves):
    history = six()
    session = history.session
    for kind, a, b in moves:
        before = everything(session)
        if kind == "undo":
            history.undo()
            continue
        step = as_step(kind, a, b, max(session.object_ids, default=0) + 1)
        try:
            history.do(step)
        except InputError:
            assert everything(session) == before
            continue
        assert step_from_json(json.loads(json.dumps(step_as_json(step))), 1) == step
        for daughter, mother in session.parents.items():
            assert mother in session.object_ids
            assert daughter not in ancestors(session.parents, daughter)
            since, first = (begin(session._objects[i]) for i in (mother, daughter))
            assert first is None or (since is not None and since < first)
    parents, again = session.parents, six()
    for step in history.steps:
        again.do(step)
    assert again.session.parents == parents


def test_what_has_divided_does_not_divide_again():
    session = TrackingSession(toy_model(), Frames(moving_disk(8), contrast=(0, 255)))
    session.add_box(1, 0, [[18, 8], [42, 32]])
    pair = session.divide(1, 5)
    for frame in (3, 5, 6):
        with pytest.raises(InputError, match="2, 3 are its daughters already"):
            session.divide(1, frame)
    assert session.object_ids == [1, *pair]
