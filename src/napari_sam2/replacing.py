"""A file that takes its name only once it is complete, also where another program looks into it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

Value = TypeVar("Value")

HELD = (5, 32)  # what Windows says of a file that another program has open
_PAUSES = (0.01, 0.03, 0.1, 0.3, 0.6)  # seconds


def patiently(action: Callable[[], Value]) -> Value:
    """Do something to a file, and again for a second where Windows says that it is held.

    Scanners for viruses, indexers and folders that are kept in the cloud open what was just
    written, for moments. Anything else that is refused, and other systems, are not waited for.
    """
    for pause in _PAUSES:
        try:
            return action()
        except PermissionError as error:
            if getattr(error, "winerror", None) not in HELD:
                raise
        time.sleep(pause)
    return action()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` if the block ends without an error.

    Otherwise nothing is left of it, and what was at `path` stays.
    """
    # A name that nobody else has: two windows may write the same session at the same time.
    unfinished = path.with_name(f"{path.name}.{uuid4().hex[:8]}.partial")
    try:
        yield unfinished
        patiently(lambda: unfinished.replace(path))
    finally:
        with suppress(OSError):  # what went wrong before is what has to be said
            unfinished.unlink(missing_ok=True)
