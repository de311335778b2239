"""From opening a real stack to the exported folder, with the mouse and the keys of a real window.

Set NAPARI_SAM2_PICTURES to a folder to keep a picture of the window after each step.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hands import Window
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog
from skimage.measure import regionprops
from typer.testing import CliRunner

from napari_sam2.cli import app
from napari_sam2.evaluation.metrics import jaccard
from napari_sam2.export.ctc import read_tracks
from napari_sam2.export.formats import open_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.widgets.dock import MaskletsWidget
from napari_sam2.widgets.layers.layer_adapters import show_frame
from napari_sam2.widgets.session.opening import SessionOpener
from napari_sam2.widgets.verbs.exporting import filters

LENGTH = 12
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def stack(dev_data: Path, tmp_path: Path) -> tuple[Path, np.ndarray]:
    folder = dev_data / "hela_nuclei"
    images = tifffile.imread(folder / "images.tif", key=range(LENGTH))
    path = tmp_path / "nuclei.tif"
    tifffile.imwrite(path, images, photometric="minisblack")
    return path, tifffile.imread(folder / "masks.tif", key=range(LENGTH))


@pytest.fixture
def picture(shared_viewer) -> Callable[[str], None]:
    folder = os.environ.get("NAPARI_SAM2_PICTURES")

    def take(name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            path = str(Path(folder) / f"{name}.png")
            shared_viewer.screenshot(path, canvas_only=False, flash=False)

    return take


@pytest.fixture
def window(shared_viewer, stack):
    shared_viewer.open(str(stack[0]), plugin="napari")
    widget = MaskletsWidget(shared_viewer, session_factory=SessionOpener())
    shared_viewer.window.add_dock_widget(widget, name="SAM 2 masklets")
    window = Window(shared_viewer, widget)
    window.done()
    shared_viewer.dims.set_current_step(0, 0)
    shared_viewer.reset_view()
    window.settle()
    yield window
    if widget.parent() is not None:
        shared_viewer.window.remove_dock_widget(widget)
    widget.shut_down()
    shared_viewer.layers.clear()


def go(window: Window, frame: int) -> None:
    show_frame(window.viewer, window.layers.points, window.layers.geometry, frame)
    window.settle()


def show(window: Window) -> None:
    window.widget.wait(60, panels=True)
    window.settle()


def test_from_the_stack_to_the_folder(window, stack, picture, tmp_path, monkeypatch):
    _, truth = stack
    form, session = window.widget.form, window.widget.form.session
    picture("1-opened")
    cells = sorted(regionprops(truth[0]), key=lambda r: -r.area)[:4]
    for number, cell in enumerate(cells):  # a click on each cell, N in between
        if number:
            window.key("N")
        window.click(*cell.centroid)
        window.done()
        assert jaccard(window.frame(0) == number + 1, truth[0] == cell.label) > 0.6
    show(window)
    picture("2-clicked")

    window.key("G")
    window.done()
    assert form.status.text().startswith("Done: ")
    show(window)
    assert len(form.objects.table.objects.rows) == 4
    picture("3-propagated")
    followed = np.array(window.layers.labels.data)

    form.objects.setCurrentIndex(1)
    window.key("J")
    show(window)
    picture("4-to-check")

    # A correction: a click on what is not the object, on a frame in the middle.
    go(window, 6)
    window.widget.object_id = 2
    here = window.frame(6) == 2
    y, x = regionprops(here.astype(int))[0].centroid
    window.key("Q")
    window.click(*np.clip([y + 25, x + 25], 2, np.array(here.shape) - 3))
    window.done()
    window.key("Q")
    window.key("H")
    window.done()
    assert window.widget.session.stale_frames() == {}
    window.key("W")
    window.done()
    assert "accepted" in form.status.text()
    show(window)
    picture("5-corrected-and-accepted")

    # Everything back to the propagation, and forth again.
    before = np.array(window.layers.labels.data)
    for _ in range(2):
        window.key("Z", CONTROL)
        window.done()
    np.testing.assert_array_equal(window.layers.labels.data, followed)
    for _ in range(2):
        window.key("Z", CONTROL | Qt.KeyboardModifier.ShiftModifier)
        window.done()
    np.testing.assert_array_equal(window.layers.labels.data, before)

    # The last cell ends at frame 9; name the first.
    go(window, 9)
    window.widget.object_id = 4
    window.press(form.objects.end)
    window.done()
    window.key("H")
    window.done()
    assert not (window.layers.labels.data[9:] == 4).any()
    window.widget.panels.editor.rename(1, "mother")
    show(window)
    picture("6-ended-and-named")

    ctc = next(text for text, name in filters().items() if name == "ctc")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "RES"), ctc))
    QTest.mouseClick(session.export, Qt.MouseButton.LeftButton)
    window.done()
    assert form.status.text() == f"Exported: {tmp_path / 'RES'}."
    picture("7-exported")
    tracks = read_tracks(tmp_path / "RES" / "res_track.txt")
    assert [(t.id, t.last) for t in tracks if t.id == 4] == [(4, 8)]
    final = np.array(window.layers.labels.data)
    np.testing.assert_array_equal(np.asarray(open_masklets(tmp_path / "RES", "TYX").data), final)

    saved = tmp_path / "nuclei.ns2.json"
    window.widget.save_session(saved)
    window.done()
    assert load_session(saved).notes[1] == {"name": "mother"}
    arguments = ["track", "--session", str(saved), "--output", str(tmp_path / "again.tif")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(read_labels(tmp_path / "again.tif"), final)
