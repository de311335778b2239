"""Sequences with a truth, and what of them is examined.

Objects are followed from a seed frame in which they are whole: the first frame of a time-lapse,
the slice with most objects of a z-stack (from there both ways). An object is judged on the frames
in which the truth shows it, so until it divides or ends; a gap in the truth is skipped, because
the truth of real sequences is often silver (made by programs and corrected).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sam2.export.ctc import Track, read_tracks
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.following.passes import Direction

MAX_OBJECTS = 12
SMALLEST = 30  # px; below, one pixel of outline decides the score


@dataclass(frozen=True)
class Sequence:
    """Images and true labels (T or Z, Y, X) of one field of view."""

    name: str
    images: NDArray[Any]
    labels: NDArray[Any]
    z_stack: bool = False
    tracks: tuple[Track, ...] = ()


def load_sequence(folder: Path) -> Sequence:
    """Read `images.tif`, `masks.tif` and, where there is one, `tracks.txt`.

    A folder whose name ends in `_z` holds a z-stack, any other a time-lapse.

    Raises
    ------
    InputError
        See `check_sequence`.
    """
    check_sequence(folder)
    tracks = folder / "tracks.txt"
    return Sequence(
        name=folder.name,
        images=tifffile.imread(folder / "images.tif"),
        labels=tifffile.imread(folder / "masks.tif"),
        z_stack=folder.name.endswith("_z"),
        tracks=tuple(read_tracks(tracks)) if tracks.is_file() else (),
    )


def check_sequence(folder: Path) -> None:
    """Look at a sequence's files without reading the pixels.

    Raises
    ------
    InputError
        A file is missing or no TIFF, or images and masks differ in shape.
    """
    images, masks = (_shape(folder / name) for name in ("images.tif", "masks.tif"))
    if len(images) != 3 or images != masks:
        raise InputError(
            f"{folder.name}: images {images} and masks {masks} must be of one shape (T, Y, X)."
        )


def sequence_folders(data_dir: Path, only: Iterable[str] = ()) -> list[Path]:
    """Folders of sequences in a folder, by name; each is looked at, see `check_sequence`.

    Parameters
    ----------
    only
        Names, or patterns as `*_nuclei`; without them, all.

    Raises
    ------
    InputError
        There are none, or none that fits a name or pattern, or one that fits is unusable.
    """
    folders = sorted(p.parent for p in data_dir.glob("*/masks.tif"))
    if not folders:
        raise InputError(f"{data_dir} holds no sequence; each is a folder with masks.tif in it.")
    names = [folder.name for folder in folders]
    patterns = list(only)
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise InputError(
                f"no sequence of {data_dir} is called {pattern}; there are {', '.join(names)}."
            )
    chosen = {name for pattern in patterns or ["*"] for name in fnmatch.filter(names, pattern)}
    folders = [folder for folder in folders if folder.name in chosen]
    for folder in folders:
        check_sequence(folder)
    return folders


def _shape(path: Path) -> tuple[int, ...]:
    if not path.is_file():
        raise InputError(
            f"{path.parent} has no {path.name}; a sequence holds images.tif and masks.tif."
        )
    try:
        with tifffile.TiffFile(path) as file:
            return tuple(file.series[0].shape)
    except (tifffile.TiffFileError, IndexError, OSError) as error:
        raise InputError(f"{path} cannot be read as TIFF ({error}); write it again.") from error


@dataclass(frozen=True)
class Task:
    """A sequence cut to the frames that are judged, where to start, and which objects to follow.

    `tracked`: the truth says when objects divide and end.
    """

    images: NDArray[Any]
    labels: NDArray[Any]
    seed: int
    objects: tuple[int, ...]
    direction: Direction
    tracked: bool = False

    def seed_mask(self, object_id: int) -> NDArray[np.bool_]:
        """Truth (Y, X) of an object on the seed frame."""
        mask: NDArray[np.bool_] = self.labels[self.seed] == object_id
        return mask


def prepare(sequence: Sequence, frames: int | None = 20, max_objects: int = MAX_OBJECTS) -> Task:
    """Choose seed frame, objects and the stretch of a sequence.

    Parameters
    ----------
    frames
        How many frames to judge besides the seed frame, where there are as many; None: all. In a
        z-stack they lie on both sides of it.

    Raises
    ------
    InputError
        No object is whole in the seed frame.
    """
    labels = sequence.labels
    seed = 0
    if sequence.z_stack:
        seed = int(np.argmax([len(whole_objects(plane)) for plane in labels]))
    objects = choose_objects(labels[seed], max_objects)
    if not objects:
        raise InputError(f"{sequence.name}: no object is whole in frame {seed}.")
    wanted = len(labels) if frames is None else frames
    first = seed
    if sequence.z_stack:
        first = max(0, min(seed - wanted // 2, len(labels) - 1 - wanted))
    stretch = slice(first, first + wanted + 1)
    return Task(
        images=sequence.images[stretch],
        labels=_within_tracks(labels[stretch], first, sequence.tracks),
        seed=seed - first,
        objects=objects,
        direction="both" if sequence.z_stack else "forward",
        tracked=bool(sequence.tracks),
    )


def whole_objects(labels: NDArray[Any]) -> dict[int, int]:
    """Areas in px by id of the objects (Y, X) that are not tiny and do not touch the border."""
    cut = {int(i) for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]) for i in edge}
    ids, areas = np.unique(labels[labels > 0], return_counts=True)
    found = zip(ids.tolist(), areas.tolist(), strict=True)
    return {i: area for i, area in found if area >= SMALLEST and i not in cut}


def choose_objects(labels: NDArray[Any], max_objects: int = MAX_OBJECTS) -> tuple[int, ...]:
    """Ids of whole objects of a frame (Y, X); when there are many, evenly over their sizes."""
    areas = whole_objects(labels)
    by_size = sorted(areas, key=lambda i: (areas[i], i))
    if len(by_size) > max_objects:
        picks = np.linspace(0, len(by_size) - 1, max_objects).round().astype(int)
        by_size = [by_size[n] for n in picks]
    return tuple(sorted(by_size))


def _within_tracks(labels: NDArray[Any], first: int, tracks: Iterable[Track]) -> NDArray[Any]:
    """Drop what lies outside the frames its track names: there the object has divided or ended."""
    labels = labels.copy()
    for track in tracks:
        for outside in (
            labels[: max(0, track.first - first)],
            labels[max(0, track.last + 1 - first) :],
        ):
            outside[outside == track.id] = 0
    return labels
