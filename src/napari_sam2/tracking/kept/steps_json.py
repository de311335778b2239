"""Steps as JSON and back."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.lineage_steps import Divide, SetParents
from napari_sam2.tracking.kept.prompts_json import (
    objects_as_json,
    parse_objects,
    parse_prompt,
    prompt_as_json,
)
from napari_sam2.tracking.kept.steps import (
    AddPrompts,
    AdoptMasks,
    CloseGaps,
    LockObject,
    MergeObjects,
    Propagate,
    RemoveObject,
    Repair,
    SetPrompt,
    SplitObject,
    Step,
)
from napari_sam2.tracking.masks.mask_text import mask_text

_NOWHERE = Path()  # masks are in the file itself
_OfObjects = RemoveObject | MergeObjects | SplitObject | Divide | LockObject
_Plain = Propagate | PropagateAndFind | Repair | CloseGaps | _OfObjects
_PLAIN: dict[str, type[_Plain]] = {kind.kind: kind for kind in get_args(_Plain)}
_NUMBERS = {
    "start",
    "stop",
    "frames",
    "object_id",
    "kept",
    "absorbed",
    "frame",
    "new_id",
    "longest",
    "every",
    "first_id",
    "last_id",
    "after",
}


def step_as_json(step: Step) -> dict[str, Any]:
    """Return JSON values that `step_from_json` reads."""
    entry: dict[str, Any] = {"do": step.kind}
    if isinstance(step, SetPrompt):
        said = None if step.prompt is None else prompt_as_json(step.prompt)
        return entry | {"object": step.object_id, "frame": step.frame, "prompt": said}
    if isinstance(step, AddPrompts):
        return entry | {
            "objects": objects_as_json(step.prompts, lambda _i, _t, mask: mask_text(mask))
        }
    if isinstance(step, AdoptMasks):
        masks = {str(i): {str(t): m for t, m in some.items()} for i, some in step.masks.items()}
        mothers = {str(i): parent for i, parent in step.parents.items()}
        return entry | {"masks": masks} | ({"parents": mothers} if mothers else {})
    if isinstance(step, SetParents):
        return entry | {"parents": {str(i): parent for i, parent in step.parents.items()}}
    values = {f.name: getattr(step, f.name) for f in fields(step)}  # type: ignore[arg-type]
    if values.get("after") == 0:
        del values["after"]
    return entry | {name: value for name, value in values.items() if value is not None}


def step_from_json(entry: Any, number: int) -> Step:
    """Read a step.

    Parameters
    ----------
    entry : from the file.
    number : names the step in messages.

    Raises
    ------
    InputError
        If it is no step that this program knows.
    """
    who = f"step {number}"
    kind = entry.get("do") if isinstance(entry, dict) else None
    try:
        if kind == SetPrompt.kind:
            said = entry["prompt"]
            prompt = None if said is None else parse_prompt(said, _NOWHERE, who)
            return SetPrompt(_whole(entry["object"]), _whole(entry["frame"]), prompt)
        if kind == AddPrompts.kind:
            return AddPrompts(parse_objects(entry, _NOWHERE))
        if kind == AdoptMasks.kind:
            given = entry["masks"].items()
            masks = {int(i): {int(t): dict(m) for t, m in s.items()} for i, s in given}
            mothers = {int(i): _whole(p) for i, p in entry.get("parents", {}).items()}
            return AdoptMasks(masks, mothers)
        if kind == SetParents.kind:
            said = entry["parents"].items()
            return SetParents({int(i): None if p is None else _whole(p) for i, p in said})
        if kind in _PLAIN:
            values = {name: value for name, value in entry.items() if name != "do"}
            for name in ("object_ids", "others"):
                if values.get(name) is not None:
                    values[name] = tuple(_whole(i) for i in values[name])
            if kind == Divide.kind:
                first, second = values["daughters"]
                values["daughters"] = (_whole(first), _whole(second))
            for name in _NUMBERS & values.keys():
                _whole(values[name])
            return _PLAIN[kind](**values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{who}: {error}") from error
        raise InputError(f"{who} ({kind}) is damaged: {error}; restore the file") from error
    raise InputError(f"{who} is of the unknown kind {kind!r}; update napari-sam2")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no whole number")
    return value
