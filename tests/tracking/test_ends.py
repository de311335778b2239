"""An object that is said to be gone stays gone, on the side where it was not shown."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.objects.estimates import Quality
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.prompts import load_prompts, save_prompts
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.training.samples import sample_timelapse
from tests.tracking.toy import a_session, moving_disk, toy_model

FRAMES = 14


@pytest.fixture(params=["windowed", "exact"])
def session(micro, request) -> TrackingSession:
    return a_session(micro, request.param, moving_disk(FRAMES))


def box(frame: int) -> list[list[int]]:
    return [[18, 8 + 3 * frame], [42, 32 + 3 * frame]]


def shown(session: TrackingSession, object_id: int = 1) -> list[int]:
    return [t for t in range(FRAMES) if (session.result(t).labels == object_id).any()]


def run(results) -> None:
    for _ in results:
        pass


def test_it_ends_and_repair_takes_away_what_comes_after(session):
    session.add_box(1, 3, box(3))
    run(session.propagate("both"))
    assert shown(session) == list(range(FRAMES))
    before = {t: session.result(t).labels for t in range(FRAMES)}
    preview = session.end_object(1, 8)
    assert not preview.mask.any()
    assert set(session.stale_frames()[1]) == {9, 10, 11, 12, 13}
    run(session.repair())
    assert shown(session) == list(range(8))
    for t in range(8):  # what was seen before the end stays as it is
        np.testing.assert_array_equal(session.result(t).labels, before[t])
    run(session.propagate("both"))
    assert shown(session) == list(range(8))
    session.clear_prompt(1, 8)
    run(session.repair())
    assert shown(session) == list(range(FRAMES))


def test_it_begins_later_going_backward(session):
    session.add_box(1, 9, box(9))
    session.end_object(1, 4)
    run(session.propagate("both"))
    assert shown(session) == list(range(5, FRAMES))
    run(session.propagate("backward"))
    assert shown(session) == list(range(5, FRAMES))


@pytest.mark.parametrize("ends", [(1, 5), (5, 1)])
def test_it_is_gone_between_two_frames_before_it(model, ends):
    session = a_session(model, stack=moving_disk(FRAMES))
    session.add_box(1, 9, box(9))
    run(session.propagate("both"))
    for frame in ends:
        session.end_object(1, frame)
        run(session.repair())
    assert all(not session._objects[1].estimates[t].kept.size for t in range(6))
    assert not session.stale_frames()


def test_it_comes_back_where_it_is_shown_again(session):
    session.add_box(1, 1, box(1))
    session.end_object(1, 5)
    session.add_box(1, 9, box(9))
    run(session.propagate("both"))
    assert shown(session) == [*range(5), *range(9, FRAMES)]
    run(session.propagate("backward"))  # what lies before the end was followed from the other side
    assert shown(session) == [*range(5), *range(9, FRAMES)]


def test_what_was_seen_where_it_is_gone_is_not_remembered(micro):
    shown_again = np.zeros((64, 96), bool)
    shown_again[20:40, 37:57] = True
    frames, policy = Frames(moving_disk(FRAMES)), TrackingPolicy(attention="exact")
    followed, fresh = (TrackingSession(micro, frames, policy) for _ in range(2))
    for session in (followed, fresh):
        session.add_box(1, 0, box(0))
        if session is followed:
            run(session.propagate("forward"))  # before it is said that it ends
        session.end_object(1, 5)
        session.add_mask(1, 9, shown_again)
        run(session.propagate("forward"))
    for t in range(FRAMES):
        np.testing.assert_array_equal(followed.result(t).labels, fresh.result(t).labels)


def test_others_are_not_concerned(session):
    session.add_box(1, 0, box(0))
    session.add_box(2, 0, [[2, 60], [14, 80]])
    run(session.propagate("forward"))
    two = shown(session, 2)
    session.end_object(1, 4)
    assert list(session.stale_frames()) == [1]
    run(session.repair())
    assert shown(session, 1) == [0, 1, 2, 3]
    assert set(two) <= set(shown(session, 2))


def test_a_lone_negative_click_where_it_is_gone_ends_it(session):
    session.add_box(1, 0, box(0))
    session.end_object(1, 4)
    run(session.propagate("forward"))
    session.clear_prompt(1, 4)
    preview = session.add_points(1, 6, [[30, 58]], [False])
    assert not preview.mask.any()
    run(session.propagate("forward"))
    assert 5 in shown(session)
    assert shown(session)[-1] < 6
    shown_again = session.add_points(1, 6, [[30, 38]], [True])  # both clicks: it is there
    assert shown_again.mask.any()
    if session.policy.attention == "windowed":  # found anew; whole frames stay as published
        assert shown_again.mask.sum() > 200
    run(session.propagate("forward"))
    assert shown(session)[-1] > 6


def test_a_negative_click_on_its_mask_is_a_correction(session):
    session.add_box(1, 0, box(0))
    run(session.propagate("forward"))
    y, x = np.argwhere(session.result(5).labels == 1)[0]
    session.add_points(1, 5, [[y, x]], [False])
    run(session.repair())
    assert shown(session)[-1] == FRAMES - 1


def test_what_was_never_shown_cannot_end(session):
    with pytest.raises(InputError, match="no prompt on another frame"):
        session.end_object(1, 3)
    assert session.object_ids == []
    session.add_box(1, 3, box(3))
    with pytest.raises(InputError, match="no prompt on another frame"):
        session.end_object(1, 3)
    assert session.prompts[1][3].box is not None
    with pytest.raises(InputError, match="cannot be absent and have"):
        Prompt([[1, 1]], [True], absent=True).validate((9, 9))


def test_the_prompts_file_holds_it(tmp_path):
    prompts = {1: {0: Prompt([[5, 5]], [True]), 6: Prompt(absent=True)}}
    save_prompts(tmp_path / "p.json", prompts)
    assert load_prompts(tmp_path / "p.json", (9, 9), 7).objects == prompts
    entry = json.loads((tmp_path / "p.json").read_text())["objects"][0]["prompts"][1]
    assert entry == {"frame": 6, "absent": True}


def test_prompts_given_together_may_name_the_end_first(session):
    prompts = {1: {2: Prompt(absent=True), 6: Prompt(box=np.array(box(6), float))}}
    session.add_prompts(prompts)
    assert session.prompts == prompts
    run(session.propagate("both"))
    assert shown(session) == list(range(3, FRAMES))
    with pytest.raises(InputError, match="object 5 on frame 3"):
        session.add_prompts({4: {0: Prompt([[3, 3]], [True])}, 5: {3: Prompt(absent=True)}})
    assert session.object_ids == [1]  # nothing has been added


@pytest.mark.parametrize(("score", "grows"), [(0.9, True), (0.5, False)])
def test_what_faded_is_not_looked_for_farther_off(score, grows):
    model = toy_model()
    session = TrackingSession(model, Frames(moving_disk(6)), TrackingPolicy(attention="windowed"))
    mask = np.zeros((64, 96), bool)
    mask[26:34, 16:24] = True
    session.add_mask(1, 0, mask)
    obj = session._objects[1]
    seen = obj.estimates[0]
    obj.pass_frame(0, False, seen)
    obj.pass_frame(1, False, replace(seen, quality=Quality(score, 10.0, 1.0)))
    gone = replace(seen, kept=seen.kept[:0, :0], quality=Quality(0.1, -5.0, 1.0))
    obj.pass_frame(2, False, gone)
    assert obj.faded(3, False) != grows
    window = session._engine.next_window(gone, obj.faded(3, False))
    assert (window.height > gone.window.height) == grows


@pytest.mark.parametrize("blank", [1, 3])
def test_after_blank_frames_objects_are_found_again(micro, blank):
    images, truth = sample_timelapse()
    ids = [i for i in np.unique(truth[0]) if i and all((m == i).any() for m in truth[:8])][:4]
    assert len(ids) == 4
    stack = images[:8].copy()
    contrast = Frames(stack).contrast
    stack[3 : 3 + blank] = int(stack.mean())
    session = TrackingSession(micro, Frames(stack, contrast=contrast))
    for i in ids:
        session.add_mask(int(i), 0, truth[0] == i)
    *_, last = session.propagate("forward")
    assert not session.result(3).labels.any(), "nothing is seen on a blank frame"
    for i in ids:
        found, true = last.labels == i, truth[last.frame] == i
        assert (found & true).sum() / (found | true).sum() > 0.7
