"""How `micro` fares where cells are smaller, or come with what real stacks have besides cells.

    python benchmarks/robustness.py [--sequences FOLDER] [--only PATTERN ...] [--quick]

Without a folder of sequences, a drawn one is used.
"""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _page import machine, write_section
from everything import Score, diameter_of, found
from scipy import ndimage
from skimage.transform import resize

from napari_sam2 import load_model
from napari_sam2.evaluation import protocols
from napari_sam2.evaluation.sequences import (
    Sequence,
    Task,
    load_sequence,
    prepare,
    sequence_folders,
)
from napari_sam2.training.synthetic import make_clip

TITLE = "## Small cells, and other images than one would wish for"
SMALLEST = 12  # px, of an object that is judged
BRIGHT = 30.0  # times the range of the cells

Pixels = np.ndarray
Change = Callable[[Pixels, np.random.Generator], Pixels]


def smaller(by: float) -> Callable[[Pixels, Pixels], tuple[Pixels, Pixels]]:
    """Return what shrinks images and labels, as a camera of fewer pixels would see them."""

    def apply(images: Pixels, labels: Pixels) -> tuple[Pixels, Pixels]:
        shape = tuple(round(side * by) for side in images.shape[1:])
        return (
            np.stack([resize(i, shape, order=1, anti_aliasing=True) for i in images]),
            np.stack([_nearest(one, shape) for one in labels]),
        )

    return apply


def _nearest(labels: Pixels, shape: tuple[int, ...]) -> Pixels:
    return resize(labels, shape, order=0, preserve_range=True, anti_aliasing=False).astype(np.int32)


def bordered(images: Pixels, labels: Pixels) -> tuple[Pixels, Pixels]:
    """Lay images on zeros, as stitched and registered ones lie."""
    around = [(0, 0), *((int(0.15 * side),) * 2 for side in images.shape[1:])]
    return np.pad(images + 0.1, around), np.pad(labels, around)


def with_a_bright_thing(images: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = images.shape[1:]
    radius = np.sqrt(0.02 * height * width / np.pi)
    y, x = np.mgrid[:height, :width]
    there = np.hypot(y - radius, x - width + radius) < radius
    return np.where(there, BRIGHT, images)


def bleached(images: Pixels, rng: np.random.Generator) -> Pixels:
    left = np.exp(-2.3 * np.arange(len(images)) / len(images))
    return images * left[:, None, None] + rng.normal(0, 0.005, images.shape)


def with_hot_pixels(images: Pixels, rng: np.random.Generator) -> Pixels:
    return np.where(rng.random(images.shape[1:]) < 1 / 2000, 16.0, images)


def unevenly_lit(images: Pixels, rng: np.random.Generator) -> Pixels:
    y, x = (np.linspace(0, 0.5, side) for side in images.shape[1:])
    return images * (0.15 + 0.85 * np.add.outer(y, x))


GEOMETRY = {
    "as they are": lambda images, labels: (images, labels),
    "half the size": smaller(1 / 2),
    "a third": smaller(1 / 3),
    "a quarter": smaller(1 / 4),
    "borders of zeros": bordered,
}
CHANGES: dict[str, Change] = {
    "a bright thing": with_a_bright_thing,
    "bleached to a tenth": bleached,
    "hot pixels, 1 in 2,000": with_hot_pixels,
    "uneven light": unevenly_lit,
    "noise, 1/4 of the range": lambda images, rng: images + rng.normal(0, 0.25, images.shape),
    "out of focus, 2 px": lambda images, rng: ndimage.gaussian_filter(images, (0, 2, 2)),
    "inverted": lambda images, rng: 1 - images,
    "saturated": lambda images, rng: np.clip(2.5 * images, 0, 1),
    "striped, 0.15 of the range": lambda images, rng: (
        images + rng.normal(0, 0.15, (*images.shape[:2], 1))
    ),
}


def changed(task: Task, condition: str) -> Task | None:
    """Return a task under a condition; None where its objects have too few pixels there."""
    low, high = np.percentile(task.images[::3], [0.1, 99.9])
    images = np.clip((task.images.astype(np.float32) - low) / (high - low), 0, 1.5)
    labels = task.labels
    if condition in GEOMETRY:
        images, labels = GEOMETRY[condition](images, labels)
    else:
        images = CHANGES[condition](images, np.random.default_rng(0))
    kept = (i for i in task.objects if np.count_nonzero(labels[task.seed] == i) >= SMALLEST)
    task = replace(task, images=images.astype(np.float32), labels=labels, objects=tuple(kept))
    return task if task.objects else None


def scores(model: Any, task: Task) -> list[float]:
    """Radius of the median object in px, IoU of a click and of a box, J, cells found, precision."""
    truth = task.labels[task.seed]
    areas = [np.count_nonzero(truth == i) for i in task.objects]
    means = [
        np.mean([*protocols.first_frame_scores(model, task, prompt).values()])
        for prompt in ("click", "box")
    ]
    all_of_them = Score.of(found(model, task.images[task.seed], diameter_of(truth))[0], truth)
    radius = np.sqrt(np.median(areas) / np.pi)
    followed = protocols.propagate(model, task).j
    return [radius, *means, followed, all_of_them.recall, all_of_them.precision]


def drawn() -> Sequence:
    """Return a clip of fluorescent nuclei."""
    clip = make_clip(7, frames=3, size=(128, 128), kind="nuclei", z_stack=False)
    return Sequence("drawn", np.asarray(clip.images), np.asarray(clip.labels))


def table(tasks: dict[str, Task], conditions: list[str]) -> list[str]:
    """Return the rows of a table: means over the sequences."""
    model = load_model("micro", device="cpu")
    rows = [
        "| | sequences | radius in px | click | box | J | found | precision |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for condition in conditions:
        results = []
        for name, task in tasks.items():
            one = changed(task, condition)
            if one is not None:
                results.append(scores(model, one))
                print(condition, name, " ".join(f"{v:.3f}" for v in results[-1]), flush=True)
        if not results:
            continue  # all of their objects have become too small
        radius, *means = np.mean(results, axis=0).tolist()
        cells = " | ".join(f"{value:.2f}" for value in means)
        rows.append(f"| {condition} | {len(results)} | {radius:.1f} | {cells} |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, help="folder of sequences with a truth")
    parser.add_argument("--only", nargs="*", default=["*"], help="names of conditions, or patterns")
    parser.add_argument("--frames", type=int, default=10, help="beside the first")
    parser.add_argument("--quick", action="store_true", help="two conditions, one sequence")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    conditions = [
        name
        for name in [*GEOMETRY, *CHANGES]
        if any(fnmatch.fnmatch(name, pattern) for pattern in options.only)
    ]
    folders = [] if options.sequences is None else sequence_folders(options.sequences)
    sequences = [load_sequence(folder) for folder in folders] or [drawn()]
    if options.quick:
        sequences, conditions = sequences[:1], conditions[:2]
    tasks = {one.name: prepare(one, options.frames) for one in sequences}
    rows = table(tasks, conditions)
    if folders and not options.quick and options.only == ["*"]:
        write_section(TITLE, section(rows, options.frames, options.threads))


def section(rows: list[str], frames: int, threads: int) -> str:
    """Describe the runs in words, for the page."""
    return "\n".join(
        [
            TITLE,
            "",
            "`python benchmarks/robustness.py --sequences dev`: the sequences of the model card,",
            f"up to 12 objects of each and {frames} frames beside the first, as they are and then",
            "changed. Means over the sequences: IoU of one click in the centre and of a tight box,",
            "J from the true masks, and of *Find all* with the diameter of the median cell the",
            "share of cells that is found, and of found things that is a cell. Shrunken objects",
            f"count from {SMALLEST} px on. The bright thing is {BRIGHT:.0f} times as bright as the",
            "cells, on 2 % of the frame.",
            "",
            *rows,
            "",
            f"{machine(threads)}.",
        ]
    )


if __name__ == "__main__":
    main()
