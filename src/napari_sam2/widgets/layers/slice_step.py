"""How far slices lie apart: what a view in 3D and measurements in depth need to know."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.layers.sources import STEP_KEY

if TYPE_CHECKING:
    from napari_sam2.widgets.workbench import Workbench


@dataclass(frozen=True)
class SliceStep:
    """The distance of two frames along the axis that they are counted on.

    Parameters
    ----------
    value
        In `unit`.
    unit
        Of the image's y axis; "pixel" where it has none.
    pixel
        Size of a pixel in `unit`.
    """

    value: float
    unit: str
    pixel: float


def current_step(bench: Workbench) -> SliceStep | None:
    """Return the step of the layer, or of its file where the layer has none; None: no frames."""
    source, layers = bench.source, bench.layers
    if source is None or layers is None or layers.geometry.axis is None:
        return None
    geometry, image = layers.geometry, source.image
    along, across = source.axes[layers.geometry.axis], source.axes[geometry.plane[0]]
    pixel, value = float(image.scale[across]), float(image.scale[along])
    if not source.knows_step(geometry):
        value = pixel * (_ratio_in_file(bench.source_path, source.frame_axis(geometry)) or 1.0)
    return SliceStep(value, str(image.units[across]), pixel)


def _ratio_in_file(path: str, axis: str) -> float | None:
    """Return the step along an axis in pixels, where the file says it."""
    from napari_sam2.stacks import open_all  # brings torch

    scale: dict[str, float] = {}
    if path:
        with suppress(InputError, OSError, ValueError):
            scale = open_all(path).scale
    return scale[axis] / scale["Y"] if scale.get(axis) and scale.get("Y") else None


def set_step(bench: Workbench, value: float) -> None:
    """Take the step that the user gives, in units of the image's y axis, and save it."""
    lay_out(bench, value)
    bench.controller.save()


def lay_out(bench: Workbench, value: float) -> None:
    """Set the step of the image and of all that lies over it, without saving the session."""
    source, layers = bench.source, bench.layers
    if source is None or layers is None or layers.geometry.axis is None:
        bench.say_what_to_do()
        return
    image, frame = source.image, bench.frame_on_screen
    along = source.axes[layers.geometry.axis]
    before = image.scale[along]
    for layer in bench.viewer.layers:
        axis = layer.ndim - (image.ndim - along)
        if axis >= 0 and layer.scale[axis] == before:
            _rescale(layer, axis, value)
    image.metadata[STEP_KEY] = value
    bench.show_frame(frame)  # the slider's place is in units of length
    bench.space.fit()
    if bench.controller.keeper is not None:
        bench.controller.keeper.slice_step = value
    bench.status.emit(f"The step between slices is {value:g} now.", "done")


def _rescale(layer: Any, axis: int, value: float) -> None:
    scale = layer.scale.copy()
    scale[axis] = value
    layer.scale = scale
