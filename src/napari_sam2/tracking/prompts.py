"""Prompts for many objects: from a label image or points, and in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_sam2.replacing import replacing
from napari_sam2.tracking.errors import InputError, writing
from napari_sam2.tracking.kept.prompts_json import (
    VERSION,
    integer,
    objects_as_json,
    parse_objects,
    read_json,
)
from napari_sam2.tracking.masks.thin_mask import ThinMask, masks_of
from napari_sam2.tracking.prompt import Prompt, Prompts, described

__all__ = [
    "Prompt",
    "PromptFile",
    "Prompts",
    "load_prompts",
    "save_prompts",
    "seeds_from_labels",
    "seeds_from_points",
]


@dataclass(frozen=True)
class PromptFile:
    """What a prompts file says.

    Parameters
    ----------
    axis
        The axis of the image that the prompts' frames count along.
    objects
        Object id -> frame -> prompt.
    extra
        Other keys of the file ("model", "image", ...), kept as they are.
    """

    axis: int
    objects: Prompts
    extra: dict[str, Any] = field(default_factory=dict)


def seeds_from_labels(labels: npt.ArrayLike, frame: int) -> Prompts:
    """Make each label of an image a mask prompt on one frame.

    Parameters
    ----------
    labels
        (Y, X) integers, 0 is background.
    frame
        The frame that the labels belong to.

    Returns
    -------
    dict
        Object id -> {`frame`: prompt}, by rising id.

    Raises
    ------
    InputError
        If the image is not two-dimensional, not of integers, has negative values or no label.
    """
    image = np.asarray(labels)
    if image.ndim != 2:
        raise InputError(
            f"a label image of shape {image.shape} cannot be used as prompts for one frame; "
            "give one frame (Y, X)"
        )
    masks = masks_of(checked_labels(image))
    if not masks:
        raise InputError("the label image has no labels; give one with an object or more")
    return {i: {frame: Prompt(mask=mask)} for i, mask in masks.items()}


def checked_labels(image: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return labels as integers that are 0 or more.

    Raises
    ------
    InputError
        If they are none.
    """
    labels = np.asarray(image)
    if labels.dtype.kind not in "bui":
        raise InputError(f"labels must be integers, not {labels.dtype}; convert the label image")
    if labels.dtype == np.bool_:
        return labels.astype(np.uint8)
    if (lowest := labels.min(initial=0)) < 0:
        raise InputError(f"labels must be 0 or more, not {lowest}; check the label image")
    return labels


def seeds_from_points(points: npt.ArrayLike, frame: int, first_id: int = 1) -> Prompts:
    """Make each point one positive click on an object of its own.

    Parameters
    ----------
    points
        (N, 2), (y, x) in data pixels.
    frame
        The frame that they lie on.
    first_id
        Id of the first object; the others follow.

    Returns
    -------
    dict
        Object id -> {`frame`: prompt}, in the order of the points.

    Raises
    ------
    InputError
        If there is no point, the points are not (y, x) pairs of finite numbers, or the first id is
        below 1.
    """
    if first_id < 1:
        raise InputError(f"object ids start at 1, not {first_id}")
    clicks = Prompt(points=np.asarray(points))  # checked as one prompt, which knows what points are
    if not len(clicks.points):
        raise InputError("there are no points; give one inside each object")
    return {
        i: {frame: Prompt(points=point[None], positive=np.array([True]))}
        for i, point in enumerate(clicks.points, start=first_id)
    }


def load_prompts(
    path: str | Path, shape: tuple[int, int] | None = None, length: int | None = None
) -> PromptFile:
    """Read a prompts file.

    Parameters
    ----------
    path
        The JSON file; masks are TIFFs named relative to it.
    shape
        (Y, X) of the frames; with it, every prompt is checked against the frame.
    length
        Number of frames; with it, every prompt's frame must exist.

    Raises
    ------
    InputError
        If the file is missing, no JSON, of another version, lacks a key or holds an unusable
        prompt. The message names the file, the object and the frame.
    """
    path = Path(path)
    content = read_json(path)
    try:
        objects = parse_objects(content, path.parent)
        axis = integer(content.get("axis", 0), "axis")
        for object_id, prompts in objects.items():
            for frame, prompt in prompts.items():
                if length is not None and frame >= length:
                    raise InputError(
                        f"{described(object_id, frame)}: the stack has frames 0 to {length - 1}; "
                        "put the prompt on one of them"
                    )
                if shape is not None:
                    prompts[frame] = prompt.validate(shape, object_id=object_id, frame=frame)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
    extra = {k: v for k, v in content.items() if k not in ("version", "axis", "objects")}
    return PromptFile(axis=axis, objects=objects, extra=extra)


def save_prompts(
    path: str | Path,
    objects: Mapping[int, Mapping[int, Prompt]],
    *,
    axis: int = 0,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a prompts file, its masks as TIFFs beside it (``<stem>_object3_frame9.tif``).

    Each file is replaced only once it is complete.

    Parameters
    ----------
    path
        Where to write; the folder is made where it is missing.
    objects
        Object id -> frame -> prompt.
    axis
        The axis of the image that the frames count along.
    extra
        More keys for the file, JSON values.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        entries = objects_as_json(objects, lambda i, t, mask: _write_mask(path, i, t, mask))
        content = {"version": VERSION, "axis": int(axis), **(extra or {}), "objects": entries}
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _write_mask(path: Path, object_id: int, frame: int, mask: ThinMask) -> str:
    name = f"{path.stem}_object{object_id}_frame{frame}.tif"
    with replacing(path.with_name(name)) as unfinished:
        tifffile.imwrite(unfinished, mask.whole().astype(np.uint8), compression="zlib")
    return name
