"""An object of a session as bytes, and back: safetensors and JSON, compressed, nothing to execute.

Memories are left out: they are ten times as large as what they are made from, and are made again
when they are asked for.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from napari_sam2.tracking.kept.prompts_json import parse_prompt, prompt_as_json
from napari_sam2.tracking.memory_bank import MemoryBank, Remembered
from napari_sam2.tracking.objects.estimate_log import EstimateLog
from napari_sam2.tracking.objects.lineage import Birth
from napari_sam2.tracking.objects.objects import Pending, TrackedObject
from napari_sam2.tracking.windows import Window

_LEVEL = 1  # of compression: more costs many times the time for a few percent


def packed(obj: TrackedObject) -> bytes:
    """Return all that is known of an object; `unpacked` reads it."""
    tensors: dict[str, Tensor] = {}
    before = EstimateLog()
    before.update(obj.before)
    for name, log in (("estimates", obj.estimates), ("before", before)):
        frames, rows, values = log.arrays()
        tensors[f"{name}.frames"] = torch.from_numpy(frames)
        tensors[f"{name}.rows"] = _bytes(rows.tobytes())
        tensors[f"{name}.values"] = torch.from_numpy(values)
    banks: dict[str, Mapping[int, Pending | Remembered]] = {
        "pending": obj.pending,
        "conditioning": obj.bank.conditioning,
        "tracked": obj.bank.tracked,
    }
    said = {
        # Lists of pairs: the order counts.
        "prompts": [[t, prompt_as_json(p)] for t, p in obj.prompts.items()],
        "passed": [[t, reverse] for t, reverse in obj.tracked.items()],
        "given": [[t, dict(text)] for t, text in obj.given.items()],
        "changed": sorted(obj.changed),
        "anew": [[t, sorted(anew)] for t, anew in obj.changed.items()],
        "ends": sorted(obj.ends),
        "locked": obj.locked,
        "ceded": [[t, dict(text)] for t, text in obj.ceded.items()],
        "birth": None if obj.birth is None else asdict(obj.birth),
        "missing": obj.missing,
        "found": obj.found,
        "jumps": [[t, *jump] for t, jump in obj.bank.jumps.items()],
        **{
            name: [_item(item, f"{name}.{t}", tensors, t) for t, item in bank.items()]
            for name, bank in banks.items()
        },
    }
    tensors["said"] = _bytes(json.dumps(said, separators=(",", ":")).encode())
    # Empty arrays have no place in memory, which safetensors takes for shared memory.
    return zlib.compress(save({n: t for n, t in tensors.items() if t.numel()}), _LEVEL)


def _bytes(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(bytearray(data), np.uint8))


def _item(
    item: Pending | Remembered, name: str, tensors: dict[str, Tensor], frame: int
) -> dict[str, Any]:
    for part, value in (("logits", item.logits), ("pointer", item.pointer)):
        if value is not None:
            tensors[f"{name}.{part}"] = value.detach().cpu().contiguous()
    window = item.window
    place = None if window is None else _numbers(window)
    return {"frame": frame, "window": place, "score": item.score}


def _numbers(window: Window) -> list[int]:
    return [window.row, window.column, window.height, window.width, *window.grid]


def unpacked(
    data: bytes, bank: MemoryBank, frames: int, grids: Collection[tuple[int, int]]
) -> TrackedObject:
    """Return the object that was packed.

    Parameters
    ----------
    data : from `packed`.
    bank : an empty one, which becomes the object's.
    frames : of the stack.
    grids : token grids of the session's levels.

    Raises
    ------
    ValueError
        If it was not packed so, or belongs to another session.
    """
    try:
        tensors = load(zlib.decompress(data))
        said = json.loads(tensors["said"].numpy().tobytes())
        estimates, before = (_log(tensors, name) for name in ("estimates", "before"))
        obj = TrackedObject(bank, estimates=estimates, before=dict(before))
        obj.prompts = {t: parse_prompt(p, Path(), "prompt") for t, p in said["prompts"]}
        obj.tracked = {t: bool(reverse) for t, reverse in said["passed"]}
        obj.given = {t: dict(text) for t, text in said["given"]}
        obj.changed = {t: set() for t in said["changed"]}
        obj.changed |= {t: set(anew) for t, anew in said.get("anew", [])}
        obj.ends = set(said["ends"])
        obj.locked, obj.missing = bool(said["locked"]), int(said["missing"])
        obj.ceded = {t: dict(text) for t, text in said.get("ceded", [])}
        obj.found = said.get("found")
        birth = said.get("birth")  # files of version 0.1.0 lack it
        obj.birth = None if birth is None else Birth(**birth)
        bank.jumps |= {t: (float(y), float(x)) for t, y, x in said.get("jumps", [])}
        for entry in said["pending"]:
            t, window, logits, pointer = _parts(entry, "pending", tensors)
            if window is None or logits is None:
                raise ValueError("an answer without its mask")
            obj.pending[t] = Pending(window, logits, float(entry["score"]), pointer)
        for name, items in (("conditioning", bank.conditioning), ("tracked", bank.tracked)):
            for entry in said[name]:
                t, window, logits, pointer = _parts(entry, name, tensors)
                items[t] = Remembered(None, pointer, logits, window, float(entry["score"]))
    except (zlib.error, SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"an object that cannot be read ({error})") from error
    known: list[Iterable[int]] = [obj.prompts, obj.tracked, estimates, before, obj.pending]
    if any(not 0 <= t < frames for some in (*known, bank.conditioning, bank.tracked) for t in some):
        raise ValueError("frames that the stack does not have")
    windows = [item.window for item in (*bank.tracked.values(), *bank.conditioning.values())]
    windows += [answer.window for answer in obj.pending.values()]
    found = estimates.grids | before.grids | {w.grid for w in windows if w is not None}
    if not found <= set(grids) or not {*obj.prompts, *obj.given, *obj.ceded} <= {*estimates}:
        raise ValueError("masks of another session")
    return obj


def _log(tensors: dict[str, Tensor], name: str) -> EstimateLog:
    frames = tensors.get(f"{name}.frames", torch.zeros(0, dtype=torch.int64)).numpy()
    rows = tensors.get(f"{name}.rows", torch.zeros(0, dtype=torch.uint8)).numpy()
    values = tensors.get(f"{name}.values", torch.zeros(0, dtype=torch.float16)).numpy()
    return EstimateLog.of_arrays(frames, rows, np.array(values, np.float16))


def _parts(
    entry: dict[str, Any], name: str, tensors: dict[str, Tensor]
) -> tuple[int, Window | None, Tensor | None, Tensor | None]:
    frame, place = int(entry["frame"]), entry["window"]
    logits = tensors.get(f"{name}.{frame}.logits")
    pointer = tensors.get(f"{name}.{frame}.pointer")
    window = None
    if place is not None:
        row, column, height, width, rows, columns = (int(n) for n in place)
        window = Window(row, column, height, width, (rows, columns))
        inside = 0 <= row <= rows - height and 0 <= column <= columns - width
        if not inside or (logits is not None and logits.shape != (4 * height, 4 * width)):
            raise ValueError("a mask of another size than its window")
    elif logits is not None:
        raise ValueError("a mask without its window")
    return frame, window, logits, pointer
