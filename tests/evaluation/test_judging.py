from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_sam2.evaluation.judging import (
    boundaries,
    ends_kept,
    mean_over_objects,
    regions,
    tracking_scores,
)
from napari_sam2.evaluation.metrics import boundary_f, jaccard
from napari_sam2.evaluation.sequences import Task, prepare
from napari_sam2.export.ctc import Track

from .fakes import moving_squares

# Without the seed frame: three objects on seven frames, one on four.
NODES, EDGES = 3 * 7 + 4, 3 * 6 + 3
FROM_NOTHING = 10 * NODES + 1.5 * EDGES


def tracked() -> tuple[Task, dict[int, np.ndarray]]:
    """A task whose truth has tracks, and what a perfect model finds."""
    task = prepare(replace(moving_squares(), tracks=(Track(4, 0, 4, 0),)))
    only = np.where(task.labels < 9, task.labels, 0)  # 9 and 10 are not followed
    return task, dict(enumerate(only))


def test_j_and_f_are_those_of_the_masks() -> None:
    task, found = tracked()
    shifted = {t: np.roll(labels, 2, axis=1) for t, labels in found.items()}
    j, f = regions(task, shifted), boundaries(task, shifted)
    for i, t in ((1, 3), (4, 2)):
        masks = shifted[t] == i, task.labels[t] == i
        assert j[i][t] == pytest.approx(jaccard(*masks))
        assert f[i][t] == pytest.approx(boundary_f(*masks))
    assert {i: sorted(some) for i, some in j.items()} == {i: sorted(some) for i, some in f.items()}
    assert sorted(j[4]) == [1, 2, 3, 4]


def test_the_seed_frame_counts_on_request() -> None:
    task, found = tracked()
    for score in (regions, boundaries):
        assert 0 not in score(task, found)[1]
        assert score(task, found, with_seed=True)[1][0] == 1
        assert score(task, {}, with_seed=True)[1] == dict.fromkeys(range(8), 0)


def test_the_mean_is_over_frames_then_objects() -> None:
    assert mean_over_objects({1: {1: 1.0, 2: 0.0}, 2: {1: 1.0}, 3: {}}) == pytest.approx(0.75)
    assert np.isnan(mean_over_objects({1: {}}))


def test_seg_and_tra_of_a_perfect_model() -> None:
    task, found = tracked()
    assert task.tracked
    assert not prepare(moving_squares()).tracked
    assert tracking_scores(task, found) == (1, 1)


def test_an_object_that_is_lost_costs_its_detections_and_links() -> None:
    task, found = tracked()
    lost = {t: np.where(labels == 2, 0, labels) for t, labels in found.items()}
    seg, tra = tracking_scores(task, lost)
    assert seg == pytest.approx((NODES - 7) / NODES)
    assert tra == pytest.approx(1 - (7 * 10 + 6 * 1.5) / FROM_NOTHING)


def test_a_mask_after_the_end_is_a_false_detection() -> None:
    task, found = tracked()
    longer = {t: labels.copy() for t, labels in found.items()}
    for t in (5, 6, 7):
        longer[t][40:50, 60:70] = 4
    seg, tra = tracking_scores(task, longer)
    assert seg == 1
    assert tra == pytest.approx(1 - 3 / FROM_NOTHING)


def test_a_gap_in_the_truth_and_other_cells_cost_nothing() -> None:
    task, found = tracked()
    task.labels[3][task.labels[3] == 1] = 0
    assert tracking_scores(task, found) == (1, 1)
    assert (task.labels == 9).any()  # never found, and never asked for


def test_the_given_seed_frame_does_not_count() -> None:
    task, found = tracked()
    assert tracking_scores(task, {**found, task.seed: np.zeros_like(found[0])}) == (1, 1)


def test_ends_are_kept_where_no_mask_goes_on() -> None:
    task, found = tracked()
    assert ends_kept(task, found) == 1  # object 4 ends after frame 4
    assert ends_kept(task, {}) == 1
    longer = {t: labels.copy() for t, labels in found.items()}
    for t in (5, 6):
        longer[t][40:50, 60:70] = 4
    assert ends_kept(task, longer) == pytest.approx(1 / 3)
    whole = replace(task, objects=(1, 2))
    assert ends_kept(whole, longer) is None
    labels = task.labels.copy()
    labels[3][labels[3] == 1] = 0  # a gap is no end
    assert ends_kept(replace(whole, labels=labels), found) is None
