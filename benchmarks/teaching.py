"""What a lesson brings for cells of a look that `micro` has never seen, and what it forgets.

python benchmarks/teaching.py [--quick] [--frames 8] [--steps 200] [--sequences FOLDER]

Nuclei as the sample draws them, shown as thin dark rims on wavy stripes that go through them:
some frames are learned from, others judged. `--sequences`: a folder of real sequences, on which
it is measured with both weights what was forgotten.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _page import machine, write_section
from scipy.ndimage import gaussian_filter, sobel

TITLE = "## Teaching"
SIDE, JUDGED, OBJECTS = 256, 16, 5


def frame(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and its labels, (Y, X)."""
    from napari_sam2.training.samples import sample_timelapse

    images, labels = sample_timelapse(1, (SIDE, SIDE), seed)
    smooth = gaussian_filter(images[0] / images.max(), 1.2)
    rims = np.hypot(sobel(smooth, 0), sobel(smooth, 1))
    rng = np.random.default_rng(seed)
    bent = gaussian_filter(rng.standard_normal(smooth.shape), 6)
    y, x = np.mgrid[:SIDE, :SIDE]
    stripes = np.sin(2 * np.pi * (x + 0.35 * y) / 9 + 1.2 * bent / bent.std())
    shown = 0.55 + 0.16 * stripes - 0.38 * np.clip(rims / np.percentile(rims, 99.5), 0, 1)
    shown += 0.05 * rng.standard_normal(shown.shape)
    return (np.clip(shown, 0, 1) * 60_000).astype(np.uint16), labels[0]


def first_answers(model: object, frames: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Mean IoU of one click and of one box, over the objects of the frames."""
    from napari_sam2.evaluation.protocols import first_frame_scores
    from napari_sam2.evaluation.sequences import Task, choose_objects

    found: dict[str, list[float]] = {"click": [], "box": []}
    for image, labels in frames:
        task = Task(image[None], labels[None], 0, choose_objects(labels, OBJECTS), "forward")
        for prompt, scores in found.items():
            scores += first_frame_scores(model, task, prompt).values()  # type: ignore[arg-type]
    return {prompt: float(np.mean(scores)) for prompt, scores in found.items()}


def real_scores(model: object, folder: Path) -> dict[str, float]:
    """Mean over real sequences of one click, one box, and J from the true masks."""
    from napari_sam2.evaluation.protocols import first_frame_scores, propagate
    from napari_sam2.evaluation.sequences import load_sequence, prepare, sequence_folders

    found: dict[str, list[float]] = {"click": [], "box": [], "J from a mask": []}
    for path in sequence_folders(folder):
        task = prepare(load_sequence(path))
        for prompt in ("click", "box"):
            found[prompt].append(
                float(np.mean([*first_frame_scores(model, task, prompt).values()]))
            )
        found["J from a mask"].append(propagate(model, task, "mask").j)
    return {name: float(np.mean(each)) for name, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two steps, no page written")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--sequences", type=Path, help="real ones, to see what was forgotten")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    judged = JUDGED
    if options.quick:
        options.frames, options.steps, judged = 2, 2, 1
    torch.set_num_threads(options.threads)
    from napari_sam2 import load_model, teach

    lesson = [frame(seed) for seed in range(options.frames)]
    images, labels = (np.stack(part) for part in zip(*lesson, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        taught = teach(images, labels, Path(folder) / "taught.safetensors", steps=options.steps)
        seconds = time.monotonic() - start
        models = [load_model("micro", "cpu"), load_model(taught.path, "cpu")]
    others = [frame(1000 + seed) for seed in range(judged)]
    each = [first_answers(model, others) for model in models]
    rows = ["| | before | after |", "|---|---:|---:|"]
    rows += [f"| IoU of one {p} | {each[0][p]:.3f} | {each[1][p]:.3f} |" for p in each[0]]
    if options.sequences:
        real = [real_scores(model, options.sequences) for model in models]
        rows += [f"| real sequences: {n} | {real[0][n]:.3f} | {real[1][n]:.3f} |" for n in real[0]]
    cells = sum(len(np.unique(labels[t])) - 1 for t in taught.learned)
    learned = f"from {len(taught.learned)} frames of {SIDE} x {SIDE} with {cells} cells"
    print("\n".join(rows))
    if not options.quick:
        write_section(TITLE, section(rows, learned, seconds, options))


def section(rows: list[str], learned: str, seconds: float, options: argparse.Namespace) -> str:
    """Describe the runs in words, for the page."""
    return "\n".join(
        [
            TITLE,
            "",
            f"`python benchmarks/teaching.py`: `micro` learns {learned}",
            "of a look that it has never seen, dark rims on wavy stripes. Judged on",
            f"{JUDGED} other frames of that look, {OBJECTS} cells each. {options.steps} steps,",
            f"with the judging of two frames that were held back, took {seconds:.0f} s.",
            "Real sequences: what was forgotten of others, a mean over all of them.",
            "",
            *rows,
            "",
            f"{machine(options.threads)}.",
        ]
    )


if __name__ == "__main__":
    main()
