"""Doors to the dock widget: for the console, for scripts and for napari's menus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.dock import MaskletsWidget
from napari_sam2.widgets.layers.layer_adapters import unwrapped
from napari_sam2.widgets.layers.sources import Part
from napari_sam2.widgets.scripts.launch import TITLE
from napari_sam2.widgets.scripts.live_session import LiveSession

if TYPE_CHECKING:
    from collections.abc import Mapping

    import napari.viewer
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_sam2.tracking.stack.channels import Channels


def attach(
    viewer: Viewer,
    image: Image | Sequence[Image] | None = None,
    axis: int | None = None,
    *,
    channel: Channels | None = None,
    channel_axis: int | None = None,
    planes: Mapping[int, int] | None = None,
) -> LiveSession:
    """Open the dock widget in a viewer, if it is not open, and return its live session.

    Called again without more than the viewer, it returns the session that is there. With an axis, a
    channel, planes or several layers the image is begun anew each time.

    Parameters
    ----------
    viewer
        The viewer; `viewer` in napari's console.
    image
        The layer to work on; by default the one that is worked on, or the only image. Up to three
        grey layers of one shape are mixed as red, green and blue.
    axis
        The axis that frames are counted along; by default guessed. Axes are counted without
        channels, as in the masklets.
    channel
        What the model sees of an image with channels: the index of one, or of up to three as red,
        green and blue, None for a dark colour. By default the one on screen.
    channel_axis
        The axis of the image that holds channels, -1 for none; by default guessed, and none where
        `axis` and `planes` name all but Y and X.
    planes
        Index on each other axis than that of the frames; by default where the sliders stand.

    Raises
    ------
    InputError
        If there is no image, or several to choose from, or no such axis, channel or plane, or
        something else than a viewer and image layers is given.

    Examples
    --------
    >>> from napari_sam2 import attach
    >>> sam = attach(viewer)
    >>> sam.add_points(object_id=1, frame=0, points=[[120, 88]])
    >>> sam.propagate()
    >>> sam.masklets.shape
    """
    given = image if isinstance(image, Sequence) and not isinstance(image, str) else [image]
    layers = tuple(unwrapped(one) for one in given)
    _check_types(unwrapped(viewer), layers)
    widget = open_dock(viewer)
    if isinstance(channel, Sequence):  # a list of them, too
        channel = tuple(channel)
    first = layers[0] or widget.workbench.image
    chosen = (axis, channel, channel_axis, planes) != (None,) * 4 or len(layers) > 1
    if first is not None and (chosen or first is not widget.workbench.image):
        mixed = layers if len(layers) > 1 else ()
        if {channel, channel_axis} == {None} and _names_all(first, axis, planes or {}):
            channel_axis = -1
        part = Part(channel_axis, channel, mixed, planes or {})
        refused = widget.workbench.starting.start(first, axis, part)
        if refused is not None:
            raise refused
    live = LiveSession(widget)
    live.wait()
    if widget.workbench.layers is None:
        what = "choose an image" if widget.workbench.images else "open an image first, then"
        raise InputError(f"{what}: attach(viewer, viewer.layers['name'])")
    return live


def _check_types(viewer: Any, layers: Sequence[Any]) -> None:
    """Refuse what is no open viewer, and what are no layers of images."""
    from napari.layers import Image

    if not hasattr(viewer, "window"):
        raise InputError(f"the first argument is the viewer, not {type(viewer).__name__}")
    try:
        open_widget(viewer)
    except RuntimeError as error:  # Qt's side of it is gone
        raise InputError("the viewer was closed; open another one, napari.Viewer()") from error
    for one in layers:
        if not isinstance(one, Image | None):
            raise InputError(f"the image is a layer, viewer.layers['name'], not {one!r:.80}")


def _names_all(image: Image, axis: int | None, planes: Mapping[int, int]) -> bool:
    return axis is not None and len({axis, *planes}) + 2 == image.ndim


def open_dock(viewer: napari.viewer.Viewer) -> MaskletsWidget:
    """Open the dock widget, if it is not open: the command in napari's menus and palette."""
    viewer = unwrapped(viewer)
    widget = open_widget(viewer)
    if widget is None:
        widget = MaskletsWidget(viewer)
        viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    return widget


def show_in_3d(viewer: napari.viewer.Viewer) -> None:
    """Show the volume and its masklets in 3D, or go back: the command in napari's palette."""
    open_dock(viewer).show_in_3d()


def divide_here(viewer: napari.viewer.Viewer) -> None:
    """Divide the current object on the frame on screen: the command in napari's palette."""
    open_dock(viewer).divide()


def open_widget(viewer: Any) -> MaskletsWidget | None:
    """Return the dock widget of a viewer, if it is open."""
    docked = viewer.window.dock_widgets.values()
    return next((w for w in docked if isinstance(w, MaskletsWidget) and not w.closed), None)
