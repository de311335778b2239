"""`track --quality`: a table of how sure every mask is, written with the care of the labels."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_sam2 import batch
from napari_sam2.batch import TrackJob
from napari_sam2.export import quality_table
from napari_sam2.export.formats import export_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.export.quality_table import COLUMNS, QualityTable
from napari_sam2.export.tables import QUALITY
from napari_sam2.stacks import open_stack
from napari_sam2.target import Outcome, Target
from napari_sam2.tracking.errors import InputError, OutputError
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.session_file import SessionFile, save_session
from napari_sam2.tracking.kept.steps import CloseGaps, Propagate, RemoveObject, SetPrompt
from napari_sam2.tracking.objects.estimates import Quality
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.results import FrameResult
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.weights import load_model
from tests import commands
from tests.commands import run
from tests.tracking.toy import moving_disk, toy_model

ROOT = Path(__file__).resolve().parents[1]
LENGTH = 6
HEAD = "object_id,frame,area_px,predicted_iou,object_score,stability,interpolated"
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stack with a moving disk, and prompts for two objects on frames 2 and 4."""
    tifffile.imwrite(tmp_path / "stack.tif", moving_disk(LENGTH), metadata={"axes": "TYX"})
    entries = [
        (1, {"frame": 2, "box": [[18, 8], [42, 42]]}),
        (7, {"frame": 4, "box": [[40, 60], [60, 90]]}),
    ]
    objects = [{"id": i, "prompts": [entry]} for i, entry in entries]
    content = {"version": 1, "axis": 0, "objects": objects}
    (tmp_path / "prompts.json").write_text(json.dumps(content))
    return tmp_path


def rows_of(path: Path) -> dict[tuple[int, int], dict[str, str]]:
    """Rows by frame and object; each is there once, and they are in order."""
    with path.open(newline="", encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    keys = [(int(row["frame"]), int(row["object_id"])) for row in rows]
    assert keys == sorted(set(keys))
    return dict(zip(keys, rows, strict=True))


def agree(rows: dict[tuple[int, int], dict[str, str]], session: TrackingSession) -> None:
    """The table is what the session says in the end."""
    known = session.qualities()
    assert set(rows) == {(t, i) for i, by_frame in known.items() for t in by_frame}
    for (frame, i), row in rows.items():
        for column, field in QUALITY.items():
            assert float(row[column]) == pytest.approx(float(getattr(known[i][frame], field)))
        assert int(row["area_px"]) == (session.result(frame).labels == i).sum()


def opened(folder: Path, output: str = "out.tif", **given: Any) -> TrackJob:
    return commands.opened(folder, output, **{"quality": folder / "q.csv", **given})


def stopped(job: TrackJob, after: int) -> Outcome:
    def report(done: int, total: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    return batch.track(job, toy_model(), report=report)


def test_the_table_is_what_the_session_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: list[TrackingSession] = []

    class Seen(batch.TrackingSession):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            sessions.append(self)

    monkeypatch.setattr(batch, "TrackingSession", Seen)
    outcome = batch.track(opened(folder), toy_model())
    assert outcome.failure is None
    assert outcome.done > LENGTH  # some frames came twice
    assert outcome.quality == folder / "q.csv"
    text = (folder / "q.csv").read_text(encoding="ascii")
    assert text.splitlines()[0] == HEAD == ",".join(COLUMNS)
    rows = rows_of(folder / "q.csv")
    assert len(rows) == 2 * LENGTH
    agree(rows, sessions[0])
    labels = read_labels(folder / "out.tif")
    for (frame, i), row in rows.items():
        assert int(row["area_px"]) == (labels[frame] == i).sum()
    assert not list(folder.glob(".*"))


def test_the_numbers_are_those_of_measurements(tmp_path: Path) -> None:
    labels = np.zeros((1, 8, 8), np.uint16)
    labels[0, 2:5, 2:6] = 3
    quality = {3: Quality(0.123456789123, -4.5, 1.0, True), 4: Quality(0.5, -12.25, 0.0)}
    table = QualityTable(tmp_path / "q.csv")
    table.add(FrameResult(0, labels[0], quality), {3: 12})
    table.finish(tmp_path / "q.csv")
    rows = rows_of(tmp_path / "q.csv")
    measured = {i: {0: one} for i, one in quality.items()}
    export_masklets(tmp_path / "m.csv", labels, quality=measured)
    ((key, row),) = rows_of(tmp_path / "m.csv").items()
    assert {name: row[name] for name in COLUMNS} == rows[key]
    # Looked for, and not found.
    assert list(rows[0, 4].values()) == ["4", "0", "0", "0.5", "-12.25", "0", "0"]


def test_a_table_that_is_done_is_done_though_the_hidden_file_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if "unfinished" in path.name:
            raise PermissionError(13, "Access is denied")
        unlink(path, missing_ok)

    table = QualityTable(tmp_path / "q.csv")
    table.add(FrameResult(0, np.zeros((8, 8), np.uint16), {3: Quality(0.5, 1.0, 1.0)}), {})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        table.finish(tmp_path / "q.csv")
    assert len(rows_of(tmp_path / "q.csv")) == 1


def test_gaps_that_were_closed_are_marked(folder: Path) -> None:
    stack = open_stack(folder / "stack.tif", "TYX")
    labels = np.zeros((64, 96), np.uint16)
    labels[3:6, 3:6] = 1
    lost, closed = Quality(0.2, -3.0, 0.1), Quality(0.7, 2.0, 0.9, interpolated=True)
    target = Target(stack, folder / "out.tif", quality=folder / "q.csv")
    results = [FrameResult(t, labels * (t != 1), {1: lost}) for t in range(3)]
    target.collect(iter(results), np.uint16, 3, changes=[FrameResult(1, labels, {1: closed})])
    rows = rows_of(folder / "q.csv")
    assert [rows[t, 1]["interpolated"] for t in range(3)] == ["0", "1", "0"]
    assert [rows[t, 1]["area_px"] for t in range(3)] == ["9"] * 3
    assert rows[1, 1]["predicted_iou"] == "0.7"


@pytest.mark.parametrize("how", ["prompts", "everything"])
def test_on_the_command_line(how: str, folder: Path) -> None:
    which = ("--prompts", folder / "prompts.json") if how == "prompts" else ("--everything",)
    given = ("--axes", "TYX", "--device", "cpu", "--output", folder / "out.tif")
    result = run("track", folder / "stack.tif", *given, *which, "--quality", folder / "new/q.csv")
    assert result.exit_code == 0, result.output
    assert f"{folder / 'new/q.csv'}: the quality of each mask" in result.stdout
    rows = rows_of(folder / "new/q.csv")
    labels = read_labels(folder / "out.tif")
    masks = {(t, i) for t in range(LENGTH) for i in np.unique(labels[t]).tolist() if i}
    assert masks
    assert masks == {key for key, row in rows.items() if row["area_px"] != "0"}
    assert 0 < float(rows[max(masks)]["predicted_iou"]) <= 1


def test_of_a_session(folder: Path) -> None:
    model = load_model("micro", device="cpu")
    frames = open_stack(folder / "stack.tif", "TYX").frames()
    history = History(TrackingSession(model, frames))
    history.do(SetPrompt(3, 2, Prompt([[30, 26]], [True])))
    history.do(SetPrompt(5, 3, Prompt([[50, 80]], [True])))
    history.do(Propagate("both"))
    history.do(RemoveObject(5))
    history.do(CloseGaps(2))
    content = SessionFile.of(history, "micro", str(folder / "stack.tif"), "TYX")
    save_session(folder / "a.ns2.json", content, history.session.prompts)
    given = ("--session", folder / "a.ns2.json", "--output", folder / "01_RES")
    result = run("track", *given, "--quality", folder / "q.csv", "--device", "cpu")
    assert result.exit_code == 0, result.output
    agree(rows_of(folder / "q.csv"), history.session)


@pytest.mark.parametrize(
    ("output", "quality", "words"),
    [
        ("out.tif", "q.txt", "choose a name in .csv"),
        ("out.tif", "q", "choose a name in .csv"),
        ("01_RES", "01_RES/q.csv", "holds labels only"),
        ("out.zarr", "out.zarr/deep/q.csv", "holds labels only"),
        ("out.tif", "link.csv", "is what is read"),
        ("out.tif", "prompts.csv", "is what is read"),
        ("out.tif", "mask.csv", "is what is read"),
        ("out.tif", "there.csv", "--overwrite"),
        ("out.tif", "stack.tif/q.csv", "is no folder"),
        ("out.tif", "closed/q.csv", "no permission to write there"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    output: str, quality: str, words: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[20:40, 10:30] = 1
    tifffile.imwrite(folder / "cell.tif", mask)
    content = json.loads((folder / "prompts.json").read_text())
    content["objects"].append({"id": 3, "prompts": [{"frame": 1, "mask": "cell.tif"}]})
    (folder / "prompts.json").write_text(json.dumps(content))
    for name, place in (("link", "stack.tif"), ("prompts", "prompts.json"), ("mask", "cell.tif")):
        (folder / f"{name}.csv").symlink_to(folder / place)
    (folder / "there.csv").write_text("mine")
    real = Path.touch

    def touch(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.parent == folder / "closed":
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path, *args, **kwargs)

    (folder / "closed").mkdir()
    monkeypatch.setattr(Path, "touch", touch)
    monkeypatch.setattr("napari_sam2.weights.load_model", None)
    before = sorted(folder.rglob("*"))
    given = ("--axes", "TYX", "--prompts", folder / "prompts.json", "--output", folder / output)
    more = () if quality == "there.csv" else ("--overwrite",)
    result = run("track", folder / "stack.tif", *given, "--quality", folder / quality, *more)
    assert result.exit_code in (1, 2), result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert words in result.stderr
    assert sorted(folder.rglob("*")) == before
    assert (folder / "there.csv").read_text() == "mine"


def test_neither_the_session_nor_its_image(folder: Path) -> None:
    history = History(
        TrackingSession(toy_model(), open_stack(folder / "stack.tif", "TYX").frames())
    )
    history.do(SetPrompt(3, 2, Prompt([[30, 26]], [True])))
    content = SessionFile.of(history, "micro", str(folder / "stack.tif"), "TYX")
    save_session(folder / "a.ns2.json", content, {})
    for name in ("a.ns2.json", "stack.tif"):
        (folder / "link.csv").unlink(missing_ok=True)
        (folder / "link.csv").symlink_to(folder / name)
        given = ("--session", folder / "a.ns2.json", "--output", folder / "out.tif", "--overwrite")
        result = run("track", *given, "--quality", folder / "link.csv")
        assert result.exit_code == 2, result.output
        assert "is what is read" in result.stderr


def test_what_stops_half_way_replaces_nothing(folder: Path) -> None:
    outcome = stopped(opened(folder), 2)  # there was nothing
    assert outcome.quality == folder / "q.csv"
    assert len({frame for frame, _ in rows_of(folder / "q.csv")}) == 2
    assert f"2 of 6 frames are kept in {folder / 'out.tif'}, their quality in" in outcome.kept
    batch.track(opened(folder, overwrite=True), toy_model())
    before = (folder / "q.csv").read_bytes()
    assert stopped(opened(folder, overwrite=True), 3).quality == folder / "q.partial.csv"
    assert (folder / "q.csv").read_bytes() == before
    assert len({frame for frame, _ in rows_of(folder / "q.partial.csv")}) == 3
    # Beside labels that are old there is no new table.
    shutil.move(folder / "q.csv", folder / "elsewhere.csv")
    assert stopped(opened(folder, overwrite=True), 2).quality == folder / "q.partial-2.csv"
    assert not (folder / "q.csv").exists()
    # But new labels may lie beside a table that is old.
    (folder / "q.csv").write_text("old")
    outcome = stopped(opened(folder, "new.tif", overwrite=True), 2)
    assert (outcome.output.name, outcome.quality.name) == ("new.tif", "q.partial-3.csv")
    assert (folder / "q.csv").read_text() == "old"
    assert not list(folder.glob(".*"))


def test_nothing_is_left_of_a_run_without_a_frame(folder: Path) -> None:
    outcome = stopped(opened(folder), 0)
    assert outcome.quality is None
    assert not list(folder.glob(".*"))
    assert not (folder / "q.csv").exists()


def test_a_killed_run_leaves_its_lines(folder: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from napari_sam2.batch import track\n"
        "from tests.test_quality import opened\n"
        "from tests.tracking.toy import toy_model\n"
        "job = opened(Path(sys.argv[1]))\n"
        "track(job, toy_model(), report=lambda done, _: done == 4 and os._exit(9))\n"
    )
    command = [sys.executable, "-c", code, str(folder)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 9
    assert not (folder / "q.csv").exists()
    lines = (folder / ".q.csv.unfinished.csv").read_text(encoding="ascii").splitlines()
    assert lines[0] == HEAD
    assert len({line.split(",")[1] for line in lines[1:]}) == 4
    assert batch.track(opened(folder), toy_model()).failure is None
    assert (folder / ".q.csv.unfinished.csv").read_text(encoding="ascii").splitlines() == lines
    assert len(rows_of(folder / "q.csv")) == 2 * LENGTH


def failing(after: int) -> Callable[..., None]:
    """Let the disk get full after so many lines or frames of lines."""
    real, count = QualityTable._append, [0]

    def append(table: QualityTable, text: str) -> None:
        count[0] += 1
        if count[0] > after:
            raise FULL
        real(table, text)

    return append


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:  # at the start: nothing is kept
        patched.setattr(QualityTable, "_append", failing(0))
        with pytest.raises(OutputError, match=r"q\.csv: no space left"):
            batch.track(opened(folder), toy_model())
        assert not list(folder.glob(".*"))
    with monkeypatch.context() as patched:  # in the middle: what was finished is kept
        patched.setattr(QualityTable, "_append", failing(3))
        outcome = batch.track(opened(folder), toy_model())
        assert "no space left" in str(outcome.failure)
        assert outcome.quality == folder / "q.csv"
        assert read_labels(folder / "out.tif")[2].any()
        assert len({frame for frame, _ in rows_of(folder / "q.csv")}) >= 2
    before = (folder / "q.csv").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OutputError("cannot write q.csv: no space left on the disk")

    with monkeypatch.context() as patched:  # when the table is put in order: the labels are there
        patched.setattr(quality_table, "completed", full)
        with pytest.raises(OutputError, match=r"the labels are in .*out\.tif, their quality in"):
            batch.track(opened(folder, overwrite=True), toy_model())
    assert read_labels(folder / "out.tif").any(axis=(1, 2)).all()
    assert (folder / "q.csv").read_bytes() == before
    assert [p.name for p in folder.glob(".*")] == [".q.csv.unfinished.csv"]
    monkeypatch.setattr("napari_sam2.target.export_masklets", full)  # of the labels: both are kept
    with pytest.raises(
        OutputError, match=r"out\.tif\.unfinished\.zarr, their quality in .*-2\.csv"
    ):
        batch.track(opened(folder, overwrite=True), toy_model())
    assert (folder / "q.csv").read_bytes() == before


def test_ctrl_c_while_the_files_are_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_sam2.target.export_masklets", stop)
    given = ("--axes", "TYX", "--device", "cpu", "--prompts", folder / "prompts.json")
    places = ("--output", folder / "out.tif", "--quality", folder / "q.csv")
    result = run("track", folder / "stack.tif", *given, *places)
    assert result.exit_code == 130, result.output
    assert "stopped; the finished frames are in" in result.stderr
    for name in (".out.tif.unfinished.zarr", ".q.csv.unfinished.csv"):
        assert str(folder / name) in result.stderr
        assert (folder / name).exists()


def test_a_name_that_was_taken_meanwhile(folder: Path) -> None:
    def report(done: int, total: int) -> None:
        if done == 3:
            (folder / "q.csv").write_text("of another run")

    with pytest.raises(InputError, match=r"q\.csv exists already.*the labels are in"):
        batch.track(opened(folder), toy_model(), report=report)
    assert (folder / "q.csv").read_text() == "of another run"
