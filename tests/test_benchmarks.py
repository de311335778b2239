"""The benchmarks still run: nothing is timed here, only that each gets to its end
and leaves the page of results alone.

The heavy ones, which run the reference, follow long stacks or need a screen, are left to `-m slow`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER, PAGE = ROOT / "benchmarks", ROOT / "docs" / "performance.md"
LIGHT = {
    "cells": ["--objects", "2", "--threads", "1"],
    "importing": ["--threads", "1"],
}
HEAVY = {
    "everything": ["--threads", "1"],
    "fewer_frames": ["--threads", "1"],
    "memory": ["--objects", "1"],
    "parts": [],
    "reference": ["--objects", "1", "--frames", "3"],
    "responsiveness": [],
    "robustness": ["--threads", "1"],
    "teaching": ["--threads", "1"],
    "windows": [],
}
ELSEWHERE = {"gpu"}  # needs CUDA


def _run(name: str, options: list[str]) -> str:
    command = [sys.executable, str(FOLDER / f"{name}.py"), "--quick", *options]
    page = PAGE.read_bytes()
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert PAGE.read_bytes() == page, "a quick run is not for the page"
    return run.stdout


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_benchmark_runs(name: str) -> None:
    assert "|" in _run(name, LIGHT[name])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_benchmark_runs(name: str) -> None:
    assert "|" in _run(name, HEAVY[name])


def test_every_benchmark_is_run_by_a_test() -> None:
    known = {path.stem for path in FOLDER.glob("[a-z]*.py")}
    assert known == {*LIGHT, *HEAVY, *ELSEWHERE}


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_runs_the_short_forms_unless_asked() -> None:
    def commands(target: str) -> str:
        dry = ["make", "--dry-run", "--no-print-directory", target]
        return subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert "benchmarks/" in commands("bench-full")
    assert "--quick" in commands("bench")
    assert "--quick" not in commands("bench-full")
