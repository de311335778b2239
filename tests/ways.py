"""Both ways of multiplying matrices, whatever processor the tests run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from napari_sam2.model import products


@contextmanager
def multiplied_by(way: str) -> Iterator[bool]:
    """Multiply by "torch" or, if it is there, by "oneDNN"; yields whether the latter is used."""
    maker = "AuthenticAMD" if way == "oneDNN" else ""
    with mock.patch.object(products, "_maker", return_value=maker):
        products.available.cache_clear()
        try:
            yield products.available()
        finally:
            products.available.cache_clear()
