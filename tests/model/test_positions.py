"""Positions are absolute: a window gets the numbers of its place on the whole map."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from napari_sam2.model.positions import (
    FourierPositions,
    TokenGrid,
    no_rotation,
    rotary_phases,
    rotate,
    sine_positions,
    time_positions,
)

CPU = torch.device("cpu")
WHOLE = TokenGrid(20, 24)
WINDOWS = TokenGrid(6, 8, ((0, 0), (14, 16), (3, 7)))


def cut(whole_bchw: Tensor, i: int) -> Tensor:
    row, column = WINDOWS.origins[i]
    return whole_bchw[0, :, row : row + WINDOWS.height, column : column + WINDOWS.width]


def as_map(tokens_bld: Tensor, grid: TokenGrid) -> Tensor:
    return tokens_bld.transpose(1, 2).unflatten(2, (grid.height, grid.width))


def test_sines_of_windows_are_slices() -> None:
    whole = sine_positions(WHOLE, 32, 64, CPU)
    windows = sine_positions(WINDOWS, 32, 64, CPU)
    assert windows.shape == (3, 48, 32)
    for i in range(3):
        assert torch.equal(as_map(windows, WINDOWS)[i], cut(as_map(whole, WHOLE), i))


def test_rotations_of_windows_are_slices() -> None:
    for whole, windows in zip(
        rotary_phases(WHOLE, 32, CPU), rotary_phases(WINDOWS, 32, CPU), strict=True
    ):
        assert windows.shape == (3, 1, 48, 16)
        for i in range(3):
            assert torch.equal(
                as_map(windows[:, 0], WINDOWS)[i], cut(as_map(whole[:, 0], WHOLE), i)
            )


def test_fourier_features_of_windows_are_slices() -> None:
    torch.manual_seed(0)
    positions = FourierPositions(32)
    whole, windows = positions.dense(WHOLE, 64), positions.dense(WINDOWS, 64)
    for i in range(3):
        torch.testing.assert_close(windows[i], cut(whole, i), rtol=0, atol=1e-6)


def test_dense_fourier_features_meet_those_of_points() -> None:
    torch.manual_seed(0)
    positions = FourierPositions(32)
    dense = positions.dense(WHOLE, 64)
    # The centre of the token in row 3 and column 7, in units of the reference square.
    point = positions(torch.tensor([7.5, 3.5]) / 64)
    torch.testing.assert_close(dense[0, :, 3, 7], point, rtol=0, atol=1e-5)


def test_rows_come_before_columns() -> None:
    rows, columns = as_map(sine_positions(WHOLE, 32, 64, CPU), WHOLE).chunk(2, dim=1)
    assert torch.equal(rows, rows[..., :1].expand_as(rows))
    assert torch.equal(columns, columns[:, :, :1].expand_as(columns))
    assert not torch.equal(rows[0, :, 0, 0], rows[0, :, 1, 0])


def test_last_token_of_the_reference_grid_is_at_a_full_turn() -> None:
    grid = TokenGrid(64, 64)
    place = as_map(sine_positions(grid, 32, 64, CPU), grid)
    assert place[0, 0, 63, 0] == pytest.approx(math.sin(2 * math.pi), abs=1e-5)
    assert place[0, 0, 15, 0] == pytest.approx(1.0, abs=1e-5)


def test_rotation_keeps_lengths_and_tells_distances_only() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 32)
    phases = rotary_phases(WHOLE, 32, CPU)
    tokens = WHOLE.height * WHOLE.width
    turned_q = rotate(q.expand(1, 1, tokens, 32), phases)
    turned_k = rotate(k.expand(1, 1, tokens, 32), phases)
    torch.testing.assert_close(turned_q.norm(dim=-1), q.norm().expand(1, 1, tokens))
    scores = (turned_q @ turned_k.transpose(2, 3)).view(20, 24, 20, 24)
    torch.testing.assert_close(scores[2, 3, 5, 9], scores[12, 13, 15, 19], rtol=1e-4, atol=1e-4)
    assert (scores[2, 3, 5, 9] - scores[2, 3, 9, 5]).abs() > 1e-3


def test_first_token_is_not_rotated() -> None:
    x = torch.randn(1, 2, 1, 16)
    assert torch.equal(rotate(x, rotary_phases(TokenGrid(1, 1), 16, CPU)), x)
    assert torch.equal(rotate(x, no_rotation(1, 16, CPU)), x)


def test_places_beyond_the_frame_go_on_as_those_within() -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 32)
    near, far = TokenGrid(4, 4, ((6, 70),)), TokenGrid(5, 5, ((2, 72),))
    beyond, left = TokenGrid(4, 4, ((-3, -2),)), TokenGrid(5, 5, ((-7, 0),))
    scores = [
        rotate(q.expand(1, 1, 16, 32), rotary_phases(a, 32, CPU))
        @ rotate(k.expand(1, 1, 25, 32), rotary_phases(b, 32, CPU)).transpose(2, 3)
        for a, b in ((near, far), (beyond, left))
    ]
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-4)
    sines = [as_map(sine_positions(grid, 32, 64, CPU), grid) for grid in (beyond, WHOLE)]
    assert torch.equal(sines[0][0, :, 3:, 2:], sines[1][0, :, :1, :2])
    assert not torch.equal(sines[0][0, :, 2], sines[0][0, :, 3])


def test_times_have_a_sign() -> None:
    code = time_positions(torch.tensor([[0.0, 0.5, -0.5]]), 16)
    assert code.shape == (1, 3, 16)
    assert torch.equal(code[0, 0], torch.tensor([0.0] * 8 + [1.0] * 8))
    assert torch.equal(code[0, 1, :8], -code[0, 2, :8])
    assert torch.equal(code[0, 1, 8:], code[0, 2, 8:])


def test_caches_do_not_leak_inference_tensors() -> None:
    grid = TokenGrid(5, 7, ((2, 2),))
    with torch.inference_mode():
        sine_positions(grid, 16, 64, CPU)
        rotary_phases(grid, 16, CPU)
    weight = torch.ones(1, requires_grad=True)
    (sine_positions(grid, 16, 64, CPU) * weight).sum().backward()
    assert weight.grad is not None
    assert not rotary_phases(grid, 16, CPU)[0].is_inference()
