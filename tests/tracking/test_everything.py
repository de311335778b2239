"""All cells of a frame: the grid, batches, what is left out, and how good it is on real cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2 import Frames, TrackingPolicy, TrackingSession
from napari_sam2.evaluation.overlap import overlap
from napari_sam2.evaluation.sequences import load_sequence
from napari_sam2.model.config import MICRO
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding import everything as module
from napari_sam2.tracking.finding.choosing import Cell
from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.windows import levels, suitable_zoom
from napari_sam2.training.synthetic import make_clip
from tests.tracking.toy import moving_disk, toy_model


def toy_session(**policy):
    return TrackingSession(toy_model(), Frames(moving_disk()), TrackingPolicy(**policy))


def last(session, frame=0, **options):
    *_, found = session.segment_everything(frame, **options)
    return found


def labels_of(found, shape):
    labels = np.zeros(shape, np.int32)
    for number, cell in enumerate(found.cells, start=1):
        labels[cell.mask] = number
    return labels


def matched(labels, truth):
    """Recall and precision at an IoU of one half."""
    counts = overlap(labels, truth)
    hits = sum(counts.iou(p, t) > 0.5 for p, t in counts.shared)
    return hits / len(counts.truth), hits / max(len(counts.predicted), 1)


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_batches_answer_as_one_click_at_a_time(attention):
    one, many = (
        toy_session(attention=attention, batch_tokens=tokens)._engine for tokens in (1, 10_000)
    )
    geometry = [*one.levels.values()][-1]
    rng = np.random.default_rng(0)
    points = rng.uniform(0, one.frames.shape, (20, 2))
    with torch.inference_mode():
        singly = [*module._answered(one, 0, geometry, points)]
        together = [*module._answered(many, 0, geometry, points)]
    assert len(singly) == len(points) == sum(count for count, _ in together)
    assert len(together) < len(points)
    first = [a for _, part in singly for a in part]
    second = [a for _, part in together for a in part]
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.point == b.point
        assert a.iou == pytest.approx(b.iou, abs=1e-4)
        full = np.zeros((2, *one.frames.shape), dtype=bool)
        full[0][a.place], full[1][b.place] = a.mask, b.mask
        assert (full[0] != full[1]).mean() < 1e-3


def test_a_batch_of_clicks_is_what_the_session_answers():
    session = toy_session(zoom=1.0)
    (geometry,) = session._engine.levels.values()
    point = np.array([[30.0, 20.0]])
    preview = session.add_points(1, 0, point, [True])
    window = session._objects[1].pending[0].window
    with torch.inference_mode():
        prediction = session._engine.click(0, [window], point)
    assert window.grid == geometry.tokens
    assert float(prediction.best_iou[0]) == pytest.approx(preview.quality.iou, abs=1e-5)


def test_every_window_is_encoded_once(monkeypatch):
    session = toy_session()
    encoded, clicked = [], []
    encode, click = session.model.encode_image, session._engine.click

    def noted(frame, windows, points):
        clicked.extend(windows)
        return click(frame, windows, points)

    monkeypatch.setattr(session._engine, "click", noted)
    monkeypatch.setattr(
        session.model, "encode_image", lambda image: encoded.append(len(image)) or encode(image)
    )
    found = last(session)
    assert sum(encoded) == len(set(clicked)) < len(clicked) <= found.total == found.done


def test_clicks_lie_in_the_middle_of_their_windows():
    geometry = [*toy_session()._engine.levels.values()][-1]
    rows, columns = module._axes(geometry, 24.0)
    for point in module._lattice(rows, columns):
        window = module._window(geometry, point)
        tokens = (point + 0.5) * geometry.scale / 16
        for place, start, side, length in zip(
            tokens, (window.row, window.column), (window.height, window.width), geometry.tokens,
            strict=True,
        ):  # fmt: skip
            assert 0 <= start <= length - side
            assert place - start >= min(side / 4 - 0.5, place)
            assert start + side - place >= min(side / 4 - 0.5, length - place)


def test_the_session_stays_as_it_is():
    session, untouched = toy_session(), toy_session()
    for each in (session, untouched):
        each.add_points(1, 0, [[30, 20]], [True])
    before = session.result(0).labels
    last(session)
    assert session.object_ids == [1]
    np.testing.assert_array_equal(session.result(0).labels, before)
    for ours, theirs in zip(session.propagate(), untouched.propagate(), strict=True):
        np.testing.assert_array_equal(ours.labels, theirs.labels)


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_progress_rises_and_it_can_be_stopped(attention, monkeypatch):
    session = toy_session(attention=attention, batch_tokens=400)
    steps = [*session.segment_everything(0, least_quality=0.0)]
    done = [step.done for step in steps]
    assert len(steps) > 3
    assert done == sorted(done)
    assert steps[-1].done == steps[-1].total
    assert all(step.done <= step.total <= steps[-1].total for step in steps)
    running = session.segment_everything(0)
    next(running)
    monkeypatch.setattr(session._engine, "click", None)  # not asked again
    running.close()
    assert [*running] == []
    assert not torch.is_inference_mode_enabled()


def test_what_is_found_becomes_prompts_with_ids_of_its_own():
    session = toy_session()
    found = last(session, 2, least_quality=0.0)
    prompts = found.prompts(2, first_id=5)
    assert [*prompts] == [*range(5, 5 + len(found.cells))]
    session.add_prompts(prompts)
    assert session.object_ids == [*prompts]
    for cell, by_frame in zip(found.cells, prompts.values(), strict=True):
        np.testing.assert_array_equal(by_frame[2].mask, cell.mask)
    again = last(session, 2, least_quality=0.0)
    assert min(again.prompts(2), default=again.first_id) == 5 + len(found.cells)
    free = np.zeros(session.frames.shape, bool)  # as if nothing were there
    fewer = last(session, 2, least_quality=0.0, most=1, taken=free)
    assert len(fewer.cells) == min(1, len(found.cells))


def test_a_diameter_narrows_the_search_but_for_tiny_cells():
    session = toy_session()
    everywhere = last(session).total
    totals = [last(session, diameter=diameter).total for diameter in (60.0, 20.0, 4.0)]
    assert totals[0] < totals[1] < everywhere < totals[2]


@given(st.integers(1, 2500), st.floats(1, 300))
@settings(deadline=None)
def test_a_diameter_is_looked_for_at_three_magnifications_close_to_what_suits_it(side, diameter):
    found = levels(MICRO, (side, side), "windowed")
    best, *others = (found.index(g) for g in module._near(found, diameter))
    distance = [abs(np.log2(g.zoom / suitable_zoom(diameter / 2, 10))) for g in found]
    assert distance[best] == min(distance)
    assert all(0 < abs(i - best) <= 2 for i in others)
    assert len(set(others)) == len(others)
    if best >= 2:
        assert len(others) == 2


def test_the_size_of_cells_is_found_by_their_area():
    def square(side, quality):
        mask = np.zeros((200, 200), dtype=bool)
        mask[:side, :side] = True
        return Cell(ThinMask.of(mask), quality)

    specks = [square(4, 0.7) for _ in range(8)]
    cells = [square(40, 0.9) for _ in range(3)]
    doubtful = [square(150, 0.5) for _ in range(5)]
    diameter = module._typical([*specks, *cells, *doubtful])
    assert diameter == pytest.approx(40 * 2 / np.sqrt(np.pi))
    assert module._typical([]) is None
    assert module._typical(doubtful) > 100


def test_a_frame_that_is_taken_costs_no_click(monkeypatch):
    session = toy_session()
    monkeypatch.setattr(session._engine, "click", None)
    found = last(session, taken=np.ones(session.frames.shape))
    assert list(found.cells) == []
    assert found.done == found.total


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frame": 12}, "frame 12 does not exist"),
        ({"frame": -1}, "frame -1 does not exist"),
        ({"diameter": 0.5}, "a diameter of 0.5 px"),
        ({"diameter": float("nan")}, "a diameter of nan px"),
        ({"diameter": 1e4}, "a diameter of 10000 px"),
        ({"least_quality": 2.0}, "from 0 to 1, not 2"),
        ({"most": 0}, "at most 0 cells"),
        ({"taken": np.zeros((3, 3))}, r"shape \(3, 3\)"),
    ],
)
def test_unusable_arguments_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        next(toy_session().segment_everything(**{"frame": 0, **options}))


@pytest.mark.filterwarnings("ignore:every value looked at")
def test_odd_frames_are_no_error():
    for shape in ((1, 1), (5, 300), (40, 7)):
        session = TrackingSession(toy_model(), Frames(np.zeros((1, *shape), np.uint8)))
        assert last(session).total > 0


def test_the_embedded_model_finds_drawn_cells(micro):
    y, x = np.mgrid[:128, :144]
    truth = np.zeros((128, 144), np.int32)
    centres = [(24, 24), (28, 75), (20, 120), (70, 36), (76, 90), (108, 122)]
    for number, (cy, cx) in enumerate(centres, start=1):
        truth[((y - cy) / 11) ** 2 + ((x - cx) / 14) ** 2 < 1] = number
    image = np.random.default_rng(0).normal(40, 6, truth.shape) + 90 * (truth > 0)
    session = TrackingSession(micro, Frames(image.astype(np.float32)[None]))
    found = last(session)
    recall, precision = matched(labels_of(found, truth.shape), truth)
    assert recall == 1
    assert precision >= 0.85
    qualities = [cell.quality for cell in found.cells]
    assert qualities == sorted(qualities, reverse=True)
    assert sum(cell.mask.astype(int) for cell in found.cells).max() == 1  # no pixel twice
    # What is found can be followed, pixel by pixel.
    session.add_prompts(found.prompts(0, first_id=4))
    ids = [*range(4, 4 + len(found.cells))]
    np.testing.assert_array_equal(np.unique(session.result(0).labels), [0, *ids])
    # What is there already is not proposed again.
    found = last(session, taken=truth > 2, diameter=25)
    assert not any((cell.mask & (truth > 2)).any() for cell in found.cells)
    assert matched(labels_of(found, truth.shape), np.where(truth < 3, truth, 0))[0] == 1


@pytest.mark.parametrize(
    ("cell", "ground"), [((230, 130, 30), (40, 70, 180)), ((200, 0, 0), (0, 0, 0))]
)
def test_the_embedded_model_finds_cells_of_any_colour(micro, cell, ground):
    y, x = np.mgrid[:96, :112]
    truth = np.zeros((96, 112), np.int32)
    for number, (cy, cx) in enumerate([(24, 24), (28, 80), (68, 50)], start=1):
        truth[((y - cy) / 11) ** 2 + ((x - cx) / 14) ** 2 < 1] = number
    image = np.where(truth[..., None] > 0, cell, ground)
    image = image + np.random.default_rng(0).normal(0, 6, image.shape)
    session = TrackingSession(micro, Frames(image.clip(0, 255).astype(np.uint8)[None]))
    found = last(session, diameter=25)
    assert matched(labels_of(found, truth.shape), truth) == (1, 1)
    session.add_points(1, 0, [[24, 24]], [True])
    view = session.view(1, 0).image
    np.testing.assert_allclose(view[..., 0], view[..., 2], atol=1e-5)  # as it is seen


def test_the_embedded_model_on_synthetic_cells(micro):
    scores = []
    for seed in (2, 3):  # 19 cells; rules were chosen on seeds from 1000
        clip = make_clip(seed, 1, (112, 112), kind="nuclei")
        session = TrackingSession(micro, Frames(clip.images))
        scores.append(matched(labels_of(last(session), (112, 112)), clip.labels[0]))
    recall, precision = np.mean(scores, axis=0)
    assert recall >= 0.9
    assert precision >= 0.8


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_the_embedded_model_finds_nothing_in_noise(micro, attention):
    noise = np.random.default_rng(0).integers(20, 50, (1, 96, 96)).astype(np.uint8)
    frames = Frames(noise, contrast=(0, 255))
    session = TrackingSession(micro, frames, TrackingPolicy(attention=attention))
    assert len(last(session).cells) <= 1


@pytest.mark.parametrize("name", ["hela_nuclei", "stardist_nuclei_z"])
def test_the_embedded_model_on_real_nuclei(micro, dev_data, name):
    sequence = load_sequence(dev_data / name)
    objects = [len(np.unique(labels)) for labels in sequence.labels]
    frame = int(np.argmax(objects)) if name.endswith("_z") else 0
    truth = sequence.labels[frame]
    specks = [i for i in np.unique(truth) if (truth == i).sum() < 30]  # cut off by the border
    truth = np.where(np.isin(truth, specks), 0, truth)
    session = TrackingSession(micro, Frames(sequence.images))
    recall, precision = matched(labels_of(last(session, frame), truth.shape), truth)
    assert recall >= 0.75
    assert precision >= 0.85


def test_cells_that_have_an_object_are_not_found_again(micro):
    clip = make_clip(3, 1, (112, 112), kind="nuclei")
    session = TrackingSession(micro, Frames(clip.images))
    *_, first = session.segment_everything(0)
    assert first.cells
    session.add_prompts(first.prompts(0))
    before = {i: (session.result(0).labels == i).sum() for i in session.object_ids}
    *_, second = session.segment_everything(0)
    session.add_prompts(second.prompts(0))
    after = session.result(0).labels
    assert len(session.object_ids) == len(first.cells) + len(second.cells)
    for i, area in before.items():
        assert (after == i).sum() > 0.8 * area
