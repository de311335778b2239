"""Frames per second on a GPU: whole frames beside the reference, and many cells in windows.

The reference computes in bfloat16, as it is meant to, once as it is and once compiled by its own
option. Everything runs in one process, each side first once to warm up. Needs CUDA.

    python benchmarks/gpu.py [--quick] [--objects 100] [--frames 32] [--no-compiled] [--mode MODE]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from _page import machine, write_section
from memory import Movie
from reference import CONFIG, SHAPE, clicks, clip, save_random_weights

TITLE = "## On a GPU"
FULL = 16  # frames until memories and pointers are at their full number
SIZE, RADIUS = 1024, 15.0

Run = Callable[[], Iterator[int]]


def rate(run: Run, first: int) -> float:
    """Median frames per second from frame `first` on, of the second of two runs."""
    for _ in run():
        pass
    clocks = []
    for _ in run():
        torch.cuda.synchronize()
        clocks.append(time.perf_counter())
    return 1 / statistics.median(np.diff(clocks)[first:])


def ours(weights: Path, frames: np.ndarray, half: bool) -> Run:
    from napari_sam2 import Frames, TrackingPolicy, TrackingSession, load_model

    model = load_model(weights, device="cuda", half=half)

    def run() -> Iterator[int]:
        stack = Frames(frames, contrast=(0, 255))
        session = TrackingSession(model, stack, TrackingPolicy(attention="exact"))
        session.add_points(1, 0, clicks(1), [True])
        for result in session.propagate("forward"):
            yield result.frame

    return run


def reference(weights: Path, frames: np.ndarray, mode: str | None) -> Run:
    """The reference; `mode` is what its parts are compiled with, None for not at all."""
    from sam2.build_sam import build_sam2_video_predictor

    from napari_sam2.tracking.frames import Frames

    stack = Frames(frames, contrast=(0, 255))
    images = torch.cat([stack.tensor(t, (1024, 1024)) for t in range(len(frames))]).cuda()
    compiled = torch.compile

    def by_mode(*args: object, **kwargs: object) -> object:
        return compiled(*args, **{**kwargs, "mode": mode})  # type: ignore[call-overload]

    with mock.patch("torch.compile", by_mode):
        predictor = build_sam2_video_predictor(
            CONFIG, str(weights), device="cuda", vos_optimized=mode is not None
        )

    def run() -> Iterator[int]:
        loader = "sam2.sam2_video_predictor.load_video_frames"
        with (
            torch.inference_mode(),
            torch.autocast("cuda", torch.bfloat16),
            mock.patch(loader, return_value=(images, *SHAPE)),
        ):
            state = predictor.init_state("")
            ((y, x),) = clicks(1)
            predictor.add_new_points_or_box(state, 0, 1, points=[[x, y]], labels=[1])
            for frame, _, logits in predictor.propagate_in_video(state):
                (logits > 0).cpu().numpy()
                yield frame

    return run


def cells(objects: int, frames: int, half: bool) -> Run:
    from napari_sam2 import Frames, TrackingSession, load_model
    from napari_sam2.tracking.prompt import Prompt

    model = load_model("micro", device="cuda", half=half)
    movie = Movie(frames, SIZE, objects, RADIUS)
    stack = np.stack([movie[t] for t in range(frames)])
    prompts = {i: {0: Prompt(mask=m)} for i, m in enumerate(movie.masks(0), start=1)}

    def run() -> Iterator[int]:
        session = TrackingSession(model, Frames(stack, contrast=(0, 255)))
        session.add_prompts(prompts)
        for result in session.propagate("forward"):
            yield result.frame

    return run


def plan(options: argparse.Namespace, weights: Path) -> dict[str, tuple[Callable[[], Run], int]]:
    """What is measured, in turn, and from which frame on."""
    frames, count = clip(options.frames), min(options.frames, 12)
    many = f"`micro`, {options.objects} cells of 30 px on 1024 px frames"
    found: dict[str, tuple[Callable[[], Run], int]] = {
        f"{many}, bfloat16": (partial(cells, options.objects, count, True), 7),
        f"{many}, float32": (partial(cells, options.objects, count, False), 7),
        "SAM 2.1 tiny, 1 object, ours, bfloat16": (partial(ours, weights, frames, True), FULL),
        "SAM 2.1 tiny, 1 object, ours, float32": (partial(ours, weights, frames, False), FULL),
    }
    if find_spec("sam2"):
        name = "SAM 2.1 tiny, 1 object, the reference"
        found[name] = (partial(reference, weights, frames, None), FULL)
        if options.compiled:
            mode = options.mode
            found[f"{name}, compiled ({mode})"] = (partial(reference, weights, frames, mode), FULL)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="no page written, nothing compiled")
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--mode", default="max-autotune", help="what the reference compiles with")
    parser.add_argument("--no-compiled", dest="compiled", action="store_false")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing to measure")
        return
    options.compiled = options.compiled and not options.quick
    rows = ["| what | frames per second |", "|---|---:|"]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "sam2.1_hiera_tiny.pt"
        if find_spec("sam2"):
            save_random_weights(weights)
        else:
            from napari_sam2.model.checkpoint import save_model
            from napari_sam2.model.config import PUBLISHED
            from napari_sam2.model.sam2 import SAM2

            weights = weights.with_suffix(".safetensors")
            save_model(SAM2(PUBLISHED["sam2.1_hiera_tiny"]), weights, {})
        for name, (make, first) in plan(options, weights).items():
            rows.append(f"| {name} | {rate(make(), first):.1f} |")
            print(rows[-1], flush=True)
    made = f"{machine(torch.get_num_threads())}, {torch.cuda.get_device_name()}"
    if not options.quick:
        about = "`python benchmarks/gpu.py`: frames with full memory, medians of a second run."
        write_section(TITLE, "\n".join([TITLE, "", about, "", *rows, "", f"{made}."]))


if __name__ == "__main__":
    main()
