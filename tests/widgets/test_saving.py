"""Sessions save themselves, are found again, and come back as they were."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fakes import FakeFactory, blobs
from hands import until
from test_undo import EVERYTHING, do, seen

from napari_sam2.tracking.kept.results_file import results_path
from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.tracking.kept.steps import Propagate
from napari_sam2.widgets.layers.slice_step import current_step, set_step
from napari_sam2.widgets.notes import Notes
from napari_sam2.widgets.session import saving
from napari_sam2.widgets.session.saving import sessions_folder

# Of what `seen` returns: an outline comes back as a mask, its corners are not in the file.
KEPT = [0, 1, 2, 3, 6, 7, 8]


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ns2.json"))


@pytest.mark.parametrize("count", [1, 4, len(EVERYTHING)])
def test_what_was_done_comes_back(open_desk, saved_sessions, count):
    desk = open_desk(blobs())
    for name in EVERYTHING[:count]:
        do(desk, name)
    (path,) = files(saved_sessions)
    assert len(load_session(path).steps) >= count
    again = open_desk(blobs())
    assert "You worked on this image before" in again.status
    again.widget.restore_session()
    again.done()
    before, after = seen(desk), seen(again)
    assert [after[k] for k in KEPT] == [before[k] for k in KEPT]
    assert files(saved_sessions) == [path]
    do(again, "click")
    assert files(saved_sessions) == [path]
    for _ in range(2):  # undo does not go below what was restored
        again.widget.undo()
        again.done()
    assert "nothing to undo" in again.status
    assert [seen(again)[k] for k in KEPT] == [before[k] for k in KEPT]


def test_the_step_between_slices_comes_back(open_desk, saved_sessions):
    desk = open_desk(blobs())
    do(desk, EVERYTHING[0])
    set_step(desk.widget.workbench, 2.5)
    desk.done()
    (path,) = files(saved_sessions)
    assert load_session(path).slice_step == 2.5
    again = open_desk(blobs())
    assert current_step(again.widget.workbench).value == 1
    again.widget.restore_session()
    again.done()
    assert "Restored as it was" in again.status
    assert current_step(again.widget.workbench).value == 2.5
    assert {layer.scale[0] for layer in again.viewer.layers} == {2.5}
    do(again, "click")
    assert load_session(path).slice_step == 2.5
    again.widget.workbench.restoring.restart()  # the layer still has it, and so has the next file
    again.done()
    do(again, "click")
    (fresh,) = set(files(saved_sessions)) - {path}
    assert load_session(fresh).slice_step == 2.5


def test_nothing_is_computed_to_bring_back_what_was_done(open_desk, saved_sessions):
    desk = open_desk(blobs())
    for name in EVERYTHING:
        do(desk, name)
    factory = FakeFactory()
    again = open_desk(blobs(), session_factory=factory)
    again.widget.restore_session()
    again.done()
    assert "Restored as it was" in again.status
    assert factory.sessions[-1].calls == 0
    assert again.frame(4).any()


@pytest.mark.parametrize("harm", ["missing", "cut", "bytes", "empty", "other"])
def test_results_that_cannot_be_used_are_computed_again(open_desk, saved_sessions, harm):
    desk = open_desk(blobs())
    for name in EVERYTHING:
        do(desk, name)
    (path,) = files(saved_sessions)
    results = results_path(path)
    data = results.read_bytes()
    if harm == "missing":
        results.unlink()
    elif harm == "cut":
        results.write_bytes(data[: len(data) // 2])
    elif harm == "bytes":
        results.write_bytes(b"\x7f" * len(data))
    elif harm == "empty":
        results.write_bytes(b"")
    else:
        other = open_desk(blobs(5))
        do(other, "click")
        results.write_bytes(
            next(r for r in saved_sessions.glob("*.ns2.results") if r != results).read_bytes()
        )
    factory = FakeFactory()
    again = open_desk(blobs(), session_factory=factory)
    again.widget.restore_session()
    again.done()
    assert "computed again" in again.status
    assert factory.sessions[-1].calls > 0
    assert [seen(again)[k] for k in KEPT] == [seen(desk)[k] for k in KEPT]
    third = open_desk(blobs())  # and they are kept again
    third.widget.restore_session()
    third.done()
    assert "Restored as it was" in third.status


def test_a_new_start_does_not_overwrite_the_old_session(open_desk, saved_sessions):
    desk = open_desk(blobs())
    do(desk, "click")
    do(desk, "propagate")
    (first,) = files(saved_sessions)
    text = first.read_text()
    other = open_desk(blobs())
    do(other, "click")
    assert first.read_text() == text
    assert len(files(saved_sessions)) == 2
    third = open_desk(blobs())  # the newest is offered
    third.widget.restore_session()
    third.done()
    assert not third.frame(4).any()
    fourth = open_desk(blobs())
    fourth.widget.restore_session(first)
    fourth.done()
    assert fourth.frame(4).any()


def test_another_image_is_not_offered_the_session(open_desk, saved_sessions):
    desk = open_desk(blobs())
    do(desk, "click")
    (path,) = files(saved_sessions)
    changed = blobs()
    changed[0, 0, 0] = 1
    other = open_desk(changed)
    assert "before" not in other.status
    other.widget.restore_session(path)
    other.done()
    assert "image has changed" in other.status
    assert not other.layers.prompts
    (saved_sessions / "broken.ns2.json").write_text("{")
    fresh = open_desk(changed)
    fresh.widget.restore_session(saved_sessions / "broken.ns2.json")
    assert "not valid JSON" in fresh.status


def test_an_unreadable_file_is_passed_over(open_desk, saved_sessions):
    desk = open_desk(blobs())
    do(desk, "click")
    (path,) = files(saved_sessions)
    path.write_text(path.read_text()[:-40])
    again = open_desk(blobs())
    assert "before" not in again.status
    again.widget.restore_session()
    assert "no earlier session" in again.status


def test_an_earlier_session_that_does_not_come_back_stops_no_saving(
    open_desk, saved_sessions, monkeypatch
):
    do(open_desk(blobs()), "click")
    (old,) = files(saved_sessions)
    before = old.read_bytes()

    def fail(_: object) -> Notes:
        raise KeyError

    desk = open_desk(blobs())
    with monkeypatch.context() as patched:
        patched.setattr(Notes, "from_json", fail)
        desk.widget.restore_session()
        desk.done()
    do(desk, "click")
    (new,) = set(files(saved_sessions)) - {old}
    assert len(load_session(new).steps) == 1
    assert old.read_bytes() == before


def test_what_another_window_removes_meanwhile_is_passed_over(open_desk, saved_sessions):
    do(open_desk(blobs()), "click")
    (path,) = files(saved_sessions)
    gone = path.with_name(path.name.replace("-1.ns2", "-0.ns2"))
    try:
        gone.symlink_to(saved_sessions / "nowhere")
    except OSError:
        pytest.skip("no permission to make links")
    again = open_desk(blobs())
    assert "You worked on this image before" in again.status
    do(again, "click")
    assert len(files(saved_sessions)) == 3


def test_only_what_was_saved_by_itself_makes_room(open_desk, saved_sessions, monkeypatch):
    monkeypatch.setattr(saving, "_MOST_FILES", 2)
    old = [saved_sessions / f"cells-{'0' * 16}-{n}.ns2.json" for n in range(4)]
    mine = [saved_sessions / name for name in ("mine.ns2.json", "well-3.ns2.json")]
    for age, path in enumerate(mine + old):
        path.write_text("{}")
        results_path(path).write_text("")
        os.utime(path, (age, age))
    do(open_desk(blobs()), "click")
    assert set(files(saved_sessions)) > {*mine, *old[2:]}
    assert len(files(saved_sessions)) == 5
    assert all(results_path(path).exists() for path in mine)


def test_saving_where_the_user_wants_it(open_desk, saved_sessions, tmp_path):
    desk = open_desk(blobs())
    do(desk, "click")
    desk.widget.save_session(tmp_path / "mine.ns2.json")
    desk.done()
    assert "mine.ns2.json" in desk.status
    do(desk, "propagate")
    assert load_session(tmp_path / "mine.ns2.json").steps[-1] == Propagate("both")
    desk.widget.save_session(tmp_path / "stack.ns2.json" / "file.ns2.json")
    desk.done()
    (tmp_path / "file").write_text("")
    desk.widget.save_session(tmp_path / "file" / "mine.ns2.json")
    desk.done()
    assert "file" in desk.status


def test_the_file_names_the_image(open_desk, saved_sessions, tmp_path):
    from napari.layers import Image

    tifffile.imwrite(tmp_path / "cells one.tif", blobs())
    desk = open_desk()
    desk.viewer.add_layer(Image(blobs(), name="cells"))
    desk.done()
    desk.viewer.layers["cells"]._source = desk.viewer.layers["cells"].source.model_copy(
        update={"path": str(tmp_path / "cells one.tif")}
    )
    desk.widget.set_image(desk.viewer.layers["cells"])
    desk.done()
    do(desk, "click")
    (path,) = files(saved_sessions)
    assert path.name.startswith("cells_one-")
    assert load_session(path).image.path == str(tmp_path / "cells one.tif")


def test_closing_in_the_middle_of_a_propagation_keeps_what_was_done(open_desk, saved_sessions):
    desk = open_desk(blobs(40), session_factory=FakeFactory(delay=0.01))
    do(desk, "click")
    desk.widget.propagate("forward")
    until(lambda: desk.widget.controller.run and desk.widget.controller.run.done >= 3)
    desk.widget.shut_down()
    (path,) = files(saved_sessions)
    end = time.monotonic() + 20
    while len(load_session(path).steps) < 2 and time.monotonic() < end:
        time.sleep(0.02)
    step = load_session(path).steps[-1]
    assert isinstance(step, Propagate)
    assert 3 <= step.frames < 40
    assert (np.array(desk.layers.labels.data[: step.frames]) == 1).any(axis=(1, 2)).all()


def test_a_restore_can_be_cancelled(open_desk, saved_sessions):
    desk = open_desk(blobs(40))
    do(desk, "click")
    do(desk, "propagate")
    results_path(files(saved_sessions)[0]).unlink()
    slow = open_desk(blobs(40), session_factory=FakeFactory(delay=0.01))
    slow.widget.restore_session()
    until(lambda: slow.widget.controller.run and slow.widget.controller.run.done >= 5)
    slow.widget.cancel()
    slow.done()
    assert slow.frame(2).any()
    assert not slow.frame(39).any()
    assert len(slow.layers.points.data) == 1


def test_a_folder_that_cannot_be_written_is_said_once(open_desk, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAPARI_SAM2_SESSIONS", str(tmp_path / "file" / "sessions"))
    desk = open_desk(blobs())
    do(desk, "click")
    assert "file" in desk.status
    desk.point(0, 20, 22)
    desk.done()
    assert "pixels" in desk.status
    do(desk, "propagate")
    assert desk.status.startswith("Done: 6 frames")


def test_the_folder_may_be_named_from_home(monkeypatch):
    monkeypatch.setenv("NAPARI_SAM2_SESSIONS", "~/cells")
    assert sessions_folder() == Path.home() / "cells"


def test_a_session_without_a_step_leaves_no_file(open_desk, saved_sessions, tmp_path):
    desk = open_desk(blobs())
    desk.widget.export(tmp_path / "nothing.tif")
    desk.done()
    assert files(saved_sessions) == []
