"""The model card: one table of what a model does on sequences with a truth."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam2.evaluation.calibration import calibration
from napari_sam2.evaluation.protocols import (
    MakeSession,
    Sequence,
    classical_propagation,
    clicks_needed,
    copy_first_propagation,
    first_frame_scores,
    load_sequence,
    prepare,
    propagate,
    sequence_folders,
    tracking_session,
)

NUCLEI, PHASE = "fluorescence nuclei", "phase contrast"

# What the development sequences show. Only grouping of the table and the kind of threshold of the
# classical baseline follow from it; a sequence that is not named here is "other".
KINDS = {
    "hela_nuclei": NUCLEI,
    "simulated_nuclei": NUCLEI,
    "ovule_nuclei_z": NUCLEI,
    "mouse_embryo_z": NUCLEI,
    "stardist_nuclei_z": NUCLEI,
    "u373_phase": PHASE,
    "t98g_phase": PHASE,
    "budding_yeast": PHASE,
    "motile_phase": PHASE,
    "em_mitochondria_z": "electron microscopy",
    "ricm_single_cell": "interference reflection",
    "ovule_membrane_z": "membranes",
}
TEXTURED = {PHASE, "electron microscopy", "interference reflection"}

# Sequences that show the same cells, in other pictures, as a folder of training images.
KIN = {"t98g_phase": "t98g_phase_static"}

OVER_ALL = "all"


@dataclass(frozen=True)
class Row:
    """What was measured on one sequence; `frames` without the seed frame.

    `qualities` are predicted and true IoU of every object on every frame.
    """

    sequence: str
    kind: str
    objects: int
    frames: int
    click_iou: float
    box_iou: float
    three_click_iou: float
    mask_j: float
    copy_j: float
    classical_j: float
    seconds_per_frame: float
    click_j: float = float("nan")
    clicks_85: float = float("nan")
    qualities: tuple[tuple[float, float], ...] = ()

    @property
    def group(self) -> str:
        """The kinds that have a mean of their own, or "other"."""
        return self.kind if self.kind in (NUCLEI, PHASE) else "other"


# Header of a column, attribute of `Row`, digits.
COLUMNS = (
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


@dataclass(frozen=True)
class Floor:
    """A mean that a release of the embedded model must not fall under."""

    group: str
    attribute: str
    least: float
    words: str

    def measured(self, rows: Iterable[Row]) -> float | None:
        """Mean over the group's sequences; None where there are none."""
        values = [
            getattr(row, self.attribute) for row in rows if self.group in (row.group, OVER_ALL)
        ]
        return float(np.mean(values)) if values else None


FLOORS = (
    Floor(NUCLEI, "click_iou", 0.65, "IoU from one click, fluorescence nuclei"),
    Floor(NUCLEI, "box_iou", 0.78, "IoU from a box, fluorescence nuclei"),
    Floor(NUCLEI, "mask_j", 0.80, "J from the first mask, fluorescence nuclei"),
    Floor(OVER_ALL, "mask_j", 0.62, "J from the first mask, all sequences"),
)


def measure(
    model: Any,
    sequence: Sequence,
    frames: int | None = 20,
    make_session: MakeSession = tracking_session,
) -> Row:
    """Put a model and the baselines through all protocols on one sequence."""
    task = prepare(sequence, frames)
    kind = KINDS.get(sequence.name, "other")

    def first_frame(prompt: Any) -> float:
        scores = first_frame_scores(model, task, prompt, make_session)
        return float(np.mean(list(scores.values())))

    followed = propagate(model, task, "mask", make_session)
    return Row(
        sequence=sequence.name,
        kind=kind,
        objects=len(task.objects),
        frames=len(task.images) - 1,
        click_iou=first_frame("click"),
        box_iou=first_frame("box"),
        three_click_iou=first_frame("3clicks"),
        mask_j=followed.j,
        copy_j=copy_first_propagation(task).j,
        classical_j=classical_propagation(task, phase=kind in TEXTURED).j,
        seconds_per_frame=followed.seconds_per_frame,
        click_j=propagate(model, task, "click", make_session).j,
        clicks_85=float(np.mean(list(clicks_needed(model, task, 0.85, 20, make_session).values()))),
        qualities=tuple(
            (predicted, followed.scores[i][t])
            for i, some in followed.predicted.items()
            for t, predicted in some.items()
        ),
    )


def write_model_card(
    model: Any,
    data_dir: Path,
    out: Path = Path("docs/model-card.md"),
    frames: int | None = 20,
    *,
    recipe: Mapping[str, Any] | None = None,
    command: str = "",
    make_session: MakeSession = tracking_session,
    progress: Callable[[Row], None] | None = None,
) -> list[Row]:
    """Measure a model on a folder of sequences and write the table.

    Parameters
    ----------
    model
        From `load_model`; its `config.name` is the card's title.
    data_dir
        Folder of sequences, see `load_sequence`.
    frames
        To propagate over, besides the seed frame; None: all.
    recipe
        How the weights were made, as in their metadata.
    command
        What the user typed; without it, the command that does the same.
    progress
        Called with each row as it is measured.

    Raises
    ------
    InputError
        No sequence is there, or one is unusable.
    """
    rows = []
    for folder in sequence_folders(data_dir):
        rows.append(measure(model, load_sequence(folder), frames, make_session))
        if progress is not None:
            progress(rows[-1])
    name = str(model.config.name)
    length = "" if frames is None else f" --frames {frames}"
    command = command or (
        f"napari-sam2 evaluate --sequences {data_dir.name} --model {name} --card {out.name}{length}"
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(model_card(name, rows, recipe or {}, command, _machine(model)), "utf-8")
    return rows


def model_card(
    name: str, rows: list[Row], recipe: Mapping[str, Any], command: str, machine: str
) -> str:
    """Markdown of the card."""
    today = datetime.datetime.now(tz=datetime.UTC).date()
    parts = [
        f"# Model card: {name}",
        f"Measured on {today} ({machine}) by\n\n```\n{command}\n```",
        _training(rows, recipe),
        _HOW,
        "## Sequences",
        _table(rows),
        "## Against the floors",
        _floor_table(rows),
        "## Predicted quality",
        _quality(rows),
    ]
    if recipe:
        parts += ["## Recipe of the weights", _recipe_table(recipe)]
    return "\n\n".join(parts) + "\n"


def _training(rows: list[Row], recipe: Mapping[str, Any]) -> str:
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
Up to 12 objects a sequence, spread over all sizes, each
whole in the seed frame: the first frame of a time-lapse, the slice with most objects of a z-stack
(its name ends in `_z`), which is propagated both ways.

- **click, box, 3-click IoU**: on the seed frame; a click in the centre of the object, a tight box,
  or one click and two more, each in the centre of the largest remaining error.
- **NoC@85**: clicks until the IoU is 0.85, as many as 20, each in the centre of the largest error.
- **J from click**: as J from mask, with one click in the centre on the seed frame in its place.
- **J from mask**: mean IoU over the other frames and the objects, all followed at once from their
  true masks on the seed frame; an object counts until it divides or ends.
- **copy-first J**: the mask of the seed frame, unmoved. **classical J**: threshold (Li; for phase
  contrast, interference and electron micrographs Otsu, of the local variance), watershed on the
  distance transform, followed by overlap from the same true masks; where nothing overlaps, the last
  mask stays.
- **s per frame**: propagation of all these objects together."""


def _table(rows: list[Row]) -> str:
    header = ["sequence", "kind", "objects", "frames", *(title for title, _, _ in COLUMNS)]
    lines = [_line(header), "|---|---|" + "---:|" * (len(header) - 2)]
    order = {NUCLEI: 0, PHASE: 1, "other": 2}
    for row in sorted(rows, key=lambda row: (order[row.group], row.sequence)):
        values = [f"{getattr(row, name):.{digits}f}" for _, name, digits in COLUMNS]
        lines.append(_line([row.sequence, row.kind, row.objects, row.frames, *values]))
    for group in (*order, OVER_ALL):
        members = [row for row in rows if group in (row.group, OVER_ALL)]
        if members:
            lines.append(_mean_line(group, members))
    return "\n".join(lines)


def _mean_line(group: str, rows: list[Row]) -> str:
    means = [
        f"**{np.mean([getattr(row, name) for row in rows]):.{digits}f}**"
        for _, name, digits in COLUMNS
    ]
    count = sum(row.objects for row in rows)
    return _line([f"**mean, {group}**", f"sequences: {len(rows)}", count, "", *means])


def _floor_table(rows: list[Row]) -> str:
    lines = [_line(["what", "at least", "measured", ""]), "|---|---:|---:|---|"]
    for floor in FLOORS:
        value = floor.measured(rows)
        if value is None:
            lines.append(_line([floor.words, f"{floor.least:.2f}", "not measured", ""]))
        else:
            verdict = "reached" if value >= floor.least else "**missed**"
            lines.append(_line([floor.words, f"{floor.least:.2f}", f"{value:.3f}", verdict]))
    return "\n".join(lines)


def _quality(rows: list[Row]) -> str:
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
