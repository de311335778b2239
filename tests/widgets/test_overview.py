"""What the panels say: which frames are doubtful, and the numbers of each object."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.results import Trace
from napari_sam2.widgets.notes import Notes
from napari_sam2.widgets.session.overview import EMPTY, Overview
from tests.steps import steps

LENGTH = 12


def trace(
    area: list[float] | None = None,
    score: dict[int, float] | None = None,
    centre: dict[int, float] | None = None,
    object_score: dict[int, float] | None = None,
    frames: range = range(LENGTH),
) -> Trace:
    """A still object of 400 px that is found with certainty, but for what is said."""
    areas = np.full(len(frames), 400.0) if area is None else np.array(area, float)
    x = np.full(len(frames), 50.0)
    scores, logits = np.full(len(frames), 0.9), np.full(len(frames), 8.0)
    for array, changes in ((x, centre), (scores, score), (logits, object_score)):
        for frame, value in (changes or {}).items():
            array[frame - frames[0]] = value
    centres = np.stack([np.full(len(frames), 40.0), x], axis=1)
    centres[areas == 0] = np.nan
    filled = np.zeros(len(frames), bool)
    return Trace(
        np.array(frames, np.int64), scores, logits.astype(np.float32), areas, centres, filled
    )


def overview(
    traces: dict[int, Trace], prompted: dict[int, list[int]] | None = None, **notes
) -> Overview:
    return Overview(LENGTH, traces, prompted or {}, Notes(**notes))


def doubtful(found: Overview) -> list[tuple[int, int]]:
    return [tuple(pair) for pair in found.order.tolist()]


def reasons(found: Overview, object_id: int, frame: int) -> str:
    return found.reasons_at(object_id, frame)


def test_a_sure_object_is_not_doubtful():
    found = overview({1: trace(), 7: trace(frames=range(3, 8))})
    assert doubtful(found) == []
    first, second = found.summaries
    assert (first.object_id, first.covered, first.first, first.last) == (1, 12, 0, 11)
    assert (second.covered, second.first, second.last, second.gaps) == (5, 3, 7, 0)
    assert found.doubt_at(1, 3) == found.doubt_at(2, 3) == 0
    assert reasons(found, 1, 3) == reasons(found, 2, 3) == ""
    assert found.describe(7, 1) == "Object 7, frame 1: not looked for yet"
    assert found.describe(1, 1) == "Object 1, frame 1: 90 % sure, 400 px"


def test_the_worst_comes_first_and_says_why():
    area = [400.0] * LENGTH
    area[6] = 1200.0  # jumps up; that it comes back is no jump
    found = overview({1: trace(score={4: 0.3}), 2: trace(area), 3: trace(object_score={9: 0.4})})
    assert doubtful(found) == [(1, 4), (2, 6), (3, 9)]
    assert reasons(found, 1, 4) == "30 % sure"
    assert reasons(found, 2, 6) == "90 % sure, area x 3.0"
    assert reasons(found, 3, 9) == "90 % sure, may be absent"
    assert found.place_of(2, 6) == 1
    assert found.place_of(2, 7) is None


def test_a_smaller_area_is_told_from_a_larger_one():
    found = overview({1: trace([400.0] * 5 + [0.0] + [160.0] * 6)})
    assert "area fell to 40 %" in reasons(found, 1, 6)


def test_who_is_whose_daughter_is_counted_once():
    def looking(count: int) -> int:
        traces = {i: trace(frames=range(2)) for i in range(1, count + 1)}
        parents, found = {i: i // 2 for i in range(count, 1, -1)}, []
        taken = steps(lambda: found.append(Overview(2, traces, {}, Notes(), (), parents)))
        assert found[0].summaries[3].daughters == (8, 9)
        assert found[0].summaries[-1].daughters == ()
        return taken

    assert looking(600) < 3 * looking(300)  # if each asked all others, 4 times


def test_frames_in_a_row_are_one_entry():
    low = {2: 0.4, 3: 0.2, 4: 0.2, 5: 0.45, 9: 0.3}
    found = overview({1: trace(score=low), 4: trace(score={4: 0.1, 5: 0.25})})
    assert doubtful(found) == [(4, 4), (1, 3), (1, 9)]
    assert [found.frames_at(k) for k in range(3)] == ["4–5", "2–5", "9"]
    assert [found.place_of(1, t) for t in range(LENGTH)] == [
        *[None, None, 1, 1, 1, 1, None, None, None, 2, None, None]
    ]
    assert found.summaries[0].doubtful == 5
    settled = overview({1: trace(score=low)}, {1: [4]})  # in the middle: two stretches
    assert sorted(settled.frames_at(k) for k in range(3)) == ["2–3", "5", "9"]


def test_what_was_accepted_goes_and_comes_with_its_prompt():
    mask, click = Prompt(mask=np.ones((4, 5), bool)), Prompt(points=[(1, 1)], positive=[True])
    notes = Notes(approved={1: {3, 7}})
    notes.follow({1: {0: click, 3: mask}}, {1: {0: click}})
    assert notes.approved == {1: {7}}  # which has no prompt
    notes.follow({1: {0: click}}, {1: {0: click, 3: click}})  # another prompt
    assert notes.approved == {1: {7}}
    notes.follow({1: {0: click}}, {1: {0: click, 3: mask}})
    assert notes.approved == {1: {3, 7}}
    notes.toggle_approved(1, 3)  # by the user, and the prompt stays
    notes.follow({1: {0: click, 3: mask}}, {1: {3: mask}})
    assert notes.approved == {1: {7}}


def test_a_move_by_more_than_its_size_is_a_jump():
    diameter = 2 * np.sqrt(400 / np.pi)
    stays = overview({1: trace(centre=dict.fromkeys(range(5, 12), 50 + 0.9 * diameter))})
    assert doubtful(stays) == []
    jumps = overview({1: trace(centre=dict.fromkeys(range(5, 12), 50 + 3 * diameter))})
    assert doubtful(jumps) == [(1, 5)]
    assert "moved by 3.0 diameters" in reasons(jumps, 1, 5)


def test_gaps_and_vanishing():
    area = [400.0] * LENGTH
    area[4] = area[5] = 0
    gap = overview({1: trace(area)})
    assert doubtful(gap) == [(1, 4)]
    assert reasons(gap, 1, 4) == "not found on 2 frames"
    assert gap.summaries[0].gaps == 1
    gone = overview({1: trace([400.0] * 8 + [0.0] * 4)})
    assert doubtful(gone) == [(1, 8)]
    assert reasons(gone, 1, 8) == "not found from here on"
    faded = overview({1: trace([400, 390, 380, 360, 330, 290, 240, 190, 150, 0, 0, 0])})
    assert doubtful(faded) == []


BRIEFLY = [400.0] * 6 + [1200.0] + [400.0] * 5
AWAY = 50 + 1.25 * 2 * np.sqrt(400 / np.pi)  # by 1.25 diameters


@pytest.mark.parametrize(
    ("one", "frame", "doubt"),
    [
        (trace(score={4: 0.3}), 4, 0.7),
        (trace(object_score={4: -0.9}), 4, 0.5),
        (trace(BRIEFLY), 6, 2 / 3),
        (trace(centre=dict.fromkeys(range(5, LENGTH), AWAY)), 5, 1 - 1 / 2.5),
        (trace([400.0] * 4 + [0.0] * 3 + [400.0] * 5), 4, 3 / 4),
        (trace([400.0] * 8 + [0.0] * 4), 8, 0.5),
    ],
)
def test_each_reason_adds_what_is_said_of_it(one, frame, doubt):
    expected = np.zeros(LENGTH)
    expected[frame] = doubt
    np.testing.assert_allclose(overview({1: one}).doubt[0], expected, rtol=1e-5)


def test_an_area_that_comes_back_elsewhere_is_a_jump():
    found = overview({1: trace(BRIEFLY, centre=dict.fromkeys(range(7, LENGTH), 120.0))})
    assert found.doubt[0, 7] > 0
    grows = overview({1: trace([400.0] * 6 + [1200.0] + [3000.0] * 5)})
    assert grows.doubt[0, 6:8] == pytest.approx([2 / 3, 0.6])


def test_who_is_not_looked_for_right_after_its_last_mask_does_not_vanish():
    whole = trace([400.0] * 8 + [0.0] * 4)
    known = np.arange(LENGTH) != 8
    assert (
        doubtful(overview({1: Trace(*(np.asarray(a)[known] for a in vars(whole).values()))})) == []
    )


@pytest.mark.parametrize("looked", [(), (5,), (4, 5)])
def test_a_gap_is_where_it_was_looked_for(looked):
    area = np.full(LENGTH, 400.0)
    area[4:6] = 0
    whole, known = trace(list(area)), (area > 0) | np.isin(np.arange(LENGTH), looked)
    part = Trace(*(np.asarray(a)[known] for a in vars(whole).values()))
    found = overview({1: part, 2: trace()})
    assert doubtful(found) == ([(1, 4)] if len(looked) == 2 else [])
    np.testing.assert_array_equal(np.flatnonzero(found.gap[0]), looked)


def test_what_a_person_settled_is_not_doubtful():
    traces = {1: trace(score={4: 0.1, 6: 0.2, 8: 0.3})}
    found = overview(traces, {1: [4]}, approved={1: {6}})
    assert doubtful(found) == [(1, 8)]
    summary = found.summaries[0]
    assert (summary.prompted, summary.doubtful, summary.lowest_frame) == (1, 1, 8)
    assert summary.lowest == pytest.approx(0.3)
    assert "accepted" in found.describe(1, 6)
    assert "prompted" in found.describe(1, 4)


def test_objects_known_from_labels_or_prompts_only():
    found = Overview(LENGTH, {}, {2: [3]}, Notes(names={5: "old"}), others=[5])
    assert found.ids == [2, 5]
    assert [s.covered for s in found.summaries] == [0, 0]
    assert found.summaries[1].name == "old"
    assert EMPTY.summaries == []
    assert Overview(0, {1: trace(frames=range(0))}, {}, Notes()).summaries == []


@given(
    st.lists(st.sampled_from([0.0, 100.0, 400.0, 3000.0]), min_size=LENGTH, max_size=LENGTH),
    st.lists(st.floats(0, 1), min_size=LENGTH, max_size=LENGTH),
    st.sets(st.integers(0, LENGTH - 1)),
)
def test_any_object_can_be_described(area, score, prompted):
    found = overview({1: trace(area, dict(enumerate(score))), 2: trace()}, {1: sorted(prompted)})
    for object_id, frame in doubtful(found):
        assert object_id == 1
        assert frame not in prompted
        assert reasons(found, object_id, frame)
    listed = found.to_check
    assert [(c.object_id, c.worst) for c in listed] == doubtful(found)
    assert [c.doubt for c in listed] == sorted((c.doubt for c in listed), reverse=True)
    assert all(c.reasons and c.first <= c.worst <= c.last for c in listed)
    assert all(found.describe(1, t) for t in range(LENGTH))
    spans = found.spans.tolist()
    covered = [t for first, last in spans for t in range(first, last + 1)]
    assert sorted(covered) == np.flatnonzero(found.doubt[0]).tolist()
    assert found.summaries[0].doubtful == len(covered)
    for place, ((_, worst), (first, last)) in enumerate(zip(doubtful(found), spans, strict=True)):
        assert found.doubt[0, worst] == found.doubt[0, first : last + 1].max()
        assert {found.place_of(1, t) for t in range(first, last + 1)} == {place}
        assert found.doubt[0, max(first - 1, 0)] == 0 or first == 0


def test_notes_follow_merging_and_splitting_and_survive_a_file():
    notes = Notes({1: "a", 3: "c"}, {1: {2, 8}, 3: {5}}, {3}, {1})
    written = json.loads(json.dumps(notes.as_json()))
    read = Notes.from_json({int(i): note for i, note in written.items()})
    assert (read.names, read.hidden) == (notes.names, notes.hidden)
    assert read.approved == notes.approved
    notes.split(1, 6, 9)
    assert notes.approved == {1: {2}, 3: {5}, 9: {8}}
    notes.merged(9, 3)
    assert notes.approved == {1: {2}, 9: {8, 5}}
    assert notes.names == {1: "a", 9: "c"}
    assert notes.hidden == set()
    notes.forget(1)
    assert notes.names == {9: "c"}
    assert notes.locked == set()
