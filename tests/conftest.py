from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

pytest.register_assert_rewrite("tests.commands", "hands")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# What these need is always installed in CI, so there a skip is a hole in the tests.
NEVER_SKIPPED = tuple(Path(__file__).parent / name for name in ("widgets", "parity"))
hypothesis.settings.register_profile("no clocks", deadline=None)
hypothesis.settings.load_profile("no clocks")
NO_DATA = "needs the development data in ../shared/data"


def _data(name: str) -> Path:
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"{NO_DATA}/{name}")
    return folder


@pytest.fixture(scope="session")
def dev_data() -> Path:
    """Real sequences with ground truth, beside the repository."""
    return _data("dev")


@pytest.fixture(scope="session")
def formats_data() -> Path:
    """Real files in real formats, beside the repository."""
    return _data("formats")


def _forbid_skip(report: Any, path: Path) -> None:
    """In CI a test that skips for want of Qt, a screen or the reference has failed."""
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if not (skipped and os.environ.get("CI")):
        return
    ours = any(path.is_relative_to(folder) for folder in NEVER_SKIPPED)
    if ours and NO_DATA not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow here: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    _forbid_skip(report, item.path)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    _forbid_skip(report, collector.path)
    return report
