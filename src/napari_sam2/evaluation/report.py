"""The model card: tables and pictures of what a model does on sequences with a truth."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.evaluation.calibration import calibration
from napari_sam2.evaluation.pictures import WORST, Picture
from napari_sam2.evaluation.rows import (
    FLOORS,
    KIN,
    NOT_SHOWN,
    NUCLEI,
    OVER_ALL,
    PHASE,
    SOURCES,
    TARGETS,
    Bound,
    Row,
)
from napari_sam2.evaluation.sequences import MAX_OBJECTS
from napari_sam2.export.files import check_free, check_writable, completed, taken
from napari_sam2.tracking.errors import InputError, reading, writing

PICTURES = Path("images/card")  # beside the card
_TITLE = "# Model card:"

# Header of a column, attribute of `Row`, digits.
Columns = Sequence[tuple[str, str, int]]
COLUMNS: Columns = (
    ("click IoU", "click_iou", 3),
    ("box IoU", "box_iou", 3),
    ("3-click IoU", "three_click_iou", 3),
    ("NoC@85", "clicks_85", 1),
    ("J from mask", "mask_j", 3),
    ("J from click", "click_j", 3),
    ("copy-first J", "copy_j", 3),
    ("classical J", "classical_j", 3),
    ("s per frame", "seconds_per_frame", 2),
)
FOLLOWING: Columns = (
    ("F from mask", "mask_f", 3),
    ("J&F from mask", "mask_j_and_f", 3),
    ("F from click", "click_f", 3),
    ("J&F from click", "click_j_and_f", 3),
    ("SEG", "seg", 3),
    ("TRA", "tra", 3),
    ("ends", "ends", 2),
)


def write_model_card(
    model: Any,
    rows: Sequence[Row],
    out: Path,
    command: str,
    *,
    recipe: Mapping[str, Any] | None = None,
    size: int | None = None,
    objects: int = MAX_OBJECTS,
    left_out: Mapping[str, str] | None = None,
) -> None:
    """Write the card over an older one, and its pictures into `images/card` beside it.

    Parameters
    ----------
    model
        From `load_model`; its `config.name` is the card's title.
    rows
        What was measured.
    command
        That measures it.
    recipe
        How the weights were made, as in their metadata.
    size
        Of the file of weights, in bytes.
    objects
        Followed in a sequence, at most.
    left_out
        Sequences that could not be measured, and why.

    Raises
    ------
    OutputError
        The card or a picture cannot be written.
    """
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    for picture in (*_examples(rows), *_worst(rows)):
        picture.save(out.parent / PICTURES)
    card = model_card(
        str(model.config.name),
        rows,
        recipe or {},
        command,
        _machine(model),
        size=size,
        objects=objects,
        left_out=left_out,
    )
    with completed(out, overwrite=True, ours=_is_card) as unfinished:
        unfinished.write_text(card, "utf-8")


def check_card(path: Path) -> None:
    """Refuse, before any work, a card that could not be written.

    Raises
    ------
    InputError
        If there is something else than a card.
    OutputError
        If nothing can be written there.
    """
    if taken(path) and not _is_card(path):
        raise InputError(f"{path} exists and is no model card; choose another name")
    check_free(path, overwrite=True, ours=_is_card)
    check_writable(path)


def _is_card(path: Path) -> bool:
    with reading(path):
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(_TITLE)) == _TITLE.encode()


def model_card(
    name: str,
    rows: Sequence[Row],
    recipe: Mapping[str, Any],
    command: str,
    machine: str,
    *,
    size: int | None = None,
    objects: int = MAX_OBJECTS,
    left_out: Mapping[str, str] | None = None,
) -> str:
    """Markdown of the card."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    parts = [
        f"{_TITLE} {name}",
        f"Measured on {today} ({machine}) by\n\n```\n{command}\n```",
        _training(rows, recipe),
        *(f"**{one} is left out**: {why}" for one, why in (left_out or {}).items()),
        _HOW.format(objects=objects),
        "## Sequences",
        _table(rows, COLUMNS),
        "## Following",
        _FOLLOWING_HOW,
        _table(rows, FOLLOWING),
        "## Against the floors",
        _bounds_table(FLOORS, rows),
        "## Targets of the next version",
        _bounds_table(TARGETS, rows),
        _size_and_speed(size),
        "## Predicted quality",
        _quality(rows),
    ]
    if any(row.example for row in _shown(rows)):
        parts += [
            "## Pictures",
            f"{_PICTURES_HOW}{_sources(rows)}",
            "### The worst objects",
            _gallery(_worst(rows)),
        ]
        parts += ["### Every sequence, the worst first", _gallery(_examples(rows))]
    if recipe:
        parts += ["## Recipe of the weights", _recipe_table(recipe)]
    return "\n\n".join(parts) + "\n"


def _training(rows: Sequence[Row], recipe: Mapping[str, Any]) -> str:
    """Say what the model has seen that bears on the table."""
    words = "None of these sequences was trained on."
    real = recipe.get("batch", {}).get("real", ())
    if real:
        words += f" The training mixed static real images ({', '.join(real)}) into synthetic ones."
    for row in rows:
        if KIN.get(row.sequence) in real:
            words += (
                f" {row.sequence} shows the same cells as {KIN[row.sequence]}, so read it apart."
            )
    return words


_HOW = """\
Up to {objects} objects a sequence, spread over all sizes, each
whole in the seed frame: the first frame of a time-lapse, the slice with most objects of a z-stack
(its name ends in `_z`), which is propagated both ways.

- **click, box, 3-click IoU**: on the seed frame; a click in the centre of the object, a tight box,
  or one click and two more, each in the centre of the largest remaining error.
- **NoC@85**: clicks until the IoU is 0.85, as many as 20, each in the centre of the largest error.
- **J from click**: as J from mask, with one click in the centre on the seed frame in its place.
- **J from mask**: mean IoU over the other frames and the objects, all followed at once from their
  true masks on the seed frame; an object counts until it divides or ends.
- **copy-first J**: the mask of the seed frame, unmoved. **classical J**: threshold (Li; for phase
  contrast, interference and electron micrographs Otsu, of the local variance; for sequences of
  unknown kind the better of both), watershed on the distance transform, followed by overlap from
  the same true masks; where nothing overlaps, the last mask stays.
- **s per frame**: propagation of all these objects together."""


_FOLLOWING_HOW = """\
- **F** is the agreement of the outlines (boundary F of DAVIS, to 0.8% of the frame's diagonal),
  **J&F** the mean of J and F; both over the frames and objects of J.
- **SEG, TRA** of the Cell Tracking Challenge, followed from the true masks, where the truth says
  when cells divide and end. Both are taken over the followed objects alone and without the seed
  frame, whose masks were given: the truth is cut down to these objects, so other cells cost
  nothing, and neither do daughters, which nobody asked for. A mask that goes on after its cell has
  divided or ended is a false detection in TRA; in a gap of the truth nothing is judged. The means
  are over the sequences that have tracks.
- **ends**: of the frames beyond the first and last one on which the truth shows an object, the
  share on which it has no mask, followed from the true masks; over the sequences in which some
  object ends. J does not see these frames."""

_PICTURES_HOW = """\
From left to right: the seed frame, with the answers to one click an object (yellow cross); a later
frame, followed from these clicks; the same frame, followed from the true masks. **Green** is the
true outline, **magenta** the one found, **white** where both agree. Cells without an outline were
not followed; magenta alone is a mask in the wrong place, or of an object that has ended."""


def _table(rows: Sequence[Row], columns: Columns) -> str:
    header = ["sequence", "kind", "objects", "frames", *(title for title, _, _ in columns)]
    lines = [_line(header), "|---|---|" + "---:|" * (len(header) - 2)]
    order = {NUCLEI: 0, PHASE: 1, "other": 2}
    for row in sorted(rows, key=lambda row: (order[row.group], row.sequence)):
        values = [_number([getattr(row, name)], digits) for _, name, digits in columns]
        lines.append(_line([row.sequence, row.kind, row.objects, row.frames, *values]))
    for group in (*order, OVER_ALL):
        members = [row for row in rows if group in row.groups]
        if members:
            lines.append(_mean_line(group, members, columns))
    return "\n".join(lines)


def _mean_line(group: str, rows: Sequence[Row], columns: Columns) -> str:
    means = [
        _number([getattr(row, name) for row in rows], digits, "**") for _, name, digits in columns
    ]
    count = sum(row.objects for row in rows)
    return _line([f"**mean, {group}**", f"sequences: {len(rows)}", count, "", *means])


def _number(values: Iterable[float | None], digits: int, mark: str = "") -> str:
    """Mean of what was measured; "-" where nothing was."""
    known = [value for value in values if value is not None]
    return f"{mark}{np.mean(known):.{digits}f}{mark}" if known else "-"


def _bounds_table(bounds: Iterable[Bound], rows: Sequence[Row]) -> str:
    lines = [_line(["what", "bound", "measured", ""]), "|---|---:|---:|---|"]
    for bound in bounds:
        value = bound.measured(rows)
        limit = f"{'at most' if bound.at_most else 'at least'} {bound.bound:.2f}"
        if value is None:
            lines.append(_line([bound.words, limit, "not measured", ""]))
        else:
            verdict = "reached" if bound.reached(value) else "**missed**"
            lines.append(_line([bound.words, limit, f"{value:.3f}", verdict]))
    return "\n".join(lines)


def _examples(rows: Iterable[Row]) -> list[Picture]:
    found = (row.example for row in _shown(rows) if row.example is not None)
    return sorted(found, key=lambda picture: picture.score)


def _worst(rows: Iterable[Row]) -> list[Picture]:
    """Worst objects of all sequences, named by their rank so that a later card replaces them."""
    found = sorted(
        (p for row in _shown(rows) for p in row.worst), key=lambda picture: picture.score
    )
    return [replace(p, name=f"worst_{n}") for n, p in enumerate(found[:WORST], start=1)]


def _shown(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.sequence not in NOT_SHOWN]


def _sources(rows: Sequence[Row]) -> str:
    """Say whose images are shown, and whose are not."""
    shown = [f"{r.sequence} ({SOURCES[r.sequence]})" for r in rows if r.sequence in SOURCES]
    absent = [f"{r.sequence} ({NOT_SHOWN[r.sequence]})" for r in rows if r.sequence in NOT_SHOWN]
    words = f"\n\nImages: {', '.join(shown)}." if shown else ""
    if absent:
        words += f"\n\nNot shown, because their terms do not allow it: {', '.join(absent)}."
    return words


def _gallery(pictures: Iterable[Picture]) -> str:
    return "\n\n".join(
        f"![{p.name}]({(PICTURES / p.name).as_posix()}.png)\n\n*{p.caption}*" for p in pictures
    )


def _size_and_speed(size: int | None) -> str:
    weights = "" if size is None else f"The weights take {size / 1e6:.1f} MB; the target is 12. "
    return weights + (
        "Targets of speed are an encoder at 512 px in at most 0.3 s and a click on an encoded "
        "frame in at most 0.1 s; what was measured is in [performance](performance.md)."
    )


def _quality(rows: Sequence[Row]) -> str:
    """Say how well the predicted IoU tells good masks from bad ones."""
    pairs = [pair for row in rows for pair in row.qualities]
    if not pairs:
        return "Not measured."
    found = calibration(*zip(*pairs, strict=True))
    return (
        f"Of {found.count} masks of followed objects, predicted and true IoU have a rank "
        f"correlation (Spearman) of {found.spearman:.2f}. The tenth with the lowest prediction "
        f"holds {found.caught:.0%} of the failures (true IoU below 0.5); it could hold "
        f"{found.possible:.0%}."
    )


def _recipe_table(recipe: Mapping[str, Any]) -> str:
    lines = [_line(["", ""]), "|---|---|"]
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        lines.append(_line([key, value]))
    return "\n".join(lines)


def _line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _machine(model: Any) -> str:
    import torch

    device = getattr(model, "device", "cpu")
    threads = torch.get_num_threads()
    return f"{platform.machine()}, {os.cpu_count()} cores, {threads} torch threads, {device}"
