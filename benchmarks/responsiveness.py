"""How the window feels: pauses of its event loop while it propagates, and from click to mask.

python benchmarks/responsiveness.py [--quick] [--objects 50] [--frames 200] [--threads 2]

Needs a screen, or xvfb-run. A timer of 5 ms notes when it comes late: the time in between is what
the window was away for, whatever it did.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from contextlib import contextmanager

import numpy as np
import torch
from _page import machine, write_section
from memory import Movie

TITLE = "## How the window feels"
SIZE, RADIUS = 1024, 15.0


class Pulse:
    """Notes the gaps between the beats of a timer in the event loop."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._beat)

    def _beat(self) -> None:
        now = time.perf_counter()
        self.gaps.append(1e3 * (now - self._last))
        self._last = now

    @contextmanager
    def measured(self):  # type: ignore[no-untyped-def]
        self.gaps.clear()
        self._last = time.perf_counter()
        self._timer.start()
        yield
        self._timer.stop()


def until(done, seconds: float = 3600.0) -> None:  # type: ignore[no-untyped-def]
    from napari_sam2.widgets.session.worker import process_events

    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        process_events()
        time.sleep(0.0005)


def row(what: str, gaps: list[float]) -> str:
    away = [g for g in gaps if g > 50]
    p99 = float(np.percentile(gaps, 99))
    over = sum(g > 200 for g in gaps)
    return f"| {what} | {max(gaps):.0f} | {p99:.0f} | {len(away)} | {over} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few frames, no page written")
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    if options.quick:
        options.objects, options.frames = 10, 12
    torch.set_num_threads(options.threads)
    os.environ.setdefault("NAPARI_SAM2_SESSIONS", tempfile.mkdtemp())

    import napari

    from napari_sam2 import attach
    from napari_sam2.tracking.prompt import Prompt

    movie = Movie(options.frames, SIZE, options.objects, RADIUS)
    stack = np.stack([movie[t] for t in range(options.frames)])
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1400, 900)
    viewer.add_image(stack, name="cells")
    sam = attach(viewer)
    worker = sam.widget._worker
    pulse = Pulse()

    layers = sam.widget.workbench.layers
    assert layers is not None
    shown: list[float] = []

    def note(_text: str, kind: str) -> None:
        if kind == "done":  # said once the mask is in the layer
            shown.append(time.perf_counter())

    sam.widget.workbench.status.connect(note)

    def click(y: float, x: float) -> float:
        """Milliseconds from a click to its mask on screen."""
        until(lambda: not worker.busy)
        shown.clear()
        start = time.perf_counter()
        layers.points.add(layers.geometry.to_data(0, y, x)[None])
        until(lambda: bool(shown))
        until(lambda: True)  # what the mask asks to be drawn
        return 1e3 * (time.perf_counter() - start)

    sam.add_points(1, 0, [movie.centres[0]])  # the first loads what is loaded once
    first, again = [], []
    for number, (y, x) in enumerate(movie.centres[1:9], start=2):
        sam.widget.object_id = number
        first.append(click(y, x))
        again.append(click(y + 4, x + 3))
    masks = movie.masks(0)
    sam.add_prompts({i: {0: Prompt(mask=mask)} for i, mask in enumerate(masks, start=1)})

    rows = [
        "| while | longest pause, ms | 99 % below, ms | pauses over 50 ms | over 200 ms |",
        "|---|---:|---:|---:|---:|",
    ]
    for follow in (True, False):
        sam.widget.form.propagation.follow.setChecked(follow)
        with pulse.measured():
            sam.widget.propagate("forward")
            until(lambda: sam.widget.controller.run is None and not worker.busy)
        how = "showing each frame" if follow else "another frame on screen"
        rows.append(row(f"propagating, {how}", pulse.gaps))
    rate = sam.status
    with pulse.measured():
        sam.widget.undo()
        until(lambda: not worker.busy)
    rows.append(row("undoing the propagation", pulse.gaps))
    rows += [
        "",
        "From the first click on a cell to its mask on screen, with the encoding at several",
        f"magnifications: {statistics.median(first):.0f} ms; from a second, on what is encoded:",
        f"{statistics.median(again):.0f} ms (medians of {len(first)}). {rate}",
    ]
    print("\n".join(rows))
    if not options.quick:
        write_section(TITLE, section(rows, options))
    sam.widget.shut_down()
    viewer.close()


def section(rows: list[str], options: argparse.Namespace) -> str:
    """Describe the runs in words, for the page."""
    return "\n".join(
        [
            TITLE,
            "",
            f"`python benchmarks/responsiveness.py`: `micro` follows {options.objects} objects of",
            f"{2 * RADIUS:.0f} px over {options.frames} frames of {SIZE} x {SIZE} in a real window",
            "(Xvfb, drawn by the processor). A timer of 5 ms in the event loop notes when it comes",
            "late.",
            "",
            *rows,
            "",
            f"{machine(options.threads)}.",
        ]
    )


if __name__ == "__main__":
    main()
