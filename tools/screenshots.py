"""The pictures of the documentation, from the real window on the sample: `make screenshots`."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from skimage.measure import regionprops

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = (1440, 880)


def settle(seconds: float = 0.6) -> None:
    """Let the window draw."""
    from napari_sam2.widgets.session.worker import process_events

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        process_events()
        time.sleep(0.01)


def divisions(truth: np.ndarray) -> list[tuple[int, int, list[tuple[float, float]]]]:
    """Mothers, the first frames with their daughters, and where these are."""
    found = []
    for t in range(1, len(truth)):
        before, now = (regionprops(truth[k]) for k in (t - 1, t))
        new = [c for c in now if c.label not in {b.label for b in before}]
        for mother in (c for c in before if c.label not in {n.label for n in now}):
            near = sorted(
                new, key=lambda c: np.linalg.norm(np.subtract(c.centroid, mother.centroid))
            )
            if len(near) >= 2:
                found.append((mother.label, t, [c.centroid for c in near[:2]]))
    return found


def main() -> None:
    """Work on the samples as a user does, and take a picture at each stage."""
    os.environ["NAPARI_SAM2_SESSIONS"] = tempfile.mkdtemp()
    import napari

    for work in (timelapse, zstack):
        viewer = napari.Viewer(show=True)
        viewer.window._qt_window.resize(*SIZE)
        work(viewer)
        viewer.close()


def take(viewer: Any, name: str) -> None:
    """Take a picture of the window as it is."""
    settle()
    viewer.screenshot(str(FOLDER / f"{name}.png"), canvas_only=False, flash=False)
    print(FOLDER / f"{name}.png")


def timelapse(viewer: Any) -> None:
    """Follow nuclei through time."""
    from napari_sam2 import attach
    from napari_sam2.sample_data import sample_timelapse

    images, truth = sample_timelapse()
    viewer.add_image(images, name="nuclei", axis_labels=("t", "y", "x"))
    sam = attach(viewer)
    panels = sam.widget.panels

    def picture(name: str) -> None:
        sam.widget.wait(60, panels=True)
        viewer.reset_view()
        take(viewer, name)

    viewer.dims.set_current_step(0, 0)
    cells = sorted(regionprops(truth[0]), key=lambda cell: -cell.area)[:9]
    for number, cell in enumerate(cells[:3], start=1):
        sam.add_points(number, 0, [cell.centroid])
    picture("prompts")
    for number, cell in enumerate(cells[3:], start=4):
        sam.add_points(number, 0, [cell.centroid])
    sam.propagate("forward")
    viewer.dims.set_current_step(0, len(images) // 2)
    picture("window")
    sam.widget.form.objects.setCurrentIndex(1)
    if len(panels.review.overview.order):
        panels.review.step(1)
    picture("check")
    # Of the whole window, the timeline alone.
    from skimage.io import imread, imsave

    whole = imread(FOLDER / "check.png")
    height = panels.panel.height() if panels.panel is not None else 160
    imsave(FOLDER / "timeline.png", np.ascontiguousarray(whole[-height - 34 : -26]))
    sam.widget.form.objects.setCurrentIndex(0)
    divided = 0
    for mother, frame, places in divisions(truth):
        here = int(sam.masklets[frame - 1][truth[frame - 1] == mother].max())
        if here and divided < 2:
            viewer.dims.set_current_step(0, frame)
            for daughter, place in zip(sam.divide(here, frame), places, strict=True):
                sam.add_points(daughter, frame, [place])
            divided += 1
    sam.repair()
    viewer.dims.set_current_step(0, 8)
    picture("dividing")
    viewer.theme = "light"
    picture("light")
    viewer.theme = "dark"
    sam.widget.shut_down()


def zstack(viewer: Any) -> None:
    """Follow nuclei through depth, and look at them in 3D."""
    from napari_sam2 import attach
    from napari_sam2.sample_data import zstack as sample
    from napari_sam2.training.samples import sample_zstack

    for data, settings, _kind in sample():
        viewer.add_image(data, **settings)
    _, truth = sample_zstack()
    sam = attach(viewer)
    middle = len(truth) // 2
    sam.widget.workbench.show_frame(middle)
    cells = sorted(regionprops(truth[middle]), key=lambda cell: -cell.area)[:16]
    for number, cell in enumerate(cells, start=1):
        sam.add_points(number, middle, [cell.centroid])
    sam.propagate("both")
    sam.widget.show_in_3d()
    sam.widget.wait(60, panels=True)
    take(viewer, "space")
    sam.widget.shut_down()


if __name__ == "__main__":
    main()
