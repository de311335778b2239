"""Both ways of multiplying matrices, whatever processor the tests run on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from napari_sam2.model.products import SWITCH, available


@contextmanager
def multiplied_by(way: str) -> Iterator[bool]:
    """Multiply by "torch" or, if it is there, by "oneDNN"; yields whether the latter is used."""
    with mock.patch.dict(os.environ, {SWITCH: "1" if way == "oneDNN" else "0"}):
        available.cache_clear()
        try:
            yield available()
        finally:
            available.cache_clear()
