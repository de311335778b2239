"""How long it takes to import what another program found: cells on every frame of a stack.

python benchmarks/importing.py [--quick] [--cells 100 300] [--frames 20] [--threads 1]

As the window does it, from a label image to masklets and a saved session.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _page import machine, write_section

TITLE = "## Importing masklets"
SIZE, RADIUS = 1024, 15


def tracked(cells: int, frames: int) -> np.ndarray:
    """Discs that wander about their places on a grid, as labels (T, Y, X)."""
    side = int(np.ceil(np.sqrt(cells)))
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (cells, 2))
    places = (np.stack(np.divmod(np.arange(cells), side), 1) + 0.5) * SIZE / side
    labels = np.zeros((frames, SIZE, SIZE), np.uint16)
    for t, plane in enumerate(labels):
        for i, (y, x) in enumerate(places + 4 * np.sin(phases + 0.1 * t), start=1):
            corner = (int(y) - RADIUS - 1, int(x) - RADIUS - 1)
            part = plane[tuple(slice(max(c, 0), c + 2 * RADIUS + 3) for c in corner)]
            ys, xs = (np.arange(n) + max(c, 0) for n, c in zip(part.shape, corner, strict=True))
            part[(ys[:, None] - y) ** 2 + (xs - x) ** 2 < RADIUS**2] = i
    return labels


def run(cells: int, frames: int, folder: Path) -> str:
    """Import and save; returns a row of the table."""
    from napari_sam2 import Frames, TrackingSession, load_model
    from napari_sam2.tracking.kept.history import History
    from napari_sam2.tracking.kept.keeping import KeptSession
    from napari_sam2.tracking.kept.session_file import SessionFile
    from napari_sam2.tracking.kept.steps import AdoptMasks
    from napari_sam2.tracking.masks.mask_text import mask_text
    from napari_sam2.tracking.masks.thin_mask import masks_of

    labels = tracked(cells, frames)
    images = np.where(labels > 0, 180, 40).astype(np.uint8)
    session = TrackingSession(load_model("micro", device="cpu"), Frames(images))
    history = History(session)
    marks = [time.process_time()]
    masks: dict[int, dict[int, dict[str, object]]] = {}
    for t, plane in enumerate(labels):
        for i, mask in masks_of(plane).items():
            masks.setdefault(i, {})[t] = mask_text(mask)
    for result in history.run(AdoptMasks(masks)):
        assert np.array_equal(result.labels, labels[result.frame])
    marks.append(time.process_time())
    KeptSession(folder / f"{cells}.ns2.json").save(history, SessionFile.of(history, "micro"))
    marks.append(time.process_time())
    importing, saving = np.diff(marks)
    each = 1e6 * importing / (cells * frames)
    return f"| {cells} | {importing:.2f} | {each:.0f} | {saving:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few cells, no page written")
    parser.add_argument("--cells", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    if options.quick:
        options.cells, options.frames = [20], 5
    torch.set_num_threads(options.threads)
    rows = [
        "| cells | import, s | for each mask, µs | saving, s |",
        "|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        run(5, 2, Path(folder))  # what is loaded once
        for cells in options.cells:
            rows.append(run(cells, options.frames, Path(folder)))
            print(rows[-1], flush=True)
    if not options.quick:
        write_section(TITLE, section(rows, options))


def section(rows: list[str], options: argparse.Namespace) -> str:
    """Describe the runs in words, for the page."""
    return "\n".join(
        [
            TITLE,
            "",
            f"`python benchmarks/importing.py`: {options.frames} frames of {SIZE} x {SIZE} with",
            f"cells of {2 * RADIUS} px, from a label image to masklets that can be corrected",
            "(`micro`), and the first saving of the session. The network is not asked; it sees an",
            "object's first mask once the object is followed or corrected.",
            "Seconds are of processor time.",
            "",
            *rows,
            "",
            f"{machine(options.threads)}.",
        ]
    )


if __name__ == "__main__":
    main()
