"""Prompts as JSON (version 1) and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_sam2.tracking.errors import InputError, reading
from napari_sam2.tracking.masks.mask_text import mask_of, mask_text
from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.prompt import Prompt, Prompts, described

VERSION = 1
_KEYS = ("frame", "points", "positive", "box", "mask", "absent")


def objects_as_json(
    objects: Mapping[int, Mapping[int, Prompt]],
    mask_as_json: Callable[[int, int, ThinMask], Any],
) -> list[dict[str, Any]]:
    """Return the "objects" of a prompts file.

    Parameters
    ----------
    objects
        Object id -> frame -> prompt.
    mask_as_json
        What stands for a mask of an object on a frame.
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
    prompt: Prompt, mask_as_json: Callable[[ThinMask], Any] = mask_text
) -> dict[str, Any]:
    """Return the JSON of one prompt; masks inside it unless `mask_as_json` puts them elsewhere."""
    entry: dict[str, Any] = {}
    if len(prompt.points):
        entry["points"] = prompt.points.tolist()
        entry["positive"] = prompt.positive.tolist()
    if prompt.box is not None:
        entry["box"] = prompt.box.tolist()
    if prompt.thin is not None:
        entry["mask"] = mask_as_json(prompt.thin)
    if prompt.absent:
        entry["absent"] = True
    return entry


def read_json(path: Path) -> dict[str, Any]:
    """Read a file with a "version" that this program knows.

    Raises
    ------
    InputError
        If it is missing, no JSON, or of another version.
    """
    try:
        with reading(path):
            content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path.name} is not valid JSON: {error.msg} in line {error.lineno}, "
            f"column {error.colno}; correct it there"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not a text file; give a prompts file (JSON)") from error
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
        object_id = integer(_key(entry, "id", "an object"), "the id of an object")
        who = described(object_id, None)
        if object_id < 1:
            raise InputError(f"{who}: ids start at 1; 0 is the background")
        if object_id in objects:
            raise InputError(f"{who} is listed twice; put its prompts in one entry")
        prompts = objects.setdefault(object_id, {})
        for item in _items(entry, "prompts", who):
            frame = integer(_key(item, "frame", who), f"{who}: a frame")
            if frame < 0:
                raise InputError(f"{described(object_id, frame)}: frames start at 0")
            if frame in prompts:
                raise InputError(f"{described(object_id, frame)} is listed twice; join the prompts")
            _check_keys(item, described(object_id, frame))
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


def _parse_mask(mask: Any, folder: Path) -> npt.NDArray[np.bool_] | ThinMask:
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


def _check_keys(item: dict[str, Any], who: str) -> None:
    """Refuse what is misspelled, rather than to do without it."""
    for key in item:
        if key not in _KEYS:
            known = ", ".join(f'"{one}"' for one in _KEYS)
            raise InputError(f'{who}: "{key}" is no part of a prompt, which has {known}')


def integer(value: Any, name: str) -> int:
    """Return a whole number; `name` names it in messages.

    Raises
    ------
    InputError
        If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} must be a whole number, not {value!r}")
    return value
