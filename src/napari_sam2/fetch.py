"""One file over HTTP: resumed where it was cut, checked, and moved into place in one step."""

from __future__ import annotations

import errno
import hashlib
import http.client
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
from filelock import FileLock, Timeout

from napari_sam2.replacing import HELD, patiently

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes of the whole file, if known."""

ATTEMPTS = 5
PAUSE_S = 0.5  # before the second attempt; doubles with each further one
TIMEOUT_S = 30.0
_CHUNK = 1 << 18
_WORTH_ANOTHER_TRY = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(RuntimeError):
    """A download that failed. The message is one line: why, and what to do about it."""


class _Interrupted(Exception):
    """The connection failed in a way that another attempt may mend."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url: str, target: Path, sha256: str, progress: Progress | None = None) -> Path:
    """Download a file, unless it is there already.

    The bytes go to ``<target>.part``, which the next attempt, or the next call, continues. Several
    processes may ask for the same file: one downloads, the others wait for it.

    Parameters
    ----------
    url
        Where the file is.
    target
        Where to put it; the folder is made where it is missing.
    sha256
        What the file must hash to, in hexadecimal.
    progress
        Called after every block. What it raises ends the download and reaches the caller; the
        partial file stays.

    Raises
    ------
    DownloadError
        If the server cannot be reached, has no such file, sends another file than expected, or
        the file cannot be written.
    """
    if target.is_file():
        return target
    part = target.with_name(target.name + ".part")
    lock = FileLock(target.with_name(target.name + ".lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, part, progress)
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        if not target.is_file():  # another process may have brought it meanwhile
            _download(url, part, progress)
            _check(part, sha256, url)
            _put(part, target)
    finally:
        lock.release()
    return target


def _acquire(lock: FileLock, part: Path, progress: Progress | None) -> None:
    """Wait for the lock, showing how far its holder is, so that waiting can be cancelled too."""
    while True:
        try:
            lock.acquire(timeout=0.2)
            return
        except Timeout:
            if progress is not None:
                progress(_size(part), None)


def _download(url: str, part: Path, progress: Progress | None) -> None:
    for attempt in range(ATTEMPTS):
        try:
            _attempt(url, part, progress)
            return
        except _Interrupted as error:
            if attempt == ATTEMPTS - 1:
                kept = _size(part)
                then = f"; {kept / 1e6:.1f} MB are kept and continued next time" if kept else ""
                raise DownloadError(
                    f"cannot download {url}: {error}; check the network{then}"
                ) from error
            time.sleep(PAUSE_S * 2**attempt)


def _attempt(url: str, part: Path, progress: Progress | None) -> None:
    """Ask for what is missing of the file and append it."""
    have = _size(part)
    headers = {"User-Agent": "napari-sam2", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S, context=_trust())
    except urllib.error.HTTPError as error:
        with error:
            _refused(error, part, url)
        return
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(_reason(error)) from error
    except ValueError as error:
        raise DownloadError(f"cannot download {url}: {error}; correct the address") from error
    with response:
        start, total = _extent(response, part)
        _receive(response, part, start, total, progress)


def _receive(
    response: Any, part: Path, start: int, total: int | None, progress: Progress | None
) -> None:
    _make_sure_of_space(part, start, total)
    have = start
    with _open(part, "ab" if start else "wb") as file:
        if progress is not None:
            progress(have, total)
        while True:
            try:
                block = response.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _Interrupted(_reason(error)) from error
            if not block:
                break
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                raise _unwritable(part, error) from error
            have += len(block)
            if progress is not None:
                progress(have, total)
    if total is not None and have < total:
        raise _Interrupted(f"the connection was cut after {have / 1e6:.1f} MB")


def _extent(response: Any, part: Path) -> tuple[int, int | None]:
    """Return where the answer starts in the file and how long the file is, if told."""
    length = response.headers.get("Content-Length")
    if response.status != 206:  # the whole file: the server does not know ranges
        return 0, int(length) if length else None
    span = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if span is None or int(span[1]) != _size(part):
        part.unlink(missing_ok=True)
        raise _Interrupted("the server answered with another part of the file")
    return int(span[1]), None if span[2] == "*" else int(span[2])


def _refused(error: urllib.error.HTTPError, part: Path, url: str) -> None:
    """Judge an error status; return only if the partial file turns out to be complete."""
    if error.code == 416:
        size = re.match(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if size is not None and int(size[1]) == _size(part):
            return
        part.unlink(missing_ok=True)  # longer than the file, so it is of another one
        raise _Interrupted("the partial file did not fit and was dropped") from error
    answer = f"the server answered {error.code} {error.reason}"
    if error.code in _WORTH_ANOTHER_TRY:
        raise _Interrupted(answer) from error
    raise DownloadError(f"cannot download {url}: {answer}") from error


def _check(part: Path, sha256: str, url: str) -> None:
    found = sha256_of(part)
    if found != sha256:
        patiently(part.unlink)
        raise DownloadError(
            f"what came from {url} is damaged or another file (SHA-256 {found[:12]}..., expected "
            f"{sha256[:12]}...) and was removed; try again"
        )


def _put(part: Path, target: Path) -> None:
    try:
        patiently(lambda: part.replace(target))
    except OSError as error:
        raise _unwritable(target, error) from error


def _make_sure_of_space(part: Path, have: int, total: int | None) -> None:
    # A file that is written from its start again gives back the room it takes.
    room = shutil.disk_usage(part.parent).free + (_size(part) - have)
    if total is not None and room < total - have:
        raise _unwritable(part, OSError(errno.ENOSPC, f"{(total - have) / 1e6:.0f} MB are needed"))


def _open(part: Path, mode: str) -> Any:
    try:
        return part.open(mode)
    except OSError as error:
        raise _unwritable(part, error) from error


def _unwritable(path: Path, error: OSError) -> DownloadError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        reason = "no space left on the disk; free some"
    elif getattr(error, "winerror", None) in HELD:
        reason = "it is open in another program, or there is no permission to write there"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = "no permission to write there"
    else:
        reason = f"{error.strerror or error}"
    return DownloadError(
        f"cannot write {path}: {reason}, or set NAPARI_SAM2_CACHE to another folder"
    )


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", None) or inner) or type(inner).__name__


def _trust() -> ssl.SSLContext:
    # The system's authorities, and certifi's for the Pythons that come without any.
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
