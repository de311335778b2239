"""The four verbs against the reference, on a frame small enough for every run."""

from __future__ import annotations

import pytest

pytest.importorskip("sam2", reason="the reference implementation is not installed")

import torch
from oracle import Pair, build_pair
from single import CASES, Frame

SIZE = 256


@pytest.fixture(scope="module", params=["sam2.1_hiera_tiny", "sam2_hiera_tiny"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return build_pair(request.param, tmp_path_factory.mktemp("weights"), SIZE)


@pytest.fixture(scope="module")
def frame(pair: Pair) -> Frame:
    with torch.inference_mode():
        return Frame(pair)


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_verb_agrees(case: str, frame: Frame) -> None:
    CASES[case](frame).check()
