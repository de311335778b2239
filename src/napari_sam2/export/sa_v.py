"""Masklets to and from JSON in the form of the SA-V dataset."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.export.masks_json import NOTE, Mask, as_stack, calibration
from napari_sam2.export.rle import Region, regions
from napari_sam2.export.source import LabelSource, frames_of_objects
from napari_sam2.stacks import Stack
from napari_sam2.tracking.errors import InputError

# Areas from which on the dataset calls an object medium, and large.
_MEDIUM, _LARGE = 32**2, 96**2


def write_sa_v(path: Path, source: LabelSource) -> None:
    """Write one RLE for each object on every frame, empty where it is absent; reads twice.

    Every frame counts as annotated, where SA-V's own files have every fourth.
    """
    height, width = source.frame_shape
    frames = frames_of_objects(source)
    area = dict.fromkeys(frames, 0)
    step = source.scale.get("T")
    head = {
        "video_id": source.name,
        "video_duration": None if step is None else len(source) * step,
        "video_frame_count": len(source),
        "video_height": height,
        "video_width": width,
        "video_resolution": height * width,
    }
    empty = Region(0, np.empty(0, np.intp), (height, width)).rle()
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(head)[:-1] + ', "masklet": [')
        for frame, plane in enumerate(source.planes()):
            found = dict.fromkeys(frames, empty)
            for region in regions(plane):
                found[region.id] = region.rle()
                area[region.id] += region.flat.size
            file.write((",\n" if frame else "\n") + json.dumps(list(found.values())))
        mean = {i: area[i] / len(listed) for i, listed in frames.items()}
        tail = _statistics(frames, mean, source)
        tail["info"] = {"description": NOTE, **calibration(source)}
        file.write("\n], " + json.dumps(tail)[1:] + "\n")


def _statistics(
    frames: dict[int, list[int]], mean_area: dict[int, float], source: LabelSource
) -> dict[str, Any]:
    """Return the dataset's `masklet_...` lists, one entry for each object."""
    height, width = source.frame_shape
    count = len(frames)
    return {
        "masklet_id": list(frames),
        "masklet_size_rel": [a / (height * width) for a in mean_area.values()],
        "masklet_size_abs": list(mean_area.values()),
        "masklet_size_bucket": [
            "small" if a < _MEDIUM else "medium" if a < _LARGE else "large"
            for a in mean_area.values()
        ],
        "masklet_visibility_changes": [_changes(f, len(source)) for f in frames.values()],
        "masklet_first_appeared_frame": [listed[0] for listed in frames.values()],
        "masklet_frame_count": [len(source)] * count,
        "masklet_edited_frame_count": [0] * count,
        "masklet_type": ["auto"] * count,
        "masklet_stability_score": [None] * count,
        "masklet_num": count,
    }


def _changes(frames: list[int], length: int) -> int:
    """How often an object goes or comes back after it was there first."""
    gaps = sum(b > a + 1 for a, b in pairwise(frames))
    return 2 * gaps + (frames[-1] < length - 1)


def read_sa_v(path: Path, content: dict[str, Any]) -> Stack:
    """Open SA-V JSON of any origin as labels (T, Y, X), lazily; a frame is an annotated one.

    Parameters
    ----------
    path
        The file, for messages.
    content
        What is in it.

    Raises
    ------
    InputError
        If it is no SA-V file.
    """
    try:
        shape = (int(content["video_height"]), int(content["video_width"]))
        ids = [int(i) for i in content["masklet_id"]]
        frames = [
            [Mask(i, rle) for i, rle in zip(ids, listed, strict=True) if rle]
            for listed in content["masklet"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name} is no SA-V file: {type(error).__name__} {error}; it needs masklet, "
            "masklet_id, video_height and video_width"
        ) from error
    return as_stack(path, frames, shape, content.get("info"))
