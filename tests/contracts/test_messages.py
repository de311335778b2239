"""What is said in the window, in Python and in the terminal, by the same modules."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "napari_sam2"
# They have options, their own or those of other programs.
TERMINAL = ("cli/", "training/", "terminal.py", "demo.py", "examine.py")
TERMINAL += ("widgets/scripts/screenshot.py",)
OPTION = re.compile(r"(^|[\s(])--[a-z]")
SHARED = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if not path.relative_to(PACKAGE).as_posix().startswith(TERMINAL)
]


@pytest.mark.parametrize("path", SHARED, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_message_names_an_option_of_the_command_line(path: Path) -> None:
    """Whoever reads it in the window has none; the terminal adds it, see `terminal.explained`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            assert not OPTION.search(node.value), f"line {node.lineno}: {node.value}"
