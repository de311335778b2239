"""Between napari's layers and (frame, y, x): axes, coordinates, transforms.

Points, shapes and labels share the transform of their image, so their data coordinates are the
image's pixels whatever the scale, rotation or the order of the viewer's axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2.layer_data import PATH_KEY
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.masks.thin_mask import Place
from napari_sam2.tracking.stack.axes import DEPTH_NAMES

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

_TIME_NAMES = ("t", "time", "frame", "frames", "timepoint")
_CHANNEL_NAMES = ("c", "ch", "channel", "channels")
_MOST_CHANNELS = 4  # of an axis that nobody named
COPIED = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
"""What says where a layer lies; also the names of its events."""


def unwrapped(proxy: Any) -> Any:
    """Return the napari object behind the proxy that napari hands to plugins."""
    return getattr(proxy, "__wrapped__", proxy)


@dataclass(frozen=True)
class StackGeometry:
    """Which axes of an image are the frames, y and x, and where the others stand.

    Parameters
    ----------
    shape
        Of the image without channels.
    axis
        The propagation axis; None for a 2D image, which is one frame.
    fixed
        Index on each axis that is neither the propagation axis nor in the plane.
    """

    shape: tuple[int, ...]
    axis: int | None
    fixed: Mapping[int, int]

    @classmethod
    def of(cls, shape: tuple[int, ...], axis: int | None, steps: tuple[int, ...]) -> StackGeometry:
        """Geometry of an image of `shape`, propagated along `axis`, at the position `steps`."""
        shape = tuple(int(n) for n in shape)
        if len(shape) == 2:
            return cls(shape, None, {})
        axis = 0 if axis is None else axis % len(shape)
        rest = [a for a in range(len(shape)) if a != axis]
        fixed = {a: int(np.clip(steps[a], 0, shape[a] - 1)) for a in rest[:-2]}
        return cls(shape, axis, fixed)

    @property
    def plane(self) -> tuple[int, int]:
        """The axes of y and x."""
        rest = [a for a in range(len(self.shape)) if a != self.axis and a not in self.fixed]
        return rest[0], rest[1]

    @property
    def length(self) -> int:
        """Number of frames."""
        return 1 if self.axis is None else self.shape[self.axis]

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(Y, X) of a frame in pixels."""
        y, x = self.plane
        return self.shape[y], self.shape[x]

    @property
    def flat_shape(self) -> tuple[int, ...]:
        """The shape, one index deep along the axes that are fixed."""
        return tuple(1 if a in self.fixed else n for a, n in enumerate(self.shape))

    def index(self, frame: int, place: Place | None = None) -> tuple[int | slice, ...]:
        """Return what to index an array of `shape` with for the (Y, X) plane of `frame`.

        `place`: only these rows and columns of it.
        """
        index: list[int | slice] = [slice(None)] * len(self.shape)
        for axis, step in self.fixed.items():
            index[axis] = step
        if self.axis is not None:
            index[self.axis] = int(frame)
        if place is not None:
            for axis, part in zip(self.plane, place, strict=True):
                index[axis] = part
        return tuple(index)

    def frames_of(self, coords: npt.ArrayLike) -> npt.NDArray[np.intp]:
        """Frame of each data coordinate, (K, ndim) -> (K,)."""
        coords = np.atleast_2d(np.asarray(coords, dtype=float))
        if self.axis is None:
            return np.zeros(len(coords), dtype=np.intp)
        return np.round(coords[:, self.axis]).astype(np.intp)

    def yx(self, coords: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(y, x) of each data coordinate, (K, ndim) -> (K, 2)."""
        coords = np.atleast_2d(np.asarray(coords, dtype=float))
        return coords[:, list(self.plane)]

    def to_data(self, frame: int, y: float, x: float) -> npt.NDArray[np.float64]:
        """Return the data coordinate (ndim,) of a place on a frame."""
        coords = np.zeros(len(self.shape))
        for axis, step in self.fixed.items():
            coords[axis] = step
        if self.axis is not None:
            coords[self.axis] = frame
        coords[list(self.plane)] = y, x
        return coords

    def complaint(self, coords: npt.ArrayLike) -> str | None:
        """Say in words what keeps (K, ndim) data coordinates from being a prompt, or None."""
        coords = np.atleast_2d(np.asarray(coords, dtype=float))
        for axis, step in self.fixed.items():
            if (np.round(coords[:, axis]) != step).any():
                return (
                    f"This widget tracks in the plane at index {step} of axis {axis}; move that "
                    "slider back, or choose More > Start over to work in the plane on screen."
                )
        frames = self.frames_of(coords)
        if (frames != frames[0]).any():
            return "A shape must lie in one frame; draw it again in the 2D view of y and x."
        if not 0 <= frames[0] < self.length:
            return f"Frame {frames[0]} does not exist; there are frames 0 to {self.length - 1}."
        low, high = self.yx(coords).min(axis=0), self.yx(coords).max(axis=0)
        last = np.array(self.frame_shape) - 1
        outside = (high <= 0) | (low >= last)  # a shape holds the middle of no pixel
        if len(coords) == 1:
            outside = (low < -0.5) | (high > last + 0.5)
        if outside.any():
            return "That is outside the image; click inside it."
        return None


def image_shape(layer: Image, channel_axis: int | None = None) -> tuple[int, ...]:
    """Shape of the image in pixels at full resolution, without channels."""
    shape = tuple(int(n) for n in full_resolution(layer).shape)
    return tuple(shape[a] for a in image_axes(layer, channel_axis))


def image_axes(layer: Image, channel_axis: int | None = None) -> list[int]:
    """Return the axes of the layer that are none of channels."""
    return [a for a in range(layer.ndim) if a != channel_axis]


def stack_axis(geometry: StackGeometry) -> int:
    """Propagation axis counted in the array of the frames, where the extra axes are fixed."""
    axis = geometry.axis or 0
    return axis - sum(fixed < axis for fixed in geometry.fixed)


def full_resolution(layer: Image) -> Any:
    """Return the array of a layer, of several resolutions the highest."""
    return layer.data[0] if layer.multiscale else layer.data


def source_path(layer: Image) -> str:
    """Return the file that an image was read from, or "" where there was none."""
    path = layer.metadata.get(PATH_KEY) or getattr(layer.source, "path", None)
    return str(Path(path).absolute()) if path else ""


def file_scale(layer: Image) -> tuple[dict[str, float], str | None]:
    """Return the steps along the axes of an image's file by letter, and the unit of lengths."""
    from napari_sam2.stacks import open_all

    path = source_path(layer)
    if not path:
        return {}, None
    try:
        stack = open_all(path)
    except InputError:
        return {}, None
    return stack.scale, stack.unit


def axis_choices(layer: Image, channel_axis: int | None = None) -> list[tuple[str, int | None]]:
    """Name and index, without channels, of each axis that frames can be counted along."""
    shape = image_shape(layer, channel_axis)
    if len(shape) == 2:
        return [("none: one image", None)]
    names = named_axes(layer, channel_axis)
    return [(f"{names[a]} ({shape[a]} frames)", a) for a in range(len(shape))]


def named_axes(layer: Image, channel_axis: int | None = None) -> list[str]:
    """Return the names of the axes without channels."""
    known = _known_names(layer) or [f"axis {a}" for a in range(layer.ndim)]
    return [known[a] for a in image_axes(layer, channel_axis)]


def has_names(layer: Image) -> bool:
    """Whether anything tells what the axes are."""
    return _known_names(layer) is not None


def _known_names(layer: Image) -> list[str] | None:
    """Return the names of all axes, where anything tells them."""
    if _has_axis_labels(layer):
        return [str(name) for name in layer.axis_labels]
    told = layer.metadata.get("axes")
    if isinstance(told, str) and len(told) == layer.ndim:
        return list(told)
    return _tiff_axes(layer)


def guess_axis(layer: Image, channel_axis: int | None = None) -> int | None:
    """Time before depth, by the layer's axis labels, then the TIFF it came from; else the first."""
    shape = image_shape(layer, channel_axis)
    if len(shape) == 2:
        return None
    names = [name.lower() for name in named_axes(layer, channel_axis)]
    for wanted in (_TIME_NAMES, DEPTH_NAMES):
        for axis, name in enumerate(names):
            if name in wanted and shape[axis] > 1:
                return axis
    return next((a for a, n in enumerate(shape[:-2]) if n > 1), 0)


def guess_channel_axis(layer: Image) -> int | None:
    """Return the axis of channels by its name; by its size where four or more have no names."""
    if layer.rgb:
        return None
    shape, names = image_shape(layer), _known_names(layer)
    if names is not None:
        named = [a for a, name in enumerate(names) if name.lower() in _CHANNEL_NAMES]
        return named[0] if named and shape[named[0]] > 1 else None
    small = [a for a, n in enumerate(shape) if 2 <= n <= _MOST_CHANNELS]
    if len(shape) < 4 or len(small) != 1 or small[0] not in (0, 1, len(shape) - 1):
        return None
    others = [n for a, n in enumerate(shape) if a != small[0]]
    # All small: channels cannot be told from time and depth.
    return small[0] if max(others[:-2]) > _MOST_CHANNELS else None


def is_depth(name: str) -> bool:
    """Whether an axis of this name goes through a volume."""
    return name.lower() in DEPTH_NAMES


def is_time(name: str) -> bool:
    """Whether an axis of this name goes through time."""
    return name.lower() in _TIME_NAMES


def _has_axis_labels(layer: Image) -> bool:
    """Whether somebody named the axes; napari's own names are negative numbers."""
    return not all(str(name).lstrip("-").isdigit() for name in layer.axis_labels)


def _tiff_axes(layer: Image) -> list[str] | None:
    """One letter per axis of the layer, from the header of the TIFF it was read from."""
    path = getattr(layer.source, "path", None)
    if not isinstance(path, str | Path) or Path(path).suffix.lower() not in (".tif", ".tiff"):
        return None
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            said = tiff.shaped_metadata or ({},)  # what tifffile wrote
            if not (tiff.is_ome or tiff.is_imagej or "axes" in said[0]):
                return None
            series = tiff.series[0]
            sizes = dict(zip(series.axes, series.shape, strict=True))
    except (OSError, ValueError, IndexError, tifffile.TiffFileError):
        return None
    shape = image_shape(layer)
    for letters in (
        [a for a in sizes if a != "S"],
        [a for a, n in sizes.items() if n > 1 and a != "S"],
        [a for a in sizes if a not in "SC"],
    ):
        if tuple(sizes[a] for a in letters) == shape:
            return letters
    return None


def copied_transform(layer: Layer, axes: Sequence[int] | None = None) -> dict[str, Any]:
    """Keywords that give a new layer the place, scale, units and axes of `layer`.

    Parameters
    ----------
    axes
        Those of `layer` that the new one has, in its order; None for all.
    """
    if axes is None or list(axes) == list(range(layer.ndim)):
        return {name: getattr(layer, name) for name in COPIED}
    axes = list(axes)
    shear = np.eye(layer.ndim)
    shear[np.triu_indices(layer.ndim, 1)] = layer.shear
    return {
        "scale": np.asarray(layer.scale)[axes],
        "translate": np.asarray(layer.translate)[axes],
        "rotate": np.asarray(layer.rotate)[np.ix_(axes, axes)],
        "shear": shear[np.ix_(axes, axes)],
        "affine": layer.affine.set_slice(axes),
        "units": [layer.units[a] for a in axes],
        "axis_labels": [layer.axis_labels[a] for a in axes],
    }


def frame_on_screen(viewer: ViewerModel, layer: Layer, geometry: StackGeometry) -> int:
    """Index of the frame that the viewer shows."""
    if geometry.axis is None:
        return 0
    here = np.asarray(layer.world_to_data(viewer.dims.point))[geometry.axis]
    return int(np.clip(np.round(here), 0, geometry.length - 1))


def steps_on_screen(viewer: ViewerModel, layer: Layer) -> tuple[int, ...]:
    """Index on every axis of `layer` where the viewer's sliders stand."""
    return tuple(int(np.round(c)) for c in layer.world_to_data(viewer.dims.point))


def plane_complaint(viewer: ViewerModel, layer: Layer, geometry: StackGeometry) -> str | None:
    """Say in words that another plane of a volume is on screen than objects are in, if it is."""
    coords, here = geometry.to_data(0, 0, 0), layer.world_to_data(viewer.dims.point)
    for axis in geometry.fixed:
        if viewer.dims.ndim - layer.ndim + axis not in viewer.dims.displayed:
            coords[axis] = here[axis]
    return geometry.complaint(coords)


def show_frame(viewer: ViewerModel, layer: Layer, geometry: StackGeometry, frame: int) -> None:
    """Move the viewer's slider to `frame`."""
    if geometry.axis is None:
        return
    world = layer.data_to_world(geometry.to_data(frame, 0, 0))
    offset = viewer.dims.ndim - layer.ndim
    viewer.dims.set_point(offset + geometry.axis, world[geometry.axis])


def show_planes(viewer: ViewerModel, layer: Layer, geometry: StackGeometry) -> None:
    """Move the viewer's sliders to the plane that objects are followed in."""
    world = layer.data_to_world(geometry.to_data(0, 0, 0))
    for axis in geometry.fixed:
        viewer.dims.set_point(viewer.dims.ndim - layer.ndim + axis, world[axis])
