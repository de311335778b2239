"""Masklets as tables: centroids for napari's Tracks layer, measurements for spreadsheets."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import regionprops_table

from napari_sam2.export.source import LabelSource, numbered
from napari_sam2.physical_units import length_symbol

_SHAPE = ("label", "num_pixels", "area", "centroid", "bbox")
_ELLIPSE = ("axis_major_length", "axis_minor_length", "eccentricity")
_INTENSITY = ("intensity_mean", "intensity_max", "intensity_min")
# The columns that say how sure the network was, and what of a `Quality` is in them.
QUALITY = {
    "predicted_iou": "iou",
    "object_score": "object_score",
    "stability": "stability",
    "interpolated": "interpolated",  # 0 or 1
}


def tracks_of(labels: Any) -> npt.NDArray[np.float64]:
    """Return the centroids of all objects as the data of a napari Tracks layer.

    Parameters
    ----------
    labels
        (T, Y, X) integers: numpy, zarr or dask. Read frame by frame.

    Returns
    -------
    ndarray
        (N, 4): id, frame, y, x in pixels, by id and frame. An object that is away for some frames
        is one track; the layer draws a line across.

    Raises
    ------
    InputError
        If the labels are unusable.
    """
    return _centroids(LabelSource(labels))


def graph_of(tracks: npt.ArrayLike, parents: Mapping[int, int]) -> dict[int, list[int]]:
    """Return the `graph` of a napari Tracks layer: the mother of each daughter, where both are.

    Parameters
    ----------
    tracks
        (N, 4), from `tracks_of`; only the ids in the first column count.
    parents
        Id of the mother by id of the daughter: `TrackingSession.parents`, or from `open_parents`.

    Examples
    --------
    >>> tracks = tracks_of(labels)
    >>> viewer.add_tracks(tracks, graph=graph_of(tracks, session.parents))
    """
    ids = set(np.unique(np.asarray(tracks).reshape(-1, 4)[:, 0]).astype(int).tolist())
    return {i: [parent] for i, parent in parents.items() if i in ids and parent in ids}


def _centroids(source: LabelSource) -> npt.NDArray[np.float64]:
    rows = [np.empty((0, 4))]
    for frame, plane in enumerate(source.planes()):
        y, x = np.nonzero(plane)
        ids, place, area = np.unique(plane[y, x], return_inverse=True, return_counts=True)
        centres = [np.bincount(place, axis) / area for axis in (y, x)]
        rows.append(np.column_stack([ids, np.full(len(ids), frame), *centres]))
    tracks = np.concatenate(rows)
    return tracks[np.lexsort((tracks[:, 1], tracks[:, 0]))]


def write_tracks(path: Path, source: LabelSource) -> None:
    """Write `track_id,t,y,x`, in frames and pixels, as `tracks_of` returns them."""
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write("track_id,t,y,x\n")
        file.writelines(f"{i:.0f},{t:.0f},{y:.10g},{x:.10g}\n" for i, t, y, x in _centroids(source))


def write_measurements(path: Path, source: LabelSource) -> None:
    """Write one line for each object and frame, as the frames are read."""
    names: list[str] = []
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for frame, plane in enumerate(source.planes()):
            columns = _measured(frame, plane, source)
            if not names:
                names = list(columns)
                writer.writerow(names)
            writer.writerows(_lines(columns))


def _measured(
    frame: int, plane: npt.NDArray[Any], source: LabelSource
) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of one frame, an entry for each object."""
    steps = (source.scale["Y"], source.scale["X"]) if source.unit else (1.0, 1.0)
    # Consecutive labels: the time and memory of regionprops go with the highest.
    ids, place = numbered(plane)
    image = None if source.image is None else source.image.plane(source.place(frame))
    found = regionprops_table(
        place + int(ids[0] > 0),  # 0 is the background
        image,
        properties=(*_SHAPE, *_ELLIPSE, *(_INTENSITY if image is not None else ())),
        spacing=steps,
    )
    objects = ids[ids > 0]
    columns = {"object_id": objects, "frame": np.full(len(objects), frame)}
    if source.parents is not None:
        parents = [source.parents.get(i, 0) for i in objects.tolist()]
        columns["parent"] = np.array(parents, np.int64)
    columns |= _place_along_axis(frame, len(objects), source)
    columns |= _shapes(found, steps, source.unit)
    columns |= _intensities(found, source)
    if source.quality:
        columns |= _qualities(objects, frame, source)
    return columns


def _place_along_axis(
    frame: int, count: int, source: LabelSource
) -> dict[str, npt.NDArray[np.float64]]:
    """Return where the frame is in time or depth; a step of 1 s may be no more than unknown."""
    step = source.scale.get(source.axes[0], 1.0)
    if source.axes == "TYX" and step != 1.0:
        return {"time_s": np.full(count, frame * step)}
    if source.axes == "ZYX" and source.unit:
        return {f"z_{_ascii(source.unit)}": np.full(count, frame * step)}
    return {}


def _shapes(
    found: dict[str, npt.NDArray[Any]], steps: tuple[float, float], unit: str | None
) -> dict[str, npt.NDArray[Any]]:
    """Name the columns; what has a length is in pixels, in the unit, or both."""
    y, x = found["centroid-0"], found["centroid-1"]
    top, left, bottom, right = (found[f"bbox-{k}"] for k in range(4))
    length = _ascii(unit) if unit else "px"
    columns = {"area_px": found["num_pixels"]}
    columns |= {f"area_{length}2": found["area"]} if unit else {}
    columns |= {"centroid_y_px": y / steps[0], "centroid_x_px": x / steps[1]}
    columns |= {f"centroid_y_{length}": y, f"centroid_x_{length}": x} if unit else {}
    return columns | {
        "bbox_y_px": top,
        "bbox_x_px": left,
        "bbox_height_px": bottom - top,
        "bbox_width_px": right - left,
        f"major_axis_{length}": found["axis_major_length"],
        f"minor_axis_{length}": found["axis_minor_length"],
        "eccentricity": found["eccentricity"],
    }


def _intensities(
    found: dict[str, npt.NDArray[Any]], source: LabelSource
) -> dict[str, npt.NDArray[Any]]:
    """Name the columns by the channel, if there are several: intensity_mean_0, ..."""
    if source.image is None:
        return {}
    suffixes = source.image.suffixes
    return {
        f"{what}{suffix}": found[f"{what}-{k}" if suffix else what]
        for what in _INTENSITY
        for k, suffix in enumerate(suffixes)
    }


def _qualities(
    objects: npt.NDArray[Any], frame: int, source: LabelSource
) -> dict[str, npt.NDArray[np.float64]]:
    known = [source.quality.get(i, {}).get(frame) for i in objects.tolist()]
    return {
        name: np.array([np.nan if one is None else getattr(one, field) for one in known], float)
        for name, field in QUALITY.items()
    }


def _lines(columns: dict[str, npt.NDArray[Any]]) -> Iterator[list[str]]:
    """Yield the cells of each row; what is not known stays empty."""
    for row in zip(*(values.tolist() for values in columns.values()), strict=True):
        yield [cell(value) for value in row]


def cell(value: float) -> str:
    """Return a number as it stands in a table; what is not known is empty."""
    if isinstance(value, int):
        return str(value)
    return "" if math.isnan(value) else f"{value:.9g}"


def _ascii(unit: str) -> str:
    """Return the unit's symbol as a name of a column can hold it."""
    return length_symbol(unit).replace("µ", "u").replace("Å", "A")
