"""What an export from the window may replace, and what it never does."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile
from fakes import SMALL, blobs
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.layers import layer_adapters
from napari_sam2.widgets.scripts.live_session import LiveSession
from napari_sam2.widgets.verbs.exporting import filters


@pytest.fixture
def worked(open_desk, tmp_path):
    """An object in an image that comes from a file."""
    tifffile.imwrite(tmp_path / "cells.tif", blobs())
    desk = open_desk(blobs())
    desk.viewer.layers["cells"].metadata["napari_sam2_path"] = str(tmp_path / "cells.tif")
    desk.point(0, *SMALL)
    desk.done()
    assert desk.widget.workbench.source_path
    return desk


def answering(monkeypatch, path, format):
    kind = next(k for k, name in filters().items() if name == format)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), kind))


def test_scripts_replace_nothing_unasked(worked, tmp_path):
    (tmp_path / "a.tif").write_bytes(b"mine")
    sam = LiveSession(worked.widget)
    with pytest.raises(InputError, match="exists already"):
        sam.export(tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes() == b"mine"
    sam.export(tmp_path / "a.tif", overwrite=True)
    assert tifffile.imread(tmp_path / "a.tif")[0].any()
    with pytest.raises(InputError, match="for no format"):
        sam.export(tmp_path / "a.docx")


def test_the_dialog_replaces_what_it_asked_about(worked, tmp_path, monkeypatch):
    (tmp_path / "a.tif").write_bytes(b"mine")
    answering(monkeypatch, tmp_path / "a", "tiff")  # it has not seen that this becomes a.tif
    answers, asked = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes], []
    monkeypatch.setattr(QMessageBox, "question", lambda *a: (asked.append(a[2]), answers.pop(0))[1])
    worked.widget.form.session.export.click()
    worked.done()
    assert asked == ["a.tif exists already. Replace it?"]
    assert (tmp_path / "a.tif").read_bytes() == b"mine"
    worked.widget.form.session.export.click()
    worked.done()
    assert worked.status.startswith("Exported")
    answering(monkeypatch, tmp_path / "a.tif", "tiff")
    worked.widget.form.session.export.click()
    worked.done()
    assert worked.status.startswith("Exported")


def test_what_takes_long_is_left_to_the_worker(worked, tmp_path, monkeypatch):
    threads, asked = [], []
    monkeypatch.setattr(
        layer_adapters,
        "file_scale",
        lambda _: threads.append(threading.current_thread()) or ({}, None),
    )
    session = worked.widget.session
    monkeypatch.setattr(session, "qualities", lambda: asked.append(1) or {})
    for name, qualities in (("a.tif", 0), ("a.zarr", 0), ("a.csv", 1), ("a.json", 2)):
        worked.widget.export(tmp_path / name)
        worked.done()
        assert worked.status.startswith("Exported")
        assert len(asked) == qualities
    assert len(threads) == 4
    assert threading.main_thread() not in threads


def test_the_image_on_screen_is_never_replaced(worked, tmp_path, monkeypatch):
    answering(monkeypatch, tmp_path / "cells.tif", "tiff")
    worked.widget.form.session.export.click()
    worked.done()
    assert "is what is read" in worked.status
    with pytest.raises(InputError, match="is what is read"):
        LiveSession(worked.widget).export(tmp_path / "cells.tif", overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells.tif"), blobs())
