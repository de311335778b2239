"""What COCO and SA-V files have in common: reading JSON, and masks as lazy labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from skimage.draw import polygon

from napari_sam2.export.rle import Region, decompress, paint
from napari_sam2.export.source import LabelSource
from napari_sam2.physical_units import length_unit
from napari_sam2.stacks import Stack
from napari_sam2.tracking.errors import InputError, reading
from napari_sam2.tracking.masklets import label_dtype

NOTE = "written by napari-sam2"


@dataclass(frozen=True)
class Mask:
    """One mask of one object, still encoded.

    Parameters
    ----------
    id
        Of the object.
    segmentation
        COCO's RLE, compressed or not, or its polygons.
    """

    id: int
    segmentation: Any


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        with reading(path):
            content = json.loads(path.read_text(encoding="utf-8-sig"))
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"cannot read {path} ({error}); check that it is JSON") from error
    if not isinstance(content, dict):
        raise InputError(f"{path.name} holds no JSON object; give a COCO or SA-V file")
    return content


def calibration(source: LabelSource) -> dict[str, Any]:
    """Return the axes and scale, as these files carry them for us alone."""
    return {"axes": source.axes, "scale": source.scale, "unit": source.unit}


def as_stack(
    path: Path,
    frames: Sequence[Sequence[Mask]],
    shape: tuple[int, int],
    info: Any,
) -> Stack:
    """Return masks as labels (T, Y, X) that are decoded frame by frame.

    Where masks overlap, the smaller one is on top. Where an id is 0, all go up by one.

    Parameters
    ----------
    path
        For messages.
    frames
        The masks of each frame.
    shape
        (Y, X).
    info
        What the file has as its info; its axes and scale count if it is ours.

    Raises
    ------
    InputError
        If the ids cannot be labels. A damaged mask is found when its frame is read.
    """
    if not frames or min(shape) < 1:
        raise InputError(f"{path.name} has no frames; there is nothing to read")
    ids = {mask.id for masks in frames for mask in masks}
    up = 1 if 0 in ids else 0
    dtype = label_dtype(i + up for i in ids)

    def read(block_id: tuple[int, int, int]) -> npt.NDArray[Any]:
        frame = block_id[0]
        try:
            return _painted(frames[frame], shape, dtype, up)[None]
        except (InputError, TypeError, ValueError, KeyError) as error:
            raise InputError(f"{path.name}, frame {frame}: {error}; it may be damaged") from error

    chunks = ((1,) * len(frames), *((n,) for n in shape))
    map_blocks: Any = da.map_blocks  # untyped in dask
    data = map_blocks(read, chunks=chunks, dtype=dtype, meta=np.empty((0, 0, 0), dtype))
    return Stack(data, *_calibrated(info), path)


def _calibrated(info: Any) -> tuple[str, dict[str, float], str | None]:
    """Return axes, scale and unit, which count only in files that are ours."""
    ours = isinstance(info, dict) and info.get("description") == NOTE
    known: dict[str, Any] = info if ours else {}
    axes = known["axes"] if known.get("axes") in ("TYX", "ZYX") else "TYX"
    steps, unit = known.get("scale"), known.get("unit")
    scale = {k: _step(steps.get(k)) if isinstance(steps, dict) else 1.0 for k in axes}
    return axes, scale, length_unit(unit if isinstance(unit, str) else None)


def _step(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else 1.0


def _painted(
    masks: Iterable[Mask], shape: tuple[int, int], dtype: np.dtype[Any], up: int
) -> npt.NDArray[Any]:
    columns = np.zeros(shape[0] * shape[1], dtype)
    drawn = [(mask.id + up, _counts(mask.segmentation, shape)) for mask in masks]
    for i, counts in sorted(drawn, key=lambda one: -sum(one[1][1::2])):
        paint(columns, counts, i)
    return columns.reshape(shape[::-1]).T


def _counts(segmentation: Any, shape: tuple[int, int]) -> list[int]:
    """Return the runs of a mask in any of COCO's forms."""
    if isinstance(segmentation, list):
        return _polygon_counts(segmentation, shape)
    if tuple(segmentation["size"]) != shape:
        raise InputError(f"a mask is of size {segmentation['size']}, but the frame of {shape}")
    counts = segmentation["counts"]
    return decompress(counts) if isinstance(counts, str) else [int(n) for n in counts]


def _polygon_counts(polygons: Sequence[Sequence[float]], shape: tuple[int, int]) -> list[int]:
    mask = np.zeros(shape, bool)
    for corners in polygons:
        xy = np.asarray(corners, float).reshape(-1, 2) - 0.5  # COCO counts from a pixel's corner
        mask[polygon(xy[:, 1], xy[:, 0], shape)] = True
    return Region(1, np.flatnonzero(mask.T), shape).counts()
