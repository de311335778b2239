"""How many cells of a frame are found without a click, and how long it takes.

    python benchmarks/everything.py [--sequences FOLDER] [--quick] [--threads 1]

Without a folder of sequences, only the time is measured.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _page import machine, write_section
from memory import Movie

from napari_sam2 import Frames, TrackingSession, load_model
from napari_sam2.evaluation.baseline import segment
from napari_sam2.evaluation.overlap import overlap
from napari_sam2.evaluation.sequences import load_sequence, sequence_folders, whole_objects

TITLE = "## Everything on a frame"
LEAST_IOU = 0.5  # of a cell that counts as found
SIZES, CELLS, RADIUS = (512, 1024), 50, 12.0


@dataclass(frozen=True)
class Score:
    """Cells found and true, and how well those that match do."""

    recall: float
    precision: float
    iou: float

    @classmethod
    def of(cls, predicted: np.ndarray, truth: np.ndarray) -> Score:
        """Compare two label images; above an IoU of one half no cell can match two others."""
        counts = overlap(predicted, truth)
        ious = [counts.iou(p, t) for p, t in counts.shared]
        matched = [iou for iou in ious if iou > LEAST_IOU]
        return cls(
            len(matched) / max(len(counts.truth), 1),
            len(matched) / max(len(counts.predicted), 1),
            float(np.mean(matched)) if matched else float("nan"),
        )


def found(model: Any, image: np.ndarray, diameter: float | None = None) -> tuple[np.ndarray, float]:
    """Segment a frame; return its labels and the seconds of processor time it took."""
    session = TrackingSession(model, Frames(image[None]))
    start = time.process_time()
    *_, last = session.segment_everything(0, diameter=diameter)
    seconds = time.process_time() - start
    labels = np.zeros(image.shape, np.int32)
    for number, cell in enumerate(last.cells, start=1):
        labels[cell.mask] = number
    return labels, seconds


def seed_frame(folder: Path) -> tuple[str, np.ndarray, np.ndarray]:
    """Return name, image and truth of the first frame, or of the slice with most objects."""
    sequence = load_sequence(folder)
    seed = 0
    if sequence.z_stack:
        seed = int(np.argmax([len(whole_objects(plane)) for plane in sequence.labels]))
    return sequence.name, sequence.images[seed], sequence.labels[seed]


def diameter_of(truth: np.ndarray) -> float:
    """Return the diameter of the median cell, as a user would measure it."""
    _, areas = np.unique(truth[truth > 0], return_counts=True)
    return float(np.sqrt(4 * np.median(areas) / np.pi))


def quality(folders: list[Path]) -> list[str]:
    """Score all seed frames; return the rows of a table."""
    model = load_model("micro", device="cpu")
    rows = [
        "| sequence | cells | recall | precision | IoU | s | with diameter | classical |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    scores = []
    for folder in folders:
        name, image, truth = seed_frame(folder)
        cells = len(np.unique(truth[truth > 0]))
        labels, seconds = found(model, image)
        ours = Score.of(labels, truth)
        sized = Score.of(found(model, image, diameter_of(truth))[0], truth)
        # The better of the two recipes, which is more than a user could know.
        classical = max(
            (Score.of(segment(image, phase=phase), truth) for phase in (False, True)),
            key=lambda s: s.recall + s.precision,
        )
        scores.append([[s.recall, s.precision, s.iou] for s in (ours, sized, classical)])
        rows.append(
            f"| {name} | {cells} | {ours.recall:.2f} | {ours.precision:.2f} | {ours.iou:.2f} |"
            f" {seconds:.1f} | {_short(sized)} | {_short(classical)} |"
        )
        print(rows[-1], flush=True)
    means = [Score(*row) for row in np.nanmean(scores, axis=0).tolist()]
    ours, sized, classical = means
    rows.append(
        f"| **mean** | | {ours.recall:.2f} | {ours.precision:.2f} | {ours.iou:.2f} | |"
        f" {_short(sized)} | {_short(classical)} |"
    )
    return rows


def _short(score: Score) -> str:
    return f"{score.recall:.2f} / {score.precision:.2f} / {score.iou:.2f}"


def speed(sizes: tuple[int, ...]) -> list[str]:
    """Time frames of drawn cells, of these sides; return the rows of a table."""
    model = load_model("micro", device="cpu")
    rows = ["| frame | cells | found | s | s with diameter |", "|---|---:|---:|---:|---:|"]
    for size in sizes:
        cells = CELLS * (size // SIZES[0]) ** 2
        image = Movie(1, size, cells, RADIUS)[0]
        labels, seconds = found(model, image)
        _, sized = found(model, image, 2 * RADIUS)
        rows.append(f"| {size} x {size} | {cells} | {labels.max()} | {seconds:.1f} | {sized:.1f} |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, help="folder of sequences with a truth")
    parser.add_argument("--quick", action="store_true", help="three sequences, small frame")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folders = [] if options.sequences is None else sequence_folders(options.sequences)
    table = quality(folders[:3] if options.quick else folders) if folders else []
    times = speed(SIZES[:1] if options.quick else SIZES)
    if folders and not options.quick:
        write_section(TITLE, section(table, times, options.threads))


def section(table: list[str], times: list[str], threads: int) -> str:
    """Describe the runs in words, for the page."""
    return "\n".join(
        [
            TITLE,
            "",
            "`python benchmarks/everything.py --sequences dev`: `micro` looks for all cells of one",
            "frame, the first of a time-lapse and the slice with most objects of a z-stack. A cell",
            f"is found if a mask has an IoU above {LEAST_IOU:g} with it; IoU is the mean of those.",
            "*With diameter*: the diameter of the median cell is given; recall / precision / IoU.",
            "*Classical*: threshold and watershed, the better of its two recipes for each frame.",
            "Precision counts what the truth leaves out as false, such as cells at the border or",
            "what is no mitochondrion. The constants were chosen on synthetic frames with an eye",
            "on these, so read the table as a best case; t98g_phase shows cells of the training.",
            "Seconds are of processor time.",
            "",
            *table,
            "",
            f"Drawn cells of {2 * RADIUS:.0f} px:",
            "",
            *times,
            "",
            f"{machine(threads)}.",
        ]
    )


if __name__ == "__main__":
    main()
