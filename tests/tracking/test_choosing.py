"""Of many masks, those that clicks and magnifications agree on; no two share a pixel."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.tracking.finding.choosing import Answer, choose
from tests.tracking import toy

SHAPE = (60, 80)
NOTHING = np.zeros(SHAPE, dtype=bool)
disk = partial(toy.disk, shape=SHAPE)


def answer(mask, iou=0.9, zoom=1.0, point=None):
    ys, xs = np.nonzero(mask)
    y0, x0 = int(ys.min()), int(xs.min())
    point = (float(ys.mean()), float(xs.mean())) if point is None else point
    return Answer(point, zoom, iou, (y0, x0), mask[y0 : ys.max() + 1, x0 : xs.max() + 1])


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_mask_seen_again_at_another_magnification_beats_one_seen_once():
    cell, colony = disk(30, 30, 8), disk(30, 34, 20)
    answers = [answer(colony, 0.92), answer(cell, 0.85), answer(cell, 0.85, zoom=2.0)]
    (found,) = choose(answers, NOTHING, 0.3)
    assert iou(found.mask, cell) == 1
    # Alone, the colony would have won.
    (alone,) = choose(answers[:2], NOTHING, 0.3)
    assert iou(alone.mask, colony) == 1


def test_a_mask_that_few_of_its_clicks_gave_counts_for_less():
    cells = [disk(30, 20, 8), disk(30, 40, 8)]
    both = cells[0] | cells[1]
    answers = [answer(both, 0.8, zoom, (30.0, 20.0)) for zoom in (1.0, 2.0)]
    answers += [answer(c, 0.78, zoom) for c in cells for zoom in (1.0, 2.0) for _ in range(3)]
    found = choose(answers, NOTHING, 0.3)
    assert len(found) == 2
    assert {max(iou(f.mask, c) for f in found) for c in cells} == {1.0}


def test_the_best_come_first_and_the_poor_are_left_out():
    good, fair, poor = disk(15, 15, 8), disk(15, 50, 8), disk(45, 30, 8)
    pairs = [(fair, 0.8), (poor, 0.5), (good, 0.95)]
    answers = [answer(mask, sure, zoom) for mask, sure in pairs for zoom in (1.0, 2.0)]
    everything = choose(answers, NOTHING, 0.0)
    assert [iou(f.mask, m) for f, m in zip(everything, (good, fair, poor), strict=True)] == [1] * 3
    qualities = [f.quality for f in everything]
    assert qualities == sorted(qualities, reverse=True)
    assert len(choose(answers, NOTHING, (qualities[1] + qualities[2]) / 2)) == 2


def test_what_is_taken_is_left_out_and_its_pixels_are_not_given_twice():
    cell, other = disk(30, 20, 9), disk(30, 60, 9)
    answers = [answer(m, zoom=z) for m in (cell, other) for z in (1.0, 2.0)]
    taken = disk(30, 22, 9)
    taken[30, 60] = True
    (found,) = choose(answers, taken, 0.3)
    assert iou(found.mask, other) > 0.9
    assert not (found.mask & taken).any()


def test_answers_outvote_one_that_is_a_little_off():
    cell = disk(30, 30, 10)
    answers = [answer(disk(30, 31, 11), 0.9), *(answer(cell, 0.89, z) for z in (0.5, 1.0, 2.0))]
    (found,) = choose(answers, NOTHING, 0.3)
    assert iou(found.mask, cell) == 1
    larger = [answer(disk(30, 30, 11), 0.9, zoom) for zoom in (1.0, 2.0)]
    (found,) = choose([answer(cell, 0.9, 0.5), *larger], NOTHING, 0.3)
    assert iou(found.mask, disk(30, 30, 11)) == 1  # two of three


def test_a_diameter_decides_between_a_cell_and_its_nucleus():
    nucleus, cell = disk(30, 30, 6), disk(30, 30, 12)
    answers = [answer(m, 0.85, z) for m in (nucleus, cell) for z in (1.0, 2.0)]
    for diameter, expected in ((12.0, nucleus), (24.0, cell)):
        (found,) = choose(answers, NOTHING, 0.3, diameter)
        assert iou(found.mask, expected) == 1


def test_no_answers_are_no_cells():
    assert choose([], NOTHING, 0.0) == []
    assert choose([answer(disk(30, 30, 8))], ~NOTHING, 0.0) == []


disks = st.tuples(
    st.integers(0, 59), st.integers(0, 79), st.integers(2, 20), st.floats(0.4, 1),
    st.sampled_from([0.5, 1.0, 2.0]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(disks, max_size=15), st.lists(disks, max_size=2), st.floats(0, 1))
def test_cells_are_apart_ranked_whole_and_free(some, others, least):
    answers = [answer(disk(y, x, r), sure, zoom) for y, x, r, sure, zoom in some]
    taken = NOTHING.copy()
    for y, x, r, *_ in others:
        taken |= disk(y, x, r)
    cells = choose(answers, taken, least)
    used = taken.copy()
    for cell in cells:
        assert cell.mask.any()
        assert not (cell.mask & used).any()
        used |= cell.mask
        assert least <= cell.quality <= 1 or cell.quality == pytest.approx(least)
    assert [c.quality for c in cells] == sorted((c.quality for c in cells), reverse=True)
    again = choose(answers[::-1], taken, least)
    assert len(cells) == len(again) or len({a.iou for a in answers}) < len(answers)


def test_large_frames_are_compared_on_a_coarser_raster():
    shape = (1500, 2500)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    answers, masks = [], []
    for y, x in ((200, 300), (1200, 2300)):
        masks.append((rows - y) ** 2 + (columns - x) ** 2 < 30**2)
        answers += [answer(masks[-1], 0.9, zoom) for zoom in (1.0, 2.0)]
    found = choose(answers, np.zeros(shape, dtype=bool), 0.3)
    assert sorted(iou(f.mask, m) for f in found for m in masks) == [0, 0, 1, 1]
    (alone,) = choose([answer(disk(30, 30, 8), 0.9, zoom) for zoom in (1.0, 2.0)], NOTHING, 0.3)
    assert [f.quality for f in found] == pytest.approx([alone.quality] * 2)  # clicks agree as much
