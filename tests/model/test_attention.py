"""Attention over unprojected memories gives what torch's attention over projected ones gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from napari_sam2.model.attention import _KEYS, _QUERIES, Keys, attend, attention
from napari_sam2.model.memory_attention import MemoryAttentionLayer, MemoryTokens, _grids
from napari_sam2.model.positions import TokenGrid, no_rotation, rotary_phases
from tests.ways import multiplied_by


@pytest.fixture(autouse=True, params=["torch", "oneDNN"])
def inference(request: pytest.FixtureRequest) -> Iterator[None]:
    with multiplied_by(request.param), torch.no_grad():
        yield


def cut_from(k: torch.Tensor) -> Keys:
    """Keys that are there already."""
    return lambda rows, tokens: k[rows, tokens]


@pytest.mark.parametrize(
    ("n", "queries", "keys"),
    [(1, 5, 7), (3, 40, 30), (70, 90, 200), (2, _QUERIES + 88, _KEYS + 76), (1, 1, 2 * _KEYS)],
)
def test_projecting_after_the_sum_changes_nothing(n: int, queries: int, keys: int) -> None:
    torch.manual_seed(0)
    q, k = 3 * torch.randn(n, queries, 32), 3 * torch.randn(n, keys, 32)
    memory, project = torch.randn(n, keys, 8), nn.Linear(8, 32)
    expected = F.scaled_dot_product_attention(q, k, project(memory))
    found = project(attend(q, cut_from(k), memory))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_attention_of_several_heads() -> None:
    keys = _KEYS + 76
    q, k, v = (
        torch.randn(2, 3, _QUERIES + 9, 8),
        torch.randn(2, 3, keys, 8),
        torch.randn(2, 3, keys, 8),
    )
    expected = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attention(q, k, v), expected, rtol=1e-4, atol=1e-5)


def test_scores_may_be_large() -> None:
    torch.manual_seed(0)
    q, k = 200 * torch.randn(1, _QUERIES + 8, 16), torch.randn(1, _KEYS + 300, 16)
    memory = torch.randn(1, _KEYS + 300, 4)
    expected = F.scaled_dot_product_attention(q.double(), k.double(), memory.double())
    found = attend(q, cut_from(k), memory).double()
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


def test_objects_do_not_see_each_other() -> None:
    q, k, memory = torch.randn(4, 6, 16), torch.randn(4, 9, 16), torch.randn(4, 9, 8)
    every = attend(q, cut_from(k), memory)
    for i in range(4):
        alone = attend(q[i : i + 1], cut_from(k[i : i + 1]), memory[i : i + 1])
        torch.testing.assert_close(every[i : i + 1], alone)


@pytest.mark.parametrize("pointers", [0, 12])
@pytest.mark.parametrize("origins", [((0, 0),), ((3, 5),), ((0, 7), (40, 2), (11, 0))])
def test_moving_projections_to_the_queries_changes_nothing(
    origins: tuple[tuple[int, int], ...], pointers: int
) -> None:
    torch.manual_seed(0)
    width, raw, count, n, cpu = 64, 8, 4, 3, torch.device("cpu")
    layer = MemoryAttentionLayer(width, raw, 32).requires_grad_(False)
    layer.cross_attn_image.k_proj.weight.mul_(4)  # some tokens shall matter more than others
    grid, seen = TokenGrid(21, 18, origins), TokenGrid(30, 20, origins)
    pieces = [rotary_phases(grid, width, cpu)] * count
    pieces += [tuple(p.expand(len(origins), -1, -1, -1) for p in no_rotation(pointers, width, cpu))]
    cos, sin = (torch.cat(parts, dim=2) for parts in zip(*pieces, strict=True))
    tokens = count * grid.height * grid.width + pointers
    memory = MemoryTokens(
        torch.randn(n, tokens, raw),
        torch.randn(n, tokens, raw),
        (cos, sin),
        (count, grid.height, grid.width),
    )
    with multiplied_by("torch"):
        assert _grids(layer.cross_attn_image.k_proj, memory) is not None
    x, phases = torch.randn(n, seen.height * seen.width, width), rotary_phases(seen, width, cpu)
    with torch.enable_grad():
        expected = layer.recall(x, memory, phases)
    found = layer.recall(x, memory, phases)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
