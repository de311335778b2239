"""Muon, against torch's own where there is one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.training.optimizer import Muon, orthogonal

SHAPES = [(12, 40), (40, 12), (12, 40), (8, 8)]


@given(rows=st.integers(1, 24), columns=st.integers(1, 24), seed=st.integers(0, 99))
def test_singular_values_come_near_one(rows, columns, seed):
    one = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    u, _, v = torch.linalg.svd(one, full_matrices=False)
    spread = u @ torch.diag(torch.linspace(0.1, 1, len(v))) @ v
    found = torch.linalg.svdvals(orthogonal(spread[None])[0])
    assert found.min() > 0.6
    assert found.max() < 1.3


def test_matrices_of_one_shape_do_not_meet():
    three = torch.randn(3, 6, 9)
    three[1] = 0
    together = orthogonal(three)
    assert not together[1].any()
    for matrix, found in zip(three, together, strict=True):
        torch.testing.assert_close(orthogonal(matrix[None])[0], found)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="came with torch 2.9")
def test_the_same_as_torchs_but_for_its_bfloat16():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    before = [p.detach().clone() for p in ours]
    muon = Muon(list(ours), weight_decay=0.1)
    muon.param_groups[0]["lr"] = 0.01
    other = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for mine, its in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            its.grad = mine.grad.clone()
        muon.step()
        other.step()
    for mine, its, start in zip(ours, theirs, before, strict=True):
        assert (mine - its).norm() < 0.05 * (mine - start).norm()


def test_what_has_no_gradient_stays():
    moved, kept = torch.nn.Parameter(torch.ones(3, 4)), torch.nn.Parameter(torch.ones(3, 4))
    muon = Muon([moved, kept], weight_decay=0.1)
    muon.param_groups[0]["lr"] = 0.1
    moved.grad = torch.randn(3, 4)
    muon.step()
    assert not torch.equal(moved, torch.ones(3, 4))
    assert torch.equal(kept, torch.ones(3, 4))


_WITH_MESA = """
import sys
from pathlib import Path

import torch

from napari_sam2.training import optimizer

optimizer._MAPS = Path(sys.argv[1])
layer = torch.nn.Linear(3, 2)
both = optimizer.Optimizer([layer], 0.1)
layer(torch.ones(1, 3)).sum().backward()
both.step(0.1)
import triton  # whoever wants it may have it
"""


@pytest.mark.parametrize(("loaded", "said"), [("libLLVM-15.so.1", "tried\n"), ("libc.so.6", None)])
def test_triton_is_not_loaded_beside_mesas_llvm(tmp_path, loaded, said):
    """Where both are in one process, it ends without a word."""
    (tmp_path / "maps").write_text(f"7f54 r-xp /usr/lib/{loaded}\n")
    (tmp_path / "triton.py").write_text("print('tried', flush=True)\nraise ImportError\n")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        [sys.executable, "-c", _WITH_MESA, str(tmp_path / "maps")],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr.rstrip().endswith("ImportError")  # at the last line
    if said is not None:
        assert run.stdout == said  # there, and not before
    else:
        assert run.stdout.count("tried") > 1
