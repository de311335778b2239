"""A session that opens at once: what is kept beside the file, and what happens if it is not."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sam2.tracking.errors import InputError, OutputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.packing import packed
from napari_sam2.tracking.kept.results_file import NoResults, ResultsFile, results_path
from napari_sam2.tracking.kept.session_file import SessionFile, load_session
from napari_sam2.tracking.kept.steps import (
    LockObject,
    MergeObjects,
    Propagate,
    SetPrompt,
    SplitObject,
)
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.test_history import STEPS, box, click, everything, start
from tests.tracking.toy import moving_disk

ROOT = Path(__file__).resolve().parents[2]
CORRECTIONS = [SetPrompt(1, 6, click((30, 40, True))), *STEPS[5:7], Propagate("both")]


def save(path: Path, history: History) -> SessionFile:
    KeptSession(path).save(history, SessionFile.of(history, "toy"))
    return load_session(path)


def reopened(path: Path, model, attention="windowed") -> History:
    history = start(model, attention)
    KeptSession(path).open(history, load_session(path))
    return history


class Counted:
    """Counts the calls of the network's encoder."""

    def __init__(self, model, monkeypatch) -> None:
        self.calls = 0
        encode = model.encode_image

        def counted(*args, **kwargs):
            self.calls += 1
            return encode(*args, **kwargs)

        monkeypatch.setattr(model, "encode_image", counted)


def test_opening_computes_nothing_and_shows_all(model, tmp_path, monkeypatch):
    history = start(model)
    for step in STEPS:
        history.do(step)
    save(tmp_path / "a.ns2.json", history)
    count = Counted(model, monkeypatch)
    again = start(model)
    frames = list(KeptSession(tmp_path / "a.ns2.json").restore(again))
    assert count.calls == 0
    assert everything(again.session) == everything(history.session)
    assert [r.frame for r in frames] == list(range(10))
    assert again.steps == history.steps
    assert again.undo() is None
    assert packed(again.session.snapshot()[1]) == packed(history.session.snapshot()[1])


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(when=st.integers(1, len(STEPS) - 1), lead=st.integers(0, 2))
def test_going_on_is_as_if_it_had_never_been_closed(model, tmp_path_factory, when, lead):
    folder = tmp_path_factory.mktemp("kept")
    extra = [[], [LockObject(1, True), SplitObject(1, 4, 9)], [SplitObject(1, 4, 9)]][lead]
    history = start(model)
    for step in STEPS[:when]:
        history.do(step)
    try:
        for step in extra:
            history.do(step)
    except InputError:  # nothing to split yet
        pass
    save(folder / "a.ns2.json", history)
    again = reopened(folder / "a.ns2.json", model)
    assert everything(again.session) == everything(history.session)
    rest = [*STEPS[when:], *([MergeObjects(1, 4)] if 4 in history.session.object_ids else [])]
    for step in rest:
        try:
            history.do(step)
        except InputError:
            with pytest.raises(InputError):
                again.do(step)
            continue
        again.do(step)
        assert everything(again.session) == everything(history.session), step


def test_a_whole_frame_session_is_corrected_as_if_never_closed(model, tmp_path):
    history = start(model, "exact")
    for step in STEPS[:5]:
        history.do(step)
    save(tmp_path / "a.ns2.json", history)
    again = reopened(tmp_path / "a.ns2.json", model, "exact")
    for step in CORRECTIONS:
        history.do(step)
        again.do(step)
    assert everything(again.session) == everything(history.session)


def test_a_click_writes_its_object_only(model, tmp_path, monkeypatch):
    history = start(model)
    for step in STEPS[:8]:
        history.do(step)
    kept, written = KeptSession(tmp_path / "a.ns2.json"), []
    real = history.session.packed

    def spy(ids):
        for i, data in real(ids):
            written.append(i)
            yield i, data

    monkeypatch.setattr(history.session, "packed", spy)
    kept.save(history, SessionFile.of(history, "toy"))
    assert written == [1, 2, 3]
    written.clear()
    history.do(SetPrompt(2, 2, box(2)))
    kept.save(history, SessionFile.of(history, "toy"))
    assert written == [2]
    history.undo()
    kept.save(history, SessionFile.of(history, "toy"))
    assert written == [2, 2]
    kept.save(history, SessionFile.of(history, "toy"))
    assert written == [2, 2]
    again = reopened(kept.path, model)
    assert everything(again.session) == everything(history.session)


@pytest.mark.parametrize("place", [0.0, 0.02, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("harm", ["cut", "noise"])
def test_damage_is_noticed_and_computed_again(model, tmp_path, place, harm):
    history = start(model)
    for step in STEPS[:4]:
        history.do(step)
    path = tmp_path / "a.ns2.json"
    save(path, history)
    data = bytearray(results_path(path).read_bytes())
    cut = int(place * len(data))
    if harm == "cut":
        del data[cut:]
    else:
        data[cut : cut + 6000] = bytes(x ^ 0x5A for x in data[cut : cut + 6000])
    results_path(path).write_bytes(data)
    again = start(model)
    with pytest.warns(UserWarning, match=r"a\.ns2\.json: .*; computing them again"):
        list(KeptSession(path).restore(again))
    assert everything(again.session) == everything(history.session)
    save(path, again)  # a damaged file does not stay in the way
    assert everything(reopened(path, model).session) == everything(history.session)


def test_for_how_long_an_object_is_missing_is_kept(model, tmp_path):
    history = start(model)
    history.do(STEPS[0])
    history.session._objects[1].missing = 3
    save(tmp_path / "a.ns2.json", history)
    assert reopened(tmp_path / "a.ns2.json", model).session._objects[1].missing == 3


def test_results_of_another_state_are_not_used(model, tmp_path):
    history = start(model)
    history.do(STEPS[0])
    path = tmp_path / "a.ns2.json"
    save(path, history)
    old = results_path(path).read_bytes()
    history.do(STEPS[3])
    save(path, history)
    results_path(path).write_bytes(old)
    with pytest.raises(NoResults, match="older than the session"):
        reopened(path, model)
    results_path(path).unlink()
    with pytest.raises(NoResults, match="no results"):
        reopened(path, model)


def test_a_row_of_another_session_is_refused(model, tmp_path):
    history = start(model)
    history.do(STEPS[0])
    with pytest.raises(ValueError, match="cannot be read"):
        history.session.unpack({1: b"no object"})
    ((_, data),) = history.session.packed([1])
    large = TrackingSession(model, Frames(moving_disk(10, (160, 224))))
    large.add_box(2, 5, box(5).box)
    with pytest.raises(ValueError, match="another session"):
        large.unpack({1: data})
    ((_, late),) = large.packed([2])
    short = TrackingSession(model, Frames(moving_disk(3, (160, 224))))
    with pytest.raises(ValueError, match="does not have"):
        short.unpack({2: late})
    assert (large.object_ids, short.object_ids) == ([2], [])


def packing(data: bytes):
    """Pack every object as the same bytes."""
    return lambda ids: ((i, data) for i in ids)


def test_objects_come_back_in_their_order(tmp_path):
    path = tmp_path / "a.ns2.results"
    ResultsFile(path).write("one", [5, 2], {5, 2}, packing(b"x"))
    assert [*ResultsFile(path).read("one").items()] == [(5, b"x"), (2, b"x")]


def test_what_another_window_wrote_meanwhile_is_not_mixed_with_ours(tmp_path):
    path = tmp_path / "a.ns2.results"
    ours, theirs = ResultsFile(path), ResultsFile(path)
    ours.write("one", [1, 2], {1, 2}, packing(b"ours"))
    theirs.write("two", [1, 2], {1, 2}, packing(b"theirs"))
    ours.write("three", [1, 2], {1}, packing(b"ours"))
    assert ResultsFile(path).read("three") == {1: b"ours", 2: b"ours"}


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE objects SET data = X'79'",
        "UPDATE objects SET data = NULL",
        "UPDATE objects SET data = 'x'",
        "DELETE FROM objects",
    ],
)
def test_rows_that_are_not_as_they_were_written_are_not_used(tmp_path, harm):
    path = tmp_path / "a.ns2.results"
    ResultsFile(path).write("one", [1], {1}, packing(b"x"))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(harm)
    with pytest.raises(NoResults, match="damaged"):
        ResultsFile(path).read("one")


WRITE = """
import sys
from pathlib import Path
from napari_sam2.tracking.kept.results_file import ResultsFile
file = ResultsFile(Path(sys.argv[1]))
for n in range(100000):
    ids = range(1, 40)
    file.write(str(n), ids, ids, lambda ids: [(i, bytes([n % 256]) * 200_000) for i in ids])
    print(n, flush=True)
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    path = tmp_path / "a.ns2.results"
    for delay in (0.0, 0.013, 0.031, 0.047):
        command = [sys.executable, "-c", WRITE, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            for _ in range(3):
                process.stdout.readline()
            time.sleep(delay)  # somewhere in the middle
            process.kill()
        with closing(sqlite3.connect(path)) as database:
            query = "SELECT value FROM about WHERE name = 'state'"
            ((state,),) = database.execute(query).fetchall()
        found = ResultsFile(path).read(state)
        assert set(found.values()) == {bytes([int(state) % 256]) * 200_000}
        assert len(found) == 39


def test_results_that_cannot_be_written_do_not_take_the_session_along(model, tmp_path):
    history = start(model)
    history.do(STEPS[0])
    path = tmp_path / "a.ns2.json"
    results_path(path).mkdir()
    with pytest.raises(OutputError, match="session itself is saved"):
        save(path, history)
    again = start(model)
    list(KeptSession(path).restore(again))
    assert everything(again.session) == everything(history.session)
