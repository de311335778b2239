"""Commands as typed into a terminal, and runs of `track` as a script would start them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from napari_sam2.batch import TrackJob
from napari_sam2.cli import app


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
