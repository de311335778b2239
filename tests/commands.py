"""Commands as typed into a terminal, `track` as a script starts it, and what they work on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from typer.testing import CliRunner, Result

from napari_sam2.batch import TrackJob
from napari_sam2.cli import app
from napari_sam2.model.checkpoint import save_model
from napari_sam2.model.config import MICRO
from napari_sam2.model.sam2 import SAM2

FRAMES, SIZE = 4, 48


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def refused(result: Result, *parts: str, code: int = 2) -> None:
    """One line on stderr, holding all of `parts`, and no traceback."""
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("napari-sam2: ")
    for part in parts:
        assert part in result.stderr


def opened(folder: Path, output: str, **given: Any) -> TrackJob:
    """The stack and the prompts in a folder, to be tracked into `output`."""
    given = {"axes": "TYX", **given}
    return TrackJob.open(folder / "stack.tif", folder / "prompts.json", folder / output, **given)


def random_model(path: Path) -> Path:
    """Write a small model that finds nothing."""
    torch.manual_seed(0)
    save_model(SAM2(replace(MICRO, input_range=(64, 128))), path, recipe={"seed": 0})
    return path


def two_moving_cells(folder: Path) -> Path:
    """Write a stack with two cells that move, its truth, seeds for frame 1, prompts in JSON."""
    y, x = np.mgrid[:SIZE, :SIZE]
    truth = np.zeros((FRAMES, SIZE, SIZE), np.uint16)
    for t in range(FRAMES):
        truth[t][(y - 12) ** 2 + (x - 12 - t) ** 2 < 36] = 1
        truth[t][(y - 34) ** 2 + (x - 30 + t) ** 2 < 49] = 7
    tifffile.imwrite(folder / "stack.tif", (truth > 0).astype(np.uint8) * 100 + 20)
    tifffile.imwrite(folder / "truth.tif", truth)
    tifffile.imwrite(folder / "seeds.tif", truth[1])
    entry = {"frame": 0, "points": [[12.0, 12.0]], "positive": [True]}
    write_prompts(folder, [{"id": 3, "prompts": [entry]}])
    return folder


def write_prompts(folder: Path, objects: list[dict[str, object]]) -> None:
    content = {"version": 1, "axis": 0, "objects": objects}
    (folder / "prompts.json").write_text(json.dumps(content))
