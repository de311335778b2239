"""Prompts for many objects: from a label image, and in a JSON file (version 1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_sam2.tracking.errors import InputError, writing
from napari_sam2.tracking.mask_text import mask_of, mask_text
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

VERSION = 1


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
    if image.dtype.kind not in "bui":
        raise InputError(f"labels must be integers, not {image.dtype}; convert the label image")
    if image.dtype == np.bool_:
        image = image.astype(np.uint8)
    ids = np.unique(image)
    if ids.size and ids[0] < 0:
        raise InputError(f"labels must be 0 or more, not {ids[0]}; check the label image")
    ids = ids[ids > 0]
    if ids.size == 0:
        raise InputError("the label image has no labels; give one with an object or more")
    return {int(i): {frame: Prompt(mask=image == i)} for i in ids}


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
    places = np.asarray(points)
    # Checked as one prompt, which knows what points are.
    clicks = Prompt(points=places, positive=np.ones(len(places) if places.ndim else 0, dtype=bool))
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
        axis = _integer(content.get("axis", 0), "axis")
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

    The JSON is replaced only once it is complete.

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
        unfinished = path.with_name(path.name + ".partial")
        unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(path)


def objects_as_json(
    objects: Mapping[int, Mapping[int, Prompt]],
    mask_as_json: Callable[[int, int, npt.NDArray[np.bool_]], Any],
) -> list[dict[str, Any]]:
    """Return the "objects" of a prompts file.

    Parameters
    ----------
    objects
        Object id -> frame -> prompt.
    mask_as_json
        What stands for a mask (Y, X) of an object on a frame.
    """
    return [
        {
            "id": int(i),
            "prompts": [
                {"frame": int(t), **prompt_as_json(p, partial(mask_as_json, i, t))}
                for t, p in sorted(prompts.items())
            ],
        }
        for i, prompts in sorted(objects.items())
    ]


def prompt_as_json(
    prompt: Prompt, mask_as_json: Callable[[npt.NDArray[np.bool_]], Any] = mask_text
) -> dict[str, Any]:
    """Return the JSON of one prompt; masks inside it unless `mask_as_json` puts them elsewhere."""
    entry: dict[str, Any] = {}
    if len(prompt.points):
        entry["points"] = prompt.points.tolist()
        entry["positive"] = prompt.positive.tolist()
    if prompt.box is not None:
        entry["box"] = prompt.box.tolist()
    if prompt.mask is not None:
        entry["mask"] = mask_as_json(prompt.mask)
    if prompt.absent:
        entry["absent"] = True
    return entry


def _write_mask(path: Path, object_id: int, frame: int, mask: npt.NDArray[np.bool_]) -> str:
    name = f"{path.stem}_object{object_id}_frame{frame}.tif"
    tifffile.imwrite(path.with_name(name), mask.astype(np.uint8), compression="zlib")
    return name


def read_json(path: Path) -> dict[str, Any]:
    """Read a file with a "version" that this program knows.

    Raises
    ------
    InputError
        If it is missing, no JSON, or of another version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path.name} is not valid JSON: {error.msg} in line {error.lineno}, "
            f"column {error.colno}; correct it there"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not a text file; give a prompts file (JSON)") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    if not isinstance(content, dict) or "version" not in content:
        raise InputError(f'{path.name} is no prompts file: it lacks {{"version": {VERSION}, ...}}')
    if content["version"] != VERSION:
        raise InputError(
            f"{path.name} has version {content['version']}, but this program reads version "
            f"{VERSION}; update napari-sam2 or save the prompts again"
        )
    return content


def parse_objects(content: dict[str, Any], folder: Path) -> Prompts:
    """Read the "objects" of a prompts file; masks that are files lie in `folder`.

    Raises
    ------
    InputError
        If they are unusable.
    """
    objects: Prompts = {}
    for entry in _items(content, "objects", "the file"):
        object_id = _integer(_key(entry, "id", "an object"), "the id of an object")
        who = described(object_id, None)
        if object_id < 1:
            raise InputError(f"{who}: ids start at 1; 0 is the background")
        if object_id in objects:
            raise InputError(f"{who} is listed twice; put its prompts in one entry")
        prompts = objects.setdefault(object_id, {})
        for item in _items(entry, "prompts", who):
            frame = _integer(_key(item, "frame", who), f"{who}: a frame")
            if frame < 0:
                raise InputError(f"{described(object_id, frame)}: frames start at 0")
            if frame in prompts:
                raise InputError(f"{described(object_id, frame)} is listed twice; join the prompts")
            prompts[frame] = parse_prompt(item, folder, described(object_id, frame))
    if not any(objects.values()):
        raise InputError("there are no prompts in it; give at least one object a prompt")
    return objects


def parse_prompt(item: dict[str, Any], folder: Path, who: str) -> Prompt:
    """Read one prompt; `who` names it in messages.

    Raises
    ------
    InputError
        If it is unusable or empty.
    """
    points: Any = item.get("points") or []
    positive = _key(item, "positive", who) if points else []
    if not isinstance(positive, list) or not all(isinstance(p, bool) for p in positive):
        raise InputError(f'{who}: "positive" must be a list of true and false, one for each point')
    mask = item.get("mask")
    try:
        prompt = Prompt(
            points=points,
            positive=np.array(positive, dtype=bool),
            box=item.get("box"),
            mask=None if mask is None else _parse_mask(mask, folder),
            absent=item.get("absent") is True,
        )
    except InputError as error:
        raise InputError(f"{who}: {error}") from error
    if prompt.is_empty:
        raise InputError(f'{who}: the prompt is empty; give "points", "box", "mask" or "absent"')
    return prompt


def _parse_mask(mask: Any, folder: Path) -> npt.NDArray[np.bool_]:
    if isinstance(mask, str):
        return _read_mask(folder / mask)
    if isinstance(mask, dict):
        return mask_of(mask)
    raise InputError('"mask" must be the name of a TIFF beside the prompts file')


def _read_mask(path: Path) -> npt.NDArray[np.bool_]:
    try:
        mask = tifffile.imread(path)
    except FileNotFoundError as error:
        raise InputError(f"the mask {path.name} is missing; put it beside the file") from error
    except Exception as error:  # tifffile has no common base for what a damaged file raises
        raise InputError(f"cannot read the mask {path.name} ({error}); save it again") from error
    return np.asarray(mask != 0)


def _items(entry: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    items = _key(entry, key, where)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InputError(f'"{key}" of {where} must be a list of {{...}} entries')
    return items


def _key(entry: dict[str, Any], key: str, where: str) -> Any:
    if key not in entry:
        raise InputError(f'{where} lacks "{key}"; add it')
    return entry[key]


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} must be a whole number, not {value!r}")
    return value
