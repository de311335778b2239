"""What looking through windows saves, and what it costs in quality.

1. SAM 2.1 tiny, many cells on one frame: windows against the reference implementation.
2. `micro`, small cells on a large frame: J against the same cells in crops of 512 px.
3. `micro`, windows against whole frames: J on sequences with a truth, where a folder is given.

    python benchmarks/windows.py [--quick] [--sequences FOLDER] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from _page import machine, write_section
from memory import Movie
from reference import CONFIG, save_random_weights

TITLE = "## Windows"
SIZE, CELLS, RADIUS = 1024, 20, 20.0
FULL = 7  # from this frame on, memory is full
LARGE, SMALL_CELLS, SMALL_RADIUS, CROP = 2048, 200, 6.0, 512


def movie_of(frames: int, size: int, cells: int, radius: float) -> tuple[Movie, np.ndarray]:
    movie = Movie(frames, size, cells, radius)
    return movie, np.stack([movie[t] for t in range(frames)])


def ours(weights: Path, frames: int) -> Iterator[None]:
    """Track with windows; the first step is what comes before the clock starts.

    Random weights find nothing, so windows are laid where the cells are.
    """
    from napari_sam2 import Frames, TrackingPolicy, TrackingSession, load_model
    from napari_sam2.tracking.network.engine import Engine
    from napari_sam2.tracking.prompt import Prompt
    from napari_sam2.tracking.windows import around

    movie, stack = movie_of(frames, SIZE, CELLS, RADIUS)
    model, masks = load_model(weights, device="cpu"), movie.masks(0)
    yield

    def kept(engine: Engine, last, faded=False):  # type: ignore[no-untyped-def]
        geometry, window = engine.geometry(last.window), last.window
        y, x = 16 * (window.row + window.height / 2), 16 * (window.column + window.width / 2)
        return around(geometry, (y - RADIUS, x - RADIUS, y + RADIUS, x + RADIUS))

    policy = TrackingPolicy(attention="windowed")
    session = TrackingSession(model, Frames(stack, contrast=(0, 255)), policy)
    session.add_prompts({i: {0: Prompt(mask=mask)} for i, mask in enumerate(masks, start=1)})
    with mock.patch.object(Engine, "next_window", kept):
        for _ in session.propagate("forward"):
            yield


def reference(weights: Path, frames: int) -> Iterator[None]:
    """Track whole frames with the reference."""
    from sam2.build_sam import build_sam2_video_predictor

    from napari_sam2.tracking.frames import Frames

    movie, stack = movie_of(frames, SIZE, CELLS, RADIUS)
    predictor = build_sam2_video_predictor(CONFIG, str(weights), device="cpu")
    masks, seen = movie.masks(0), Frames(stack, contrast=(0, 255))
    yield
    images = torch.cat([seen.tensor(t, (SIZE, SIZE)) for t in range(frames)])
    loader = "sam2.sam2_video_predictor.load_video_frames"
    with mock.patch(loader, return_value=(images, SIZE, SIZE)):
        state = predictor.init_state("")
    for i, mask in enumerate(masks, start=1):
        predictor.add_new_mask(state, 0, i, torch.from_numpy(mask))
    for _ in predictor.propagate_in_video(state):
        yield


def seconds(side: str, weights: str, frames: str) -> dict[str, float]:
    """Wall and processor seconds per frame, of frames with a full memory if there are any."""
    steps = (ours if side == "ours" else reference)(Path(weights), int(frames))
    for _ in range(1 + min(FULL, int(frames) - 1)):
        next(steps)
    wall, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for _ in steps)
    return {
        "wall": (time.perf_counter() - wall) / count,
        "cpu": (time.process_time() - cpu) / count,
    }


def small_cells(frames: str) -> dict[str, float]:
    """J of small cells on a large frame, whole and in crops."""
    from napari_sam2.evaluation.metrics import jaccard

    movie, stack = movie_of(int(frames), LARGE, SMALL_CELLS, SMALL_RADIUS)
    truth = [movie.masks(t) for t in range(int(frames))]
    numbers = range(SMALL_CELLS)
    found = followed(stack, {n: truth[0][n] for n in numbers})
    scores = {"whole": [jaccard(found[t] == n + 1, truth[t][n])
                        for t in range(1, int(frames)) for n in numbers]}  # fmt: skip
    scores["crops"] = []
    for y, x in np.ndindex(LARGE // CROP, LARGE // CROP):
        part = slice(CROP * y, CROP * (y + 1)), slice(CROP * x, CROP * (x + 1))
        inside = [n for n in numbers if tuple(movie.centres[n] // CROP) == (y, x)]
        found = followed(stack[:, *part], {n: truth[0][n][part] for n in inside})
        scores["crops"] += [jaccard(found[t] == n + 1, truth[t][n][part])
                            for t in range(1, int(frames)) for n in inside]  # fmt: skip
    return {name: float(np.mean(values)) for name, values in scores.items()}


def followed(stack: np.ndarray, seeds: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    from napari_sam2 import Frames, TrackingSession, load_model
    from napari_sam2.tracking.prompt import Prompt

    session = TrackingSession(load_model("micro", device="cpu"), Frames(stack, contrast=(0, 255)))
    session.add_prompts({n + 1: {0: Prompt(mask=mask)} for n, mask in seeds.items()})
    return {result.frame: result.labels for result in session.propagate("forward")}


def quality(folder: str) -> dict[str, dict[str, float]]:
    """J over sequences of a folder, looked at through windows and as whole frames."""
    from napari_sam2 import Frames, TrackingPolicy, TrackingSession, load_model
    from napari_sam2.evaluation.protocols import propagate
    from napari_sam2.evaluation.sequences import load_sequence, prepare, sequence_folders

    model = load_model("micro", device="cpu")
    found: dict[str, dict[str, float]] = {}
    for path in sequence_folders(Path(folder)):
        task = prepare(load_sequence(path), 20)
        found[path.name] = {}
        for attention in ("windowed", "exact"):
            policy = TrackingPolicy(attention=attention)

            def make(model, images, policy=policy):  # type: ignore[no-untyped-def]
                return TrackingSession(model, Frames(images, axis=0), policy)

            found[path.name][attention] = propagate(model, task, make_session=make).j
    return found


JOBS: dict[str, Callable[..., object]] = {
    "seconds": seconds,
    "small_cells": small_cells,
    "quality": quality,
}


def apart(options: argparse.Namespace, job: str, *given: object) -> Any:
    """Run a job in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--job", job]
    command += ["--threads", str(options.threads), "--given", *map(str, given)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    print(job, *given, found, flush=True)
    return found


def timings(options: argparse.Namespace) -> list[str]:
    """Run ours and the reference in turns."""
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "reference": []}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "sam2.1_hiera_tiny.pt"
        save_random_weights(weights)
        for _ in range(1 if options.quick else options.repeats):
            for side in ("ours", "reference"):
                frames = 3 if options.quick else FULL + 2
                runs[side].append(apart(options, "seconds", side, weights, frames))
    best = {s: {k: min(r[k] for r in runs[s]) for k in ("wall", "cpu")} for s in runs}
    ratio = {k: best["reference"][k] / best["ours"][k] for k in ("wall", "cpu")}
    return [
        f"| SAM 2.1 tiny, {CELLS} cells of {2 * RADIUS:.0f} px: ours, seconds per frame "
        f"| {best['ours']['wall']:.2f} |",
        f"| the reference, seconds per frame | {best['reference']['wall']:.1f} |",
        f"| reference / ours, wall and processor time | {ratio['wall']:.1f}, {ratio['cpu']:.1f} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="times only, once, no page written")
    parser.add_argument("--sequences", type=Path, help="folder of sequences with a truth")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--given", nargs="*", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        torch.set_num_threads(options.threads)
        print(json.dumps(JOBS[options.job](*options.given)))
        return
    rows = ["| what | measured |", "|---|---:|", *timings(options)]
    if not options.quick:
        small = apart(options, "small_cells", 5)
        rows += [
            f"| `micro`, {SMALL_CELLS} cells of {2 * SMALL_RADIUS:.0f} px on {LARGE} px frames: J "
            f"| {small['whole']:.3f} |",
            f"| J of the same cells in crops of {CROP} px | {small['crops']:.3f} |",
            f"| whole / crops | {small['whole'] / small['crops']:.3f} |",
        ]
    print("\n".join(rows))
    if not options.quick:
        write_section(TITLE, section(rows, options))


def section(rows: list[str], options: argparse.Namespace) -> str:
    """Describe the runs in words, for the page."""
    lines = [
        TITLE,
        "",
        "`python benchmarks/windows.py`: discs that wander, on noise. SAM 2.1 tiny has random",
        "weights, which find nothing, so its windows are laid where the cells are. Frames of",
        f"{SIZE} x {SIZE}, masks as prompts; seconds are of frames with full memory, from frame",
        f"{FULL} on. The better of {options.repeats} run(s), in turns.",
        "",
        *rows,
        "",
        f"{machine(options.threads)}.",
    ]
    if options.sequences:
        found = apart(options, "quality", options.sequences)
        lines += ["", "`micro`, J from the first mask over 20 frames:", ""]
        lines += ["| sequence | windows | whole frames |", "|---|---:|---:|"]
        for name, js in found.items():
            lines.append(f"| {name} | {js['windowed']:.3f} | {js['exact']:.3f} |")
        means = [np.mean([js[k] for js in found.values()]) for k in ("windowed", "exact")]
        lines.append(f"| mean | {means[0]:.3f} | {means[1]:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
