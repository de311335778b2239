"""The errors a user can do something about."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_sam2.replacing import HELD

_LONG = 248  # characters of a folder's path that Windows refuses, if it was not told otherwise


class InputError(ValueError):
    """Unusable input. The message is one line: what is wrong, and what to do about it."""


class TakenError(InputError):
    """A name that is taken by what may be overwritten, if the user asks for that."""


class OutputError(OSError):
    """A result that cannot be written. The message is one line: what is wrong, and the remedy."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's errors while writing `path` into an `OutputError`.

    Raises
    ------
    OutputError
        If the disk is full, the place is not writable, or any other `OSError` occurs inside.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or _cut_short(error):
            remedy = "no space left on the disk; free some or choose another place"
        elif _too_long(error, path):
            remedy = "the path is too long for this system; choose a shorter one"
        elif getattr(error, "winerror", None) in HELD:
            remedy = (
                "it is open in another program, or there is no permission to write there; close it "
                "there, or choose another place"
            )
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "no permission to write there; choose another place"
        else:
            remedy = f"{error.strerror or error}; choose another place"
        raise OutputError(f"cannot write {path}: {remedy}") from error


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn the operating system's errors while looking at `path` into an `InputError`.

    Even asking whether a file exists is refused where its folder is closed to the user.

    Raises
    ------
    InputError
        If there is no permission to read it, or any other `OSError` occurs inside.
    """
    try:
        yield
    except OutputError:
        raise
    except PermissionError as error:
        raise InputError(
            f"cannot read {error.filename or path}: no permission to read there; ask for it, or "
            "give a copy in another place"
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror or error}; check the path"
        ) from error


def _too_long(error: OSError, path: Path) -> bool:
    """Whether a path is longer than the system takes; Windows may say many things of that."""
    said = getattr(error, "winerror", None)
    longest = max(len(str(path.absolute())), len(str(error.filename or "")))
    likely = said in (2, 3, 123) and longest >= _LONG
    return likely or said == 206 or error.errno == errno.ENAMETOOLONG


def _cut_short(error: OSError) -> bool:
    """Whether an array was written in part: numpy's `tofile` says so without a number."""
    return error.errno is None and "requested and" in str(error)
