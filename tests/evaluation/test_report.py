from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from napari_sam2.evaluation.report import model_card, write_model_card
from napari_sam2.evaluation.rows import (
    KINDS,
    NOT_SHOWN,
    NUCLEI,
    PHASE,
    SOURCES,
    TARGETS,
    Row,
    measure,
)
from napari_sam2.evaluation.sequences import prepare
from napari_sam2.export.ctc import Track

from .fakes import MODEL, ThresholdSession, moving_squares

ROW = Row("hela_nuclei", NUCLEI, 12, 20, 0.7, 0.8, 0.82, 0.9, 0.5, 0.6, 0.25, 0.85, 3.5,
          0.96, 0.91, 0.88, 0.97, 0.75, ((0.9, 0.8), (0.8, 0.7), (0.2, 0.1)))  # fmt: skip


def test_measure_a_perfect_model() -> None:
    row = measure(MODEL, "moving_squares", prepare(moving_squares(), 5), ThresholdSession)
    assert (row.sequence, row.kind, row.objects, row.frames) == ("moving_squares", "other", 4, 5)
    assert row.click_iou == row.box_iou == row.three_click_iou == row.mask_j == row.click_j == 1
    assert row.clicks_85 == 1
    assert row.copy_j < row.classical_j < 1
    assert row.mask_f == row.click_f == row.mask_j_and_f == row.click_j_and_f == 1
    assert row.seg is row.tra is None
    assert row.lead == 1 - row.classical_j
    assert row.example is not None
    assert len(row.worst) == 3
    assert not {"qualities", "example", "worst"} & row.as_dict().keys()
    tracked = replace(moving_squares(), tracks=(Track(4, 0, 4, 0),))
    row = measure(MODEL, "tracked", prepare(tracked, 5), ThresholdSession)
    assert row.seg == row.tra == row.ends == 1


def test_card_holds_rows_means_and_floors() -> None:
    rows = [
        ROW,
        replace(ROW, sequence="simulated_nuclei", click_iou=0.5, mask_j=0.8),
        replace(ROW, sequence="new_cells", kind="other", mask_j=0.1, seg=None, tra=None),
    ]
    card = model_card("micro", rows, {"seed": 3, "batch": {"clips": 4}}, "the command", "a box")
    assert card.startswith("# Model card: micro\n")
    assert "the command" in card
    assert (
        "| hela_nuclei | fluorescence nuclei | 12 | 20 | 0.700 | 0.800 | 0.820 | 3.5 | 0.900 "
        "| 0.850 | 0.500 | 0.600 | 0.25 |" in card
    )
    assert "| **mean, fluorescence nuclei** | sequences: 2 | 24 |  | **0.600** " in card
    assert "**mean, phase contrast**" not in card  # there are none
    assert (
        "| IoU from one click, fluorescence nuclei | at least 0.65 | 0.600 | **missed** |" in card
    )
    assert "| IoU from a box, fluorescence nuclei | at least 0.78 | 0.800 | reached |" in card
    assert "| J from the first mask, all sequences | at least 0.62 | 0.600 | **missed** |" in card
    assert "| seed | 3 |" in card
    assert "Of 9 masks" in card
    assert "(Spearman) of 1.00" in card
    assert "holds 33% of the failures (true IoU below 0.5); it could hold 33%" in card
    assert "| batch | clips 4 |" in card


def test_card_says_what_was_not_measured() -> None:
    card = model_card("micro", [replace(ROW, kind="other")], {}, "", "")
    assert "| IoU from a box, fluorescence nuclei | at least 0.78 | not measured |  |" in card
    assert "Recipe" not in card


def test_card_says_what_was_trained_on() -> None:
    recipe = {"batch": {"real": ["nuclei", "t98g_phase_static"]}}
    rows = [ROW, replace(ROW, sequence="t98g_phase", kind=PHASE)]
    card = model_card("micro", rows, recipe, "", "")
    assert "static real images (nuclei, t98g_phase_static)" in card
    assert "t98g_phase shows the same cells as t98g_phase_static" in card
    assert "same cells" not in model_card("micro", rows[:1], recipe, "", "")
    assert "static real images" not in model_card("micro", rows, {"batch": {"real": []}}, "", "")


def test_following_has_a_table_of_its_own() -> None:
    rows = [ROW, replace(ROW, sequence="cells", mask_f=0.76, seg=None, tra=None, ends=None)]
    card = model_card("micro", rows, {}, "", "")
    numbers = "0.960 | 0.930 | 0.910 | 0.880 | 0.880 | 0.970 | 0.75 |"
    assert f"| hela_nuclei | fluorescence nuclei | 12 | 20 | {numbers}" in card
    assert (
        "| cells | fluorescence nuclei | 12 | 20 | 0.760 | 0.830 | 0.910 | 0.880 | - | - | - |"
        in card
    )
    assert (
        "| **mean, all** | sequences: 2 | 24 |  | **0.860** | **0.880** | **0.910** | **0.880** "
        "| **0.880** | **0.970** | **0.75** |" in card
    )


def test_targets_are_measured_each_in_its_way() -> None:
    rows = [
        ROW,
        replace(ROW, sequence="cells_z", kind="other", click_iou=0.4, mask_j=0.75, classical_j=0.8),
        replace(ROW, sequence="phase", kind=PHASE, clicks_85=5.5),
    ]
    card = model_card("micro", rows, {}, "", "", size=10_940_000)
    for line in (
        "| IoU from one click, all sequences | at least 0.75 | 0.600 | **missed** |",
        "| IoU from one click, the worst sequence | at least 0.50 | 0.400 | **missed** |",
        "| J from the first mask, z-stacks | at least 0.72 | 0.750 | reached |",
        "| J from the first mask, phase contrast | at least 0.65 | 0.900 | reached |",
        "| NoC@85, all sequences | at most 4.50 | 4.167 | reached |",
        "| share of the sequences ahead of the classical baseline | at least 0.75 | 0.667 "
        "| **missed** |",
        "| ahead of the classical baseline in J, all sequences | at least 0.10 | 0.183 | reached |",
    ):
        assert line in card
    assert "The weights take 10.9 MB; the target is 12." in card
    assert len({target.words for target in TARGETS}) == len(TARGETS)


def test_card_says_what_was_left_out() -> None:
    card = model_card("micro", [ROW], {}, "", "", objects=3, left_out={"cells": "out of memory"})
    assert "**cells is left out**: out of memory" in card
    assert "Up to 3 objects a sequence" in card
    assert "## Pictures" not in card


def test_write_model_card(tmp_path: Path) -> None:
    right, tasks = moving_squares(), {}
    lost = replace(right, images=right.images.copy())
    lost.images[3:] = 50
    for name, sequence in (("a_cells", right), ("b_cells", lost), ("u373_phase", lost)):
        tasks[name] = prepare(sequence, 5)
    rows = [measure(MODEL, name, task, ThresholdSession) for name, task in tasks.items()]
    out = tmp_path / "docs" / "card.md"
    write_model_card(MODEL, rows, out, "the command", recipe={"seed": 5})
    card = out.read_text("utf-8")
    assert "# Model card: threshold" in card
    assert "the command" in card
    assert "| seed | 5 |" in card
    linked = re.findall(r"!\[(.*?)\]\((.*?)\)", card)
    names = ["worst_1", "worst_2", "worst_3", "b_cells", "a_cells"]  # the worst first
    assert linked == [(name, f"images/card/{name}.png") for name in names]
    assert sorted(p.name for p in (out.parent / "images" / "card").iterdir()) == sorted(
        f"{name}.png" for name in names
    )
    assert card.count("*b_cells, object") == 3
    assert "terms do not allow it: u373_phase (Cell" in card


def test_kinds_name_the_development_sequences(dev_data: Path) -> None:
    assert {p.name for p in dev_data.iterdir()} == set(KINDS)
    assert set(KINDS) == set(NOT_SHOWN) ^ set(SOURCES)


@pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
def test_groups(kind: str) -> None:
    assert replace(ROW, kind=kind).group in (kind, "other")
