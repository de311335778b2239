"""`track --save-session` and `--resume`: a run is kept, and one that was stopped goes on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import Result

from napari_sam2 import batch, replay
from napari_sam2.export.labels import read_labels
from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.errors import OutputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.results_file import results_path
from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.tracking.kept.steps import AddPrompts, CloseGaps, Propagate
from napari_sam2.tracking.session import TrackingSession
from tests.commands import refused, run
from tests.tracking.toy import moving_disk

ROOT = Path(__file__).resolve().parents[1]
LENGTH = 8
FIRST = 2  # the frame of the prompt
GIVEN = ("--axes", "TYX", "--device", "cpu")


@pytest.fixture
def model(shared_micro: SAM2) -> SAM2:
    return shared_micro


@pytest.fixture
def folder(sharing: None, tmp_path: Path) -> Path:
    """A stack with a disk that is hidden on one frame, and a prompt."""
    stack = moving_disk(LENGTH)
    stack[5] = stack[5, :, ::-1] // 8
    tifffile.imwrite(tmp_path / "stack.tif", stack, metadata={"axes": "TYX"})
    prompts = [{"frame": FIRST, "box": [[20, 16], [40, 36]]}]
    content = {"version": 1, "axis": 0, "objects": [{"id": 3, "prompts": prompts}]}
    (tmp_path / "prompts.json").write_text(json.dumps(content))
    return tmp_path


def track(folder: Path, *args: object) -> Result:
    return run("track", *args, *GIVEN)


def given(folder: Path, output: str, *args: object) -> tuple[object, ...]:
    prompts = folder / "prompts.json"
    return (folder / "stack.tif", "--prompts", prompts, "--output", folder / output, *args)


def resumed(folder: Path, session: Path, output: str, *args: object) -> Result:
    found = track(folder, "--session", session, "--resume", "--output", folder / output, *args)
    assert found.exit_code == 0, found.output
    return found


@pytest.fixture
def whole(folder: Path) -> np.ndarray:
    result = track(folder, *given(folder, "whole.tif", "--close-gaps", 1))
    assert result.exit_code == 0, result.output
    return read_labels(folder / "whole.tif")


def stop_after(monkeypatch: pytest.MonkeyPatch, frames: int) -> None:
    """Press Ctrl-C after so many frames."""

    class Stopping(TrackingSession):
        def propagate(self, *args, **kwargs):
            results = super().propagate(*args, **kwargs)
            for _ in range(frames):
                yield next(results)
            raise KeyboardInterrupt

    for module in (batch, replay):
        monkeypatch.setattr(module, "TrackingSession", Stopping)


def test_the_session_is_there_before_the_first_frame(
    folder: Path, whole: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run that is killed in its first minute, and of one that does a session again."""
    hidden = folder / ".cells.unfinished.ns2.json"
    save = KeptSession.save
    kept = ("--save-session", folder / "cells.ns2.json")
    first = given(folder, "out.tif", "--close-gaps", 1)
    again = ("--session", folder / "first-whole.ns2.json", "--output", folder / "out.tif")
    for name, args in (("first", first), ("again", again)):

        def killed(self: KeptSession, *content: Any, name: str = name) -> None:
            save(self, *content)
            for file in (hidden, results_path(hidden)):
                shutil.copy(file, folder / file.name.replace(".cells.unfinished", name))
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(KeptSession, "save", killed)
            assert "no frame was finished" in track(folder, *args, *kept).stderr
        session = folder / f"{name}.ns2.json"
        resumed(folder, session, f"{name}.tif", "--save-session", folder / f"{name}-whole.ns2.json")
        np.testing.assert_array_equal(read_labels(folder / f"{name}.tif"), whole)


def test_what_was_done_opens_at_once(folder: Path, whole: np.ndarray, model: SAM2) -> None:
    kept = folder / "cells.ns2.json"
    args = given(folder, "out.tif", "--close-gaps", 1, "--save-session", kept)
    result = track(folder, *args)
    assert result.exit_code == 0, result.output
    assert f"{kept}: the session" in result.stdout
    content = load_session(kept)
    assert [type(step) for step in content.steps] == [AddPrompts, Propagate, CloseGaps]
    assert content.left == ()
    assert (content.image.path, content.image.axes) == (str(folder / "stack.tif"), "TYX")
    stack = tifffile.imread(folder / "stack.tif")
    history = History(TrackingSession(model, Frames(stack)))
    frames = KeptSession(kept).open(history, content)
    labels = [history.session.result(t).labels for t in frames]
    np.testing.assert_array_equal(labels, whole)
    assert not list(folder.glob(".*"))
    resumed(folder, kept, "again.tif")
    np.testing.assert_array_equal(read_labels(folder / "again.tif"), whole)


@pytest.mark.parametrize("frames", [1, 4, 7])
def test_ctrl_c_and_on(folder: Path, whole: np.ndarray, monkeypatch, frames: int) -> None:
    kept = folder / "cells.ns2.json"
    args = given(folder, "out.tif", "--close-gaps", 1, "--save-session", kept)
    with monkeypatch.context() as patch:
        stop_after(patch, frames)
        result = track(folder, *args)
    assert result.exit_code == 130, result.output
    assert f"to go on: track --session {kept} --resume" in result.stderr
    assert read_labels(folder / "out.tif").any(axis=(1, 2)).sum() == frames
    again = ("--session", kept, "--resume", "--output", folder / "second.tif")
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        result = track(folder, *again)
    assert result.exit_code == 130, result.output
    assert f"to begin there again: track --session {kept} --resume" in result.stderr
    seen = []
    with monkeypatch.context() as patch:
        expect = Frames.expect
        patch.setattr(Frames, "expect", lambda self, t: (seen.append(t), expect(self, t)))
        result = resumed(folder, kept, "out.tif", "--overwrite", "--quality", folder / "q.csv")
    assert len(seen) < LENGTH - frames  # nothing is computed twice
    np.testing.assert_array_equal(read_labels(folder / "out.tif"), whole)
    lines = (folder / "q.csv").read_text().splitlines()
    assert len(lines) == 1 + LENGTH


def test_a_stopped_run_replaces_no_session(folder: Path, monkeypatch) -> None:
    kept = folder / "cells.ns2.json"
    args = given(folder, "out.tif", "--save-session", kept, "--overwrite")
    assert track(folder, *args).exit_code == 0
    before = kept.read_bytes(), results_path(kept).read_bytes()
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert "cells.partial.ns2.json" in track(folder, *args).stderr
    assert (kept.read_bytes(), results_path(kept).read_bytes()) == before
    assert load_session(folder / "cells.partial.ns2.json").left
    resumed(
        folder, folder / "cells.partial.ns2.json", "2.tif", "--save-session", folder / "2.ns2.json"
    )
    assert load_session(folder / "2.ns2.json").left == ()
    resumed(folder, folder / "2.ns2.json", "3.tif")
    np.testing.assert_array_equal(read_labels(folder / "2.tif"), read_labels(folder / "out.tif"))
    np.testing.assert_array_equal(read_labels(folder / "3.tif"), read_labels(folder / "out.tif"))


def test_a_session_that_was_never_saved_is_said(folder: Path) -> None:
    (folder / "empty.ns2.json").touch()
    args = ("--session", folder / "empty.ns2.json", "--resume", "--output", folder / "out.tif")
    refused(track(folder, *args), "stopped before its session was first saved; start it anew")


def test_where_no_session_can_be_written(folder: Path) -> None:
    for name, words in (
        ("cells.json", "choose a name in .ns2.json"),
        ("out/cells.ns2.json", "holds labels only"),
        ("prompts.ns2.json", "is what is read"),
    ):
        if name.startswith("prompts"):
            (folder / "prompts.json").rename(folder / name)
        prompts = next(folder.glob("prompts*"))
        args = (folder / "stack.tif", "--prompts", prompts, "--output", folder / "out")
        result = track(folder, *args, "--save-session", folder / name, "--overwrite")
        assert result.exit_code == 2, result.output
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
    result = track(folder, folder / "stack.tif", "--everything", "--output", "a.tif", "--resume")
    assert "give it with --session" in result.stderr
    assert len(list(folder.iterdir())) == 2


def test_a_disk_that_is_full_at_the_end_keeps_the_session(folder: Path, monkeypatch) -> None:
    kept = folder / "cells.ns2.json"

    def full(*args, **kwargs):
        raise OutputError("cannot write out.tif: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("napari_sam2.target.export_masklets", full)
        result = track(folder, *given(folder, "out.tif", "--save-session", kept))
    assert result.exit_code == 1
    hidden = folder / ".cells.unfinished.ns2.json"
    assert f"the session is in {hidden}" in result.stderr
    resumed(folder, hidden, "out.tif")
    assert read_labels(folder / "out.tif").any(axis=(1, 2)).all()


RUN = """
import sys, time
from pathlib import Path
from napari_sam2 import journal
from napari_sam2.batch import TrackJob, track
from napari_sam2.weights import load_model
journal._PAUSE = journal._SHARE = 0
folder = Path(sys.argv[1])
job = TrackJob.open(
    folder / "stack.tif", folder / "prompts.json", folder / "out.tif", axes="TYX", close_gaps=1,
    session=folder / "cells.ns2.json",
)
def report(done, total):
    print(done, flush=True)
    if done == 5:
        time.sleep(600)
track(job, load_model("micro", device="cpu"), report=report)
"""


@pytest.mark.filterwarnings("default:.*; computing them again")
def test_a_killed_run_goes_on(folder: Path, whole: np.ndarray) -> None:
    command = [sys.executable, "-c", RUN, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line.strip() == "5" for line in iter(process.stdout.readline, ""))
        process.kill()
    hidden = folder / ".cells.unfinished.ns2.json"
    content = load_session(hidden)
    assert content.steps[-1].frames == 4  # the fifth was being written
    assert [type(step) for step in content.left] == [Propagate, CloseGaps]
    resumed(folder, hidden, "out.tif")
    np.testing.assert_array_equal(read_labels(folder / "out.tif"), whole)
    results_path(hidden).unlink()  # then all is done again
    said = resumed(folder, hidden, "anew.tif").stderr
    assert f"napari-sam2: note: {hidden.name}: no results are kept with the session" in said
    np.testing.assert_array_equal(read_labels(folder / "anew.tif"), whole)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that ends a program")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_system_that_ends_the_run_is_as_ctrl_c(folder: Path, name: str) -> None:
    """Where a cluster's time is over, or the connection is lost."""
    tifffile.imwrite(folder / "long.tif", moving_disk(600), metadata={"axes": "TYX"})
    args = ["track", folder / "long.tif", "--prompts", folder / "prompts.json"]
    args += ["--output", folder / "out.tif", "--save-session", folder / "cells.ns2.json", *GIVEN]
    command = [sys.executable, "-m", "napari_sam2", *map(str, args)]
    number = getattr(signal, name)
    usual = signal.signal(number, signal.SIG_DFL)  # what is ignored here would be ignored there
    try:
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(number, usual)
    with process:
        _appear(folder / ".out.tif.unfinished.zarr" / "c", 3)  # frames
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopped; " in said
    assert read_labels(folder / "out.tif")[FIRST].any()
    assert load_session(folder / "cells.ns2.json").left


def _appear(folder: Path, count: int) -> None:
    """Wait for so many files."""
    until = time.monotonic() + 60
    while len([*folder.glob("*")]) < count:
        assert time.monotonic() < until
        time.sleep(0.05)
