"""Corrections reach what looks like the clicked place, and nothing else."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.model.heeding import heeding

SIDE = 24
YES, NO = torch.tensor([True]), torch.tensor([False])


def scene():
    """A cell, a lobe of it that the mask leaves out, and the background, each a map of its own."""
    maps = torch.zeros(3, SIDE, SIDE)
    maps[0, 6:18, 4:12] = 1
    maps[1, 6:18, 12:20] = 1
    maps[2] = 1 - maps[0] - maps[1]
    logits = 3 * maps[0] - maps[1] - 3 * maps[2]  # of the lobe the network is not sure
    return logits, maps


def at(*cells):
    return torch.tensor(cells, dtype=torch.float32)


def test_a_click_on_a_missing_part_brings_all_that_looks_like_it():
    logits, maps = scene()
    found = heeding(logits, maps, logits, at((12, 16)), YES) > 0
    assert torch.equal(found, maps[0] + maps[1] > 0)


def test_a_negative_click_takes_all_away_that_looks_like_it():
    logits, maps = scene()
    both = logits + 2 * maps[1]
    found = heeding(both, maps, both, at((12, 16)), NO) > 0
    assert torch.equal(found, maps[0] > 0)


@given(st.integers(0, SIDE - 1), st.integers(0, SIDE - 1), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_what_agrees_already_stays_to_the_bit(y, x, seed):
    noise = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    logits, maps = scene()
    positive = logits[y, x, None] > 0
    assert torch.equal(heeding(logits, maps + noise, logits, at((y, x)), positive), logits)


def test_clicks_beside_the_outline_or_out_of_the_window_change_nothing():
    logits, maps = scene()
    beside = at((12, 11.4))  # 0.6 cells from the lobe
    assert torch.equal(heeding(logits, maps, logits, beside, NO), logits)
    far = at((-9, 12), (12, 300))
    signs = torch.tensor([True, False])
    assert torch.equal(heeding(logits, maps, logits, far, signs), logits)


def test_maps_that_are_all_alike_are_no_error():
    logits, _ = scene()
    found = heeding(logits, torch.zeros(4, SIDE, SIDE), logits, at((12, 16)), YES)
    assert found.isfinite().all()
