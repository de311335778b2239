"""The text of a session file and the digest of its steps; what was made once is kept.

A session is written after every click, and one step may hold the masks of an import.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_sam2.tracking.kept.prompts_json import objects_as_json
from napari_sam2.tracking.kept.steps_json import step_as_json
from napari_sam2.tracking.masks.mask_text import mask_text

if TYPE_CHECKING:
    from napari_sam2.tracking.kept.steps import Step
    from napari_sam2.tracking.prompt import Prompt, Prompts

# Numbers and truths of numpy are such, too.
_dumps = partial(json.dumps, default=operator.methodcaller("item"))
_compact = partial(_dumps, sort_keys=True, separators=(",", ":"))


class _Written(NamedTuple):
    step: Step
    line: str
    digest: blake2b  # of all up to this step


class SessionText:
    """Makes the text of one session file again and again, of steps that come and go at the end."""

    def __init__(self) -> None:
        self._head: Sequence[Any] = ()
        self._steps: list[_Written] = []
        self._objects: dict[int, tuple[dict[int, Prompt], str]] = {}

    def of(
        self,
        written: Mapping[str, Any],
        prompts: Prompts,
        steps: Sequence[Step],
        left: Sequence[Step],
    ) -> tuple[str, str]:
        """Return the text, with a line for each object and step, and the digest.

        Parameters
        ----------
        written : JSON values by key, to begin with.
        prompts, steps, left : what comes after them.
        """
        state = self._state(head_of(written), steps)
        entries = [(key, _dumps(value)) for key, value in written.items()]
        entries += [
            ("objects", _lines(self._object_lines(prompts))),
            ("steps", _lines([known.line for known in self._steps])),
            ("left", _lines([_dumps(step_as_json(step)) for step in left])),
        ]
        parts = ",\n".join(f" {json.dumps(key)}: {text}" for key, text in entries)
        return f"{{\n{parts}\n}}\n", state

    def _state(self, head: Sequence[Any], steps: Sequence[Step]) -> str:
        """Take new steps in, and return the digest."""
        if head != self._head:
            self._head, self._steps = head, []
        pairs = zip(self._steps, steps, strict=False)
        same = next((n for n, (known, step) in enumerate(pairs) if known.step is not step), None)
        del self._steps[min(len(self._steps), len(steps)) if same is None else same :]
        for step in steps[len(self._steps) :]:
            entry = step_as_json(step)
            digest = self._steps[-1].digest.copy() if self._steps else _begun(head)
            _add(digest, entry, bool(self._steps))
            self._steps.append(_Written(step, _dumps(entry), digest))
        return _ended(self._steps[-1].digest.copy() if self._steps else _begun(head))

    def _object_lines(self, prompts: Prompts) -> list[str]:
        objects = {}
        for i, said in sorted(prompts.items()):
            known, line = self._objects.get(i, ({}, ""))
            objects[i] = (said, line if line and known == said else _object_line(i, said))
        self._objects = objects
        return [line for _, line in objects.values()]


def state_of(content: Mapping[str, Any]) -> str:
    """Return the digest of what decides about the masks, of what was read from a file."""
    digest = _begun(head_of(content))
    for number, entry in enumerate(content["steps"]):
        _add(digest, entry, number > 0)
    return _ended(digest)


def head_of(content: Mapping[str, Any]) -> list[Any]:
    """Return what decides about the masks besides the steps."""
    image = {k: v for k, v in content["image"].items() if k not in ("path", "axes")}
    return [image, content["model"]["fingerprint"], content.get("settings", {})]


# The digest is that of a JSON list: the head's three, then the list of steps.
def _begun(head: Sequence[Any]) -> blake2b:
    return blake2b((_compact(head)[:-1] + ",[").encode(), digest_size=16)


def _add(digest: blake2b, entry: Any, comma: bool) -> None:
    digest.update(("," * comma + _compact(entry)).encode())


def _ended(digest: blake2b) -> str:
    digest.update(b"]]")
    return digest.hexdigest()


def _object_line(object_id: int, said: Mapping[int, Prompt]) -> str:
    (entry,) = objects_as_json({object_id: said}, lambda _i, _t, mask: mask_text(mask))
    return _dumps(entry)


def _lines(lines: Sequence[str]) -> str:
    return "[\n  " + ",\n  ".join(lines) + "\n ]" if lines else "[]"
