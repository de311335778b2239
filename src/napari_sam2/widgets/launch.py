"""Open napari with the dock widget: what `napari-sam2 gui` does."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from napari_sam2.tracking.errors import InputError

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_sam2.stacks import Stack

_NO_QT = 'napari has no Qt to draw with; install one with: pip install "napari-sam2[all]"'

# Without any of these, Qt ends the whole process.
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
_NO_SCREEN = (
    "there is no screen to open a window on; use `napari-sam2 track`, or start under xvfb-run"
)


def open_viewer(stack: Stack | None = None) -> Viewer:
    """Open a napari window with the dock widget, and with a stack as its image.

    Raises
    ------
    InputError
        If no Qt binding is installed, or there is no screen.
    """
    if sys.platform == "linux" and not any(os.environ.get(name) for name in _SCREENS):
        raise InputError(_NO_SCREEN)
    try:
        import qtpy.QtWidgets  # noqa: F401
    except (ImportError, RuntimeError) as error:  # qtpy has errors of both kinds
        raise InputError(_NO_QT) from error
    import napari

    from napari_sam2.widgets.dock import MaskletsWidget
    from napari_sam2.widgets.layer_adapters import PATH_KEY

    viewer = napari.Viewer()
    if stack is not None:
        viewer.add_image(
            stack.data,
            name=stack.path.stem,
            rgb=stack.rgb,
            scale=[stack.scale[letter] for letter in stack.axes if letter != "C"],
            axis_labels=[letter.lower() for letter in stack.axes if letter != "C"],
            units=_units(stack),
            metadata={PATH_KEY: str(stack.path)},
        )
    viewer.window.add_dock_widget(MaskletsWidget(viewer), name="SAM 2 masklets", area="right")
    return viewer


def _units(stack: Stack) -> list[str] | None:
    """Return the unit of each axis, where the file has a unit of lengths."""
    if stack.unit is None:
        return None
    return ["second" if letter == "T" else stack.unit for letter in stack.axes if letter != "C"]


def launch(stack: Stack | None = None) -> None:
    """Open a window as `open_viewer` does, and return when it is closed."""
    open_viewer(stack)
    import napari

    napari.run()
