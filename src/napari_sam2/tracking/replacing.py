"""A file that takes its name only once it is complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` if the block ends without an error.

    Otherwise nothing is left of it, and what was at `path` stays.
    """
    unfinished = path.with_name(path.name + ".partial")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        with suppress(OSError):  # what went wrong before is what has to be said
            unfinished.unlink(missing_ok=True)
