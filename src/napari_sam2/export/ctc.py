"""Masklets to and from folders of the Cell Tracking Challenge.

A folder holds one uint16 label image per frame and a text file with a line `L B E P` for each
track: its label, first and last frame, and parent, 0 for none. A track is on every frame from B to
E. An object that is away for some frames becomes several tracks, each the only child of the one
before. A track ends before its daughters begin: what a mother has beside them is another daughter.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile

from napari_sam2.export.files import contents
from napari_sam2.export.labels import open_labels
from napari_sam2.export.source import LabelSource, frames_of_objects, numbered
from napari_sam2.stacks import Stack, axes_of
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.objects.lineage import possible

# Of results and of the truth.
_TRACK_FILES = ("res_track.txt", "man_track.txt")
_OURS = re.compile(r"mask\d{3,}\.tif|res_track\.txt")
_NUMBER = re.compile(r"(.*?)(\d+)\.tiff?", re.IGNORECASE)
_HIGHEST = np.iinfo(np.uint16).max


class Track(NamedTuple):
    """One line of a challenge track file: first and last frame, parent 0 = none."""

    id: int
    first: int
    last: int
    parent: int


def read_tracks(path: Path) -> list[Track]:
    """Read `id first last parent` lines (`man_track.txt`, `res_track.txt`).

    Raises
    ------
    InputError
        If it holds anything else.
    """
    tracks = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()):
        words = line.split()
        if not words:
            continue
        try:
            track = Track(*(int(word) for word in words[:4]))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"line {number + 1} of {path.name} is {line.strip()!r}; write four numbers: "
                "track, first frame, last frame, parent"
            ) from error
        tracks.append(track)
    return tracks


def is_ctc(path: Path) -> bool:
    """Whether a folder holds a track file of the challenge."""
    return any((path / name).is_file() for name in _TRACK_FILES)


def written_by_us(path: Path) -> bool:
    """Whether a folder holds nothing but what `write_ctc` writes."""
    return path.is_dir() and all(_OURS.fullmatch(child.name) for child in contents(path))


def write_ctc(path: Path, source: LabelSource) -> None:
    """Write `mask000.tif`, ... and `res_track.txt` into a new folder; reads the frames twice.

    The first track of an object keeps the object's id; further ones take the ids above the
    highest. Where one would be above 65535, all tracks are numbered from 1 in the order of objects
    and time.

    Raises
    ------
    InputError
        If there are more than 65535 tracks.
    """
    frames, parents = frames_of_objects(source), source.parents or {}
    tracks = split_at_gaps(frames, parents)
    source.remarks += _remarks(frames, parents, tracks)
    path.mkdir()
    digits = max(3, len(str(len(source) - 1)))
    for frame, plane in enumerate(source.planes()):
        present, place = numbered(plane)
        ids = [_at(tracks.get(i, ()), frame) for i in present.tolist()]
        mask = np.array(ids, np.uint16)[place]
        name = f"mask{frame:0{digits}d}.tif"
        tifffile.imwrite(path / name, mask, compression="zlib", photometric="minisblack")
    lines = sorted(track for parts in tracks.values() for track in parts)
    text = "".join(f"{t.id} {t.first} {t.last} {t.parent}\n" for t in lines)
    (path / "res_track.txt").write_text(text, encoding="ascii", newline="\n")


def split_at_gaps(
    frames: Mapping[int, Sequence[int]], parents: Mapping[int, int] | None = None
) -> dict[int, list[Track]]:
    """Return the tracks of each object, from the frames it is on.

    Parameters
    ----------
    frames
        By object id, rising.
    parents
        Id of the mother by id of the daughter. A mother is split where a daughter begins; one that
        begins no earlier than her daughter is none.

    Raises
    ------
    InputError
        If there are more than 65535.
    """
    mothers = possible(parents or {}, {i: listed[0] for i, listed in frames.items()})
    births: dict[int, set[int]] = {}
    for daughter, mother in mothers.items():
        births.setdefault(mother, set()).add(frames[daughter][0])
    runs = {i: _runs(listed, births.get(i, ())) for i, listed in frames.items()}
    count = sum(len(parts) for parts in runs.values())
    if count > _HIGHEST:
        raise InputError(
            f"the challenge's format holds up to {_HIGHEST} tracks, but there are {count}; "
            "write coco or tiff"
        )
    highest = max(runs, default=0)
    keep = highest + count - len(runs) <= _HIGHEST
    # What an id is given to: every part in turn, or only the further parts.
    next_id = highest + 1 if keep else 1
    tracks: dict[int, list[Track]] = {}
    for i, parts in runs.items():
        parent = 0
        tracks[i] = []
        for first, last in parts:
            number = i if keep and not parent else next_id
            next_id += number == next_id
            tracks[i].append(Track(number, first, last, parent))
            parent = number
    for daughter, mother in mothers.items():
        born = tracks[daughter][0]
        before = [t.id for t in tracks[mother] if t.last < born.first]
        tracks[daughter][0] = born._replace(parent=before[-1])
    return tracks


def _remarks(
    frames: Mapping[int, Sequence[int]],
    parents: Mapping[int, int],
    tracks: Mapping[int, Sequence[Track]],
) -> list[str]:
    """Say where the tracks are not what the lineage says."""
    mothers = possible(parents, {i: listed[0] for i, listed in frames.items()})
    said = []
    changed = {i: parts[0].id for i, parts in tracks.items() if parts[0].id != i}
    if changed:
        highest = max(changed)
        said.append(
            f"ids above {_HIGHEST} do not fit, so all objects are numbered anew from 1, in the "
            f"order of their ids: object {highest} is track {changed[highest]}"
        )
    for mother in sorted(set(mothers.values())):
        born = min(frames[i][0] for i, m in mothers.items() if m == mother)
        beside = [t.id for t in tracks[mother] if t.first >= born]
        if beside:
            names = ", ".join(str(i) for i in beside)
            said.append(
                f"object {mother} has masks beside its daughters, from frame {born} on: there it "
                f"is track {names}, as if it were a daughter, too"
            )
    for daughter in sorted(parents.keys() & frames.keys() - mothers.keys()):
        said.append(
            f"object {daughter} is without its mother {parents[daughter]}, which has no mask "
            f"before frame {frames[daughter][0]}"
        )
    joined = _joined([track for parts in tracks.values() for track in parts])
    for daughter, mother in mothers.items():
        if tracks[daughter][0].id in joined:
            said.append(
                f"object {daughter} is the only daughter of {mother} and begins after a gap: "
                f"whoever reads the folder takes it for object {mother}, come back"
            )
    return said


def _runs(frames: Sequence[int], cuts: Collection[int] = ()) -> list[tuple[int, int]]:
    """Split rising numbers into (first, last) of what is contiguous, and where there is a cut."""
    runs: list[tuple[int, int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1 and frame not in cuts:
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return runs


def _at(parts: Sequence[Track], frame: int) -> int:
    return next((t.id for t in parts if t.first <= frame <= t.last), 0)


def volume_axes(path: Path) -> str | None:
    """Return the axes of a folder of the challenge that holds volumes; None of any other.

    Each file is one (Z, Y, X) there, whether it says so or not.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    letters = axes_of(path)
    return "TZYX" if len(letters) == 4 and letters.endswith("YX") else None


def read_ctc(path: Path, axes: str | None = None, select: Mapping[str, int] | None = None) -> Stack:
    """Open a folder of the challenge: its label images, lazily, as (T, Y, X).

    A track that is its parent's only child and begins after a gap of one frame or more is the same
    object again, and takes its parent's id. Daughters keep their own.

    Parameters
    ----------
    axes, select
        As for `open_labels`; of volumes, (T, Z, Y, X) by default.

    Raises
    ------
    InputError
        If the images or the track file are unusable, or the image of a frame is missing.
    """
    tracks = read_tracks(_track_file(path))
    _check_numbers(path, tracks)
    stack = open_labels(path, axes or volume_axes(path), select)
    data = stack.data.map_blocks(_renumbered, _joined(tracks), dtype=stack.data.dtype)
    return Stack(data, stack.axes, stack.scale, stack.unit, path)


def read_parents(path: Path) -> dict[int, int]:
    """Return the mother of each object of a folder of the challenge, as `read_ctc` names them.

    Parents that are not in the file, or begin no earlier than their daughters, are left out.

    Raises
    ------
    InputError
        If the track file is unusable.
    """
    tracks = read_tracks(_track_file(path))
    joined, first = _joined(tracks), {t.id: t.first for t in tracks}
    return {
        t.id: joined.get(t.parent, t.parent)
        for t in tracks
        if t.id not in joined and first.get(t.parent, t.first) < t.first
    }


def _check_numbers(path: Path, tracks: Sequence[Track]) -> None:
    """Refuse images whose numbers do not follow one another: frames would be taken for others.

    They may begin with any number, like the tracks, and end before these do.
    """
    names: dict[int, re.Match[str]] = {}
    for name in sorted(child.name for child in path.iterdir()):
        if name.startswith(".") or not (found := _NUMBER.fullmatch(name)):
            continue
        number = int(found[2])
        if number in names:
            raise InputError(
                f"{path.name} has two images of frame {number}, {names[number][0]} and {name}; "
                "keep one"
            )
        names[number] = found
    if not names:
        return
    first = min(names.keys() | {track.first for track in tracks})
    for number in range(first, max(names)):
        if number not in names:
            stem, digits = names[max(names)].groups()
            raise InputError(
                f"{path.name} has no image of frame {number} "
                f"({stem}{number:0{len(digits)}d}.tif); put it there, if need be one of zeros"
            )


def _track_file(path: Path) -> Path:
    return next(path / name for name in _TRACK_FILES if (path / name).is_file())


def _joined(tracks: Sequence[Track]) -> dict[int, int]:
    """Return the ids that change, and what they become."""
    by_id = {t.id: t for t in tracks}
    children = Counter(t.parent for t in tracks)
    changed: dict[int, int] = {}
    for track in sorted(tracks, key=lambda t: t.first):
        parent = by_id.get(track.parent)
        if parent and children[parent.id] == 1 and track.first > parent.last + 1:
            changed[track.id] = changed.get(parent.id, parent.id)
    return changed


def _renumbered(labels: npt.NDArray[Any], changed: Mapping[int, int]) -> npt.NDArray[Any]:
    present, place = numbered(labels)
    ids = np.array([changed.get(i, i) for i in present.tolist()], labels.dtype)
    return ids[place]
