"""Files and folders that take their name only once they are complete."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from uuid import uuid4

from napari_sam2.replacing import patiently
from napari_sam2.tracking.errors import InputError, OutputError, TakenError, reading, writing

_IMAGES = (".tif", ".tiff")  # what is read with the others of a folder
_OF_ZARR = ("zarr.json", ".zgroup", ".zarray")
_OF_SYSTEMS = re.compile(r"\.DS_Store|\._.*|Thumbs\.db|desktop\.ini", re.IGNORECASE)
# A colon leads into a hidden part of another file, and these words are of devices, in any folder.
_NOT_ON_WINDOWS = re.compile(
    r".*[<>:\"|?*\x00-\x1f].*|(con|prn|aux|nul|com[1-9]|lpt[1-9]) *(\..*)?", re.IGNORECASE
)


def check_free(path: Path, overwrite: bool, ours: Callable[[Path], bool] = Path.is_file) -> None:
    """Refuse a name that is taken.

    Parameters
    ----------
    path
        What shall be written; an empty folder counts as free.
    overwrite
        Whether it may be replaced.
    ours
        Whether what is there is of the kind that shall be written; nothing else is ever deleted.

    Raises
    ------
    InputError
        If there is something that may not be replaced, no folder to write to, the folder is a part
        of an OME-Zarr, or Windows has no such names.
    OutputError
        If the folder cannot be looked into.
    """
    if sys.platform == "win32" and _NOT_ON_WINDOWS.fullmatch(path.name):
        raise InputError(f"cannot write {path}: Windows allows no such name; choose another")
    existing = _folder(path)
    if not existing.is_dir():
        raise InputError(f"cannot write {path}: {existing} is no folder; choose another place")
    store = _store(path)
    if store is not None:
        raise InputError(f"{path} is in {store.name}, an OME-Zarr; choose another place")
    if not taken(path):
        return
    if not overwrite:
        raise TakenError(f"{path} exists already; choose another name, or allow to overwrite it")
    if not ours(path):
        raise InputError(f"{path} exists and is something else than labels; choose another name")
    if sys.platform == "win32" and path.is_file():  # nobody can replace what Excel has open
        with writing(path), path.open("r+b"):
            pass


def check_writable(path: Path) -> None:
    """Refuse a place where nothing can be written, by trying.

    What the permissions say is not enough: they say yes to an administrator, whom a disk that
    is mounted to be read only, or a share of another computer, refuses all the same.

    Raises
    ------
    OutputError
        If no file can be made in the folder, or in the last one on the way to it that exists.
    """
    probe = _folder(path) / f".napari-sam2-{uuid4().hex}"
    with writing(path):
        probe.touch(exist_ok=False)
        patiently(probe.unlink)


def check_space(path: Path, needed: float) -> None:
    """Refuse a disk on which less than `needed` bytes are free.

    Raises
    ------
    OutputError
        If so; where the disk does not say how much is free, nothing is refused.
    """
    try:
        disk = shutil.disk_usage(_folder(path))
    except OSError:
        return
    if disk.total and disk.free < needed:  # some network drives say 0 of 0
        raise OutputError(
            f"cannot write {path}: only {disk.free / 1e6:,.2f} MB are free on its disk, but "
            f"{needed / 1e6:,.2f} MB or more are needed; free some or choose another place"
        )


def check_apart(path: Path, *inputs: str | Path | None) -> None:
    """Refuse a name whose writing would destroy what is read, whatever may be overwritten.

    Parameters
    ----------
    path
        What shall be written.
    inputs
        What is read: files and folders; None and what does not exist count for nothing.

    Raises
    ------
    InputError
        If `path` is one of them, by whatever name or link, holds it, or is or would be a file in
        it; or if one of them is closed to the user.
    OutputError
        If its folder cannot be looked into.
    """
    place = path.resolve()
    for one in inputs:
        if not one:
            continue
        with reading(one):  # as above
            if not Path(one).exists():
                continue
            given = Path(one).resolve()
            same, holds = _same(path, given), any(_same(path, p) for p in given.parents)
            beside = given.is_dir() and _same(place.parent, given)
        if same:
            raise InputError(f"{path} is what is read, not a place to write to; choose another")
        if holds:
            raise InputError(f"{path} holds {given.name}, which is read; choose another name")
        if not beside:
            continue
        if place.is_file():
            raise InputError(f"{path} is a part of {one}, which is read; choose another name")
        if place.suffix.lower() in _IMAGES:
            raise InputError(
                f"{path} would be read with the images of {given.name} from then on; choose "
                "another folder"
            )


def taken(path: Path) -> bool:
    """Whether there is something at a path; an empty folder is nothing."""
    with writing(path):
        return path.exists() and not (path.is_dir() and not any(contents(path)))


def contents(folder: Path) -> Iterator[Path]:
    """Yield what is in a folder, without what systems leave in every folder that they show."""
    return (child for child in folder.iterdir() if not _OF_SYSTEMS.fullmatch(child.name))


def _same(path: Path, other: Path) -> bool:
    """Whether both are there and the same, which on macOS also `data` and `Data` are."""
    with writing(path):  # it raises where a folder on the way is closed to the user
        return path.exists() and path.samefile(other)


def _store(path: Path) -> Path | None:
    """Return the outermost OME-Zarr that a path is in, if it is in one."""
    with writing(path):
        return next(
            (
                parent
                for parent in reversed(path.resolve().parents)
                if any((parent / mark).is_file() for mark in _OF_ZARR)
            ),
            None,
        )


def _folder(path: Path) -> Path:
    """Return the folder around a path, or the last one on the way to it that exists."""
    with writing(path):
        found = next((parent for parent in path.absolute().parents if parent.exists()), None)
    if found is None:
        raise OutputError(f"cannot write {path}: its drive is not there; choose another place")
    return found


def numbered(path: Path) -> Iterator[Path]:
    """Yield a path, then `name-2.suffix`, `name-3.suffix` and so on."""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


@contextmanager
def completed(
    path: Path, overwrite: bool, ours: Callable[[Path], bool] = Path.is_file
) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` if the block ends without an error.

    Parameters
    ----------
    path, overwrite, ours
        As for `check_free`. The folder is made where it is missing.

    Raises
    ------
    InputError
        If the name is taken.
    OutputError
        If it cannot be written; the message says whether the disk is full.
    """
    check_free(path, overwrite, ours)
    # Beside the target, so that the move at the end is a mere rename.
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    old = path.with_name(f".{path.stem}.old{path.suffix}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(partial)
        if path.exists():
            remove(old)  # of a run that was stopped while it deleted it
        try:
            yield partial
            if path.is_dir():  # a folder cannot be replaced in one step
                patiently(lambda: path.rename(old))
            patiently(lambda: partial.replace(path))
        finally:
            if old.exists() and not path.exists():
                patiently(lambda: old.rename(path))
            for rest in (partial, old):
                with suppress(OSError):  # the next run removes it
                    remove(rest)


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    if path.is_dir():
        patiently(lambda: shutil.rmtree(path))
    else:
        patiently(lambda: path.unlink(missing_ok=True))
