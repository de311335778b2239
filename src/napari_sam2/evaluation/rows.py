"""What is measured of a model on one sequence for the model card, and what it is held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_sam2.evaluation.judging import ends_kept, tracking_scores
from napari_sam2.evaluation.pictures import Picture, example, worst_objects
from napari_sam2.evaluation.protocols import (
    MakeSession,
    classical_propagation,
    clicks_needed,
    copy_first_propagation,
    first_frame_scores,
    propagate,
    tracking_session,
)
from napari_sam2.evaluation.sequences import Task

NUCLEI, PHASE = "fluorescence nuclei", "phase contrast"

# What the development sequences show. Only grouping of the table and the kind of threshold of the
# classical baseline follow from it; a sequence that is not named here is "other", and is compared
# with the better of both thresholds.
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

# Sequences whose terms do not allow to pass their images on: they are in the tables only.
NOT_SHOWN = {
    "hela_nuclei": "Cell Tracking Challenge, Fluo-N2DL-HeLa",
    "simulated_nuclei": "Cell Tracking Challenge, Fluo-N2DH-SIM+",
    "u373_phase": "Cell Tracking Challenge, PhC-C2DH-U373",
    "em_mitochondria_z": "groundtruth-drosophila-vnc, CC BY-NC-SA 3.0",
    "ricm_single_cell": "celldetective, GPL-3",
}

# Whose images are in the pictures.
SOURCES = {
    "budding_yeast": "yeastvision, BSD",
    "motile_phase": "laptrack, BSD-3",
    "mouse_embryo_z": "QCANet, MIT",
    "ovule_membrane_z": "plant-seg, MIT",
    "ovule_nuclei_z": "plant-seg, MIT",
    "stardist_nuclei_z": "stardist, BSD-3",
    "t98g_phase": "Usiigaci, MIT",
}

OVER_ALL, STACKS = "all", "z-stacks"


@dataclass(frozen=True)
class Row:
    """What was measured on one sequence; `frames` without the seed frame.

    `seg` and `tra` are None where the truth has no tracks, `ends` where no object ends. `qualities`
    are predicted and true IoU of every object on every frame.
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
    mask_f: float = float("nan")
    click_f: float = float("nan")
    seg: float | None = None
    tra: float | None = None
    ends: float | None = None
    qualities: tuple[tuple[float, float], ...] = ()
    example: Picture | None = None
    worst: tuple[Picture, ...] = ()

    @property
    def group(self) -> str:
        """The kinds that have a mean of their own, or "other"."""
        return self.kind if self.kind in (NUCLEI, PHASE) else "other"

    @property
    def groups(self) -> tuple[str, ...]:
        """All groups that it counts in."""
        stacks = (STACKS,) if self.sequence.endswith("_z") else ()
        return (self.group, *stacks, OVER_ALL)

    @property
    def mask_j_and_f(self) -> float:
        """Mean of J and F, followed from masks."""
        return (self.mask_j + self.mask_f) / 2

    @property
    def click_j_and_f(self) -> float:
        """Mean of J and F, followed from clicks."""
        return (self.click_j + self.click_f) / 2

    @property
    def lead(self) -> float:
        """J from masks, less that of the classical baseline."""
        return self.mask_j - self.classical_j

    @property
    def leads(self) -> float:
        """1 where the model is ahead of the classical baseline, else 0."""
        return float(self.lead > 0)

    def as_dict(self) -> dict[str, Any]:
        """Names and numbers alone, ready for JSON but for NaN."""
        left_out = ("qualities", "example", "worst")
        return {name: value for name, value in vars(self).items() if name not in left_out}


@dataclass(frozen=True)
class Bound:
    """What a group of sequences must reach: their mean, or what `over` makes of their values."""

    group: str
    attribute: str
    bound: float
    words: str
    at_most: bool = False
    over: Callable[[Sequence[float]], Any] = np.mean

    def measured(self, rows: Sequence[Row]) -> float | None:
        """Value over the group's sequences; None where there are none."""
        values = [getattr(row, self.attribute) for row in rows if self.group in row.groups]
        return float(self.over(values)) if values else None

    def reached(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value <= self.bound if self.at_most else value >= self.bound


# What a release of the embedded model must not fall under.
FLOORS = (
    Bound(NUCLEI, "click_iou", 0.65, "IoU from one click, fluorescence nuclei"),
    Bound(NUCLEI, "box_iou", 0.78, "IoU from a box, fluorescence nuclei"),
    Bound(NUCLEI, "mask_j", 0.80, "J from the first mask, fluorescence nuclei"),
    Bound(OVER_ALL, "mask_j", 0.62, "J from the first mask, all sequences"),
)

# What the next version is to reach.
TARGETS = (
    Bound(OVER_ALL, "click_iou", 0.75, "IoU from one click, all sequences"),
    Bound(NUCLEI, "click_iou", 0.84, "IoU from one click, fluorescence nuclei"),
    Bound(OVER_ALL, "click_iou", 0.50, "IoU from one click, the worst sequence", over=min),
    Bound(OVER_ALL, "box_iou", 0.83, "IoU from a box, all sequences"),
    Bound(NUCLEI, "box_iou", 0.88, "IoU from a box, fluorescence nuclei"),
    Bound(OVER_ALL, "three_click_iou", 0.84, "IoU from three clicks, all sequences"),
    Bound(OVER_ALL, "mask_j", 0.75, "J from the first mask, all sequences"),
    Bound(NUCLEI, "mask_j", 0.86, "J from the first mask, fluorescence nuclei"),
    Bound(STACKS, "mask_j", 0.72, "J from the first mask, z-stacks"),
    Bound(PHASE, "mask_j", 0.65, "J from the first mask, phase contrast"),
    Bound(OVER_ALL, "click_j", 0.70, "J from one click, all sequences"),
    Bound(OVER_ALL, "clicks_85", 4.5, "NoC@85, all sequences", at_most=True),
    Bound(OVER_ALL, "leads", 0.75, "share of the sequences ahead of the classical baseline"),
    Bound(OVER_ALL, "lead", 0.10, "ahead of the classical baseline in J, all sequences"),
)


def measure(model: Any, name: str, task: Task, make_session: MakeSession = tracking_session) -> Row:
    """Put a model and the baselines through the protocols of the card on one sequence."""
    kind = KINDS.get(name, "other")
    textured = kind in TEXTURED if name in KINDS else None

    def first_frame(prompt: Any) -> float:
        scores = first_frame_scores(model, task, prompt, make_session)
        return float(np.mean(list(scores.values())))

    from_mask = propagate(model, task, "mask", make_session)
    from_click = propagate(model, task, "click", make_session)
    seg, tra = tracking_scores(task, from_mask.labels) if task.tracked else (None, None)
    return Row(
        sequence=name,
        kind=kind,
        objects=len(task.objects),
        frames=len(task.images) - 1,
        click_iou=first_frame("click"),
        box_iou=first_frame("box"),
        three_click_iou=first_frame("3-clicks"),
        mask_j=from_mask.j,
        copy_j=copy_first_propagation(task).j,
        classical_j=classical_propagation(task, phase=textured).j,
        seconds_per_frame=from_mask.seconds_per_frame,
        click_j=from_click.j,
        clicks_85=float(np.mean(list(clicks_needed(model, task, 0.85, 20, make_session).values()))),
        mask_f=from_mask.f,
        click_f=from_click.f,
        seg=seg,
        tra=tra,
        ends=ends_kept(task, from_mask.labels),
        qualities=tuple(
            (predicted, from_mask.scores[i][t])
            for i, some in from_mask.predicted.items()
            for t, predicted in some.items()
        ),
        example=example(name, task, from_click, from_mask),
        worst=worst_objects(name, task, from_click, from_mask),
    )
