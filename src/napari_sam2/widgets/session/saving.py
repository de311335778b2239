"""Sessions of the window on disk: saved by themselves, and found again.

Belongs to the worker's thread, as the session does.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from napari_sam2.layer_data import stem_of
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.results_file import NoResults, results_path
from napari_sam2.tracking.kept.session_file import SUFFIX, SessionFile, load_session
from napari_sam2.tracking.kept.steps import Step
from napari_sam2.widgets.session.opening import SessionRequest

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "NAPARI_SAM2_SESSIONS"
_MOST_FILES = 100
# Names that are given here; whatever else is in the folder is the user's own.
_OURS = re.compile(rf".+-[0-9a-f]{{16}}(-[0-9]+)+{re.escape(SUFFIX)}")


def sessions_folder() -> Path:
    """Return where sessions are saved by themselves."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    return user_data_path("napari-sam2", appauthor=False) / "sessions"


Stamp = tuple[int, int, int]
"""What changes with every writing of a file: inode, time and size."""


def _stamp(path: Path) -> Stamp | None:
    """Return the stamp of a file, or None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@dataclass(frozen=True)
class SavedSession:
    """A session file and what it says."""

    path: Path
    content: SessionFile
    stamp: Stamp
    """Of the file when it was read."""

    @classmethod
    def read(cls, path: Path) -> SavedSession:
        """Read a session file.

        Raises
        ------
        InputError
            If it cannot be read.
        """
        stamp = _stamp(path)  # before: whoever writes it meanwhile is noticed later
        content = load_session(path)
        return cls(path, content, stamp or (0, 0, 0))

    @property
    def text(self) -> str:
        """How much work it holds, and from when: "12 objects, 24 November, 16:10"."""
        count = len(self.content.known)
        when = datetime.fromtimestamp(self.stamp[1] / 1e9)
        objects = "1 object" if count == 1 else f"{count} objects"
        return f"{objects}, {when.day} {when:%B, %H:%M}"


@dataclass(eq=False)
class Place:
    """Where a session is saved, for those who must not keep the session itself in memory."""

    path: Path | None = None


class SessionKeeper:
    """Writes what was done to a session, and finds what was done to the same image before.

    Parameters
    ----------
    history
        What was done.
    request
        What the session was opened for.
    """

    def __init__(self, history: History, request: SessionRequest) -> None:
        self._history = history
        self._request = request
        self.place = Place()
        self.slice_step: float | None = None
        """Between slices, where the user gave it."""
        self.moved: Path | None = None
        """Where it goes since another window wrote the file; whoever says so empties it."""
        self._kept: KeptSession | None = None
        self._ground: tuple[Step, ...] = ()  # where there are no others, no file is begun
        self._last: SessionFile | None = None
        self._stamp: Stamp | None = None  # None: not to be looked at

    @property
    def path(self) -> Path | None:
        """Where it is saved; chosen at the first saving where it is None."""
        return self.place.path

    @path.setter
    def path(self, path: Path | None) -> None:
        self.place.path = path

    @cached_property
    def _about(self) -> SessionFile:
        """What was done; image and model, which take longest to describe, do not change."""
        request = self._request
        return SessionFile.of(
            self._history,
            request.model,
            request.path,
            request.axes,
            request.file_channel,
            request.select,
        )

    @property
    def kept(self) -> KeptSession | None:
        """The files at `path`."""
        if self.path is None:
            return None
        if self._kept is None or self._kept.path != self.path:
            self._kept = KeptSession(self.path)
        return self._kept

    def found(self) -> SavedSession | None:
        """Return the newest session that was saved by itself for this image, if there is one."""
        files = sessions_folder().glob(f"*{self._mark}*{SUFFIX}")
        for path in reversed(_by_age(files)):
            try:
                found = SavedSession.read(path)
            except InputError as error:
                logger.warning("%s", error)
                continue
            if found.content.steps:
                return found
        return None

    @property
    def _mark(self) -> str:
        return f"-{self._about.image.fingerprint[:16]}"

    def _free_path(self) -> Path:
        """Return a path named by image and pixels that no earlier session has."""
        stem = stem_of(Path(self._request.path).name) or "image"
        stem = re.sub(r"[^\w-]+", "_", stem)[:60]
        for number in count(1):
            path = sessions_folder() / f"{stem}{self._mark}-{number}{SUFFIX}"
            if not path.exists():
                return path
        raise AssertionError

    def begin_restoring(self, found: SavedSession) -> None:
        """Take the file of what is brought back now for the one to save to."""
        self.path, self._last, self._stamp = found.path, found.content, found.stamp

    def end_restoring(self, whole: bool) -> None:
        """Stay with the restored file, or leave it for another one if not all of it came back."""
        if not whole:
            self.path = self._last = self._stamp = None
            self._ground = tuple(self._history.steps)

    def open(self, content: SessionFile) -> list[int]:
        """Bring the empty session to where the file at `path` left it; see `KeptSession.open`.

        Raises
        ------
        NoResults
            If there are no results that can be used.
        """
        if self.kept is None:
            raise NoResults("no results are kept with the session")
        return self.kept.open(self._history, content)

    def keep(self, notes: Mapping[int, Mapping[str, Any]]) -> None:
        """Write the session and its results, unless nothing was done since.

        Where another window has written the file, it goes to a file of its own: see `moved`.

        Parameters
        ----------
        notes
            Names and the like, by object.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        steps = tuple(self._history.steps)
        content = replace(self._about, steps=steps, notes=notes, slice_step=self.slice_step)
        now = None if self.path is None else _stamp(self.path)
        if self.path is None:
            if not steps or steps == self._ground:
                return
            self.path = self._free_path()
            _drop_oldest(self.path.parent)
        elif now is not None and self._stamp not in (None, now):
            self.path = self.moved = _beside(self.path)
        elif now is not None and content == self._last and not self._history.touched:
            return
        assert self.kept is not None
        try:
            self.kept.save(self._history, content)
        finally:  # the session may be there without its results
            self._stamp = _stamp(self.path)
        self._last = content

    def keep_as(self, path: Path, notes: Mapping[int, Mapping[str, Any]]) -> None:
        """Write the session to another file, and there from now on, unless that fails.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        before = self.path, self._kept, self._last, self._stamp
        self.path, self._last, self._stamp = path, None, None
        try:
            self.keep(notes)
        except BaseException:
            self.path, self._kept, self._last, self._stamp = before
            raise


def _beside(path: Path) -> Path:
    """Return a free path beside another one."""
    stem = path.name.removesuffix(SUFFIX)
    paths = (path.with_name(f"{stem}-{number}{SUFFIX}") for number in count(2))
    return next(path for path in paths if not path.exists())


def _drop_oldest(folder: Path) -> None:
    ours = (file for file in folder.glob(f"*{SUFFIX}") if _OURS.fullmatch(file.name))
    for file in _by_age(ours)[:-_MOST_FILES]:
        with suppress(OSError):  # another window has removed it, or has it open
            file.unlink(missing_ok=True)
            results_path(file).unlink(missing_ok=True)


def _by_age(files: Iterable[Path]) -> list[Path]:
    """Sort files, the oldest first, without those that are gone again."""
    stamps = {file: stamp for file in files if (stamp := _stamp(file)) is not None}
    return sorted(stamps, key=lambda file: stamps[file][1])
