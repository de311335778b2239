"""Small pictures for the model card: true and found outlines over the images.

Every picture has three panels of one part of the field: the seed frame with the answer to one click
an object, a later frame followed from these clicks, and that frame followed from the true masks.
"""
# mypy: allow-untyped-calls
# (scikit-image is only partly annotated)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import find_boundaries
from skimage.transform import resize

from napari_sam2.evaluation.annotators import centre_click
from napari_sam2.evaluation.protocols import Propagation
from napari_sam2.evaluation.sequences import Task
from napari_sam2.tracking.errors import writing

PANEL = 272  # px
GAP = 4  # px
DIAMETERS = 7  # of a typical object, in a panel
WORST = 3  # objects

# Few greys, dark enough for the lines: noise in more of them is most of what a file would hold.
GREYS, BRIGHTEST = 24, 190
GAMMA = 0.7  # dim cells should be seen, too
TRUE, FOUND, BOTH, CLICK = range(GREYS, GREYS + 4)
PALETTE = [
    *((round(BRIGHTEST * n / (GREYS - 1)),) * 3 for n in range(GREYS)),
    (0, 220, 60),  # green and magenta differ for every kind of colour vision
    (255, 60, 255),
    (255, 255, 255),
    (255, 220, 0),
]

Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture of one sequence, or of one object.

    Parameters
    ----------
    name : of the file, without ending.
    caption : what it shows.
    score : mean J from the clicks; the lowest come first.
    pixels : (Y, X) uint8, indices into `PALETTE`.
    """

    name: str
    caption: str
    score: float
    pixels: NDArray[np.uint8]

    def save(self, folder: Path) -> Path:
        """Write it as PNG.

        Raises
        ------
        OutputError
            The folder cannot be written to.
        """
        path = folder / f"{self.name}.png"
        image = Image.fromarray(self.pixels)
        image.putpalette([value for colour in PALETTE for value in colour])
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            image.save(path, optimize=True)
        return path


def example(name: str, task: Task, from_click: Propagation, from_mask: Propagation) -> Picture:
    """Show the part of a field that holds the most followed objects.

    The later frame is the one farthest from the seed frame on which the truth still shows half of
    the followed objects.
    """
    later = _far_frame(task)
    caption = (
        f"{name}: J {from_click.j:.2f} from the clicks, {from_mask.j:.2f} from the true masks; "
        f"{_apart(task, later)}"
    )
    window = _fullest_window(task, later)
    pixels = _panels(task, later, window, task.objects, from_click, from_mask)
    return Picture(name, caption, from_click.j, pixels)


def worst_objects(
    name: str, task: Task, from_click: Propagation, from_mask: Propagation, most: int = WORST
) -> tuple[Picture, ...]:
    """Show the objects with the lowest mean J from one click, each on its worst frame."""
    means = {
        i: float(np.mean(list(some.values()))) for i, some in from_click.scores.items() if some
    }
    pictures = []
    for i in sorted(means, key=lambda i: (means[i], i))[:most]:
        frames = from_click.scores[i]
        later = min(sorted(frames), key=frames.__getitem__)
        drawn = float(np.mean(list(from_mask.scores[i].values())))
        caption = (
            f"{name}, object {i}: J {means[i]:.2f} from the click, {drawn:.2f} from the true mask; "
            f"{_apart(task, later)}"
        )
        window = _window_around(task, i, later)
        pixels = _panels(task, later, window, (i,), from_click, from_mask)
        pictures.append(Picture(f"{name}-{i}", caption, means[i], pixels))
    return tuple(pictures)


def _apart(task: Task, later: int) -> str:
    steps = later - task.seed
    unit = "slice" if task.direction == "both" else "frame"
    where = "after" if steps > 0 else "before"
    return f"seed frame and {abs(steps)} {unit}{'s' * (abs(steps) != 1)} {where} it"


def _far_frame(task: Task) -> int:
    shown = [np.isin(task.objects, labels).sum() for labels in task.labels]
    fit = [t for t, n in enumerate(shown) if t != task.seed and 2 * n >= len(task.objects)]
    others = fit or [t for t in range(len(shown)) if t != task.seed] or [task.seed]
    return max(others, key=lambda t: (abs(t - task.seed), t))


def _fullest_window(task: Task, later: int) -> Window:
    centres = [
        np.mean(np.nonzero(mask), axis=1)
        for frame in (task.seed, later)
        for i in task.objects
        if (mask := task.labels[frame] == i).any()
    ]
    side = _side([int(task.seed_mask(i).sum()) for i in task.objects])
    windows = [_placed(task, centre, side) for centre in centres]
    return max(windows, key=lambda w: sum(_inside(centre, w) for centre in centres))


def _window_around(task: Task, object_id: int, later: int) -> Window:
    ys, xs = np.nonzero(task.seed_mask(object_id) | (task.labels[later] == object_id))
    extent = max(np.ptp(ys), np.ptp(xs)) * 1.3
    side = max(_side([int(task.seed_mask(object_id).sum())]), round(extent))
    return _placed(task, [np.ptp(v) / 2 + v.min() for v in (ys, xs)], side)


def _side(areas: Sequence[int]) -> int:
    return round(DIAMETERS * 2 * float(np.sqrt(np.median(areas) / np.pi)))


def _placed(task: Task, centre: Any, side: int) -> Window:
    """Square around a point, moved and, where it must, cut to lie within the frame."""
    shape = task.images.shape[1:]
    side = min(side, *shape)
    starts = [
        int(np.clip(round(c - side / 2), 0, n - side)) for c, n in zip(centre, shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _inside(point: Any, window: Window) -> bool:
    return all(s.start <= c < s.stop for c, s in zip(point, window, strict=True))


def _panels(
    task: Task,
    later: int,
    window: Window,
    objects: Sequence[int],
    from_click: Propagation,
    from_mask: Propagation,
) -> NDArray[np.uint8]:
    images = {t: np.asarray(task.images[t][window], np.float64) for t in (task.seed, later)}
    low, high = np.percentile(np.stack(list(images.values())), (0.5, 99.7))
    panels: list[NDArray[np.uint8]] = []
    for frame, found in ((task.seed, from_click), (later, from_click), (later, from_mask)):
        grey = (images[frame] - low) / max(high - low, np.finfo(float).tiny)
        labels = found.labels.get(frame, np.zeros_like(task.labels[frame]))
        panel = _panel(grey, task.labels[frame][window], labels[window], objects)
        if not panels:
            _cross_clicks(panel, task, window, objects)
        gap = np.full((PANEL, GAP if panels else 0), BOTH, np.uint8)
        panels += [gap, panel]
    return np.hstack(panels)


def _panel(
    grey: NDArray[np.float64], truth: NDArray[Any], found: NDArray[Any], objects: Sequence[int]
) -> NDArray[np.uint8]:
    size = (PANEL, PANEL)
    large = resize(grey.clip(0, 1) ** GAMMA, size, order=1, anti_aliasing=max(grey.shape) > PANEL)
    panel: NDArray[np.uint8] = np.round(large * (GREYS - 1)).astype(np.uint8)
    outlines = [_outline(labels, objects) for labels in (truth, found)]
    panel[outlines[0]] = TRUE
    panel[outlines[1]] = FOUND
    panel[outlines[0] & outlines[1]] = BOTH
    return panel


def _outline(labels: NDArray[Any], objects: Sequence[int]) -> NDArray[np.bool_]:
    kept = np.where(np.isin(labels, objects), labels, 0)
    rows, columns = (np.arange(PANEL) * n // PANEL for n in kept.shape)
    outline: NDArray[np.bool_] = find_boundaries(kept[np.ix_(rows, columns)], mode="inner")
    return outline


def _cross_clicks(
    panel: NDArray[np.uint8], task: Task, window: Window, objects: Sequence[int]
) -> None:
    scale = PANEL / (window[0].stop - window[0].start)
    for i in objects:
        click = centre_click(task.seed_mask(i))
        if _inside(click, window):
            y, x = (int((c - s.start + 0.5) * scale) for c, s in zip(click, window, strict=True))
            panel[max(0, y - 3) : y + 4, x] = CLICK
            panel[y, max(0, x - 3) : x + 4] = CLICK
