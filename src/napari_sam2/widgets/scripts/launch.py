"""Open napari with the dock widget: what `napari-sam2 gui` does."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from napari_sam2.layer_data import image_settings
from napari_sam2.tracking.errors import InputError

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_sam2.stacks import Stack
    from napari_sam2.tracking.stack.channels import Channels

TITLE = "SAM 2 masklets"
"""Of the dock."""
_NO_QT = 'napari has no Qt to draw with; install one with: pip install "napari-sam2[all]"'

# Without any of these, Qt ends the whole process.
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
_NO_SCREEN = (
    "there is no screen to open a window on; use `napari-sam2 track`, or start under xvfb-run"
)


def open_viewer(stack: Stack | None = None, channel: Channels | None = None) -> Viewer:
    """Open a napari window with the dock widget, and with a stack as its image.

    Parameters
    ----------
    stack
        From `open_stack` or `open_all`.
    channel
        What the model sees of its channels; by default the one on screen.

    Raises
    ------
    InputError
        If no Qt binding is installed, or there is no screen.
    """
    if sys.platform == "linux" and not any(os.environ.get(name) for name in _SCREENS):
        raise InputError(_NO_SCREEN)
    # Before Qt: on Windows the libraries of the one may keep those of the other from loading.
    import torch  # noqa: F401

    try:
        import qtpy.QtWidgets  # noqa: F401
    except (ImportError, RuntimeError) as error:  # qtpy has errors of both kinds
        raise InputError(_NO_QT) from error
    import napari

    from napari_sam2.widgets.scripts.scripting import open_dock

    viewer = napari.Viewer()
    if stack is not None:
        viewer.add_image(stack.data, **image_settings(stack, channel))
    open_dock(viewer)
    return viewer


def launch(stack: Stack | None = None, channel: Channels | None = None) -> None:
    """Open a window as `open_viewer` does, and return when it is closed."""
    open_viewer(stack, channel)
    import napari

    napari.run()
