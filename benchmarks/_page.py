"""The page that all benchmarks write to, each its own section."""

from __future__ import annotations

import os
import platform
import re
from datetime import date
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def machine(threads: int) -> str:
    """Say when and on what a benchmark ran."""
    return (
        f"{date.today().isoformat()}, {threads} thread(s) of {os.cpu_count()} cores,"
        f" {platform.system()} {platform.machine()}, torch {version('torch')}"
    )


def write_section(title: str, text: str) -> None:
    """Put a section, which begins with its title, into the page, in place of an older one."""
    text = text.rstrip("\n") + "\n\n"
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Performance\n"
    older = re.compile(re.escape(title) + r"\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if older.search(page):
        page = older.sub(lambda _: text, page)
    else:
        page = page.rstrip("\n") + "\n\n" + text
    PAGE.write_text(page.rstrip("\n") + "\n", encoding="utf-8")
