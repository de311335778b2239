"""The four verbs against the reference, on a frame small enough for every run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("sam2", reason="the reference implementation is not installed")

import torch
from oracle import Pair, build_pair
from single import CASES, Frame

from tests.ways import multiplied_by

SIZE = 256


@pytest.fixture(scope="module", params=["sam2.1_hiera_tiny", "sam2_hiera_tiny"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return build_pair(request.param, tmp_path_factory.mktemp("weights"), SIZE)


@pytest.fixture(scope="module", params=["torch", "oneDNN"])
def frame(request: pytest.FixtureRequest, pair: Pair) -> Iterator[Frame]:
    with multiplied_by(request.param), torch.inference_mode():
        yield Frame(pair)


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_verb_agrees(case: str, frame: Frame) -> None:
    CASES[case](frame).check()
