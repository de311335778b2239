"""What the names of the images in a folder say: which of them are frames, slices, channels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from napari_sam2.tracking.errors import InputError

# Words before a number, as microscopes write them. P is for positions and other series.
_WORDS = {
    "P": ("p", "pos", "position", "s", "xy", "series", "scene", "site", "fov"),
    "T": ("t", "time", "timepoint", "tp", "frame"),
    "Z": ("z", "slice", "plane", "section"),
    "C": ("c", "ch", "chan", "channel", "w", "wv", "wavelength"),
}
_ORDER = "".join(_WORDS)
_LETTERS = {word: letter for letter, words in _WORDS.items() for word in words}
_NUMBER = re.compile(r"([A-Za-z]*)[-_= ]?([0-9]+)")
_MICRO_MANAGER = re.compile("img_([0-9]{9})_(.+)_([0-9]{3})")
_MOST_CHANNELS = 8  # c1.tif to c30.tif are cells, or whatever

_Place = Mapping[str, int]  # number by letter


class Grid(NamedTuple):
    """Files along one axis or more.

    Parameters
    ----------
    axes
        A letter for each: P, T, Z, C, or Q where it is unknown.
    shape
        Files along each.
    paths
        The files, those along the last axis one after another.
    """

    axes: str
    shape: tuple[int, ...]
    paths: list[Path]


def laid_out(paths: Sequence[Path], taken: str = "") -> Grid:
    """Lay images out by their names, `a_t001_z02_c1.tif` for example.

    The word before a number tells what it counts. Names that differ in their words, with the same
    numbers for each word, are of channels: `DAPI_01.tif`, `GFP_01.tif`. Where names say nothing
    of this, the images are frames, sorted naturally.

    Parameters
    ----------
    paths
        One image or more.
    taken
        Axes of each image.

    Raises
    ------
    InputError
        If the names tell where images belong, and one is missing.
    """
    places = _by_micro_manager(paths) or _by_channel(paths) or _by_words(paths)
    letters = [letter for letter in _ORDER if letter in next(iter(places.values()), {})]
    if not letters or set(letters) & set(taken):
        return _in_a_row(paths, taken)
    found = {tuple(place[letter] for letter in letters): path for path, place in places.items()}
    values = [sorted(set(numbers)) for numbers in zip(*found, strict=True)]
    missing = next((place for place in product(*values) if place not in found), None)
    if missing is not None:
        where = ", ".join(f"{a} {n}" for a, n in zip(letters, missing, strict=True))
        raise InputError(
            f"by the names of its images, that of {where} is missing; copy it again, or keep only "
            "the images of one stack in the folder"
        )
    shape = tuple(len(some) for some in values)
    return Grid("".join(letters), shape, [found[place] for place in product(*values)])


def _in_a_row(paths: Sequence[Path], taken: str) -> Grid:
    return Grid("Q" if "T" in taken else "T", (len(paths),), sorted(paths, key=natural))


def natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sort frame2 before frame10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in parts]


def _by_micro_manager(paths: Sequence[Path]) -> dict[Path, _Place]:
    """Return where images of Micro-Manager 1.4 belong: time, name of the channel, slice."""
    parts = [_MICRO_MANAGER.fullmatch(path.stem) for path in paths]
    rows = [(int(one[1]), one[2], int(one[3])) for one in parts if one]
    if len(rows) < len(paths):
        return {}
    names = sorted({name for _, name, _ in rows})
    counted = [{"T": t, "C": names.index(name), "Z": z} for t, name, z in rows]
    letters = [letter for letter in "TCZ" if len({row[letter] for row in counted}) > 1]
    return {p: {a: row[a] for a in letters} for p, row in zip(paths, counted, strict=True)}


def _by_words(paths: Sequence[Path]) -> dict[Path, _Place]:
    """Return where each image belongs by the words in its name; empty if they do not tell."""
    fields = [_fields(path.stem) for path in paths]
    if len({tuple(letter for letter, _ in some) for some in fields}) > 1:
        return {}
    columns = [list(column) for column in zip(*fields, strict=True)]
    told: dict[str, list[tuple[str, int]]] = {}
    for column in columns:
        if column[0][0] and len(set(column)) > 1:
            told.setdefault(column[0][0], column)  # a second one may be the hour, as in 2026T12
    rows = list(zip(*told.values(), strict=True))
    if len(set(rows)) < len(paths) or (list(told) == ["C"] and len(paths) > _MOST_CHANNELS):
        return {}
    return {path: dict(row) for path, row in zip(paths, rows, strict=True)}


def _by_channel(paths: Sequence[Path]) -> dict[Path, _Place]:
    """Return where each image belongs if names have other words with the same numbers."""
    groups: dict[str, list[Path]] = {}
    for path in sorted(paths, key=natural):
        groups.setdefault(re.sub("[0-9]+", "#", path.stem.lower()), []).append(path)
    numbers = {tuple(sorted(_varying(group))) for group in groups.values()}
    if not 1 < len(groups) <= _MOST_CHANNELS or len(numbers) > 1 or len(numbers.pop()) < 2:
        return {}
    places: dict[Path, _Place] = {}
    for channel, group in enumerate(groups.values()):
        own = _by_words(group) or {path: {"T": t} for t, path in enumerate(group)}
        places |= {path: {"C": channel, **place} for path, place in own.items()}
    # Where words and numbers both tell channels, nothing is known.
    letters = {tuple(place) for place in _by_words(groups[min(groups)]).values()}
    return {} if any("C" in some for some in letters) else places


def _varying(group: Sequence[Path]) -> list[tuple[int, ...]]:
    """Return the numbers of each name that are not the same in all of them."""
    fields = [[number for _, number in _fields(path.stem)] for path in group]
    columns = [column for column in zip(*fields, strict=True) if len(set(column)) > 1]
    return list(zip(*columns, strict=True)) if columns else [()] * len(group)


def _fields(stem: str) -> list[tuple[str, int]]:
    """Return the numbers in a name, each after the letter of what it counts, "" if not told."""
    return [(_letter(word), int(number)) for word, number in _NUMBER.findall(stem)]


def _letter(word: str) -> str:
    """Return what a word stands for, or the last capital of one, as in `cellsT01`."""
    known = _LETTERS.get(word.lower(), "")
    capital = len(word) > 1 and word[-2].islower() and word[-1].isupper()
    return known or (_LETTERS.get(word[-1].lower(), "") if capital else "")
