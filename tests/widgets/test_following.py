"""Objects are followed, repaired, paused and cancelled, without the mouse."""

from __future__ import annotations

import time

import pytest
from fakes import SMALL, FakeFactory, blobs
from hands import until

from napari_sam2.tracking.kept.steps import Propagate
from napari_sam2.widgets.session.worker import process_events


def test_propagate_writes_every_frame(desk):
    desk.point(2, 20, 24)
    desk.widget.propagate()
    assert not desk.layers.labels.editable
    desk.done()
    for t in range(6):
        assert desk.frame(t)[20, 20 + 2 * t] == 1
    assert desk.status.startswith("Done: 6 frames")
    assert desk.layers.labels.editable
    assert len(desk.layers.labels._undo_history) == 0


@pytest.mark.parametrize(("direction", "others"), [("forward", [3, 4, 5]), ("backward", [0, 1])])
def test_directions(desk, direction, others):
    desk.point(2, 20, 24)
    desk.done()
    desk.widget.form.propagation.directions[direction].click()
    desk.done()
    assert [t for t in range(6) if t != 2 and desk.frame(t).any()] == others


def test_propagate_without_prompts_is_said(desk):
    desk.widget.propagate()
    desk.done()
    assert "nothing to propagate" in desk.status.lower()


def test_follows_until_the_user_moves(open_desk):
    desk = open_desk(blobs(12), session_factory=FakeFactory(delay=0.1))
    desk.go(0)
    desk.point(0, *SMALL)
    desk.widget.propagate()
    seen = set()
    while desk.widget.controller.run is not None:
        process_events()
        seen.add(desk.widget.workbench.frame_on_screen)
    assert len(seen) > 2
    assert desk.widget.workbench.frame_on_screen == 0  # back where the prompts are
    desk.widget.propagate()
    until(lambda: (desk.widget.controller.run.newest or 0) >= 3)
    desk.go(11)
    desk.done()
    assert desk.widget.workbench.frame_on_screen == 11


def test_cancel_keeps_what_is_done(open_desk):
    desk = open_desk(blobs(20), session_factory=FakeFactory(delay=0.03))
    desk.point(0, *SMALL)
    desk.widget.propagate()
    until(lambda: desk.widget.controller.run.done >= 3)
    desk.widget.form.progress.cancel.click()
    desk.done()
    filled = [t for t in range(20) if desk.frame(t).any()]
    assert 3 <= len(filled) < 20
    assert "kept" in desk.status
    assert desk.layers.labels.editable


def cancelled_after_three(desk) -> None:
    desk.widget.propagate("forward")
    until(lambda: desk.widget.controller.run.done >= 3)
    desk.widget.form.progress.cancel.click()
    desk.done()


def test_a_cancelled_propagation_goes_on(open_desk):
    desk = open_desk(blobs(20), session_factory=FakeFactory(delay=0.03))
    form, session = desk.widget.form.progress, desk.widget.session
    desk.point(0, *SMALL)
    cancelled_after_three(desk)
    assert "'Go on' does the rest" in desk.status
    assert (form.pause.text(), form.pause.isVisibleTo(form)) == ("Go on", True)
    assert not form.cancel.isVisibleTo(form)
    done = session.visits
    assert form.bar.text() == f"stopped at {done} of 20"
    desk.point(1, *SMALL)  # a correction
    desk.done()
    desk.widget.repair()
    desk.done()
    visits = session.visits
    form.pause.click()
    desk.done()
    assert session.visits - visits == 20 - done  # none twice
    assert all(desk.frame(t).any() for t in range(done, 20))
    assert desk.status.startswith(f"Done: {20 - done} frames")
    assert not form.isVisibleTo(desk.widget)
    desk.widget.undo()
    desk.done()
    assert form.pause.text() == "Go on"  # as before it went on
    desk.widget.undo()  # the repair, the correction, and what was cancelled
    desk.widget.undo()
    desk.widget.undo()
    desk.done()
    assert not form.isVisibleTo(desk.widget)
    desk.widget.pause()
    assert "nothing to go on with" in desk.status


def test_repair_computes_what_a_correction_concerns(desk):
    desk.point(0, *SMALL)
    desk.widget.repair()
    desk.done()
    assert "nothing to repair" in desk.status.lower()
    desk.widget.propagate()
    desk.done()
    desk.point(3, 20, 26)
    desk.done()
    desk.widget.form.propagation.directions["repair"].click()
    desk.done()
    assert desk.widget.session.repaired == [(1, 4), (1, 5)]
    assert desk.status.startswith("Done: 2 frames")
    assert desk.frame(2).any()
    assert not desk.frame(5).any()  # what the fake says after a repair


def test_pausing_and_going_on(open_desk):
    desk = open_desk(blobs(20), session_factory=FakeFactory(delay=0.01))
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.propagate("forward")
    run = desk.widget.controller.run
    until(lambda: run.done >= 3)
    desk.widget.form.progress.pause.click()
    assert desk.widget.form.progress.pause.text() == "Go on"
    assert "Paused" in desk.status
    time.sleep(0.1)
    resting = run.done
    time.sleep(0.15)
    assert run.done == resting < 19
    desk.widget.form.progress.pause.click()
    desk.done()
    assert desk.frame(19).any()
    assert "Done: 20 frames" in desk.status


def test_a_paused_propagation_can_be_cancelled(open_desk):
    desk = open_desk(blobs(20), session_factory=FakeFactory(delay=0.01))
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.propagate("forward")
    until(lambda: desk.widget.controller.run.done >= 3)
    desk.widget.form.progress.pause.click()
    desk.widget.cancel()
    desk.done()
    assert "kept" in desk.status
    assert not desk.frame(19).any()


def test_only_some_frames_are_followed(desk, open_desk):
    desk.point(2, *SMALL)
    desk.done()
    form = desk.widget.form
    assert (form.propagation.first.value, form.propagation.last.value) == (0, 5)
    form.propagation.first.value, form.propagation.last.value = 1, 3
    desk.widget.propagate()
    desk.done()
    assert desk.widget.controller.record.history.steps[-1] == Propagate("both", 1, 4)
    desk.widget.set_image(desk.viewer.layers["cells"])  # another start has all frames again
    desk.done()
    assert (form.propagation.first.value, form.propagation.last.value) == (0, 5)
    assert desk.widget.workbench.following.frame_range == (None, None)


def test_the_range_of_frames_can_be_dragged(desk):
    form, following = desk.widget.form.propagation, desk.widget.workbench.following
    assert (form.range.maximum(), form.range.value()) == (5, (0, 5))
    form.range.setValue((2, 4))
    assert (form.first.value, form.last.value) == (2, 4)
    assert following.frame_range == (2, 5)
    form.range.setValue((5, 5))  # past where the other end was
    assert following.frame_range == (5, None)
    form.last.value = 3  # takes the first frame along
    assert (form.first.value, form.last.value, form.range.value()) == (3, 3, (3, 3))
    form.first.value = 4
    assert (form.last.value, form.range.value()) == (4, (4, 4))
    assert following.frame_range == (4, 5)
    form.range.setValue((0, 5))
    assert following.frame_range == (None, None)
