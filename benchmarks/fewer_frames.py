"""How `micro` follows cells where frames are fewer, or slices farther apart.

    python benchmarks/fewer_frames.py [--sequences FOLDER] [--every 1 2 4] [--quick]

Without a folder of sequences, a drawn one is used.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _page import machine, write_section
from robustness import drawn
from scipy import ndimage

from napari_sam2 import load_model
from napari_sam2.evaluation import protocols
from napari_sam2.evaluation.sequences import Task, load_sequence, prepare, sequence_folders

TITLE = "## Fewer frames, and slices farther apart"
LEAST_FRAMES = 3


def thinned(task: Task, every: int) -> Task:
    """Keep the seed frame and every so many others, both ways."""
    kept = slice(task.seed % every, None, every)
    return replace(
        task, images=task.images[kept], labels=task.labels[kept], seed=task.seed // every
    )


def moved(task: Task) -> float:
    """Return how far objects move from frame to frame, in diameters: the median of all steps."""
    steps = []
    for before, after in zip(task.labels[:-1], task.labels[1:], strict=True):
        for i in task.objects:
            if (before == i).any() and (after == i).any():
                here, there = (ndimage.center_of_mass(labels == i) for labels in (before, after))
                diameter = 2 * np.sqrt(np.count_nonzero(before == i) / np.pi)
                steps.append(np.hypot(*np.subtract(there, here)) / diameter)
    return float(np.median(steps))


def table(tasks: dict[str, Task], everies: list[int]) -> list[str]:
    """Return the rows of a table, one for each sequence and distance."""
    model = load_model("micro", device="cpu")
    rows = [
        "| sequence | every | frames | moved | J from mask | J from click | copied | classical |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, task in tasks.items():
        for every in everies:
            one = thinned(task, every)
            if len(one.images) < LEAST_FRAMES:
                continue
            found = [
                protocols.propagate(model, one, "mask"),
                protocols.propagate(model, one, "click"),
                protocols.copy_first_propagation(one),
                protocols.classical_propagation(one, phase=None),
            ]
            scores = " | ".join(f"{some.j:.2f}" for some in found)
            rows.append(f"| {name} | {every} | {len(one.images)} | {moved(one):.2f} | {scores} |")
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=Path, help="folder of sequences with a truth")
    parser.add_argument("--every", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--frames", type=int, default=32, help="beside the first, before")
    parser.add_argument("--quick", action="store_true", help="one sequence")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folders = [] if options.sequences is None else sequence_folders(options.sequences)
    sequences = [load_sequence(folder) for folder in folders] or [drawn()]
    if options.quick:
        sequences, options.every = sequences[:1], [1]
    tasks = {one.name: prepare(one, options.frames) for one in sequences}
    rows = table(tasks, options.every)
    print("\n".join(rows))
    if folders and not options.quick:
        write_section(TITLE, section(rows, options.frames, options.threads))


def section(rows: list[str], frames: int, threads: int) -> str:
    """Describe the runs in words, for the page."""
    return "\n".join(
        [
            TITLE,
            "",
            "`python benchmarks/fewer_frames.py --sequences dev`: the sequences of the model card,",
            f"up to 12 objects of each and {frames} frames beside the first where there are as",
            "many; all of them, then every second and every fourth. *Moved*: how far the middles",
            "of the objects move from frame to frame, in diameters, the median of all steps.",
            "*Copied* is the first mask, unmoved, *classical* begins with the same true masks.",
            "",
            *rows,
            "",
            f"{machine(threads)}.",
        ]
    )


if __name__ == "__main__":
    main()
