from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pytestqt.qtbot import QtBot

from napari_sam2.stacks import open_stack
from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.widgets.scripts.launch import open_viewer


@pytest.mark.timeout(90)
def test_the_window_opens_with_the_stack_and_the_widget(qtbot: QtBot, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, 32, 40), np.uint8)
    tifffile.imwrite(tmp_path / "cells.tif", image)
    viewer = open_viewer(open_stack(tmp_path / "cells.tif", "ZYX"))
    try:
        layer = viewer.layers["cells"]
        assert layer.data.shape == (3, 32, 40)
        assert layer.axis_labels == ("z", "y", "x")
        assert "SAM 2 masklets" in viewer.window.dock_widgets
    finally:
        viewer.close()


_CLOSED = """
from napari_sam2.widgets.scripts.launch import open_viewer
from qtpy.QtWidgets import QApplication

viewer = open_viewer()
viewer.window.dock_widgets["SAM 2 masklets"].wait(3600)
QApplication.processEvents()
viewer.close()
QApplication.processEvents()
print("over")
"""


def test_closing_the_window_ends_in_peace(qtbot: QtBot) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _CLOSED], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("over")
    assert "Traceback" not in result.stderr + result.stdout


_LEFT_OPEN = """
import atexit

import napari, numpy as np, napari_sam2

viewer = napari.Viewer(show=False)
viewer.add_image(np.random.default_rng(0).integers(0, 255, (3, 32, 40), np.uint8))
# Called after all that is registered later, and before PyQt's own, whose order may crash.
atexit.register(lambda: print("closed" if not viewer.layers else "left"))
sam = napari_sam2.attach(viewer)
mask = np.zeros((32, 40), bool)
mask[5:12, 6:15] = True
sam.add_mask(1, 0, mask)
print("over")
"""


def test_a_script_that_leaves_the_window_open_ends_in_peace(qtbot: QtBot, tmp_path: Path) -> None:
    env = {**os.environ, "NAPARI_SAM2_SESSIONS": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", _LEFT_OPEN], capture_output=True, text=True, check=False, env=env
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["over", "closed"]
    assert "Traceback" not in result.stderr
    (saved,) = tmp_path.glob("*.ns2.json")
    assert len(load_session(saved).steps) == 1
