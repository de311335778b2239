from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tifffile

from napari_sam2.evaluation.report import (
    KINDS,
    NUCLEI,
    PHASE,
    Row,
    measure,
    model_card,
    write_model_card,
)

from .fakes import MODEL, ThresholdSession, moving_squares

ROW = Row("hela_nuclei", NUCLEI, 12, 20, 0.7, 0.8, 0.82, 0.9, 0.5, 0.6, 0.25, 0.85, 3.5,
          ((0.9, 0.8), (0.8, 0.7), (0.2, 0.1)))  # fmt: skip


def test_measure_a_perfect_model() -> None:
    row = measure(MODEL, moving_squares(), frames=5, make_session=ThresholdSession)
    assert (row.sequence, row.kind, row.objects, row.frames) == ("moving_squares", "other", 4, 5)
    assert row.click_iou == row.box_iou == row.three_click_iou == row.mask_j == row.click_j == 1
    assert row.clicks_85 == 1
    assert row.copy_j < row.classical_j < 1


def test_card_holds_rows_means_and_floors() -> None:
    rows = [
        ROW,
        replace(ROW, sequence="simulated_nuclei", click_iou=0.5, mask_j=0.8),
        replace(ROW, sequence="new_cells", kind="other", mask_j=0.1),
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
    assert "| IoU from one click, fluorescence nuclei | 0.65 | 0.600 | **missed** |" in card
    assert "| IoU from a box, fluorescence nuclei | 0.78 | 0.800 | reached |" in card
    assert "| J from the first mask, all sequences | 0.62 | 0.600 | **missed** |" in card
    assert "| seed | 3 |" in card
    assert "Of 9 masks" in card
    assert "(Spearman) of 1.00" in card
    assert "holds 33% of the failures (true IoU below 0.5); it could hold 33%" in card
    assert "| batch | clips 4 |" in card


def test_card_says_what_was_not_measured() -> None:
    card = model_card("micro", [replace(ROW, kind="other")], {}, "", "")
    assert "| IoU from a box, fluorescence nuclei | 0.78 | not measured |  |" in card
    assert "Recipe" not in card


def test_card_says_what_was_trained_on() -> None:
    recipe = {"batch": {"real": ["nuclei", "t98g_phase_static"]}}
    rows = [ROW, replace(ROW, sequence="t98g_phase", kind=PHASE)]
    card = model_card("micro", rows, recipe, "", "")
    assert "static real images (nuclei, t98g_phase_static)" in card
    assert "t98g_phase shows the same cells as t98g_phase_static" in card
    assert "same cells" not in model_card("micro", rows[:1], recipe, "", "")
    assert "static real images" not in model_card("micro", rows, {"batch": {"real": []}}, "", "")


def test_write_model_card(tmp_path: Path) -> None:
    sequence = moving_squares(frames=4)
    for name in ("a_cells", "b_cells_z"):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        tifffile.imwrite(folder / "images.tif", sequence.images)
        tifffile.imwrite(folder / "masks.tif", sequence.labels)
    seen: list[str] = []
    out = tmp_path / "docs" / "card.md"
    rows = write_model_card(
        MODEL,
        tmp_path / "data",
        out,
        frames=2,
        make_session=ThresholdSession,
        progress=lambda row: seen.append(row.sequence),
    )
    assert [row.sequence for row in rows] == seen == ["a_cells", "b_cells_z"]
    card = out.read_text("utf-8")
    assert "# Model card: threshold" in card
    assert "--sequences data --model threshold --card card.md --frames 2" in card
    assert str(tmp_path) not in card


def test_kinds_name_the_development_sequences(dev_data: Path) -> None:
    assert {p.name for p in dev_data.iterdir()} == set(KINDS)


@pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
def test_groups(kind: str) -> None:
    assert replace(ROW, kind=kind).group in (kind, "other")
