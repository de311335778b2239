"""Scores of files in every format that holds masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sam2.evaluation.label_files import evaluate_files
from napari_sam2.export.formats import export_masklets
from tests.commands import run

FORMATS = {"a.tif": "tiff", "a.zarr": "zarr", "a": "ctc", "c.json": "coco", "s.json": "sa-v"}


@pytest.fixture
def labels() -> np.ndarray:
    """A mother 3 with daughters 4 and 5, and 7, which is away on frames 2 and 3."""
    labels = np.zeros((6, 20, 24), np.uint16)
    labels[:3, 2:8, 2:8] = 3
    labels[3:, 2:5, 2:8] = 4
    labels[3:, 6:9, 2:8] = 5
    labels[[0, 1, 4, 5], 12:18, 12:20] = 7
    return labels


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("other", FORMATS)
def test_every_format_against_every_other(
    name: str, other: str, labels: np.ndarray, tmp_path: Path
) -> None:
    for one in (name, other):
        export_masklets(tmp_path / one, labels, FORMATS[one], overwrite=True)
    scores, remarks = evaluate_files(tmp_path / name, tmp_path / other)
    assert [o.id for o in scores.objects] == [3, 4, 5, 7]  # the gap is joined
    assert (scores.j, scores.f, scores.seg, scores.tra) == (1, 1, 1, 1)
    assert scores.extra_ids == ()
    assert remarks == ()


def test_divisions_count_where_both_hold_them(labels: np.ndarray, tmp_path: Path) -> None:
    export_masklets(tmp_path / "truth", labels, parents={4: 3, 5: 3})
    export_masklets(tmp_path / "none", labels)
    export_masklets(tmp_path / "none.tif", labels)

    def tra(name: str) -> tuple[float, str]:
        result = run("evaluate", tmp_path / name, tmp_path / "truth", "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["tra"], result.stderr

    assert tra("truth") == (1, "")
    score, said = tra("none")
    assert 0.9 < score < 1
    assert said == ""
    score, said = tra("none.tif")
    assert score == 1
    assert said.startswith("napari-sam2: none.tif is of a format without lineage")
    scores, remarks = evaluate_files(tmp_path / "truth", tmp_path / "none.tif")
    assert scores.tra == 1
    assert [said.split()[0] for said in remarks] == ["none.tif"]


def test_masks_of_one_bit_and_of_the_other_byte_order(tmp_path: Path) -> None:
    truth = np.zeros((2, 8, 8), np.uint16)
    truth[:, 2:6, 2:6] = 1
    tifffile.imwrite(tmp_path / "big.tif", truth, byteorder=">", metadata={"axes": "TYX"})
    np.save(tmp_path / "bits.npy", truth[:1] > 0)
    tifffile.imwrite(tmp_path / "one.tif", truth[0])
    assert evaluate_files(tmp_path / "big.tif", tmp_path / "big.tif")[0].j == 1
    assert evaluate_files(tmp_path / "bits.npy", tmp_path / "one.tif")[0].j == 1
