"""Sessions against the reference's video predictor, on frames small enough for every run."""

from __future__ import annotations

import pytest

pytest.importorskip("sam2", reason="the reference implementation is not installed")

from oracle import Pair, build_pair
from scenes import SCRIPTS, play, play_absent

pytestmark = pytest.mark.filterwarnings("ignore:cannot import name '_C'")


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return build_pair("sam2.1_hiera_tiny", tmp_path_factory.mktemp("weights"), size=128)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return build_pair("sam2_hiera_tiny", tmp_path_factory.mktemp("weights"), size=128)


@pytest.mark.parametrize("script", SCRIPTS)
def test_video_agrees(script: str, newer: Pair) -> None:
    play(newer, SCRIPTS[script]).check()


def test_video_agrees_for_sam_2_0(older: Pair) -> None:
    play(older, SCRIPTS["middle frame, both ways"]).check()


def test_absent_objects_agree(newer: Pair) -> None:
    play_absent(newer).check()
