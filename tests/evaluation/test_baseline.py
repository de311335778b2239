from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.evaluation.baseline import (
    best_segment,
    classical,
    classical_from_mask,
    copy_first,
    link,
    segment,
)
from napari_sam2.evaluation.metrics import evaluate_labels, jaccard


def discs(
    centres: list[tuple[float, float]], radius: float, shape: tuple[int, int] = (80, 100)
) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, int)
    for i, (cy, cx) in enumerate(centres, start=1):
        labels[np.hypot(y - cy, x - cx) < radius] = i
    return labels


@pytest.fixture
def movie() -> tuple[np.ndarray, np.ndarray]:
    """Three bright discs, two of them touching, that move right by 2 px a frame."""
    truth = np.stack([discs([(20, 20 + 2 * t), (50, 30 + 2 * t), (50, 47 + 2 * t)], 9.5)
                      for t in range(6)])  # fmt: skip
    noise = np.random.default_rng(0).normal(0, 5, truth.shape)
    return np.where(truth > 0, 200.0, 100.0) + noise, truth


def test_classical_segments_splits_and_links(movie: tuple[np.ndarray, np.ndarray]) -> None:
    images, truth = movie
    labels = classical(images)
    assert labels.shape == truth.shape
    assert labels.max() == 3
    scores = evaluate_labels(labels, truth)
    assert scores.j > 0.85  # Li's threshold is generous by a pixel
    assert scores.tra > 0.99


def test_classical_finds_texture_in_phase_mode() -> None:
    truth = discs([(30, 30), (45, 70)], 14) > 0
    image = 100 + np.random.default_rng(0).normal(0, 1, truth.shape) * np.where(truth, 40, 2)
    assert jaccard(segment(image, phase=True) > 0, truth) > 0.5
    assert jaccard(segment(image) > 0, truth) < 0.2


@pytest.mark.parametrize("phase", [False, True])
def test_segment_of_nothing_is_nothing(phase: bool) -> None:
    assert not segment(np.full((30, 30), 7, np.uint16), phase=phase).any()


def test_link_keeps_ids_and_starts_new_ones() -> None:
    frames = [discs([(20, 20)], 8), discs([(60, 80), (20, 22)], 8), discs([(60, 80)], 8)]
    linked = link(frames)
    assert linked[0, 20, 20] == linked[1, 20, 22] == 1
    assert linked[1, 60, 80] == linked[2, 60, 80] == 2


def test_classical_from_mask_follows_both_ways(movie: tuple[np.ndarray, np.ndarray]) -> None:
    images, truth = movie
    followed = classical_from_mask(classical(images), truth[3] == 2, frame=3)
    assert min(jaccard(a, b == 2) for a, b in zip(followed, truth, strict=True)) > 0.85


def test_classical_from_mask_keeps_the_mask_where_nothing_is_found() -> None:
    mask = discs([(40, 50)], 9) > 0
    labels = np.zeros((3, *mask.shape), int)
    assert np.array_equal(classical_from_mask(labels, mask), copy_first(mask, 3))
    assert best_segment(labels[0], mask) is None
