"""All published variants at full size: `make parity`, which writes docs/parity.md.

The two tiny variants run every case, the others those that depend on the trunk's size; the rest
of the network is the same in all four sizes. An object on a frame takes seconds on each side, so
the scripts for full-size frames are short; test_video.py has the long ones.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest

pytest.importorskip("sam2", reason="the reference implementation is not installed")

import torch
from oracle import LABEL_TOLERANCE, TOLERANCE, Differences, Pair, build_pair
from scenes import BRIEF, BRIEF_CORRECTION, SCRIPTS, play, play_absent
from single import CASES, Frame

from napari_sam2.model.config import PUBLISHED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:cannot import name '_C'"),
]

REPORT = Path(__file__).resolve().parents[2] / "docs" / "parity.md"
SINGLE = ("image encoder", "1 click", "mask")
VIDEOS: dict[str, Callable[[Pair], Differences]] = {
    "4 frames both ways, 2 objects": lambda pair: play(pair, BRIEF, frames=4),
    "8 frames both ways, 3 objects, from the middle": lambda pair: play(
        pair, SCRIPTS["middle frame, both ways"]
    ),
    "correction on a tracked frame": lambda pair: play(pair, BRIEF_CORRECTION, frames=4),
    "absent objects": lambda pair: play_absent(pair, frames=4),
    "4 frames, memories rounded": lambda pair: play(pair, BRIEF, frames=4, rounded=True),
}
BRIEF_NAME = "4 frames both ways, 2 objects"
KINDS = ("features", "conditioned", "logits", "IoU", "score", "pointer", "memory")

_found: dict[tuple[str, str], Differences] = {}


def _cases(name: str) -> Iterator[str]:
    tiny = name.endswith("tiny")
    yield from CASES if tiny else SINGLE
    yield from [v for v in VIDEOS if v != BRIEF_NAME] if tiny else [BRIEF_NAME]


@pytest.fixture(scope="module", params=PUBLISHED)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return build_pair(request.param, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def frame(pair: Pair) -> Frame:
    with torch.inference_mode():
        return Frame(pair)


@pytest.mark.parametrize("case", [*CASES, *VIDEOS])
def test_variant_agrees(case: str, pair: Pair, frame: Frame) -> None:
    if case not in _cases(pair.name):
        pytest.skip("run for the tiny variants, or replaced by a longer case there")
    with torch.inference_mode():
        found = CASES[case](frame) if case in CASES else VIDEOS[case](pair)
    _found[pair.name, case] = found
    # After every case: a run of half an hour may be cut off. The page says what it left out.
    REPORT.write_text(_page(), encoding="utf-8")
    if case == "4 frames, memories rounded":
        # A memory next to a rounding boundary differs by 2^-8 of its size on the next frame.
        found.values.pop("memory")
    found.check()


def _page() -> str:
    worst = Differences()
    for found in _found.values():
        worst.merge(found)
    lines = [
        "# Parity with the published model",
        "",
        "Greatest absolute differences between this package and the reference implementation on",
        f"the same random weights, float32, CPU, 1024 px. Allowed: {TOLERANCE:g} for numbers and",
        f"{LABEL_TOLERANCE:.1%} of the pixels of each frame for labels. `make parity` runs the",
        "comparison and writes this page; `tests/parity/` says what is compared and how.",
        "",
        f"- Written on {date.today().isoformat()} by `make parity`,"
        f" {torch.get_num_threads()} thread(s), {platform.system()} {platform.machine()}.",
        f"- sam2 {version('sam2')}, torch {torch.__version__}, Python {platform.python_version()}.",
        f"- Variants: {len({name for name, _ in _found})} of {len(PUBLISHED)}; cases:"
        f" {len(_found)}.",
        f"- Worst of all: {_cell(max(worst.values.values()))}; labels {worst.labels:.3%}.",
        "- Videos: both sides keep memories in float32, except in the case that says otherwise;"
        " both remember the same mask of a prompted frame, after it was compared.",
        "",
        f"| variant | case | {' | '.join(KINDS)} | labels |",
        f"|---|---|{'---:|' * (len(KINDS) + 1)}",
    ]
    for (name, case), found in _found.items():
        cells = [_cell(found.values[k]) if k in found.values else "" for k in KINDS]
        cells.append(f"{found.labels:.3%}" if "logits" in found.values else "")
        lines.append(f"| {name} | {case} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value: float) -> str:
    return "0" if value == 0 else f"{value:.0e}"
