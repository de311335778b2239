"""A click is answered by the mask that most magnifications agree with; more clicks may tell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from napari_sam2.tracking.finding.candidates import Candidate, overlap, surest
from napari_sam2.tracking.finding.finding import Known, correct, find
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.masks.resampling import to_data
from napari_sam2.tracking.network.hypotheses import Hypotheses
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.windows import Window
from tests.tracking.toy import a_session, moving_disk, toy_model

WINDOW = Window(0, 0, 12, 12, (12, 12))
CLICK = Prompt(points=np.array([[15.0, 15.0]]), positive=np.array([True]))


def candidate(iou, y0, x0, y1, x1, cells=200):
    logits = torch.full((48, 48), -1.0)
    logits.view(-1)[:cells] = 1
    mask = np.ones((y1 - y0, x1 - x0), bool)
    return Candidate(WINDOW, logits, iou, (slice(y0, y1), slice(x0, x1)), mask)


def test_a_cell_seen_at_three_magnifications_beats_the_colony_seen_at_one():
    cells = [candidate(0.8, 10, 10, 20 + k, 20) for k in range(3)]
    colony = candidate(0.9, 0, 0, 100, 100)
    (_, first), *_, (_, last) = surest([colony, *cells], CLICK)
    assert first in cells
    assert last is colony
    assert surest([colony, cells[0]], CLICK)[0][1] is colony


def test_masks_of_unknown_sizes_or_beside_the_click_are_left_out_and_empty_ones_are_no_error():
    tiny, good = candidate(0.95, 14, 14, 17, 17, cells=4), candidate(0.6, 0, 0, 30, 30)
    beside, nothing = candidate(0.99, 16, 16, 40, 40), candidate(0.9, 0, 0, 0, 0, cells=0)
    assert [c for _, c in surest([tiny, good, beside, nothing], CLICK)] == [good]
    assert [c for _, c in surest([tiny, beside], CLICK)] == [beside]  # no better one is there
    assert [c for _, c in surest([nothing], CLICK)] == [nothing]


@pytest.mark.parametrize(
    ("point", "positive", "heeds"),
    [
        ((10, 10), True, True),
        ((10, 10), False, False),
        ((9, 9), True, False),
        ((20, 5), False, True),
    ],
)
def test_clicks_are_heeded_on_both_sides_of_the_outline(point, positive, heeds):
    prompt = Prompt(points=np.array([point], float), positive=np.array([positive]))
    assert candidate(0.9, 10, 10, 20, 20).heeds(prompt) is heeds


def test_overlap_is_that_of_the_pixels():
    rng = np.random.default_rng(3)
    for _ in range(20):
        frames = np.zeros((2, 40, 40), bool)
        found = []
        for frame in frames:
            (y0, y1), (x0, x1) = np.sort(rng.choice(41, (2, 2), replace=False), axis=1)
            frame[y0:y1, x0:x1] = rng.random((y1 - y0, x1 - x0)) < 0.7
            place = slice(int(y0), int(y1)), slice(int(x0), int(x1))
            found.append(Candidate(WINDOW, torch.zeros(1), 0.5, place, frame[place].copy()))
        union = (frames[0] | frames[1]).sum()
        expected = (frames[0] & frames[1]).sum() / union if union else 0.0
        assert overlap(*found) == pytest.approx(expected)


def test_what_was_clicked_counts_as_present():
    model = toy_model()
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(-30.0)
    session = TrackingSession(model, Frames(moving_disk(2), axis=0))
    preview = session.add_points(1, 0, [[30, 20]], [True])
    assert preview.mask[30, 20]
    assert preview.quality.object_score > 0


def test_clicks_find_and_correct_alike_whatever_came_between():
    """A correction depends on the clicks and the mask before, not on other objects or calls."""
    stack = moving_disk(2)
    alone, busy = (TrackingSession(toy_model(), Frames(stack, axis=0)) for _ in range(2))
    for session in (alone, busy):
        session.add_points(1, 0, [[30, 20]], [True])
    busy.add_points(2, 0, [[10, 70]], [True])
    a, b = (session.add_points(1, 0, [[38, 30]], [False]) for session in (alone, busy))
    np.testing.assert_array_equal(a.mask, b.mask)
    assert a.mask[30, 20]
    assert not a.mask[38, 30]


def test_clicks_given_at_once_are_answered_as_if_they_came_in_turn():
    stack = moving_disk(2)
    clicks = [([30, 20], True), ([38, 30], False), ([25, 22], True)]
    in_turn, at_once, other = (TrackingSession(toy_model(), Frames(stack, axis=0)) for _ in "abc")
    for point, positive in clicks:
        wanted = in_turn.add_points(1, 0, [point], [positive])
    points, positive = zip(*clicks, strict=True)
    found = at_once.add_points(1, 0, points, positive)
    np.testing.assert_array_equal(found.mask, wanted.mask)
    assert found.quality == wanted.quality
    # Whatever is said first, the first click on the object finds it.
    order = [1, 0, 2]
    again = other.set_prompt(1, 0, Prompt([points[i] for i in order], [positive[i] for i in order]))
    np.testing.assert_array_equal(again.mask, wanted.mask)


def test_a_box_is_seen_at_several_magnifications_and_the_mask_obeys_it():
    session = TrackingSession(toy_model(), Frames(moving_disk(2), axis=0))
    engine, asked = session._engine, []
    answer = engine.answer

    def counted(frame, window, *args):
        asked.append(window.grid)
        return answer(frame, window, *args)

    engine.answer = counted
    session.add_box(1, 0, [[20, 10], [40, 30]])
    assert len(set(asked)) == len(asked) > 1
    asked.clear()
    session.add_points(1, 0, [[36, 26]], [False])  # corrects it where it lives
    assert len(asked) == 1


def disk_in(engine, geometry, y, x):
    """A window around a disk, given in data pixels, and its logits there."""
    window = engine.window_on(geometry, (y - 10, x - 10, y + 10, x + 10))
    return window, disk_within(geometry, window, y, x, 10)


def disk_within(geometry, window, y, x, radius):
    places = [
        4 * (np.arange(4 * side) + 0.5) / scale + 16 * start / scale - 0.5
        for side, start, scale in (
            (window.height, window.row, geometry.scale[0]),
            (window.width, window.column, geometry.scale[1]),
        )
    ]
    ys, xs = np.meshgrid(*places, indexing="ij")
    inside = (ys - y) ** 2 + (xs - x) ** 2 < radius**2
    return torch.from_numpy(np.where(inside, 8.0, -8.0)).float()


@pytest.mark.parametrize(
    ("points", "positive", "centre"),
    [
        ([[5, 5], [60, 10]], [False, False], (30, 20)),
        ([[60, 10], [20, 70]], [False, True], (20, 70)),  # the other one can win
    ],
)
def test_clicks_that_are_all_negative_let_no_other_object_win(points, positive, centre):
    """Every magnification holds another disk for the object that the clicks are about."""
    engine = TrackingSession(toy_model(), Frames(moving_disk(1), axis=0))._engine

    def other(_frame, _prompt, geometries):
        pointers = torch.zeros(4, engine.model.config.hidden)
        sure = torch.full((4,), 0.99), torch.tensor([5.0]), pointers
        disks = [disk_in(engine, geometry, 20, 70) for geometry in geometries]
        return [Hypotheses(window, logits.repeat(4, 1, 1), *sure) for window, logits in disks]

    engine.hypotheses = other
    geometry = engine.fitting((20, 10, 40, 30))
    window, logits = disk_in(engine, geometry, 30, 20)
    known = Known(Estimate.of(window, logits, Quality(0.9, 5.0, 1.0)), logits)
    prompt = Prompt(points=np.array(points, float), positive=np.array(positive))
    found, prediction = correct(engine, 0, prompt, None, known)
    place, values = to_data(engine.geometry(found), found, prediction.best_logits[0])
    ys, xs = np.nonzero(values > 0)
    middle = (ys.mean() + place[0].start, xs.mean() + place[1].start)
    np.testing.assert_allclose(middle, centre, atol=3)


@pytest.mark.parametrize("meant", [10, 16])
def test_of_the_best_masks_that_one_is_taken_which_its_box_is_answered_with(meant):
    """The network is surer of the larger disk, but may see nothing in the box around it."""
    engine = TrackingSession(toy_model(), Frames(moving_disk(1), axis=0))._engine
    at = 30, 20

    def hypotheses(_frame, _prompt, geometries):
        found = []
        for geometry in geometries:
            window = engine.window_on(geometry, (10, 0, 50, 40))
            small, large = (disk_within(geometry, window, *at, radius) for radius in (10, 16))
            logits = torch.stack([small, small, large, torch.full_like(small, -8.0)])
            iou, pointers = torch.tensor([0, 0.8, 0.9, 0]), torch.zeros(4, 16)
            found.append(Hypotheses(window, logits, iou, torch.tensor([5.0]), pointers))
        return found

    def boxed(_frame, windows, boxes):
        assert {round(np.ptp(box[:, 0]) / 2) for box in boxes} == {10, 16}
        return [(disk_within(engine.geometry(w), w, *at, meant), 0.9) for w in windows]

    engine.hypotheses, engine.boxed = hypotheses, boxed
    window, prediction = find(engine, 0, Prompt(points=[at], positive=[True]), None)
    _, values = to_data(engine.geometry(window), window, prediction.best_logits[0])
    assert (values > 0).sum() == pytest.approx(np.pi * meant**2, rel=0.1)


@pytest.mark.parametrize("seed", [1, 3])
def test_the_answer_to_a_box_has_no_pinholes(seed):
    session = TrackingSession(toy_model(seed), Frames(moving_disk(1), axis=0))
    mask = session.add_box(1, 0, [[10, 10], [50, 60]]).mask
    assert mask.any()
    assert label(~mask)[1] == 1  # what is around it


def test_what_was_clicked_on_one_frame_is_not_answered_for_another():
    stack = moving_disk(2)
    stack[1] = stack[1][:, ::-1]
    busy, alone = (TrackingSession(toy_model(), Frames(stack, axis=0)) for _ in range(2))
    busy.add_points(1, 0, [[30, 40]], [True])
    a, b = (session.add_points(2, 1, [[30, 40]], [True]) for session in (busy, alone))
    np.testing.assert_array_equal(a.mask, b.mask)


def test_a_negative_click_is_not_answered_as_the_positive_one_in_its_place():
    busy, alone = (TrackingSession(toy_model(1), Frames(moving_disk(1), axis=0)) for _ in range(2))
    points = [[30, 20], [38, 30]]
    busy.add_points(1, 0, points, [True, True])
    a, b = (session.add_points(2, 0, points, [True, False]) for session in (busy, alone))
    np.testing.assert_array_equal(a.mask, b.mask)


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_corrections_bend_the_last_layer_in_windows_only(attention, monkeypatch):
    session, bent = a_session(model := toy_model(), attention), []
    correct_masks = model.correct_masks

    def noted(*args):
        bent.append(args)
        return correct_masks(*args)

    monkeypatch.setattr(model, "correct_masks", noted)
    session.add_points(1, 0, [[30, 20]], [True])
    bent.clear()
    session.add_points(1, 0, [[38, 30]], [False])
    assert bool(bent) == (attention == "windowed")
