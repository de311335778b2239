"""The results of a session on disk (`.ns2.results`), beside the session file: a cache.

One row of an SQLite database for each object, so that a click writes one row, and a program that
is killed while it writes leaves the file as it was before. The rows belong to one state of the
session, named by a digest; with any other they are out of date.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path

from napari_sam2.tracking.errors import OutputError
from napari_sam2.tracking.kept.session_file import SUFFIX as SESSION

SUFFIX = ".ns2.results"
_VERSION = "1"
_TABLES = (
    "CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT)",
    "CREATE TABLE IF NOT EXISTS objects "
    "(id INTEGER PRIMARY KEY, place INTEGER, digest BLOB, data BLOB)",
)


Pack = Callable[[Iterable[int]], Iterable[tuple[int, bytes]]]


class NoResults(Exception):
    """There are no results that can be used; the message says why."""


def results_path(session: Path) -> Path:
    """Return where the results of a session file are kept: beside it."""
    return session.with_name(session.name.removesuffix(SESSION) + SUFFIX)


class ResultsFile:
    """Keeps what is known of each object, as bytes, up to date with few writes.

    Parameters
    ----------
    path : of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: str | None = None  # what the file holds, as far as we wrote or read it

    def read(self, state: str) -> dict[int, bytes]:
        """Return what is kept of each object, in the session's order.

        Parameters
        ----------
        state : digest of the session that the results have to belong to.

        Raises
        ------
        NoResults
            If the file is missing, damaged, of another version or out of date.
        """
        if not self.path.is_file():
            raise NoResults("no results are kept with the session")
        try:
            with _opened(self.path) as database:
                about = dict(database.execute("SELECT name, value FROM about"))
                if about.get("version") != _VERSION:
                    raise NoResults("the results were kept by another version")
                if about.get("state") != state:
                    raise NoResults("the results that are kept are older than the session")
                query = "SELECT id, digest, data FROM objects ORDER BY place"
                rows = list(database.execute(query))
        except sqlite3.Error as error:
            raise NoResults(f"the results that are kept are damaged ({error})") from error
        if about.get("objects") != str(len(rows)) or not all(
            isinstance(data, bytes) and _digest(data) == mark for _, mark, data in rows
        ):
            raise NoResults("the results that are kept are damaged")
        self._state = state
        return {int(i): data for i, _, data in rows}

    def write(
        self,
        state: str,
        object_ids: Iterable[int],
        changed: Collection[int],
        pack: Pack,
    ) -> None:
        """Bring the file to a new state of the session, at once or not at all.

        Parameters
        ----------
        state : digest of the session.
        object_ids : all objects, in their order.
        changed : those that have changed since the last writing; others are written only where
            the file is not as it was left.
        pack : yields objects as bytes.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        ids = list(object_ids)
        if state == self._state and not changed:
            return
        try:
            try:
                self._put(state, ids, changed, pack)
            except sqlite3.Error as error:
                if "locked" in str(error):
                    raise
                self.path.unlink(missing_ok=True)  # damaged, perhaps
                self._put(state, ids, changed, pack)
        except (sqlite3.Error, OSError) as error:
            self._state = None
            raise OutputError(
                f"cannot write {self.path}: {error}; the session itself is saved, but opening it "
                "again will compute its masks anew"
            ) from error
        self._state = state

    def _put(
        self,
        state: str,
        ids: list[int],
        changed: Collection[int],
        pack: Pack,
    ) -> None:
        with _opened(self.path) as database, database:
            for table in _TABLES:
                database.execute(table)
            about = dict(database.execute("SELECT name, value FROM about"))
            kept = {i for (i,) in database.execute("SELECT id FROM objects")}
            ours = about.get("version") == _VERSION and about.get("state") == self._state
            if not ours:
                kept = set()
                database.execute("DELETE FROM objects")
            gone = kept - set(ids)
            database.executemany("DELETE FROM objects WHERE id = ?", [(i,) for i in gone])
            for i, data in pack([i for i in ids if i in changed or i not in kept]):
                row = (i, _digest(data), data)
                query = "INSERT OR REPLACE INTO objects (id, digest, data) VALUES (?, ?, ?)"
                database.execute(query, row)
            places = [(place, i) for place, i in enumerate(ids)]
            database.executemany("UPDATE objects SET place = ? WHERE id = ?", places)
            values = [("version", _VERSION), ("state", state), ("objects", str(len(ids)))]
            database.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", values)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    # Closed each time: on Windows an open file cannot be moved or deleted.
    with closing(sqlite3.connect(path, timeout=2)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        # What a power failure may damage is noticed and computed again.
        database.execute("PRAGMA synchronous = OFF")
        yield database


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
