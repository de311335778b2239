"""A lesson from the window: which frames it takes, what it leaves, how it ends."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import LARGE, SMALL, blobs
from qtpy.QtWidgets import QFileDialog

from napari_sam2 import teaching
from napari_sam2.teaching import Taught
from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.scripts.live_session import LiveSession


@pytest.fixture
def lessons(monkeypatch):
    """What was to be learned; nothing is."""
    given = []

    def learn(seen, labels, output, **more):
        given.append((seen, {t: labels[t] for t in more["frames"]}, output, more))
        more["progress"](1, more["steps"])
        output.write_bytes(b"weights")
        more["progress"](2, more["steps"])
        return Taught(output, (0,), (1,), {"click": 0.5}, {"click": 0.75})

    monkeypatch.setattr(teaching, "teach", learn)
    return given


@pytest.fixture
def worked(open_docked):
    docked = open_docked(blobs())
    docked.point(0, *SMALL)
    docked.widget.new_object()
    docked.point(2, *LARGE)
    docked.done()
    return docked


def offered(docked):
    box = docked.widget.form.model.native
    return [box.itemText(k) for k in range(box.count())]


def test_it_learns_from_the_frames_that_were_prompted_on(worked, lessons, tmp_path, monkeypatch):
    worked.widget.propagate()
    worked.done()
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), "Weights")
    )
    menu = worked.widget._session_actions.menu()
    next(a for a in menu.actions() if a.text().startswith("Teach")).trigger()
    worked.done()
    ((seen, labels, output, more),) = lessons
    assert seen is worked.widget.session.frames
    assert output == tmp_path / "mine.safetensors"
    assert (more["start"], more["device"], more["overwrite"]) == ("micro", "auto", True)
    assert more["frames"] == [0, 2]
    for t, plane in labels.items():
        np.testing.assert_array_equal(plane, worked.widget.workbench.layers.labels.data[t])
        assert plane.any()
    assert "one click 0.50 to 0.75" in worked.status
    assert "mine.safetensors" in offered(worked)
    assert worked.widget.workbench.model == "micro"  # nobody chose


def test_a_lesson_that_is_cancelled_keeps_what_was_learned(worked, tmp_path, monkeypatch):
    output = tmp_path / "mine.safetensors"

    def learn_and_cancel(*_, **more):
        output.write_bytes(b"weights")
        worked.widget.cancel()
        more["progress"](1, 9)

    monkeypatch.setattr(teaching, "teach", learn_and_cancel)
    worked.widget.teach(output)
    worked.done()
    assert worked.status == "The lesson was cancelled; mine.safetensors holds what was learned."
    assert "mine.safetensors" in offered(worked)


def test_what_cannot_be_learned_is_said(open_docked, small_lessons, tmp_path):
    docked = open_docked(blobs())
    sam = LiveSession(docked.widget)
    with pytest.raises(InputError, match="nothing to learn from"):
        sam.teach(tmp_path / "mine.safetensors")
    docked.point(0, *SMALL)
    docked.done()
    with pytest.raises(InputError, match="no name for weights"):
        sam.teach(tmp_path / "mine.tif")
    assert "mine.safetensors" not in offered(docked)
    sam.teach(tmp_path / "mine.safetensors", steps=1)
    assert (tmp_path / "mine.safetensors").stat().st_size > 1_000_000
    assert docked.status == "Taught: mine.safetensors. Choose it under Model, then G."
