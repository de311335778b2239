"""What is on disk outlives what goes wrong: cut short, closed, refused, written by two windows."""

from __future__ import annotations

import gc
import json
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeFactory, blobs
from hands import until
from test_saving import files
from test_undo import SMALL, do

from napari_sam2.tracking.kept.results_file import results_path
from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.tracking.kept.steps import SetPrompt
from napari_sam2.tracking.prompt import Prompt


def made(open_desk, folder: Path) -> Path:
    """Save a session that can only be brought back by computing."""
    desk = open_desk(blobs(40))
    for name in ("click", "propagate", "second object", "propagate"):
        do(desk, name)
    desk.widget.shut_down()
    (path,) = files(folder)
    results_path(path).unlink()
    return path


@pytest.mark.parametrize("how", ["cancel", "close", "error"])
def test_a_restore_that_is_cut_short_leaves_the_file(open_desk, saved_sessions, how):
    path = made(open_desk, saved_sessions)
    before, factory = path.read_bytes(), FakeFactory(delay=0.01)
    desk = open_desk(blobs(40), session_factory=factory)
    desk.widget.restore_session()
    until(lambda: desk.widget.controller.run and desk.widget.controller.run.done >= 5)
    if how == "close":
        desk.widget.shut_down()
        time.sleep(0.3)
    else:
        if how == "cancel":
            desk.widget.cancel()
        else:
            factory.sessions[-1].error = MemoryError()
        desk.done()
        if how == "cancel":
            assert "stays as it was" in desk.status
    assert path.read_bytes() == before
    assert files(saved_sessions) == [path]
    if how == "cancel":
        desk.point(3, 20, 26)
        desk.done()
        assert path.read_bytes() == before
        (other,) = set(files(saved_sessions)) - {path}
        assert load_session(other).steps[-1] == SetPrompt(1, 3, desk.prompts[1][3])


def test_a_whole_restore_goes_on_in_its_file(open_desk, saved_sessions):
    path = made(open_desk, saved_sessions)
    desk = open_desk(blobs(40))
    desk.widget.restore_session()
    desk.done()
    desk.point(3, 20, 26)
    desk.done()
    assert files(saved_sessions) == [path]
    assert len(load_session(path).steps) == 5


def test_names_and_ticks_are_saved_at_once(open_desk, saved_sessions):
    desk = open_desk(blobs())
    do(desk, "click")
    (path,) = files(saved_sessions)
    desk.widget.panels.editor.rename(1, "mother")
    desk.done()
    assert load_session(path).notes == {1: {"name": "mother"}}
    desk.widget.panels.editor.show([1], False)
    desk.widget.wait(panels=True)
    assert load_session(path).notes == {1: {"name": "mother", "hidden": True}}
    desk.go(0)
    desk.widget.accept()  # there is a prompt: nothing else is done for it
    desk.done()
    assert load_session(path).notes[1]["accepted"] == [0]


def test_saving_goes_on_where_it_was_if_another_place_is_refused(
    open_desk, saved_sessions, tmp_path
):
    desk = open_desk(blobs())
    do(desk, "click")
    (path,) = files(saved_sessions)
    (tmp_path / "file").write_text("")
    desk.widget.save_session(tmp_path / "file" / "mine.ns2.json")
    desk.done()
    assert "Cannot write" in desk.status
    do(desk, "propagate")
    assert files(saved_sessions) == [path]
    assert len(load_session(path).steps) == 2


def test_two_windows_on_one_session_keep_a_file_each(open_desk, saved_sessions):
    one = open_desk(blobs())
    do(one, "click")
    (path,) = files(saved_sessions)
    two = open_desk(blobs())
    two.widget.restore_session()
    two.done()
    one.widget.new_object()
    one.point(1, 55, 62)
    one.done()
    assert "Another window" not in one.status
    two.widget.new_object()
    two.point(3, 55, 66)
    two.done()
    (other,) = set(files(saved_sessions)) - {path}
    assert "Another window" in two.status
    assert str(other) in two.status
    do(one, "propagate")
    do(two, "propagate")
    assert [step.frame for step in load_session(path).steps[:2]] == [0, 1]
    assert [step.frame for step in load_session(other).steps[:2]] == [0, 3]
    assert len(files(saved_sessions)) == 2


@pytest.mark.parametrize("how", ["close", "another image"])
def test_a_click_that_was_answered_just_before_the_end_is_saved(open_desk, saved_sessions, how):
    desk = open_desk(blobs())
    do(desk, "click")
    (path,) = files(saved_sessions)
    record = desk.widget.controller.record
    desk.widget.new_object()
    desk.point(2, 55, 64)
    desk.layers.read()
    end = time.monotonic() + 20
    while len(record.history.steps) < 2 and time.monotonic() < end:
        time.sleep(0.01)  # answered, and the window did not come to it yet
    if how == "close":
        desk.widget.shut_down()
    else:
        desk.widget.workbench.restoring.restart()
    while len(load_session(path).steps) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert [step.object_id for step in load_session(path).steps] == [1, 2]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_the_worker_goes_on_after_a_job_that_ends_the_process(desk, kind):
    def job() -> None:
        raise kind

    said: list[Exception] = []
    desk.widget._worker.submit(job, failed=said.append)
    desk.done()
    assert len(said) == 1
    do(desk, "click")
    assert "pixels" in desk.status


def test_an_image_that_is_chosen_again_is_as_it_was_left(open_desk, saved_sessions):
    desk = open_desk(blobs())
    first = desk.viewer.layers["cells"]
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.propagate()
    desk.done()
    before = np.array(desk.layers.labels.data)
    other = desk.viewer.add_image(blobs() // 2, name="other")
    for _ in range(2):
        desk.widget.set_image(other)
        desk.done()
        assert not desk.widget.workbench.used_ids
        desk.widget.set_image(first)
        desk.done()
        assert "Restored as it was" in desk.status
        np.testing.assert_array_equal(desk.layers.labels.data, before)
    names = sorted(layer.name for layer in desk.viewer.layers)
    assert names == ["cells", "masklets", "other", "prompts: boxes", "prompts: points"]


def test_what_was_painted_after_an_image_was_left_stays(open_desk, saved_sessions):
    desk = open_desk(blobs())
    first = desk.viewer.layers["cells"]
    desk.point(0, *SMALL)
    desk.done()
    left = desk.widget.workbench.layers.labels
    desk.widget.set_image(desk.viewer.add_image(blobs() // 2, name="other"))
    desk.done()
    left.mode = "paint"
    left.selected_label = 7
    left.paint((0, 40, 40), 7)
    desk.widget.set_image(first)
    desk.done()
    assert left in desk.viewer.layers
    assert (left.data == 7).any()
    assert "You worked on this image before" in desk.status


def test_a_fresh_start_brings_nothing_back(open_desk, saved_sessions):
    desk = open_desk(blobs())
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.workbench.restoring.restart()
    desk.done()
    assert not desk.widget.workbench.used_ids
    assert len([layer for layer in desk.viewer.layers if "masklets" in layer.name]) == 2


def test_of_an_image_that_was_left_the_session_is_let_go(open_desk, saved_sessions):
    """A large model would stay in memory for each of them."""
    desk = open_desk(blobs())
    desk.point(0, *SMALL)
    desk.done()
    record = weakref.ref(desk.widget.controller.record)
    desk.widget.set_image(desk.viewer.add_image(blobs() // 2, name="other"))
    desk.done()
    gc.collect()
    assert record() is None
    record = weakref.ref(desk.widget.controller.record)
    desk.widget.shut_down()
    until(lambda: gc.collect() is not None and record() is None)


def test_ids_that_the_masklets_cannot_hold_are_refused(open_desk, saved_sessions):
    desk = open_desk(blobs())
    do(desk, "click")
    desk.widget.shut_down()
    (path,) = files(saved_sessions)
    results_path(path).unlink()
    said = json.loads(path.read_text())
    said["steps"][0]["object"] = 70_000
    path.write_text(json.dumps(said))
    desk = open_desk(blobs())
    desk.widget.restore_session(path)
    desk.done()
    assert "has object 70000, but the window shows ids up to 65535" in desk.status
    assert not desk.widget.workbench.used_ids
    assert not np.any(desk.layers.labels.data)


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_giving_prompts_to_another_model_can_be_cancelled(open_desk, saved_sessions, how):
    factory = FakeFactory()
    desk = open_desk(blobs(), session_factory=factory)
    prompts = {i: {0: Prompt([SMALL], [True])} for i in range(1, 60)}
    desk.widget.workbench.prompting.add(prompts)
    desk.done()
    factory.delay = 0.1
    desk.widget.choose_model("other")
    until(lambda: len(factory.sessions) > 1 and factory.sessions[-1].calls > 2)
    desk.widget.cancel() if how == "cancel" else desk.widget.shut_down()
    calls = factory.sessions[-1].calls
    time.sleep(0.5)
    assert factory.sessions[-1].calls <= calls + 1
