"""A layer that shows what the network gets to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.widgets.layers.layer_adapters import StackGeometry, copied_transform

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_sam2.tracking.network.views import View
    from napari_sam2.widgets.workbench import Workbench

NAME = "what the model sees"


def show_current(bench: Workbench) -> None:
    """Show what the network gets to see of the current object on the frame on screen."""
    layers, image, controller = bench.require_layers(), bench.image, bench.controller
    if layers is None or image is None:
        return
    record = controller.require_record()
    if record is None:
        return
    session, object_id, frame = record.history.session, bench.object_id, bench.frame_on_screen

    def show(view: View) -> None:
        _put_over(bench.viewer, image, layers.labels, layers.geometry, frame, view)
        bench.viewer.layers.selection.active = layers.points
        bench.status.emit(
            f"{bench.notes.name(object_id)}, frame {frame}: the network sees this, at "
            f"{view.zoom[0]:.2f} of its pixels for one of yours.",
            "done",
        )

    controller.submit(lambda: session.view(object_id, frame), show, key="view")


def _put_over(
    viewer: ViewerModel,
    image: Image,
    labels: Labels,
    geometry: StackGeometry,
    frame: int,
    view: View,
) -> None:
    """Put a view over the image, on its frame and in its place; takes the place of an older one.

    Parameters
    ----------
    labels
        Lies over the image and has its axes without channels.
    """
    if NAME in viewer.layers:
        viewer.layers.remove(NAME)
    y, x = geometry.plane
    place = geometry.to_data(frame, *view.corner)
    height, width = view.image.shape[:2]
    shape = [1] * len(geometry.shape)
    shape[y], shape[x] = height, width
    settings: dict[str, Any] = copied_transform(labels)
    settings["translate"] = np.asarray(labels.data_to_world(place))
    scale = np.array(labels.scale, float)
    scale[[y, x]] /= view.zoom
    settings["scale"] = scale
    settings.pop("affine")  # it is in the translation
    layer = viewer.add_image(view.image.reshape(*shape, 3), name=NAME, rgb=True, **settings)
    viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(image) + 1)
