"""Masklets to, and prompts from, the regions of interest of ImageJ and Fiji."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi
from scipy.interpolate import CubicSpline

from napari_sam2.export.outlines import filled, outlines
from napari_sam2.export.rle import Region, regions
from napari_sam2.export.source import LabelSource
from napari_sam2.tracking.errors import InputError, reading
from napari_sam2.tracking.prompt import Prompt, Prompts, described

SUFFIXES = (".zip", ".roi")

_OURS = re.compile(r"object0*([1-9]\d*)-frame\d+")
_GROUPS = 255  # of ImageJ, each with a colour
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # steps of a path
_AREAS = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.OVAL)
_NO_AREAS = (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE)
_LARGEST = 60535  # coordinate of ImageJ's regions


def write_rois(path: Path, source: LabelSource) -> None:
    """Write a set for the ROI Manager: one region for each object and frame, pixel by pixel.

    A region is called after its object and its slice, which counts from 1; the regions of an object
    are a group, and so of one colour.
    """
    if max(source.frame_shape) > _LARGEST:
        raise InputError(f"regions of ImageJ end at pixel {_LARGEST}; export a label image")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for frame, plane in enumerate(source.planes()):
            for region in regions(plane):
                name = f"object{region.id:04d}-frame{frame + 1:04d}"
                file.writestr(f"{name}.roi", _roi(name, frame, region).tobytes())


def _roi(name: str, frame: int, region: Region) -> ImagejRoi:
    corner, mask = region.patch()
    lines = [line[:, ::-1] + corner[::-1] for line in outlines(mask)]
    low, high = np.min([a.min(0) for a in lines], 0), np.max([a.max(0) for a in lines], 0)
    roi = ImagejRoi(
        roitype=ROI_TYPE.TRACED,
        left=int(low[0]),
        top=int(low[1]),
        right=int(high[0]),
        bottom=int(high[1]),
        name=name,
        position=frame + 1,
        group=(region.id - 1) % _GROUPS + 1,
    )
    if len(lines) == 1:
        roi.integer_coordinates = np.asarray(lines[0] - low, np.int32)
        roi.n_coordinates = len(lines[0])
    else:  # ImageJ keeps what is of several pieces as a path
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = np.concatenate([_path(line) for line in lines])
        roi.shape_roi_size = len(roi.multi_coordinates)
    return roi


def _path(line: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Return a closed line (N, 2) as steps of a path."""
    steps = np.full((len(line), 3), _LINE, np.float32)
    steps[0, 0] = _MOVE
    steps[:, 1:] = line
    return np.append(steps.ravel(), np.float32(_CLOSE))


def read_rois(
    path: str | Path,
    shape: tuple[int, int],
    length: int,
    *,
    along: str = "T",
    frame: int = 0,
    planes: Mapping[str, int] | None = None,
) -> Prompts:
    """Read regions of interest as prompts.

    A rectangle is a box, another area a mask, and each point a click on an object of its own.
    Lines, angles and text are left out. Regions that `write_rois` has named are of the object in
    their name; all others get the ids after these, in the order of the file.

    Parameters
    ----------
    path
        A set (.zip) or a single region (.roi).
    shape, length
        (Y, X) and number of the frames.
    along
        "T" or "Z": which position of a hyperstack the frames are.
    frame
        The frame of regions without a position.
    planes
        Index along the other one: regions on other planes are left out.

    Raises
    ------
    InputError
        If the file cannot be read, holds nothing to use, or a region is not within the frames; the
        message names it.
    """
    path = Path(path)
    rois = [roi for roi in _read(path) if _usable(roi, planes or {})]
    named = [_OURS.fullmatch(roi.name) for roi in rois]
    free = max((int(match[1]) for match in named if match), default=0) + 1
    objects: Prompts = {}
    for roi, match in zip(rois, named, strict=True):
        try:
            for slice_, prompt in _said(roi, along, shape):
                at = slice_ - 1 if slice_ > 0 else frame
                if at >= length:
                    raise InputError(f"it is on slice {slice_}, but there are {length}")
                i = int(match[1]) if match else free
                free += not match
                by_frame = objects.setdefault(i, {})
                if at in by_frame:
                    raise InputError(f"{described(i, at)} is in the file twice")
                if prompt.thin is not None and prompt.thin.is_empty:
                    size = f"{shape[0]} x {shape[1]} pixels (Y x X)"
                    raise InputError(f"it covers no pixel of the frames, which are {size}")
                by_frame[at] = prompt.validate(shape, object_id=i, frame=at)
        except InputError as error:
            raise InputError(f"{path.name}: region {roi.name!r}: {error}") from error
    if not objects:
        here = " of this plane" if planes else ""
        raise InputError(
            f"{path.name} holds no points or areas{here}; add some to the ROI Manager, and save"
        )
    return objects


def _read(path: Path) -> list[ImagejRoi]:
    try:
        with reading(path):
            if path.suffix.lower() != ".zip":
                return [ImagejRoi.frombytes(path.read_bytes())]
            with zipfile.ZipFile(path) as file:
                names = [name for name in file.namelist() if name.lower().endswith(".roi")]
                # macOS puts files of its own into what it packs.
                ours = [name for name in names if not name.split("/")[-1].startswith("._")]
                return [ImagejRoi.frombytes(file.read(name)) for name in ours]
    except (InputError, MemoryError):
        raise
    except Exception as error:  # what is damaged raises whatever its first wrong byte leads to
        raise InputError(
            f"{path.name} holds no regions that can be read ({type(error).__name__}: {error}); "
            "save them again in the ROI Manager of Fiji"
        ) from error


def _usable(roi: ImagejRoi, planes: Mapping[str, int]) -> bool:
    """Whether a region says something, and on this plane."""
    on = {"T": roi.t_position, "Z": roi.z_position}
    here = all(on.get(letter, 0) in (0, index + 1) for letter, index in planes.items())
    areas = {ROI_TYPE.RECT, ROI_TYPE.POINT, *_AREAS}
    return here and roi.roitype in areas and roi.subtype not in _NO_AREAS


def _said(roi: ImagejRoi, along: str, shape: tuple[int, int]) -> Iterator[tuple[int, Prompt]]:
    """Yield what a region says and the slice that it is on, from 1; 0 where it does not say."""
    hyperstack = bool(roi.c_position or roi.z_position or roi.t_position)
    own = roi.z_position if along == "Z" else roi.t_position
    slice_ = own if hyperstack else roi.position
    if roi.roitype == ROI_TYPE.POINT:
        yield from _clicks(roi, slice_, hyperstack)
    elif roi.roitype == ROI_TYPE.RECT and not roi.composite and min(_sides(roi)) > 1:
        # Its sides run along the edges of pixels, those of a box through their middles.
        corners = [(roi.top, roi.left), (roi.bottom - 1, roi.right - 1)]
        yield slice_, Prompt(box=np.array(corners, float))
    else:
        yield slice_, Prompt(mask=filled(_lines(roi), shape))


def _sides(roi: ImagejRoi) -> tuple[int, int]:
    return roi.bottom - roi.top, roi.right - roi.left


def _clicks(roi: ImagejRoi, slice_: int, hyperstack: bool) -> Iterator[tuple[int, Prompt]]:
    """Yield the points of a region; each may have been set on a slice of its own."""
    points = _yx(roi.coordinates())
    slices = [slice_] * len(points)
    if roi.counter_positions is not None:
        counted = [int(n) for n in roi.counter_positions]
        # In a hyperstack they count through channels, slices and frames alike.
        if hyperstack and len(set(counted)) > 1:
            raise InputError(
                "its points are on several slices of a hyperstack, and it does not say on which; "
                "add those of each slice to the ROI Manager by themselves"
            )
        if not hyperstack:
            slices = [n or slice_ for n in counted]
    for point, its in zip(points, slices, strict=True):
        yield its, Prompt(points=point[None], positive=np.array([True]))


def _lines(roi: ImagejRoi) -> list[npt.NDArray[np.float64]]:
    """Return the closed lines around an area, (y, x)."""
    try:
        lines = [_yx(line) for line in roi.coordinates(multi=True)]
        if roi.options & ROI_OPTIONS.SPLINE_FIT and not roi.composite:
            lines = [_smooth(line) for line in lines]
    except Exception as error:  # as in `_read`; also curves in paths, which roifile does not know
        raise InputError(
            f"its outline cannot be read ({type(error).__name__}: {error}); fill it into a mask, "
            "and make a region of that (Edit > Selection)"
        ) from error
    return [line for line in lines if len(line) > 2]


def _smooth(corners: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a closed curve through the corners of a polygon, as ImageJ's *Fit Spline*."""
    if len(corners) < 4:
        return corners
    closed = np.append(corners, corners[:1], axis=0)
    curve = CubicSpline(np.arange(len(closed)), closed, bc_type="periodic")
    return np.asarray(curve(np.linspace(0, len(corners), 16 * len(corners))))


def _yx(xy: Any) -> npt.NDArray[np.float64]:
    return np.asarray(xy, float).reshape(-1, 2)[:, ::-1]
