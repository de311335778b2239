"""What the names of the images in a folder say: which of them are frames, slices, channels."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

# Words before a number, as microscopes write them. P is for positions and other series.
_WORDS = {
    "P": ("p", "pos", "position", "s", "xy", "series", "scene", "site", "f", "field", "fov"),
    "T": ("t", "time", "timepoint", "tp", "frame"),
    "Z": ("z", "slice", "plane", "section"),
    "C": ("c", "ch", "chan", "channel", "w", "wv", "wavelength"),
}
_ORDER = "".join(_WORDS)
_LETTERS = {word: letter for letter, words in _WORDS.items() for word in words}
_NUMBER = re.compile(r"([A-Za-z]*)[-_= ]?([0-9]+)")
# What holds numbers that count nothing: the time of a clock, ids, the stain after its number.
_CLOCK = re.compile(
    r"(19|20)[0-9]{2}-?[01][0-9]-?[0-3][0-9][T_ -]?[0-2][0-9][-_h]?[0-5][0-9]([-_m]?[0-5][0-9])?"
)
_ID = re.compile(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", re.IGNORECASE)
_STAIN = re.compile(r"(_w[0-9]+)[a-z][^_]*", re.IGNORECASE)

# Names of channels, of which one has to be there before words are taken for channels.
_CHANNELS = re.compile(
    r"dapi|hoechst.*|e?[gyrcb]fp|m?cherry|(td)?tomato|fitc|tritc|(cy|af|alexa)[a-j]*|texasred|"
    r"sytox.*|draq|bf|bright.*|phase.*|phaco|ph|dic|tl|trans.*|red|green|blue|gr[ae]y"
)
# Numbers that are part of a name, as in Cy3 and Cy5, and what is written in their place.
_DYE = re.compile(r"(?<![A-Za-z])(?:cy|af|alexa)[0-9]+", re.IGNORECASE)
_AS_LETTERS = str.maketrans("0123456789", "abcdefghij")
_MOST_CHANNELS = 8  # c1.tif to c30.tif are cells, or whatever
_LEAST_PART = 0.5  # of the places that have an image, where names tell places

# The number by the letter of what it counts.
_Place = Mapping[str, int]
_Reader = Callable[[Sequence[Path]], dict[Path, _Place]]

# Programs whose names say what they mean only to those who know: the letters of the numbers.
_PROGRAMS = (
    (re.compile(r"img_([0-9]{9})_(.+)_([0-9]{3})"), "TCZ"),  # Micro-Manager 1.4
    (re.compile(r"(r[0-9]+c[0-9]+f[0-9]+)p([0-9]+)-ch([0-9]+)sk([0-9]+)fk.*"), "PZCT"),  # Harmony
)


class Grid(NamedTuple):
    """Files along one axis or more.

    Parameters
    ----------
    axes
        A letter for each: P, T, Z, C, or Q where it is unknown.
    shape
        Files along each.
    paths
        The files, those along the last axis one after another; None where there is none.
    """

    axes: str
    shape: tuple[int, ...]
    paths: list[Path | None]


def laid_out(paths: Sequence[Path], taken: str = "") -> Grid:
    """Lay images out by their names, `a_t001_z02_c1.tif` for example.

    The word before a number tells what it counts. Names that differ in the name of a channel, with
    the same numbers for each, are of channels: `DAPI_01.tif`, `GFP_01.tif`. Where names say nothing
    of this, the images are frames, sorted naturally. A place without an image stays empty, as where
    a channel was taken less often or a run was stopped; of that a warning tells.

    Parameters
    ----------
    paths
        One image or more.
    taken
        Axes of each image.
    """
    paths = sorted(paths, key=natural)
    readers: tuple[_Reader, ...] = (_by_program, _by_channel, _by_words)
    places = next(filter(None, (reader(paths) for reader in readers)), {})
    letters = [letter for letter in _ORDER if letter in next(iter(places.values()), {})]
    if not letters or letters == ["T"] or set(letters) & set(taken):
        return _in_a_row(paths, taken)
    found = {tuple(place[letter] for letter in letters): path for path, place in places.items()}
    values = [sorted(set(numbers)) for numbers in zip(*found, strict=True)]
    grid = list(product(*values))
    if len(found) < max(len(paths), _LEAST_PART * len(grid)) or _turns_back(places.values()):
        return _in_a_row(paths, taken)
    missing = [place for place in grid if place not in found]
    if missing:
        where = ", ".join(f"{a} {n}" for a, n in zip(letters, missing[0], strict=True))
        more = f", nor are {len(missing) - 1} more" if len(missing) > 1 else ""
        warnings.warn(
            f"by the names of the images in {paths[0].parent.name}, that of {where} is not "
            f"there{more}; such frames are black",
            stacklevel=2,
        )
    shape = tuple(len(some) for some in values)
    return Grid("".join(letters), shape, [found.get(place) for place in grid])


def _in_a_row(paths: Sequence[Path], taken: str) -> Grid:
    return Grid("Q" if "T" in taken else "T", (len(paths),), [*paths])


def _turns_back(places: Iterable[_Place]) -> bool:
    """Whether time goes back from one image to the next, as on a clock at midnight."""
    last: dict[frozenset[tuple[str, int]], int] = {}
    for place in places:
        here = frozenset((letter, n) for letter, n in place.items() if letter != "T")
        if "T" in place and last.setdefault(here, place["T"]) > place["T"]:
            return True
        last[here] = place.get("T", 0)
    return False


def natural(path: Path) -> list[tuple[bool, int, str]]:
    """Sort frame2 before frame10."""
    return _counted(path.name.lower())


def _counted(text: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", text)
    return [(p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in parts]


def _by_program(paths: Sequence[Path]) -> dict[Path, _Place]:
    """Return where images of a program that is known belong."""
    for pattern, letters in _PROGRAMS:
        parts = [match for path in paths if (match := pattern.fullmatch(path.stem))]
        if len(parts) == len(paths):
            columns = zip(*(match.groups() for match in parts), strict=True)
            counted = {
                letter: [sorted(set(column), key=_counted).index(text) for text in column]
                for letter, column in zip(letters, columns, strict=True)
                if len(set(column)) > 1
            }
            rows = zip(*counted.values(), strict=True) if counted else [()] * len(paths)
            return {
                p: dict(zip(counted, row, strict=True)) for p, row in zip(paths, rows, strict=False)
            }
    return {}


def _by_words(paths: Sequence[Path]) -> dict[Path, _Place]:
    """Return where each image belongs by the words in its name; empty if they do not tell."""
    fields = [_fields(path.stem) for path in paths]
    if len({tuple(letter for letter, _ in some) for some in fields}) > 1:
        return {}
    told: dict[str, list[tuple[str, int]]] = {}
    for column in zip(*fields, strict=True):
        if column[0][0] and len(set(column)) > 1:
            told.setdefault(column[0][0], list(column))  # twice: the first one
    rows = list(zip(*told.values(), strict=True))
    if len(set(rows)) < len(paths) or (list(told) == ["C"] and len(paths) > _MOST_CHANNELS):
        return {}
    return {path: dict(row) for path, row in zip(paths, rows, strict=True)}


def _by_channel(paths: Sequence[Path]) -> dict[Path, _Place]:
    """Return where each image belongs if names have other channels with the same numbers."""
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path in paths:
        groups.setdefault(tuple(re.split("[^a-z]+", _plain(path.stem).lower())), []).append(path)
    words = set().union(*groups) - set(next(iter(groups))).intersection(*groups)
    numbers = {tuple(sorted(_varying(group))) for group in groups.values()}
    if not 1 < len(groups) <= _MOST_CHANNELS or len(numbers) > 1 or len(numbers.pop()) < 2:
        return {}
    if not any(_CHANNELS.fullmatch(word) for word in words):
        return {}
    places: dict[Path, _Place] = {}
    for channel, group in enumerate(groups.values()):
        own = _by_words(group) or {path: {"T": t} for t, path in enumerate(group)}
        if any("C" in place for place in own.values()):
            return {}  # where words and numbers both tell channels, nothing is known
        places |= {path: {"C": channel, **place} for path, place in own.items()}
    return places


def _varying(group: Sequence[Path]) -> list[tuple[int, ...]]:
    """Return the numbers of each name that are not the same in all; none if some have more."""
    fields = [[number for _, number in _fields(path.stem)] for path in group]
    if len({len(some) for some in fields}) > 1:
        return []
    columns = [column for column in zip(*fields, strict=True) if len(set(column)) > 1]
    return list(zip(*columns, strict=True)) if columns else [()] * len(group)


def _fields(stem: str) -> list[tuple[str, int]]:
    """Return the numbers in a name, each after the letter of what it counts, "" if not told."""
    return [(_letter(word), int(number)) for word, number in _NUMBER.findall(_plain(stem))]


def _plain(stem: str) -> str:
    """Return a name without numbers that count nothing."""
    for pattern, rest in ((_ID, ""), (_STAIN, r"\1"), (_CLOCK, "")):
        stem = pattern.sub(rest, stem)
    return _DYE.sub(lambda dye: dye[0].translate(_AS_LETTERS), stem)


def _letter(word: str) -> str:
    """Return what a word stands for, or the capitals at its end, as in `cellsT01`."""
    capitals = re.search("(?<=[a-z])[A-Z]+$", word)
    known = _LETTERS.get(word.lower(), "")
    return known or (_LETTERS.get(capitals[0].lower(), "") if capitals else "")
