"""The window finds new cells while it follows the others."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hands import until

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.widgets.scripts.live_session import LiveSession
from napari_sam2.widgets.session.runs import Run

LENGTH, COMES = 6, 3


@pytest.fixture
def model(shared_micro: Any) -> Any:
    return shared_micro


def test_daughters_get_their_mother(open_desk: Any, model: Any) -> None:
    y, x = np.mgrid[:96, :128]
    images = np.random.default_rng(0).normal(40, 5, (8, 96, 128))
    for t in range(8):
        apart, radius = (0, 16) if t < 5 else (14 + 2 * (t - 5), 11)
        for side in (-apart, apart):
            images[t][(y - 48) ** 2 + (x - 64 - side) ** 2 < radius**2] = 140
    desk = open_desk(
        images.clip(0, 255).astype(np.uint8),
        session_factory=lambda request, _: TrackingSession(model, request.frames()),
    )
    desk.point(0, 48, 64)
    tick(desk, 7)
    desk.widget.propagate()
    desk.done()
    parents = desk.widget.workbench.dividing.parents
    assert len(parents) == 2
    assert set(parents.values()) == {1}
    assert desk.layers.prompts[1][5].absent
    for daughter in parents:
        shown = [t for t in range(8) if (desk.frame(t) == daughter).any()]
        assert shown == [5, 6, 7]
    desk.widget.undo()
    desk.done()
    assert not desk.widget.workbench.dividing.parents
    assert list(desk.layers.prompts[1]) == [0]


@pytest.fixture
def desk(open_desk: Any, model: Any) -> Any:
    y, x = np.mgrid[:96, :128]
    images = np.random.default_rng(0).normal(40, 5, (LENGTH, 96, 128))
    for t in range(LENGTH):
        images[t][(y - 30) ** 2 + (x - 35 - 2 * t) ** 2 < 12**2] += 100
        if t >= COMES:
            images[t][(y - 64) ** 2 + (x - 90 - t) ** 2 < 14**2] += 100
    desk = open_desk(
        images.clip(0, 255).astype(np.uint8),
        session_factory=lambda request, _: TrackingSession(model, request.frames()),
    )
    desk.point(0, 30, 35)
    desk.done()
    return desk


def tick(desk: Any, every: int, diameter: str = "28") -> None:
    desk.widget.form.diameter_box.setText(diameter)
    desk.widget.form.propagation.every.value = every
    desk.widget.form.propagation.find_new.setChecked(True)


@pytest.mark.parametrize("every", [0, 2])
def test_propagating_during_other_work_changes_nothing(desk: Any, every: int) -> None:
    bench, resume = desk.widget.workbench, threading.Event()

    def work(_: Any, run: Run) -> None:
        run.note(3)
        resume.wait(60)

    desk.go(0)
    desk.widget.controller.start(work, "Busy …")
    bench.following.leave_from_here()
    while bench.frame_on_screen != 3:
        bench.following.refresh()
    if every:
        tick(desk, every)
    desk.widget.propagate()
    assert desk.status == "Cancel the propagation first."
    assert not bench.following.finding
    resume.set()
    desk.done()
    assert bench.frame_on_screen == 0
    assert list(desk.prompts) == [1]


def test_new_cells_get_rows_prompts_and_masks(desk: Any) -> None:
    tick(desk, 2, "")
    desk.widget.propagate()
    desk.done()
    assert "1 new cell was found" in desk.status
    assert sorted(desk.prompts) == [1, 2]
    assert list(desk.prompts[2]) == [4]
    assert list(desk.layers.prompts[2]) == [4]
    for t in range(LENGTH):
        assert (desk.frame(t) == 2).any() == (t >= COMES)
        np.testing.assert_array_equal(desk.frame(t), desk.widget.session.result(t).labels)
    desk.widget.undo()
    desk.done()
    assert sorted(desk.prompts) == sorted(desk.layers.prompts) == [1]
    assert not any((desk.frame(t) == 2).any() for t in range(LENGTH))
    desk.widget.redo()
    desk.done()
    assert sorted(desk.layers.prompts) == [1, 2]
    assert (desk.frame(5) == 2).any()
    desk.widget.object_id = 2
    desk.widget.delete_object()
    desk.done()
    assert sorted(desk.prompts) == sorted(desk.layers.prompts) == [1]


def test_only_where_it_is_ticked_and_all_are_followed(desk: Any) -> None:
    desk.widget.propagate()
    desk.done()
    assert list(desk.prompts) == [1]
    tick(desk, 2)
    desk.widget.workbench.following.propagate("both", (1,))
    desk.done()
    assert list(desk.prompts) == [1]
    desk.widget.form.propagation.only_stale.setChecked(True)
    desk.point(0, 32, 35)
    desk.widget.propagate()
    desk.done()
    assert list(desk.prompts) == [1]


def test_clicked_meanwhile_and_cancelled(desk: Any) -> None:
    tick(desk, 2)
    desk.widget.propagate()
    run = desk.widget.controller.run
    until(lambda: run.done >= 7 or desk.widget.controller.run is not run)
    desk.point(1, 31, 37)  # answered at the end
    desk.widget.cancel()
    desk.done()
    assert sorted(desk.prompts) == [1, 2]
    assert sorted(desk.prompts[1]) == [0, 1]
    assert {i: sorted(some) for i, some in desk.layers.prompts.items()} == {
        i: sorted(some) for i, some in desk.prompts.items()
    }


def test_by_name(desk: Any) -> None:
    sam = LiveSession(desk.widget)
    with pytest.raises(InputError, match="not -1"):
        sam.propagate(find_every=-1)
    sam.propagate()
    assert list(desk.prompts) == [1]
    sam.propagate("forward", find_every=2, diameter=28)
    assert list(desk.prompts) == [1, 2]
