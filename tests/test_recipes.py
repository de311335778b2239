"""The programs of docs/recipes.md, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_sam2 import open_masklets
from tests.tracking.toy import moving_disk

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recipes.md"
FRAMES = 5


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds the files that the programs read."""
    images = moving_disk(FRAMES)
    (tmp_path / "images").mkdir()
    for name, content in (("a", images), ("b", images[0]), ("blank", np.full_like(images[0], 9))):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", content)
    tifffile.imwrite(tmp_path / "cells.tif", images, metadata={"axes": "TYX"})
    truth = (images > (int(images.max()) + int(images.min())) / 2).astype(np.uint8)
    tifffile.imwrite(tmp_path / "truth.tif", truth)
    tifffile.imwrite(tmp_path / "painted.tif", 255 * truth[2])
    (tmp_path / "points.csv").write_text("id,frame,y,x\n1,0,30,20\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("ignore:every value looked at is 9")
def test_the_recipes_do_what_they_say(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    known: dict[str, Any] = {}
    for _, title, program in re.findall(r"(## (.+?)\n.*?)?```python\n(.*?)```", text, re.DOTALL):
        exec(compile(program, title or "imports", "exec"), known)
        if title == "Every file of a folder":
            assert sorted(p.name for p in Path("labels").iterdir()) == ["a.tif", "b.tif"]
            assert "blank.tif has no cells" in capsys.readouterr().out
        elif title == "Correct one frame":
            np.testing.assert_array_equal(known["masklets"][2] == 1, known["painted"] > 0)
            assert all((known["masklets"][t] == 1).any() for t in range(FRAMES))
        elif title == "Find all, follow, export":
            back = np.asarray(open_masklets("01_RES").data)
            np.testing.assert_array_equal(back, known["masklets"])
    assert known["scores"].j > 0.8
    assert np.unique(np.asarray(open_masklets("per_frame.tif").data)[3]).tolist() == [0, 1]
