from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from napari_sam2.model.sam2 import SAM2

pytest_plugins = ["pytest_xvfb"] if sys.platform == "linux" else []
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


@pytest.fixture(scope="session")
def shared_micro() -> SAM2:
    """The weights that are in the package; what was computed for one test is there for others."""
    from napari_sam2.weights import load_model
    from tests.remembering import remembering

    return remembering(load_model("micro", device="cpu"))


@pytest.fixture
def sharing(shared_micro: SAM2, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands in this process work with `shared_micro`, where they want these weights."""
    from napari_sam2 import weights

    load = weights.load_model

    def shared(name_or_path: str | Path = "micro", *args: Any, **kwargs: Any) -> SAM2:
        return shared_micro if name_or_path == "micro" else load(name_or_path, *args, **kwargs)

    monkeypatch.setattr(weights, "load_model", shared)


@pytest.fixture
def small_lessons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `teach` take small steps."""
    from napari_sam2 import teaching

    usual = teaching.BatchConfig

    def small(**values: Any) -> Any:
        return usual(pixels=96 * 96, sizes=(96,), weights=(1.0,), clip_length=(2, 2), **values)

    monkeypatch.setattr(teaching, "BatchConfig", small)


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
