"""Mothers and daughters: said, checked, and what merges, splits and deletions make of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.lineage_steps import Divide, SetParents
from napari_sam2.tracking.kept.steps import (
    MergeObjects,
    Propagate,
    RemoveObject,
    Repair,
    SetPrompt,
    SplitObject,
    Step,
)
from napari_sam2.tracking.kept.steps_json import step_as_json, step_from_json
from napari_sam2.tracking.objects.lineage import ancestors, begin
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.dividing import (
    DIVIDES,
    FRAMES,
    centres,
    dividing,
    everything,
    on,
    painted,
    square,
    start,
)
from tests.tracking.toy import moving_disk, toy_model

# --- saying it -------------------------------------------------------------------------------


def test_a_mother_is_said_and_taken_back(model):
    session = painted(model, {1: 0, 2: 5, 3: 5})
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
def test_what_cannot_be_a_mother(model, object_id, parent, words):
    session = painted(model, {1: 0, 2: 3, 3: 6, 4: 0})
    session.set_parent(2, 1)
    session.set_parent(3, 2)
    with pytest.raises(InputError, match=words):
        session.set_parent(object_id, parent)
    assert session.parents == {2: 1, 3: 2}


def test_a_mother_needs_a_mask(model):
    session = painted(model, {1: 0, 2: 3})
    session.clear_prompt(1, 0)
    with pytest.raises(InputError, match="object 1 has no mask yet"):
        session.set_parent(2, 1)


def test_an_object_begins_on_the_first_of_its_masks_whenever_that_was_found(model):
    (obj,) = painted(model, {1: 4})._objects.values()
    for t in (6, 2, 3):
        obj.estimates[t] = obj.estimates[4]
    assert begin(obj) == 2


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


def test_merged_objects_have_the_mother_of_the_first_and_all_daughters(model):
    first = {1: 0, 2: 2, 3: 4, 4: 6, 5: 8, 6: 8}
    session = painted(model, first)
    for daughter, mother in ((2, 1), (4, 3), (5, 4), (6, 2)):
        session.set_parent(daughter, mother)
    session.merge_objects(4, 2)  # 2 begins first
    assert session.parents == {4: 1, 5: 4, 6: 4}
    session.merge_objects(4, 1)  # a daughter with her mother
    assert session.parents == {5: 4, 6: 4}


def test_a_mother_merged_with_her_granddaughter_makes_no_circle(model):
    session = painted(model, {1: 0, 2: 3, 3: 6})
    session.set_parent(2, 1)
    session.set_parent(3, 2)
    session.merge_objects(3, 1)
    assert session.parents == {2: 3}


def test_a_mother_merged_with_her_daughter_is_not_her_own_mother(model):
    session = painted(model, {1: 2, 2: 5})
    session.set_parent(2, 1)
    session.add_mask(2, 0, square(2))  # the daughter is shown before her mother, too
    session.merge_objects(1, 2)
    assert session.parents == {}


def test_a_split_leaves_the_mother_before_and_daughters_behind(model):
    session = painted(model, {1: 0, 2: 2, 3: 8, 4: 4})
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
def six(model):
    """A session with six objects, each prompted twice, and how to come back to it."""
    session = start(model).session
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
