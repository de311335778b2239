"""Between napari's layers and (frame, y, x): axes, coordinates, transforms.

Points, shapes and labels share the transform of their image, so their data coordinates are the
image's pixels whatever the scale, rotation or the order of the viewer's axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

_TIME_NAMES = ("t", "time", "frame", "frames", "timepoint")
_DEPTH_NAMES = ("z", "depth", "slice", "plane")
PATH_KEY = "napari_sam2_path"
"""In the metadata of an image that we opened ourselves: its file."""
_COPIED = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


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

    def index(self, frame: int) -> tuple[int | slice, ...]:
        """Return what to index an array of `shape` with for the (Y, X) plane of `frame`."""
        place: list[int | slice] = [slice(None)] * len(self.shape)
        for axis, step in self.fixed.items():
            place[axis] = step
        if self.axis is not None:
            place[self.axis] = int(frame)
        return tuple(place)

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
                    "slider back, or choose the image again to start in this plane."
                )
        frames = self.frames_of(coords)
        if (frames != frames[0]).any():
            return "A shape must lie in one frame; draw it again in the 2D view."
        if not 0 <= frames[0] < self.length:
            return f"Frame {frames[0]} does not exist; there are frames 0 to {self.length - 1}."
        low, high = self.yx(coords).min(axis=0), self.yx(coords).max(axis=0)
        limits = np.array(self.frame_shape) - 0.5
        outside = (high < -0.5) | (low > limits)
        if len(coords) == 1:
            outside = (low < -0.5) | (high > limits)
        if outside.any():
            return "That is outside the image; click inside it."
        return None


def image_shape(layer: Image) -> tuple[int, ...]:
    """Shape of the image in pixels at full resolution, without channels."""
    shape = tuple(int(n) for n in _full_resolution(layer).shape)
    return shape[:-1] if layer.rgb else shape


def stack_data(layer: Image, geometry: StackGeometry) -> Any:
    """Return the array of the frames: the extra axes fixed, nothing read that need not be."""
    data = _full_resolution(layer)
    if not geometry.fixed:
        return data
    if not isinstance(data, np.ndarray) and not hasattr(data, "dask"):
        import dask.array as da

        # Slicing zarr and its like reads at once; dask's slices are views.
        data = da.from_array(data, chunks=getattr(data, "chunks", "auto"))
    place: list[int | slice] = [slice(None)] * len(data.shape)
    for axis, step in geometry.fixed.items():
        place[axis] = step
    return data[tuple(place)]


def stack_axis(geometry: StackGeometry) -> int:
    """Propagation axis counted in what `stack_data` returns."""
    axis = geometry.axis or 0
    return axis - sum(fixed < axis for fixed in geometry.fixed)


def _full_resolution(layer: Image) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def frame_axis(layer: Image, geometry: StackGeometry) -> str:
    """Return "Z" where frames are slices of a volume, "T" otherwise."""
    if geometry.axis is None:
        return "T"
    return "Z" if _named_axes(layer)[geometry.axis].lower() in _DEPTH_NAMES else "T"


def frame_scale(
    layer: Image, geometry: StackGeometry, letter: str
) -> tuple[dict[str, float], str | None]:
    """Return the steps along T or Z, Y and X, and the unit of lengths; None for pixels."""
    y, x = geometry.plane
    axes = {"Y": y, "X": x} | ({} if geometry.axis is None else {letter: geometry.axis})
    scale = {name: abs(float(layer.scale[axis])) for name, axis in axes.items()}
    unit = str(layer.units[y])
    return scale, None if unit in ("pixel", "dimensionless", "") else unit


def file_axes(layer: Image, geometry: StackGeometry) -> str:
    """Return "TYX" or "ZYX" where the layer is a plain stack of frames, "" otherwise."""
    plain = geometry.axis == 0 and len(geometry.shape) == 3
    return f"{frame_axis(layer, geometry)}YX" + ("C" if layer.rgb else "") if plain else ""


def source_path(layer: Image) -> str:
    """Return the file that an image was read from, or "" where there was none."""
    path = layer.metadata.get(PATH_KEY) or getattr(layer.source, "path", None)
    return str(Path(path).absolute()) if path else ""


def axis_choices(layer: Image) -> list[tuple[str, int | None]]:
    """Name and index of each axis that frames can be counted along."""
    shape = image_shape(layer)
    if len(shape) == 2:
        return [("none: one image", None)]
    names = _named_axes(layer)
    return [(f"{names[a]} ({shape[a]} frames)", a) for a in range(len(shape))]


def _named_axes(layer: Image) -> list[str]:
    if _has_axis_labels(layer):
        return [str(name) for name in layer.axis_labels]
    return list(_tiff_axes(layer) or [f"axis {a}" for a in range(layer.ndim)])


def guess_axis(layer: Image) -> int | None:
    """Time before depth, by the layer's axis labels, then the TIFF it came from; else the first."""
    shape = image_shape(layer)
    if len(shape) == 2:
        return None
    names = [name.lower() for name in _named_axes(layer)]
    for wanted in (_TIME_NAMES, _DEPTH_NAMES):
        for axis, name in enumerate(names):
            if name in wanted and shape[axis] > 1:
                return axis
    return next((a for a, n in enumerate(shape[:-2]) if n > 1), 0)


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
            if not (tiff.is_ome or tiff.is_imagej):
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


def copied_transform(layer: Layer) -> dict[str, Any]:
    """Keywords that give a new layer the place, scale, units and axes of `layer`."""
    return {name: getattr(layer, name) for name in _COPIED}


def frame_on_screen(viewer: ViewerModel, layer: Layer, geometry: StackGeometry) -> int:
    """Index of the frame that the viewer shows."""
    if geometry.axis is None:
        return 0
    here = np.asarray(layer.world_to_data(viewer.dims.point))[geometry.axis]
    return int(np.clip(np.round(here), 0, geometry.length - 1))


def steps_on_screen(viewer: ViewerModel, layer: Layer) -> tuple[int, ...]:
    """Index on every axis of `layer` where the viewer's sliders stand."""
    return tuple(int(np.round(c)) for c in layer.world_to_data(viewer.dims.point))


def show_frame(viewer: ViewerModel, layer: Layer, geometry: StackGeometry, frame: int) -> None:
    """Move the viewer's slider to `frame`."""
    if geometry.axis is None:
        return
    world = layer.data_to_world(geometry.to_data(frame, 0, 0))
    offset = viewer.dims.ndim - layer.ndim
    viewer.dims.set_point(offset + geometry.axis, world[geometry.axis])
