"""Time and memory of whole-frame tracking, beside the reference implementation.

The same random weights, frames and clicks; every run is a process of its own, in the order ours,
reference, ours, reference. Writes its section of docs/performance.md.

    python benchmarks/reference.py [--quick] [--objects 1 5] [--frames 12] [--threads 2]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from _page import machine, write_section

SIDES = ("ours", "reference")
CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
TITLE = "## Whole frames, beside the reference"
SHAPE = (512, 640)
MEMORIES = 7  # of a full bank; frames are counted from 0


@dataclass(frozen=True)
class Run:
    """One side, tracking so many objects once.

    Parameters
    ----------
    whole : seconds per frame, from the first click to the last mask.
    full : seconds per frame with full memory, on the last frames.
    cpu : the same in seconds of processor time.
    peak : MiB.
    """

    whole: float
    full: float
    cpu: float
    peak: float


def clip(frames: int) -> np.ndarray:
    """Noise with a drift: what is in the frames does not change the time."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (*SHAPE, 3), dtype=np.uint8)
    return np.stack([np.roll(ground, 3 * t, axis=1) for t in range(frames)])


def clicks(objects: int) -> np.ndarray:
    """One click (y, x) for each object, in a row."""
    x = (np.arange(objects) + 0.5) * SHAPE[1] / objects
    return np.stack([np.full(objects, SHAPE[0] / 2), x], axis=1)


def track_ours(weights: Path, frames: int, objects: int) -> Iterator[int]:
    """Track with this package; the first step is the loading of the model."""
    from napari_sam2 import Frames, TrackingPolicy, TrackingSession, load_model

    model = load_model(weights, device="cpu")
    stack = Frames(clip(frames), contrast=(0, 255))
    yield -1
    session = TrackingSession(model, stack, TrackingPolicy(attention="exact"))
    for i, click in enumerate(clicks(objects), start=1):
        session.add_points(i, 0, [click], [True])
    for result in session.propagate("forward"):
        yield result.frame


def track_reference(weights: Path, frames: int, objects: int) -> Iterator[int]:
    """Track with the reference; the first step is the loading of the model."""
    from sam2.build_sam import build_sam2_video_predictor

    from napari_sam2.tracking.frames import Frames

    predictor = build_sam2_video_predictor(CONFIG, str(weights), device="cpu")
    stack = Frames(clip(frames), contrast=(0, 255))
    yield -1
    images = torch.cat([stack.tensor(t, (1024, 1024)) for t in range(frames)])
    loader = "sam2.sam2_video_predictor.load_video_frames"
    with mock.patch(loader, return_value=(images, *SHAPE)):
        state = predictor.init_state("")
    for i, (y, x) in enumerate(clicks(objects), start=1):
        predictor.add_new_points_or_box(state, 0, i, points=[[x, y]], labels=[1])
    for frame, _, logits in predictor.propagate_in_video(state):
        (logits > 0).numpy()
        yield frame


def run_here(options: argparse.Namespace) -> None:
    """Run one side in this process and print the figures as JSON."""
    torch.set_num_threads(options.threads)
    track = track_ours if options.side == "ours" else track_reference
    steps = track(options.weights, options.frames, options.objects[0])
    next(steps)
    clocks = [(time.perf_counter(), time.process_time())]
    clocks += [(time.perf_counter(), time.process_time()) for _ in steps]
    assert len(clocks) == options.frames + 1, f"{len(clocks) - 1} frames"
    wall, cpu = np.diff(np.array(clocks), axis=0).T
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = usage / (2**20 if sys.platform == "darwin" else 2**10)
    last = slice(min(MEMORIES, options.frames - 1), None)
    run = Run(wall.mean(), wall[last].mean(), cpu[last].mean(), peak)
    print(json.dumps(dataclasses.asdict(run)))


def run_apart(side: str, objects: int, weights: Path, options: argparse.Namespace) -> Run:
    """Run one side in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--side", side, "--weights", weights]
    command += ["--objects", objects, "--frames", options.frames, "--threads", options.threads]
    done = subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def measure(options: argparse.Namespace) -> dict[int, dict[str, list[Run]]]:
    """Run both sides in turns for every number of objects."""
    found: dict[int, dict[str, list[Run]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "sam2.1_hiera_tiny.pt"
        save_random_weights(weights)
        for objects in options.objects:
            found[objects] = {side: [] for side in SIDES}
            for _ in range(options.repeats):
                for side in SIDES:
                    run = run_apart(side, objects, weights, options)
                    found[objects][side].append(run)
                    print(
                        f"{objects} objects, {side:9s}: {run.full:6.2f} s a frame with full memory"
                        f" ({run.cpu:6.2f} s of processor), {run.peak:6.0f} MiB",
                        flush=True,
                    )
    return found


def save_random_weights(path: Path) -> None:
    """Random weights in the official layout."""
    from sam2.build_sam import build_sam2_video_predictor

    torch.manual_seed(0)
    reference = build_sam2_video_predictor(CONFIG, None, device="cpu")
    torch.save({"model": reference.state_dict()}, path)


def table(found: dict[int, dict[str, list[Run]]]) -> list[str]:
    """One row for each number of objects, the better of each side's runs."""
    rows = [
        "| objects | ours, s/frame | reference, s/frame | reference / ours "
        "| by processor time | over the whole run | ours, MiB | reference, MiB |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for objects, runs in found.items():
        full, cpu, whole, peak = (
            [min(getattr(run, kind) for run in runs[side]) for side in SIDES]
            for kind in ("full", "cpu", "whole", "peak")
        )
        rows.append(
            f"| {objects} | {full[0]:.2f} | {full[1]:.2f} | {full[1] / full[0]:.2f}"
            f" | {cpu[1] / cpu[0]:.2f} | {whole[1] / whole[0]:.2f}"
            f" | {peak[0]:.0f} | {peak[1]:.0f} |"
        )
    return rows


def section(rows: list[str], options: argparse.Namespace) -> str:
    """Describe the runs in words, for the page."""
    return "\n".join(
        [
            TITLE,
            "",
            "`python benchmarks/reference.py`: SAM 2.1 tiny at 1024 px, float32 on the CPU, one",
            f"set of random weights, {options.frames} frames of {SHAPE[1]} x {SHAPE[0]}, a click",
            "per object on the first. Seconds are of frames with full memory, from frame "
            f"{MEMORIES}",
            "on; the whole run, from the first click to the last mask, has a ratio of its own.",
            "Memory is the peak of the whole process. Every run is a process of its own, in",
            f"turns; the better of {options.repeats} is shown.",
            "",
            *rows,
            "",
            f"{machine(options.threads)}, sam2 {version('sam2')}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer frames, once, no page written")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_here(options)
        return
    if options.quick:
        options.frames, options.repeats = 4, 1
    rows = table(measure(options))
    print("\n".join(rows))
    if not options.quick:
        write_section(TITLE, section(rows, options))


if __name__ == "__main__":
    main()
