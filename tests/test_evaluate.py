"""`napari-sam2 evaluate`: files against files, and models against sequences."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.commands import FRAMES, SIZE, refused, run, two_moving_cells


@pytest.fixture
def model(sharing: None) -> str:
    """The weights that are in the package: of such cells they need few clicks."""
    return "micro"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_moving_cells(tmp_path)


def test_evaluate(folder: Path) -> None:
    truth = folder / "truth.tif"
    result = run("evaluate", truth, truth)
    assert result.exit_code == 0, result.output
    assert "J 1.000  F 1.000  J&F 1.000  SEG 1.000  TRA 1.000" in result.stdout
    scores = json.loads(run("evaluate", truth, truth, "--json").stdout)
    assert scores["j"] == 1
    assert [o["id"] for o in scores["objects"]] == [1, 7]
    refused(run("evaluate", truth), "PRED and TRUTH")
    refused(run("evaluate", folder / "seeds.tif", truth), "shape")
    refused(run("evaluate", truth, truth, "--sequences", folder), "not both")
    refused(run("evaluate", "--sequences", folder), "holds no sequence")


@pytest.fixture
def dev(folder: Path) -> Path:
    """Two sequences: `cells`, with tracks, and `dots_z`."""
    for name in ("cells", "dots_z"):
        (folder / "dev" / name).mkdir(parents=True)
        for source, target in (("stack.tif", "images.tif"), ("truth.tif", "masks.tif")):
            shutil.copy(folder / source, folder / "dev" / name / target)
    (folder / "dev" / "cells" / "tracks.txt").write_text("1 0 3 0\n7 0 3 0\n")
    return folder / "dev"


def test_evaluate_a_model_writes_its_card(dev: Path, model: str) -> None:
    card = dev.parent / "docs" / "card.md"
    which = ("--model", model, "--device", "cpu", "--card", card, "--frames", 2)
    result = run("evaluate", "--sequences", dev, *which)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(card)
    text = card.read_text()
    assert "cells" in text
    assert "seed" in text  # of the recipe in the weights
    assert "--sequences dev --model micro --card card.md --frames 2" in text
    assert str(dev.parent) not in text
    assert len(list((card.parent / "images" / "card").glob("*.png"))) == 5
    result = run("evaluate", "--sequences", dev, *which, "--only", "d*", "--objects", 1, "--json")
    (row,) = json.loads(result.stdout)
    assert (row["sequence"], row["objects"], row["seg"]) == ("dots_z", 1, None)
    assert "--sequences dev --only 'd*' --model" in card.read_text()
    assert "--frames 2 --objects 1" in card.read_text()


def test_evaluate_a_model_writes_nothing_unasked(
    dev: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    which = ("--model", model, "--device", "cpu", "--frames", 2, "--objects", 1)
    options = ("--sequences", dev, *which)
    result = run("evaluate", *options)
    assert result.exit_code == 0, result.output
    for word in ("sequence", "click IoU", "J&F from mask", "cells", "dots_z"):
        assert word in result.stdout
    cells, dots = json.loads(run("evaluate", *options, "--json").stdout)
    assert f"{cells['mask_j']:.3f}" in result.stdout
    assert dots["seg"] is None
    assert sorted(tmp_path.rglob("*")) == before


def test_evaluate_by_protocols(dev: Path) -> None:
    options = ("--sequences", dev, "--model", "micro", "--device", "cpu", "--rounds", 2)
    chosen = ("click", "mask", "offline", "online")
    protocols = [word for name in chosen for word in ("--protocol", name)]
    result = run("evaluate", *options, *protocols, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [one["sequence"] for one in found["sequences"]] == ["cells", "dots_z"]
    cells, dots = (one["numbers"] for one in found["sequences"])
    assert list(cells) == list(chosen)
    assert list(cells["mask"]) == ["J", "F", "J&F", "SEG", "TRA"]
    assert list(dots["mask"]) == ["J", "F", "J&F"]  # its truth has no tracks
    assert list(found["mean"]["offline"]) == ["J&F 1", "J&F 2"]
    mean = (cells["click"]["IoU"] + dots["click"]["IoU"]) / 2
    assert found["mean"]["click"]["IoU"] == pytest.approx(mean)

    (dev / "dots_z").rename(dev / "dots_with_a_long_name_z")
    options = (*options, "--only", "dots*", "--rounds", 8)
    result = run("evaluate", *options, "--protocol", "mask", "--protocol", "offline")
    assert result.exit_code == 0, result.output
    assert f"{dots['mask']['J']:.3f}" in result.stdout
    assert result.stdout.count("dots_with_a_long_name_z") == 2
    assert "J&F 8" in result.stdout
    assert "cells" not in result.stdout


def test_evaluate_refuses_what_it_cannot_do(dev: Path, tmp_path: Path) -> None:
    folder = ("--sequences", dev)
    refused(run("evaluate", *folder, "--only", "nuclei"), "no sequence", "cells, dots_z")
    refused(run("evaluate", *folder, "--protocol", "clicks"), "--protocol", "3-clicks")
    refused(run("evaluate", *folder, "--protocol", "box", "--card", "a.md"), "either")
    refused(run("evaluate", "--protocol", "box"), "--sequences")
    refused(run("evaluate", "a.tif", "b.tif", "--card", "a.md"), "--sequences")
    refused(run("evaluate", "a.tif", "b.tif", "--protocol", "box"), "--sequences")
    for option in ("--model", "--device", "--only", "--frames", "--objects", "--rounds"):
        result = run("evaluate", "a.tif", "b.tif", option, 2)
        refused(result, f"leave out {option}: PRED and TRUTH", "without a model")
    (dev / "cells" / "images.tif").unlink()
    refused(run("evaluate", *folder, "--model", tmp_path / "none.pt"), "no images.tif")


def test_a_sequence_that_fails_is_left_out_and_said(dev: Path, model: str) -> None:
    tifffile.imwrite(dev / "cells" / "masks.tif", np.zeros((FRAMES, SIZE, SIZE), np.uint8))
    options = ("--sequences", dev, "--model", model, "--device", "cpu", "--frames", 2)
    result = run("evaluate", *options, "--protocol", "box")
    refused(result, "cells is left out", "no object is whole", code=1)
    assert "dots_z" in result.stdout
    card = dev / "card.md"
    refused(run("evaluate", *options, "--card", card), "cells is left out", code=1)
    assert "**cells is left out**: cells: no object is whole in frame 0." in card.read_text()
    only = run("evaluate", *options, "--only", "cells", "--protocol", "box")
    refused(only, "no object is whole")
    assert not only.stdout


def test_a_card_replaces_nothing_but_a_card(dev: Path, model: str) -> None:
    options = ("--sequences", dev, "--model", model, "--device", "cpu", "--frames", 2, "--card")
    (dev / "notes.md").write_text("# My notes")
    refused(run("evaluate", *options, dev / "notes.md"), "notes.md exists and is no model card")
    assert (dev / "notes.md").read_text() == "# My notes"
    refused(run("evaluate", *options, dev), "is no model card")
    (dev / "card.md").write_text("# Model card: old\n")
    assert run("evaluate", *options, dev / "card.md").exit_code == 0
    assert "Following" in (dev / "card.md").read_text()
    assert not [*dev.glob(".*")]


def test_ctrl_c_prints_what_is_finished_and_keeps_the_old_card(
    dev: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_sam2.evaluation import examination

    real = examination.load_sequence

    def interrupted(path: Path) -> object:
        if path.name == "dots_z":
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(examination, "load_sequence", interrupted)
    options = ("--sequences", dev, "--model", model, "--device", "cpu", "--frames", 2)
    result = run("evaluate", *options, "--protocol", "click")
    refused(result, "stopped; 1 of 2 sequences were finished", code=130)
    assert "cells" in result.stdout
    card = dev / "card.md"
    card.write_text("# Model card: old")
    refused(run("evaluate", *options, "--card", card), "no card was written", code=130)
    assert card.read_text() == "# Model card: old"
    refused(run("evaluate", *options), "no numbers are shown", code=130)
