from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_sam2.evaluation.metrics import (
    boundary_f,
    evaluate_labels,
    j_and_f,
    jaccard,
    seg_score,
    tra_score,
)
from napari_sam2.evaluation.overlap import overlap
from napari_sam2.export.ctc import Track, read_tracks
from napari_sam2.tracking.errors import InputError

MASKS = arrays(bool, (9, 11))
LABELS = arrays(np.uint16, (3, 6, 7), elements=st.integers(0, 4))


def square(y: int, x: int, size: int, shape: tuple[int, int] = (40, 40)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y : y + size, x : x + size] = True
    return mask


def overlaps(pred: np.ndarray, truth: np.ndarray) -> list:
    return [overlap(p, t) for p, t in zip(pred, truth, strict=True)]


def test_jaccard_of_shifted_squares() -> None:
    # 10 x 10 moved by 5: 50 shared, 150 in all.
    assert jaccard(square(5, 5, 10), square(5, 10, 10)) == pytest.approx(1 / 3)


@given(MASKS, MASKS)
def test_jaccard_is_a_symmetric_share(a: np.ndarray, b: np.ndarray) -> None:
    assert jaccard(a, b) == jaccard(b, a)
    assert 0 <= jaccard(a, b) <= 1
    assert jaccard(a, a) == 1


@given(MASKS, MASKS)
def test_boundary_f_is_a_symmetric_share(a: np.ndarray, b: np.ndarray) -> None:
    assert boundary_f(a, b) == pytest.approx(boundary_f(b, a))
    assert 0 <= boundary_f(a, b) <= 1
    assert boundary_f(a, a) == 1


def test_boundary_f_forgives_the_tolerance_and_no_more() -> None:
    shape = (300, 400)  # diagonal 500: 0.008 of it is 4 px
    truth = square(100, 100, 80, shape)
    assert boundary_f(square(104, 100, 80, shape), truth) == 1
    assert boundary_f(square(105, 100, 80, shape), truth) < 1
    assert boundary_f(square(200, 250, 80, shape), truth) == 0


def test_boundary_f_counts_what_is_near() -> None:
    # Two squares in the truth, one found: all of the outline is right, half of it is there.
    one = square(20, 20, 30, (300, 400))
    two = one | square(20, 200, 30, (300, 400))
    assert boundary_f(one, two) == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert j_and_f(one, two) == pytest.approx((0.5 + 2 / 3) / 2)


def test_the_edge_of_the_image_is_no_outline() -> None:
    assert boundary_f(np.ones((30, 30), bool), np.zeros((30, 30), bool)) == 1
    assert boundary_f(square(10, 10, 5), np.zeros((40, 40), bool)) == 0


def test_shapes_must_agree() -> None:
    with pytest.raises(InputError, match=r"\(4, 4\) and truth \(5, 4\)"):
        jaccard(np.zeros((4, 4)), np.zeros((5, 4)))


def test_evaluate_matches_objects_whatever_their_ids() -> None:
    truth = np.zeros((3, 40, 40), np.uint16)
    pred = np.zeros_like(truth)
    for t in range(3):
        truth[t][square(2, 2 + t, 10)] = 1
        truth[t][square(25, 2 + t, 10)] = 2
        pred[t][square(2, 2 + t, 10)] = 70_00
        pred[t][square(25, 2 + t, 5)] = 3  # a quarter of the object
    pred[0][square(20, 30, 4)] = 9  # nothing is there
    scores = evaluate_labels(pred, truth)
    assert [(o.id, o.predicted_id) for o in scores.objects] == [(1, 7000), (2, 3)]
    assert scores.objects[0].j == scores.objects[0].f == 1
    assert scores.objects[1].j == pytest.approx(0.25)
    assert scores.j == pytest.approx(0.625)
    assert scores.j_and_f == pytest.approx((scores.j + scores.f) / 2)
    assert scores.seg == pytest.approx(0.5)  # a quarter does not cover more than half
    assert scores.extra_ids == (9,)
    assert json.loads(json.dumps(scores.as_dict()))["objects"][1]["id"] == 2


def test_evaluate_judges_every_frame_an_object_or_its_match_is_in() -> None:
    truth = np.zeros((4, 40, 40), np.uint16)
    truth[:2] = square(5, 5, 10)
    pred = np.zeros_like(truth)
    pred[1:3] = square(5, 5, 10)
    (only,) = evaluate_labels(pred, truth).objects
    assert only.j == only.f == pytest.approx(1 / 3)  # missed, right, not there; frame 3 is empty


def test_evaluate_object_that_was_not_found() -> None:
    truth = square(5, 5, 10).astype(np.uint8)
    scores = evaluate_labels(np.zeros_like(truth), truth)  # one frame (Y, X)
    assert scores.objects[0].predicted_id is None
    assert (scores.j, scores.f, scores.seg, scores.tra) == (0, 0, 0, 0)


@given(LABELS)
def test_evaluate_perfect_labels(labels: np.ndarray) -> None:
    if not labels.any():
        with pytest.raises(InputError, match="no object"):
            evaluate_labels(labels, labels)
        return
    scores = evaluate_labels(labels, labels)
    assert (scores.j, scores.f, scores.seg, scores.tra) == (1, 1, 1, 1)


@given(LABELS, LABELS)
def test_evaluate_scores_are_shares(pred: np.ndarray, truth: np.ndarray) -> None:
    truth[0, 0, 0] = 1
    scores = evaluate_labels(pred, truth)
    assert all(0 <= x <= 1 for x in (scores.j, scores.f, scores.seg, scores.tra))
    found = [o.predicted_id for o in scores.objects if o.predicted_id is not None]
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2, 2, 2), int), "shape"),
        (np.zeros((2, 3, 4)), "whole numbers"),
        (np.full((2, 3, 4), -1), "negative"),
        (np.full((2, 3, 4), 2**32), "above 4294967295"),
    ],
)
def test_evaluate_names_unusable_labels(labels: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_labels(labels, np.ones((2, 3, 4), int))


def test_seg_needs_more_than_half() -> None:
    truth = np.zeros((1, 4, 4), int)
    truth[0, 0] = 1
    half, more = np.zeros_like(truth), np.zeros_like(truth)
    half[0, 0, :2] = 5
    more[0, 0, :3] = 5
    assert seg_score(overlaps(half, truth)) == 0
    assert seg_score(overlaps(more, truth)) == pytest.approx(0.75)


@pytest.fixture
def division() -> tuple[np.ndarray, list[Track]]:
    """One cell for two frames, its two daughters for two more: 6 nodes, 3 links, 2 divisions."""
    labels = np.zeros((4, 12, 12), int)
    labels[:2, 4:8, 4:8] = 1
    labels[2:, 1:5, 4:8] = 2
    labels[2:, 7:11, 4:8] = 3
    return labels, [Track(1, 0, 1, 0), Track(2, 2, 3, 1), Track(3, 2, 3, 1)]


def nothing_costs(division: tuple[np.ndarray, list[Track]]) -> float:
    return 10 * 6 + 1.5 * 5


def test_tra_is_perfect_with_divisions(division: tuple[np.ndarray, list[Track]]) -> None:
    labels, tracks = division
    assert tra_score(overlaps(labels, labels), tracks, tracks) == 1


def test_tra_charges_what_is_missing(division: tuple[np.ndarray, list[Track]]) -> None:
    labels, tracks = division
    whole = nothing_costs(division)
    both = overlaps(labels, labels)
    # Divisions not reported: two edges to add.
    assert tra_score(both, None, tracks) == pytest.approx(1 - 2 * 1.5 / whole)
    # Divisions that are none: two edges to take away, out of a graph without them.
    assert tra_score(both, tracks, None) == pytest.approx(1 - 2 * 1.0 / (whole - 3))
    # A daughter missed on the last frame: its node and its edge to add.
    less = labels.copy()
    less[3][less[3] == 3] = 0
    assert tra_score(overlaps(less, labels), tracks, tracks) == pytest.approx(1 - 11.5 / whole)


def test_tra_charges_false_and_merged_objects(division: tuple[np.ndarray, list[Track]]) -> None:
    labels, tracks = division
    whole = nothing_costs(division)
    more = labels.copy()
    more[0, 0, 0] = 8
    assert tra_score(overlaps(more, labels), tracks, tracks) == pytest.approx(1 - 1 / whole)
    # Both daughters in one object on the last frame: a split, and both edges into it anew.
    merged = labels.copy()
    merged[3][merged[3] == 3] = 2
    cost = 5 + 2 * 1.5
    assert tra_score(overlaps(merged, labels), tracks, tracks) == pytest.approx(1 - cost / whole)


def test_tra_charges_a_link_that_should_be_a_division(
    division: tuple[np.ndarray, list[Track]],
) -> None:
    labels, tracks = division
    kept = labels.copy()
    kept[2:][kept[2:] == 2] = 1  # the mother goes on as one of her daughters
    score = tra_score(overlaps(kept, labels), [Track(1, 0, 3, 0), Track(3, 2, 3, 0)], tracks)
    # One edge of the wrong kind, one division edge missing.
    assert score == pytest.approx(1 - (1 + 1.5) / nothing_costs(division))


def test_tra_is_never_below_nothing(division: tuple[np.ndarray, list[Track]]) -> None:
    labels, tracks = division
    assert tra_score(overlaps(np.zeros_like(labels), labels), None, tracks) == 0
    assert tra_score(overlaps(labels, np.zeros_like(labels))) == 0
    assert tra_score(overlaps(labels * 0, labels * 0)) == 1


def test_read_tracks(tmp_path) -> None:
    path = tmp_path / "tracks.txt"
    path.write_text("1 0 10 0\n8 11 47 1\n\n")
    assert read_tracks(path) == [Track(1, 0, 10, 0), Track(8, 11, 47, 1)]
