from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.objects.estimates import Estimate
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.toy import a_session, drawn, moving_disk, toy_model


def test_every_kind_of_prompt_answers_at_once(model):
    session = a_session(model)
    for preview in (
        session.add_points(1, 0, [[30, 20]], [True]),
        session.add_box(2, 3, [[20, 10], [40, 30]]),
        session.add_mask(3, 5, drawn()),
    ):
        assert preview.mask.shape == (64, 96)
        assert preview.mask.dtype == bool
        assert np.array_equal(preview.mask, preview.logits > 0)
        assert 0 <= preview.quality.score <= 1
    assert session.object_ids == [1, 2, 3]


def test_a_painted_mask_is_kept_to_the_pixel(model):
    session = a_session(model)
    mask = drawn(box=(21, 13, 34, 28))
    assert np.array_equal(session.add_mask(7, 2, mask).mask, mask)
    result = next(iter(session.propagate("forward")))
    assert result.frame == 2
    assert np.array_equal(result.labels == 7, mask)


@pytest.mark.parametrize("attention", ["exact", "windowed"])
def test_both_directions_reach_every_frame_once(model, attention):
    session = a_session(model, attention)
    session.add_mask(1, 4, drawn())
    seen = [result.frame for result in session.propagate("both")]
    assert seen == [*range(4, 12), *range(3, -1, -1)]
    assert session.total_frames("both") == len(seen)
    assert [r.frame for r in session.propagate("backward")] == [4, 3, 2, 1, 0]
    assert [r.frame for r in session.propagate(start=2, stop=6)] == [4, 5, 3, 2]


def test_what_objects_of_a_frame_have_in_common_is_prepared_once(model, monkeypatch):
    prepared = []

    def counting(features):
        prepared.append(features)
        return type(model).prepare(model, features)

    policy = TrackingPolicy(attention="exact", batch_tokens=1)
    session = TrackingSession(model, Frames(moving_disk(4), contrast=(0, 255)), policy)
    session.add_mask(1, 0, drawn())
    session.add_mask(2, 0, drawn(box=(40, 60, 60, 80)))
    monkeypatch.setattr(model, "prepare", counting)
    assert len(list(session.propagate("forward"))) == 4
    assert len(prepared) == 3, "once for each frame after the first"


def test_an_object_is_not_invented_before_its_first_prompt_when_going_forward(model):
    session = a_session(model)
    session.add_mask(1, 0, drawn())
    session.add_mask(2, 6, drawn(box=(40, 60, 60, 80)))
    quality = {r.frame: set(r.quality) for r in session.propagate("forward")}
    assert quality[5] == {1}
    assert quality[6] == {1, 2}
    back = {r.frame: set(r.quality) for r in session.propagate("both")}
    assert back[0] == {1, 2}


def test_what_was_yielded_before_a_cancel_stays(model):
    session = a_session(model)
    session.add_mask(1, 0, drawn())
    run = session.propagate("forward")
    first = [next(run) for _ in range(4)]
    run.close()
    for result in first:
        assert np.array_equal(session.result(result.frame).labels, result.labels)
    again = list(session.propagate("forward"))
    for a, b in zip(first, again, strict=False):
        assert np.array_equal(a.labels, b.labels)


def test_a_correction_changes_later_frames_and_only_its_object(model):
    session = a_session(model)
    session.add_mask(1, 0, drawn())
    session.add_mask(2, 0, drawn(box=(40, 60, 60, 80)))
    before = {r.frame: r for r in session.propagate("forward")}
    session.add_mask(1, 5, drawn(box=(5, 40, 15, 50)))
    after = {r.frame: r for r in session.propagate("forward", object_ids=[1])}
    assert any(before[t].quality[1] != after[t].quality[1] for t in range(6, 12))
    assert all(before[t].quality[2] == after[t].quality[2] for t in range(12))


def test_a_correction_click_uses_the_tracked_mask_and_can_be_taken_back(model):
    session = a_session(model)
    session.add_mask(1, 0, drawn())
    tracked = {r.frame: r for r in session.propagate("forward")}
    fresh = a_session(model).add_points(1, 6, [[30, 40]], [True])
    corrected = session.add_points(1, 6, [[30, 40]], [True])
    assert not np.array_equal(fresh.logits, corrected.logits)
    session.clear_prompt(1, 6)
    assert session.result(6).quality[1] == tracked[6].quality[1]
    assert 6 not in session.prompts[1]


def test_replacing_points_forgets_the_old_ones(model):
    session = a_session(model)
    session.add_points(1, 0, [[5, 5]], [True])
    replaced = session.add_points(1, 0, [[30, 20]], [True], replace=True)
    fresh = a_session(model).add_points(1, 0, [[30, 20]], [True])
    assert np.array_equal(replaced.logits, fresh.logits)
    spot = np.argwhere(replaced.mask)[-1]
    added = session.add_points(1, 0, [spot], [False])
    assert replaced.mask[tuple(spot)]
    assert not added.mask[tuple(spot)]
    assert len(session.prompts[1][0].points) == 2


def test_many_prompts_at_once_equal_one_by_one(model):
    mask = drawn()
    one = a_session(model)
    one.add_mask(1, 0, mask)
    one.add_box(2, 3, [[20, 10], [40, 30]])
    many = a_session(model)
    box = np.array([[20, 10], [40, 30]], float)
    many.add_prompts({2: {3: Prompt(box=box)}, 1: {0: Prompt(mask=mask)}})
    for a, b in zip(one.propagate(), many.propagate(), strict=True):
        assert a.frame == b.frame
        assert np.array_equal(a.labels, b.labels)


def test_objects_in_a_batch_do_not_influence_each_other(model):
    together = a_session(model)
    masks = {1: drawn(), 2: drawn(box=(40, 60, 60, 80)), 3: drawn(box=(2, 50, 14, 66))}
    for i, mask in masks.items():
        together.add_mask(i, 0, mask)
    all_quality = [r.quality for r in together.propagate("forward")]
    for i, mask in masks.items():
        alone = a_session(model)
        alone.add_mask(i, 0, mask)
        for quality, result in zip(all_quality, alone.propagate("forward"), strict=True):
            assert quality[i].iou == pytest.approx(result.quality[i].iou, abs=1e-3)


def test_memory_in_use_does_not_grow_with_the_stack(model):
    def kept(frames):
        session = a_session(model, stack=np.repeat(moving_disk(1), frames, axis=0))
        session.add_mask(1, 0, drawn())
        for _ in session.propagate("forward"):
            pass
        bank = session._objects[1].bank
        return sum(1 for item in bank.tracked.values() if item.memory is not None), len(
            bank.tracked
        )

    assert kept(40) == kept(60)


def test_a_start_in_the_middle_remembers_what_was_tracked(model):
    session = a_session(model, stack=moving_disk(50))
    session.add_mask(1, 0, drawn())
    whole = {r.frame: r for r in session.propagate("forward")}
    part = {r.frame: r for r in session.propagate("forward", start=25, stop=28)}
    assert set(part) == {25, 26, 27}
    same = np.mean((part[25].labels > 0) == (whole[25].labels > 0))
    assert same > 0.9


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.add_points(1, 99, [[1, 1]], [True]), "frames 0 to 11"),
        (lambda s: s.add_points(1, 0, [[500, 1]], [True]), "outside"),
        (lambda s: s.add_points(0, 0, [[1, 1]], [True]), "start at 1"),
        (lambda s: s.add_box(1, 0, [[5, 5], [5, 9]]), "no area"),
        (lambda s: s.add_mask(1, 0, np.zeros((64, 96), bool)), "empty"),
        (lambda s: s.add_mask(1, 0, np.ones((3, 3), bool)), "shape"),
        (lambda s: list(s.propagate()), "nothing to propagate"),
        (lambda s: s.remove_object(5), "no object 5"),
        (lambda s: s.clear_prompt(5, 0), "no prompt"),
    ],
)
def test_unusable_input_is_named_and_changes_nothing(model, call, words):
    session = a_session(model)
    with pytest.raises(InputError, match=words):
        call(session)
    assert session.object_ids == []


def test_one_bad_prompt_of_many_adds_none(model):
    session = a_session(model)
    bad = Prompt(points=np.array([[900.0, 0.0]]), positive=np.array([True]))
    with pytest.raises(InputError, match="object 2 on frame 1"):
        session.add_prompts({1: {0: Prompt(mask=drawn())}, 2: {1: bad}})
    assert session.object_ids == []


def test_removed_objects_leave_the_results(model):
    session = a_session(model)
    session.add_mask(1, 0, drawn())
    session.add_mask(2, 0, drawn(box=(40, 60, 60, 80)))
    list(session.propagate("forward"))
    session.remove_object(1)
    assert set(np.unique(session.result(3).labels)) <= {0, 2}


def test_a_single_image_is_one_frame(model):
    session = a_session(model, stack=moving_disk()[0])
    session.add_points(1, 0, [[30, 20]], [True])
    assert [r.frame for r in session.propagate()] == [0]


@pytest.mark.parametrize("shape", [(1, 40), (37, 51), (200, 30)])
def test_frames_of_odd_sizes(model, shape):
    stack = np.random.default_rng(0).integers(0, 255, (4, *shape)).astype(np.uint8)
    session = a_session(model, stack=stack)
    session.add_points(1, 0, [[0, 3]], [True])
    assert all(r.labels.shape == shape for r in session.propagate())


def test_a_pixel_goes_to_the_object_that_claims_it_most(model):
    session = a_session(model)
    logits = [
        session.add_box(i, 0, box).logits
        for i, box in ((7, [[10, 10], [50, 60]]), (4, [[15, 20], [55, 70]]))
    ]
    claims = np.stack(logits)
    assert ((claims > 0).sum(axis=0) == 2).any()
    expected = np.where(claims.max(axis=0) > 0, np.array([7, 4])[claims.argmax(axis=0)], 0)
    np.testing.assert_array_equal(session.result(0).labels, expected)


def test_what_was_painted_goes_to_nobody_who_is_surer(model):
    session = a_session(model)
    session.add_mask(1, 1, drawn())
    session.add_mask(2, 0, drawn())
    list(session.propagate())
    seen = session._objects[1].estimates
    window = seen[0].window
    sure = torch.full((4 * window.height, 4 * window.width), 30.0)  # more than of any painted mask
    seen[0] = Estimate.of(window, sure, seen[0].quality)
    assert np.array_equal(session.result(0).labels == 2, drawn())


@pytest.mark.parametrize("locked", [False, True])
def test_a_prompt_takes_the_cell_from_an_object_that_was_followed_onto_it(model, locked):
    session = a_session(model)
    session.add_mask(1, 1, drawn())
    list(session.propagate())
    session.lock_object(1, locked)
    clicked = session.add_points(2, 0, [[30, 20]], [True]).mask
    estimates, own = session._objects[1].estimates, session._objects[2].estimates[0]
    surer = torch.where(own.logits() > 0, 30.0, -30.0)
    estimates[0] = Estimate.of(own.window, surer, own.quality)
    labels = session.result(0).labels
    if locked:  # outlines differ by the odd pixel
        assert (labels[clicked] == 1).mean() > 0.95
    else:
        np.testing.assert_array_equal(labels == 2, clicked)


def test_a_prompt_takes_nothing_from_a_neighbour_that_is_surer(model):
    session = a_session(model)
    session.add_mask(1, 1, drawn())
    list(session.propagate())
    clicked = session.add_points(2, 0, [[30, 20]], [True]).mask
    estimates, own = session._objects[1].estimates, session._objects[2].estimates[0]
    surer = torch.where(own.logits() > 0, 30.0, -30.0)
    session._objects[1].locked = True  # to learn where it is
    for cells in range(1, 200):
        estimates[0] = Estimate.of(own.window, surer, own.quality).shifted(0, cells)
        beside = session.result(0).labels == 1
        if 0 < (beside & clicked).sum() < 0.4 * min(beside.sum(), clicked.sum()):
            break
    session.lock_object(1, False)
    labels = session.result(0).labels
    np.testing.assert_array_equal(labels == 1, beside)
    np.testing.assert_array_equal(labels == 2, clicked & ~beside)
    assert (beside & clicked).any()


def test_of_two_equal_claims_that_of_the_lower_id_counts(model):
    session = a_session(model)
    for i in (7, 4):
        session.add_mask(i, 0, drawn())
    assert set(np.unique(session.result(0).labels)) == {0, 4}


def test_an_object_that_stays_away_is_looked_for_now_and_then(model):
    stack = moving_disk(40)
    session = a_session(model, stack=stack)
    session.add_box(1, 0, [[18, 8], [42, 32]])
    with torch.no_grad():
        score = model.mask_decoder.pred_obj_score_head.layers[-1]
        before = score.bias.clone()
        score.bias.fill_(-1e4)  # from now on nothing is ever found
    looked: list[int] = []
    track = session._engine.track

    def watched(frame, looks):
        looked.extend([frame] * len(looks))
        return track(frame, looks)

    session._engine.track = watched
    try:
        results = list(session.propagate("forward"))
        first = [*looked]
        looked.clear()
        list(session.propagate("forward", start=20, stop=24))
    finally:
        with torch.no_grad():
            score.bias.copy_(before)
    assert first == [*range(1, 9), 9, 17, 25, 33]
    assert looked == [20, 21, 22, 23]  # whoever starts there wants to know
    assert len(results) == 40
    assert not any(result.labels.any() for result in results[1:])
    assert all(1 in result.quality for result in results)


def test_windows_of_a_published_model_are_cut_out_of_whole_frames():
    published = toy_model(
        image_size=256, square_input=True, drawn_prompts=False, carried_mask=False
    )
    seen = []
    encode = published.encode_image
    published.encode_image = lambda image: (seen.append(tuple(image.shape)), encode(image))[1]
    session = a_session(published, "windowed")
    session.add_box(1, 0, [[18, 8], [42, 32]])
    list(session.propagate("forward", stop=3))
    assert seen == [(1, 3, 256, 256)] * 3


def test_stale_objects_are_new_or_changed_ones(model):
    session = a_session(model)
    session.add_mask(1, 0, drawn())
    session.add_mask(2, 3, drawn())
    assert session.stale_objects() == [1, 2]
    for _ in session.propagate("both"):
        pass
    assert session.stale_objects() == []
    session.add_mask(2, 5, drawn())
    session.add_mask(4, 1, drawn())
    assert session.stale_objects() == [2, 4]
    session.lock_object(2)
    assert session.stale_objects() == [4]
    session.lock_object(2, False)
    before = {i: session.result(7).quality[i] for i in (1, 2)}
    for _ in session.propagate("both", object_ids=session.stale_objects()):
        pass
    assert session.stale_objects() == []
    assert session.result(7).quality[1] == before[1]
    assert set(session.result(7).quality) == {1, 2, 4}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.add_points(1, 7 / 2, [[20, 20]], [True]), "a frame is an integer"),
        (lambda s: s.add_points(1.5, 0, [[20, 20]], [True]), "an object id is an integer"),
        (lambda s: s.add_points(2**40, 0, [[20, 20]], [True]), "object ids must be"),
        (lambda s: s.add_points(9, 0, [[20, 20]], [False]), "click on it first"),
        (lambda s: s.result(99), "frame 99 does not exist"),
        (lambda s: s.result(-1), "frame -1 does not exist"),
        (lambda s: s.result(1.5), "a frame is an integer, not 1.5"),
        (lambda s: s.result(np.arange(3)), "a frame is an integer, not array"),
        (lambda s: s.divide(1, 2.5), "a frame is an integer"),
        (lambda s: s.divide(1, 3, (60,)), "into two, but ids were given for 1"),
        (lambda s: s.split_object(1, "3"), "a frame is an integer"),
        (lambda s: s.clear_prompt(1, [0]), "a frame is an integer"),
        (lambda s: s.set_parent(2, 1.0), "an object id is an integer"),
        (lambda s: s.set_prompt(1, 0, "x"), "a prompt is Prompt.*not str"),
        (lambda s: s.close_gaps(1.5), "the longest gap is an integer"),
        (lambda s: list(s.propagate(object_ids=1)), r"given as a list, \[1\]"),
        (lambda s: list(s.propagate(start=1.0)), "the first frame is an integer"),
        (lambda s: list(s.propagate(after=-1)), "0 or more, not -1"),
        (lambda s: list(s.propagate_and_find(2.5)), "between two looks is an integer"),
        (lambda s: list(s.segment_everything(0.5)), "a frame is an integer"),
        (lambda s: list(s.segment_everything(0, most=2.5)), "number of cells is an integer"),
        (lambda s: list(s.segment_everything(0, diameter="12")), "number of pixels, not '12'"),
    ],
)
def test_what_can_never_work_is_refused_at_once(model, call, words):
    session = a_session(model)
    for i in (1, 2):
        session.add_mask(i, i - 1, drawn())
    known = session.object_ids
    with pytest.raises(InputError, match=words):
        call(session)
    assert session.object_ids == known


def test_a_stack_is_not_taken_for_frames(model):
    with pytest.raises(InputError, match=r"Frames\(stack\), .*\.frames\(\), not ndarray"):
        TrackingSession(model, np.zeros((3, 64, 64)))
    with pytest.raises(InputError, match=r"TrackingPolicy\(...\), not str"):
        TrackingSession(model, Frames(np.zeros((3, 64, 64))), "exact")
    with pytest.raises(InputError, match="load_model"):
        TrackingSession("micro", Frames(np.zeros((3, 64, 64))))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"attention": "exakt"}, "attention is 'exact' or 'windowed', not 'exakt'"),
        ({"attention": ["exact"]}, "attention is"),
        ({"zoom": 0}, "zoom is a number above 0, .* not 0"),
        ({"zoom": float("nan")}, "zoom is"),
        ({"zoom": "2"}, "zoom is"),
        ({"cached_frames": -1}, "cached_frames is a whole number, 0 or more, not -1"),
        ({"cached_frames": None}, "cached_frames is"),
        ({"batch_tokens": -5}, "batch_tokens is a whole number, 1 or more, not -5"),
        ({"batch_tokens": 2.5}, "batch_tokens is"),
    ],
)
def test_policies_that_make_no_sense_are_refused(given, words):
    with pytest.raises(InputError, match=words):
        TrackingPolicy(**given)


def test_numbers_of_numpy_are_integers_too(model):
    session = a_session(model)
    session.add_points(np.int64(8), np.uint8(1), [[20, 20]], [True])
    assert 8 in session.object_ids
    list(session.propagate("forward", np.int64(0), object_ids=np.array([8])))
    session.add_mask(8, 3, drawn())
    session.clear_prompt(np.int64(8), np.int64(3))
    session.add_mask(20, 4, drawn())
    session.set_parent(np.int64(20), np.int64(8))
    assert session.divide(np.int64(8), np.int64(6), np.array([30, 31])) == (30, 31)
    session.lock_object(np.int64(20), np.bool_(True))
    session.split_object(np.int64(8), np.int64(4), np.int64(40))
    session.merge_objects(np.int64(8), np.int64(40))
    session.unpack(dict(session.packed(session.object_ids)))  # all can be written
    assert session.parents == {20: 8, 30: 8, 31: 8}


def test_frames_to_check_are_what_the_network_is_not_sure_of(model):
    frames = moving_disk(8)
    frames[5:] = 255 - frames[5:]  # the disk is not what it was
    session = TrackingSession(model, Frames(frames, contrast=(0, 255)))
    session.add_box(1, 0, [[20, 10], [40, 30]])
    assert session.frames_to_check() == []
    list(session.propagate("forward"))
    listed = session.frames_to_check()
    qualities = session.qualities()[1]
    unsure = {t for t, q in qualities.items() if t and (q.score < 0.5 or abs(q.object_score) < 1)}
    assert unsure <= {t for c in listed for t in range(c.first, c.last + 1)}
    assert listed
    assert all(c.object_id == 1 and c.reasons for c in listed)
    for found in listed:
        session.add_mask(1, found.worst, frames[0] > 128)
        assert all(c.worst != found.worst for c in session.frames_to_check())
