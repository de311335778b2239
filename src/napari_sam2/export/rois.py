"""Masklets to, and prompts from, the regions of interest of ImageJ and Fiji."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi

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


def write_rois(path: Path, source: LabelSource) -> None:
    """Write a set for the ROI Manager: one region for each object and frame, pixel by pixel.

    A region is called after its object and its slice, which counts from 1; the regions of an object
    are a group, and so of one colour.
    """
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
    path: Path, shape: tuple[int, int], length: int, *, along: str = "T", frame: int = 0
) -> Prompts:
    """Read regions of interest as prompts.

    A rectangle is a box, another area a mask, and each point a click on an object of its own.
    Regions that `write_rois` has named are of the object in their name; all others get the ids
    after these, in the order of the file.

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

    Raises
    ------
    InputError
        If the file cannot be read, or a region is no prompt or not within the frames; the message
        names it.
    """
    path = Path(path)
    rois = _read(path)
    named = [_OURS.fullmatch(roi.name) for roi in rois]
    free = max((int(match[1]) for match in named if match), default=0) + 1
    objects: Prompts = {}
    for roi, match in zip(rois, named, strict=True):
        try:
            for slice_, prompt in _prompts(roi, along, shape):
                at = slice_ - 1 if slice_ else frame
                if at >= length:
                    raise InputError(f"it is on slice {slice_}, but there are {length}")
                i = int(match[1]) if match else free
                free += not match
                by_frame = objects.setdefault(i, {})
                if at in by_frame:
                    raise InputError(f"{described(i, at)} is in the file twice")
                if prompt.mask is not None and not prompt.mask.any():
                    size = f"{shape[0]} x {shape[1]} pixels (Y x X)"
                    raise InputError(f"it covers no pixel of the frames, which are {size}")
                by_frame[at] = prompt.validate(shape, object_id=i, frame=at)
        except InputError as error:
            raise InputError(f"{path.name}: region {roi.name!r}: {error}") from error
    if not objects:
        raise InputError(f"{path.name} holds no regions; add some to the ROI Manager, and save")
    return objects


def _read(path: Path) -> list[ImagejRoi]:
    try:
        with reading(path):
            found = ImagejRoi.fromfile(path)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # what is damaged raises whatever its first wrong byte leads to
        raise InputError(
            f"{path.name} holds no regions that can be read ({type(error).__name__}: {error}); "
            "save them again in the ROI Manager of Fiji"
        ) from error
    return found if isinstance(found, list) else [found]


def _prompts(roi: ImagejRoi, along: str, shape: tuple[int, int]) -> Iterator[tuple[int, Prompt]]:
    """Yield what a region says and the slice that it is on, from 1; 0 where it does not say."""
    slice_ = roi.position or (roi.z_position if along == "Z" else roi.t_position)
    if roi.composite:
        lines = [_yx(line) for line in roi.coordinates(multi=True)]
        yield slice_, Prompt(mask=filled(lines, shape))
    elif roi.roitype == ROI_TYPE.POINT:
        points = np.floor(_yx(roi.coordinates()))
        # Of many points, each may have been set on a slice of its own.
        own = [0] * len(points) if roi.counter_positions is None else roi.counter_positions
        for point, its in zip(points, own, strict=True):
            yield int(its) or slice_, Prompt(points=point[None], positive=np.array([True]))
    elif roi.roitype == ROI_TYPE.RECT and not roi.rounded_rect_arc_size:
        # Its sides run along the edges of pixels, those of a box through their middles.
        corners = [(roi.top, roi.left), (roi.bottom - 1, roi.right - 1)]
        yield slice_, Prompt(box=np.array(corners, float))
    elif roi.roitype in _AREAS and roi.subtype != ROI_SUBTYPE.TEXT:
        yield slice_, Prompt(mask=filled([_yx(roi.coordinates())], shape))
    else:
        kind = roi.roitype.name.lower()
        raise InputError(f"a {kind} is no prompt; draw points, rectangles or other areas")


def _yx(xy: Any) -> npt.NDArray[np.float64]:
    return np.asarray(xy, float).reshape(-1, 2)[:, ::-1]
