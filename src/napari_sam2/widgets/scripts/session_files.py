"""Sessions as napari's readers and writers see them: dropped on it, saved with its File menu."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QTimer

from napari_sam2.layer_data import AXES_KEY, SESSION_KEY, image_settings, stem_of
from napari_sam2.tracking.errors import InputError, OutputError
from napari_sam2.tracking.kept.session_file import SUFFIX, load_session

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return a reader for a session (`.ns2.json`), or None for whatever else it is.

    By the name alone: napari asks on the window's thread, and a session may be large.
    """
    ours = isinstance(path, str) and path.lower().endswith(SUFFIX)
    return read_session if ours else None


def read_session(path: str) -> list[LayerData]:
    """Return the image of a session; the dock is opened and does again what was done to it.

    Raises
    ------
    InputError
        If the image is not where it was, nor beside the session.
    """
    from napari_sam2.replay import image_of  # brings torch
    from napari_sam2.stacks import open_all

    place = Path(path).absolute()
    content = load_session(place)
    try:
        image = image_of(content, place)
    except InputError as error:
        raise InputError(f"{error}: open it, and then More > Open a session") from error
    stack = open_all(image)
    if "Q" in stack.axes and content.image.axes:
        stack = open_all(image, content.image.axes)
    chosen = image_settings(stack, content.image.channel)
    chosen["metadata"] |= {SESSION_KEY: str(place), AXES_KEY: content.image.axes}
    QTimer.singleShot(0, lambda: _restore(place))  # once napari has added the layer
    return [(stack.data, chosen, "image")]


def _restore(session: Path) -> None:
    """Open the dock on the image that was read for a session, and do the session again."""
    from napari_sam2.widgets.scripts.scripting import open_dock

    viewer = napari.current_viewer()
    layers = [] if viewer is None else list(viewer.layers)
    images = [la for la in layers if la.metadata.get(SESSION_KEY) == str(session)]
    if viewer is None or not images:
        return
    widget = open_dock(viewer)
    if widget.workbench.image is not images[-1]:
        widget.set_image(images[-1])
    widget.restore_session(session)


def write_session(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the session whose masklets these are, and keep the file up to date from then on.

    Raises
    ------
    OutputError
        If the layer is not the one that the dock works on, objects are being followed, or the
        file cannot be written.
    """
    from napari_sam2.widgets.scripts.live_session import LiveSession
    from napari_sam2.widgets.scripts.scripting import open_widget

    viewer = napari.current_viewer()
    widget = None if viewer is None else open_widget(viewer)
    layers = None if widget is None else widget.workbench.layers
    if widget is None or layers is None or layers.labels.data is not data:
        name = meta.get("name", "this layer")
        raise OutputError(
            f"'{name}' is not being worked on in the dock, so it has no session; save the layer "
            "'masklets' of the dock, or choose another kind of file"
        )
    if widget.controller.run is not None:  # saving would wait for its end, and napari with it
        raise OutputError("Cancel the propagation first, or save once it is done.")
    target = Path(path)
    if not path.lower().endswith(SUFFIX):
        target = target.with_name(stem_of(target.name) + SUFFIX)
    try:
        LiveSession(widget).save(target)
    except InputError as error:
        raise OutputError(str(error)) from error
    return [str(target)]
