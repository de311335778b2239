"""Masklets to and from files of every format: the one door for window, Python and terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from napari_sam2.export.coco import read_coco, write_coco
from napari_sam2.export.ctc import (
    is_ctc,
    read_ctc,
    read_parents,
    volume_axes,
    write_ctc,
    written_by_us,
)
from napari_sam2.export.files import check_free, check_space, check_writable, completed
from napari_sam2.export.geojson import SUFFIX as GEOJSON
from napari_sam2.export.geojson import write_geojson
from napari_sam2.export.labels import (
    TIFF,
    ZARR,
    is_label_zarr,
    open_labels,
    write_imagej_tiff,
    write_ome_tiff,
    write_ome_zarr,
)
from napari_sam2.export.masks_json import read_json
from napari_sam2.export.rois import SUFFIXES as ROIS
from napari_sam2.export.rois import write_rois
from napari_sam2.export.sa_v import read_sa_v, write_sa_v
from napari_sam2.export.source import LabelSource, Progress, Qualities
from napari_sam2.export.tables import write_measurements, write_tracks
from napari_sam2.stacks import Stack, axes_of
from napari_sam2.tracking.errors import InputError, reading

# No stream of zlib is shorter than this share of its content.
_ZLIB = 1 / 1032
# Measured with zarr: one cell of 30 pixels on frames of 2048 x 2048.
_SPARSE = 1 / 20_000
# An image of labels with less room than this has none: its frames are kept beside it, too.
_FULL = 2**20
# The smallest file of most disks, for tables and JSON: how long these get, nobody knows.
_BLOCK = 4096


class Format(NamedTuple):
    """A way to write masklets.

    Parameters
    ----------
    title
        For a menu.
    suffixes
        What its files' names end in; none for a folder.
    write
        Writes a new file or folder.
    passes
        How often it reads the frames.
    ours
        Whether something is of this kind, and so may be replaced.
    least
        What it takes on a disk in any case, as a share of the labels in 16 bits.
    lineage, quality
        Whether it holds `parents`, and how sure the network was.
    """

    title: str
    suffixes: tuple[str, ...]
    write: Callable[[Path, LabelSource], None]
    passes: int = 1
    ours: Callable[[Path], bool] = Path.is_file
    least: float = 0.0
    lineage: bool = False
    quality: bool = False


# The first one with a suffix is what the suffix stands for.
FORMATS: dict[str, Format] = {
    "tiff": Format("OME-TIFF", TIFF, write_ome_tiff, least=_ZLIB),
    "imagej": Format("ImageJ TIFF", TIFF, write_imagej_tiff, least=1.0),
    "zarr": Format("OME-Zarr", ZARR, write_ome_zarr, ours=is_label_zarr, least=_SPARSE),
    "ctc": Format("Cell Tracking Challenge folder", (), write_ctc, 2, written_by_us, _ZLIB, True),
    "coco": Format("COCO JSON", (".json",), write_coco, quality=True),
    "sa-v": Format("SA-V JSON", (".json",), write_sa_v, 2),
    "rois": Format("ImageJ regions (ROI Manager)", ROIS[:1], write_rois),
    "geojson": Format("GeoJSON (QuPath)", (GEOJSON,), write_geojson, quality=True),
    "csv": Format("Measurements (CSV)", (".csv",), write_measurements, lineage=True, quality=True),
    "tracks": Format("Tracks (CSV)", (".csv",), write_tracks),
}


def export_masklets(
    path: str | Path,
    labels: Any,
    format: str | None = None,
    *,
    axes: str = "TYX",
    scale: Mapping[str, float] | None = None,
    unit: str | None = None,
    image: Any = None,
    quality: Qualities | None = None,
    parents: Mapping[int, int] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Write masklets in a format that other programs read.

    Frame by frame, so that neither labels nor image are in memory as a whole. What is written takes
    its name only once it is complete.

    Parameters
    ----------
    path
        A file, or a folder for "ctc"; the folder around it is made where it is missing.
    labels
        (T, Y, X) or (Y, X) integers, 0 is background: numpy, zarr or dask.
    format
        A name in `FORMATS`: "tiff", "imagej", "zarr", "ctc", "coco", "sa-v", "rois", "geojson",
        "csv" or "tracks". None: by the suffix; .json is COCO, .csv measurements, and no suffix a
        CTC folder.
    axes
        "TYX", "ZYX" or "YX".
    scale
        Step along T in seconds, along Z, Y, X in `unit`; 1.0 where missing.
    unit
        Of the lengths, e.g. "micrometer" or "nm", see `LENGTHS`; None for pixels.
    image
        (T, Y, X) or (T, Y, X, C), of the same frames: its intensities are measured ("csv"). Or
        such arrays (T, Y, X) by the name of the channel, which their columns end in.
    quality
        Object id -> frame -> how sure the network was, and whether the mask is interpolated ("csv",
        "coco" and "geojson").
    parents
        Id of the mother by id of the daughter, as `TrackingSession.parents` ("ctc" and "csv").
    overwrite
        Replace what is at `path`, if it is of the same kind.
    progress
        Called after each frame with the frames done and in all; a format that reads the frames
        twice counts them twice. If it raises, nothing is left behind.

    Returns
    -------
    What the format could not hold of what was given, in words: divisions, say.

    Raises
    ------
    InputError
        If anything given is unusable, or `path` exists and `overwrite` is false.
    OutputError
        If it cannot be written; the message says whether the disk is full.
    """
    path = Path(path)
    chosen = FORMATS[check_target(path, format, overwrite)]
    source = LabelSource(
        labels,
        axes,
        scale,
        unit,
        name=path.stem,
        image=image,
        quality=quality,
        parents=parents,
        passes=chosen.passes,
        progress=progress,
    )
    with completed(path, overwrite, chosen.ours) as partial:
        chosen.write(partial, source)
    return *source.remarks, *_left_out(chosen, source)


def _left_out(chosen: Format, source: LabelSource) -> list[str]:
    """Say what was given and a format has no place for, and which ones have."""
    said = []
    divisions = len(set((source.parents or {}).values()))
    if divisions and not chosen.lineage:
        what = "1 division is" if divisions == 1 else f"{divisions} divisions are"
        where = "a Cell Tracking Challenge folder, measurements or a session file"
        said.append(f"{what} not in it, only in {where}")
    if source.quality and not chosen.quality:
        said.append("the quality of the masks is not in it, only in COCO, GeoJSON and measurements")
    return said


def check_target(path: Path, format: str | None = None, overwrite: bool = False) -> str:
    """Return the name of the format for a path, or refuse the path before any work.

    Raises
    ------
    InputError
        As from `format_of`, or if the path is taken.
    OutputError
        If nothing can be written there.
    """
    name = format_of(path, format)
    check_free(path, overwrite, FORMATS[name].ours)
    check_writable(path)
    return name


def format_of(path: Path, format: str | None = None) -> str:
    """Return the name of the format for a path; None: by the suffix.

    Raises
    ------
    InputError
        If the format is unknown, or the name does not go with it.
    """
    suffix = path.suffix.lower()
    fitting = [name for name, one in FORMATS.items() if suffix in (one.suffixes or ("",))]
    if format is None and not fitting:
        known = dict.fromkeys(s for one in FORMATS.values() for s in one.suffixes)
        raise InputError(
            f"{path.name} is a name for no format; choose one in {', '.join(known)}, or one "
            "without a suffix for a Cell Tracking Challenge folder"
        )
    name = format or fitting[0]
    if name not in FORMATS:
        raise InputError(f"there is no format {name!r}; choose one of {', '.join(FORMATS)}")
    chosen = FORMATS[name]
    if name not in fitting and (chosen.suffixes or fitting):
        remedy = f"in {chosen.suffixes[0]}" if chosen.suffixes else f"without {suffix}"
        raise InputError(f"{path.name} is no name for {chosen.title}; choose one {remedy}")
    return name


def check_room(path: Path, shape: Sequence[int], format: str) -> None:
    """Refuse, before any work, a disk that is too full for labels of a shape, whatever they are.

    Labels are compressed, real ones to 0.3 to 6 % and few cells on large frames to 0.1 % and less;
    nobody knows before how well. So only what cannot succeed is refused. A run that might be too
    large begins: if the disk gets full, the finished frames are kept.

    Parameters
    ----------
    path, format
        Where they go; a name in `FORMATS`.
    shape
        (T, Y, X) or (Y, X).

    Raises
    ------
    OutputError
        If less is free than the format takes in any case.
    """
    size, least = 2 * math.prod(shape), FORMATS[format].least
    check_space(path, max(least * size, min(size, _FULL if least else _BLOCK)))


def open_masklets(
    path: str | Path, axes: str | None = None, select: Mapping[str, int] | None = None
) -> Stack:
    """Open masklets of any format that holds masks, lazily.

    Parameters
    ----------
    path
        A label image of any kind that `open_stack` opens, a folder of the Cell Tracking Challenge,
        or COCO or SA-V JSON.
    axes
        Of a label image, where it does not say so itself, e.g. "ZYX".
    select
        Index along other axes of label images, e.g. ``{"Z": 3}``.

    Returns
    -------
    Stack
        Its `data` are (T, Y, X) integers, its `scale` and `unit` what the file has of them.

    Raises
    ------
    InputError
        If it cannot be read, or holds no masks.
    """
    path = Path(path)
    with reading(path):
        return _open_masklets(path, axes, select)


def _open_masklets(path: Path, axes: str | None, select: Mapping[str, int] | None) -> Stack:
    if path.suffix.lower() == ".csv" and path.is_file():
        raise InputError(f"{path.name} is a table, which holds no masks; give labels, COCO or SA-V")
    if path.suffix.lower() == GEOJSON and path.is_file():
        raise InputError(
            f"{path.name} holds outlines, which do not say how large their image is; give labels, "
            "COCO or SA-V"
        )
    if path.suffix.lower() in ROIS and path.is_file():
        raise InputError(
            f"{path.name} holds regions of ImageJ, which do not say how large their image is; "
            "use them as prompts"
        )
    if _is_image(path):
        return open_labels(path, axes, select)
    if path.is_dir():
        return read_ctc(path, axes, select)
    if select:
        letter = next(iter(select)).upper()
        raise InputError(
            f"{path.name}: it has no axis {letter} to select from; it holds frames of one plane"
        )
    content = read_json(path)
    if {"version", "objects"} <= content.keys():
        raise InputError(
            f"{path.name} is a session or a file of prompts, which holds no masklets; track with "
            "it, and give the labels that come of it"
        )
    if "masklet" in content:
        return read_sa_v(path, content)
    if "annotations" in content:
        return read_coco(path, content)
    raise InputError(f"{path.name} has neither annotations (COCO) nor masklet (SA-V); give one")


def _is_image(path: Path) -> bool:
    """Whether a path is for a label image; it and folders of the challenge may have more axes."""
    if path.is_dir():
        return not is_ctc(path)
    return path.suffix.lower() != ".json" or not path.is_file()


def masklet_axes(path: str | Path, axes: str | None = None) -> str:
    """Return the axes of what `open_masklets` opens, for `shared_out`: "" if only frames fit in it.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    with reading(path):
        if _is_image(Path(path)):
            return axes_of(path, axes)
        return axes_of(path, axes or volume_axes(Path(path))) if Path(path).is_dir() else ""


def open_parents(path: str | Path) -> dict[int, int]:
    """Return the lineage of what `open_masklets` opens: the mother's id by the daughter's.

    Only folders of the Cell Tracking Challenge hold one; for anything else it is empty.

    Raises
    ------
    InputError
        If there is nothing at `path`, or the file of tracks cannot be read.
    """
    path = Path(path)
    with reading(path):
        if not path.exists():
            raise InputError(f"{path} does not exist; check the path")
        return read_parents(path) if path.is_dir() and is_ctc(path) else {}
