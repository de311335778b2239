"""Peak memory of tracking a long stack against a short one: it must not grow with the frames.

Each run is a process of its own, 20 objects, frames made on the fly, results written to disk.

    python benchmarks/memory.py [--frames 100 1000] [--objects 20] [--size 256] [--quick]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _page import machine, write_section

TITLE = "## Memory over the length of a stack"


class Movie:
    """Disks that wander about; a frame exists only while it is read."""

    dtype = np.dtype(np.uint8)

    def __init__(self, frames: int, size: int, objects: int, radius: float | None = None) -> None:
        rng = np.random.default_rng(0)
        self.shape = (frames, size, size)
        self.ndim = 3
        side = int(np.ceil(np.sqrt(objects)))
        grid = (np.stack(np.divmod(np.arange(objects), side), 1) + 0.5) * size / side
        self.centres = grid
        self.phases = rng.uniform(0, 2 * np.pi, (objects, 2))
        self.radius = radius or size / side / 4

    def masks(self, frame: int) -> list[np.ndarray]:
        y, x = np.mgrid[: self.shape[1], : self.shape[2]]
        moved = self.centres + 0.3 * self.radius * np.sin(self.phases + 0.1 * frame)
        return [(y - cy) ** 2 + (x - cx) ** 2 < self.radius**2 for cy, cx in moved]

    def __getitem__(self, index) -> np.ndarray:
        frame = index[0] if isinstance(index, tuple) else index
        image = np.random.default_rng(int(frame)).integers(0, 60, self.shape[1:])
        for mask in self.masks(int(frame)):
            image[mask] += 120
        return image.astype(np.uint8)


def run(frames: int, size: int, objects: int) -> float:
    """Track, and return the peak resident memory of this process in MiB."""
    import torch

    from napari_sam2 import Frames, TrackingSession, load_model
    from napari_sam2.tracking.masklets import Masklets

    torch.set_num_threads(1)
    movie = Movie(frames, size, objects)
    session = TrackingSession(load_model("micro", device="cpu"), Frames(movie, contrast=(0, 255)))
    for number, mask in enumerate(movie.masks(0), start=1):
        session.add_mask(number, 0, mask)
    with tempfile.TemporaryDirectory() as folder:
        masklets = Masklets(movie.shape, store=Path(folder) / "masklets.zarr")
        for result in session.propagate("forward"):
            masklets[result.frame] = result.labels
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--quick", action="store_true", help="20 and 60 small frames")
    parser.add_argument("--one", action="store_true", help="a single run, in this process")
    options = parser.parse_args()
    if options.one:
        print(run(options.frames[0], options.size, options.objects))
        return
    if options.quick:
        options.frames, options.size = [20, 60], 64
    rows = ["| frames | peak, MiB | ratio |", "|---:|---:|---:|"]
    peaks: list[float] = []
    for frames in options.frames:
        command = [sys.executable, __file__, "--one", "--frames", str(frames)]
        command += ["--objects", str(options.objects), "--size", str(options.size)]
        peaks.append(float(subprocess.check_output(command, text=True)))
        rows.append(f"| {frames} | {peaks[-1]:.1f} | {peaks[-1] / peaks[0]:.3f} |")
        print(rows[-1], flush=True)
    if not options.quick:
        write_section(TITLE, section(rows, options))


def section(rows: list[str], options: argparse.Namespace) -> str:
    """Describe the runs in words, for the page."""
    command = f"--frames {' '.join(map(str, options.frames))} --size {options.size}"
    return "\n".join(
        [
            TITLE,
            "",
            f"`python benchmarks/memory.py {command}`: `micro` follows {options.objects} objects,",
            "frames are made on the fly, results go to disk, every run is a process of its own. A",
            "session keeps some hundred bytes of each object and frame, its mask cut to where it",
            "is, so that everything can be corrected later.",
            "",
            *rows,
            "",
            f"{machine(1)}.",
        ]
    )


if __name__ == "__main__":
    main()
