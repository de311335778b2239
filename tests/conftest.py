from __future__ import annotations

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _data(name: str) -> Path:
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs the development data in ../shared/data/{name}")
    return folder


@pytest.fixture(scope="session")
def dev_data() -> Path:
    """Real sequences with ground truth, beside the repository."""
    return _data("dev")


@pytest.fixture(scope="session")
def formats_data() -> Path:
    """Real files in real formats, beside the repository."""
    return _data("formats")
