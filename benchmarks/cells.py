"""What many small cells cost with the embedded model on a CPU, and how long a click takes.

python benchmarks/cells.py [--quick] [--objects 10 100] [--frames 8] [--threads 2]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from _page import machine, write_section
from memory import Movie

TITLE = "## Many cells on a laptop"
SIZE, RADIUS = 1024, 15.0


def session_of(movie: Movie):  # type: ignore[no-untyped-def]
    from napari_sam2 import Frames, TrackingSession, load_model

    return TrackingSession(load_model("micro", device="cpu"), Frames(movie, contrast=(0, 255)))


def propagation(objects: int, frames: int) -> float:
    """Median seconds per frame, without the making of the frames."""
    from napari_sam2.tracking.prompt import Prompt

    movie = Movie(frames, SIZE, objects, RADIUS)
    stack = np.stack([movie[t] for t in range(frames)])
    session = session_of(stack)  # type: ignore[arg-type]
    masks = movie.masks(0)
    session.add_prompts({i: {0: Prompt(mask=mask)} for i, mask in enumerate(masks, start=1)})
    times, last = [], time.perf_counter()
    for _ in session.propagate("forward"):
        now = time.perf_counter()
        times.append(now - last)
        last = now
    return statistics.median(times[1:])


def click() -> float:
    """Median seconds from a first click on a cell to its mask, with the encoding around it."""
    movie = Movie(1, SIZE, 16, RADIUS)
    session = session_of(np.stack([movie[0]]))  # type: ignore[arg-type]
    times = []
    for number, (y, x) in enumerate(movie.centres, start=1):
        start = time.perf_counter()
        session.add_points(number, 0, [[y, x]], [True])
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def encoder() -> float:
    """Best seconds for a picture of 512 x 512."""
    from napari_sam2 import load_model

    model, image = load_model("micro", device="cpu"), torch.rand(1, 3, 512, 512)
    times = []
    with torch.inference_mode():
        for _ in range(6):
            start = time.perf_counter()
            model.encode_image(image)
            times.append(time.perf_counter() - start)
    return min(times)


JOBS = {"propagation": propagation, "click": click, "encoder": encoder}


def measured(options: argparse.Namespace, job: str) -> float:
    """Run a job apart if it counts; a quick run only shows that it works."""
    return JOBS[job]() if options.quick else apart(options, job)


def apart(options: argparse.Namespace, job: str, *numbers: int) -> float:
    """Run a job in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--job", job]
    command += ["--threads", str(options.threads), "--numbers", *map(str, numbers)]
    return float(json.loads(subprocess.check_output(command, text=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few frames, once, no page written")
    parser.add_argument("--objects", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--numbers", type=int, nargs="*", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        torch.set_num_threads(options.threads)
        print(json.dumps(JOBS[options.job](*options.numbers)))
        return
    frames, repeats = (3, 1) if options.quick else (options.frames, 2)
    found: dict[int, list[float]] = {n: [] for n in options.objects}
    for _ in range(repeats):
        for n in options.objects:
            found[n].append(apart(options, "propagation", n, frames))
    rows = ["| what | measured |", "|---|---:|"]
    rows += [f"| {n} objects, seconds per frame | {min(times):.2f} |" for n, times in found.items()]
    least, most = min(found), max(found)
    ratio = min(found[most]) / min(found[least])
    milliseconds = 1e3 * measured(options, "click")
    rows += [
        f"| {most} objects cost, times {least} objects | {ratio:.2f} |",
        f"| first click on a cell to its mask, milliseconds | {milliseconds:.0f} |",
        f"| encoder, 512 x 512, seconds | {measured(options, 'encoder'):.2f} |",
    ]
    print("\n".join(rows))
    if not options.quick:
        write_section(TITLE, section(rows, options))


def section(rows: list[str], options: argparse.Namespace) -> str:
    """Describe the runs in words, for the page."""
    return "\n".join(
        [
            TITLE,
            "",
            f"`python benchmarks/cells.py`: `micro`, cells of {2 * RADIUS:.0f} px on frames of",
            f"{SIZE} x {SIZE}, {options.frames} frames; the median frame of the better of two",
            "runs, in turns, every run a process of its own.",
            "",
            *rows,
            "",
            f"{machine(options.threads)}.",
        ]
    )


if __name__ == "__main__":
    main()
