"""Who may import whom, read from the sources; what an import loads, seen in a process."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "napari_sam2"
MODULES = sorted(PACKAGE.rglob("*.py"))
WINDOW = {"napari", "app_model", "magicgui", "psygnal", "qtpy", "superqt", "vispy"}
WINDOW |= {"PyQt5", "PyQt6", "PySide2", "PySide6"}

# Room -> rooms it may import; the errors in tracking/errors.py are everybody's.
# What is missing here fails, so that a new room is placed on purpose.
CORE = {"model", "tracking", "weights", "fetch", "stacks", "export", "replacing"}
ALLOWED = {
    "physical_units": set(),
    "replacing": set(),
    "model": set(),
    "fetch": {"replacing"},
    "weights": {"fetch", "model"},
    "tracking": {"model", "replacing"},
    "readers": {"physical_units"},
    "stacks": {"readers", "tracking"},
    "export": {"physical_units", "replacing", "stacks", "tracking"},
    "training": {"model", "replacing", "tracking"},
    "evaluation": {"export", "model", "stacks", "tracking"},
    "layer_data": {"stacks", "tracking"},
    "layer_reader": {"export", "layer_data", "tracking"},
    "layer_writer": {"export", "layer_data", "physical_units", "tracking"},
    "preview": {"export", "tracking"},
    "sample_data": {"training"},
    "terminal": {"fetch", "model"},
    "target": CORE,
    "journal": CORE | {"target"},
    "prompt_files": {"export", "stacks", "tracking"},
    "batch": CORE | {"journal", "prompt_files", "target"},
    "replay": CORE | {"journal", "target"},
    "demo": CORE | {"batch", "evaluation", "preview", "target", "terminal", "training"},
    "teaching": CORE | {"evaluation", "training"},
    "examine": CORE | {"evaluation", "terminal"},
    "widgets": CORE | {"layer_data", "physical_units", "replay", "sample_data", "teaching"},
    "cli": CORE
    | {"batch", "demo", "evaluation", "examine", "replay", "target", "teaching", "terminal"}
    | {"training", "widgets"},
    "__main__": {"cli"},
    "__init__": {"export", "stacks", "teaching", "tracking", "weights", "widgets"},
}

# The boxes of docs/architecture.md that hold more than the room of their name.
BOXES = {
    "weights": {"fetch"},
    "readers": {"stacks"},
    "batch": {"replay", "journal", "prompt_files", "target", "teaching"},
    "widgets": {"layer_data", "layer_reader", "layer_writer", "sample_data"},
    "cli": {"demo", "preview", "examine", "terminal"},
}
# Rooms within rooms, from the bottom up: each may import those before it, and modules that lie
# in no room of their own.
WITHIN = {
    "tracking": ["stack", "masks", "objects", "network", "finding", "editing", "following", "kept"],
    "widgets": ["layers", "session", "canvas", "verbs", "panels", "form", "scripts"],
}
NOWHERE = {"physical_units", "replacing", "__main__", "__init__"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path) -> tuple[str, ...]:
    """Full names of everything a module imports, also inside functions and TYPE_CHECKING."""
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative import in line {node.lineno}"
            module = node.module or ""
            # `from napari_sam2 import demo` imports a module, too.
            whole = module == "napari_sam2"
            yield from (f"{module}.{a.name}" for a in node.names) if whole else (module,)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    room = name_of(path).split("/")[0]
    assert room in ALLOWED, f"say in ALLOWED what {room} may import"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "napari_sam2" or len(parts) == 1 or name == "napari_sam2.tracking.errors":
            continue
        if parts[1] == "__version__":
            continue
        assert parts[1] in ALLOWED[room] | {room}, f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("room", WITHIN)
def test_rooms_within_a_room_go_one_way(room: str) -> None:
    order = WITHIN[room]
    assert {path.parent.name for path in (PACKAGE / room).glob("*/__init__.py")} == {*order}
    for path in (p for p in MODULES if p.is_relative_to(PACKAGE / room) and p.parent.name in order):
        below = order[: order.index(path.parent.name) + 1]
        for name in imported(path):
            parts = name.split(".")
            if parts[:2] == ["napari_sam2", room] and parts[2] in order:
                assert parts[2] in below, f"{name_of(path)} imports {name}"


def test_the_picture_shows_every_arrow() -> None:
    page = PACKAGE.parents[1] / "docs" / "architecture.md"
    drawn = set(
        re.findall(r"^    (\w+) --> (\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    )
    box_of = {room: box for box, rooms in BOXES.items() for room in rooms}
    found = set()
    for path in MODULES:
        room = name_of(path).split("/")[0]
        for name in imported(path):
            parts = name.split(".")
            known = parts[0] == "napari_sam2" and len(parts) > 1 and parts[1] in ALLOWED
            if known and name != "napari_sam2.tracking.errors" and not {room, parts[1]} & NOWHERE:
                found.add((box_of.get(room, room), box_of.get(parts[1], parts[1])))
    found = {(one, other) for one, other in found if one != other}
    assert drawn <= found
    implied = drawn
    while more := {(a, d) for a, b in implied for c, d in drawn if b == c} - implied:
        implied = implied | more
    assert found <= implied
    assert not {(b, a) for a, b in implied} & implied


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_widgets_know_the_window(path: Path) -> None:
    name = name_of(path)
    if name.startswith("widgets/") or name == "sample_data":
        return
    assert not {n.split(".")[0] for n in imported(path)} & WINDOW


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(parsed(path))


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a fresh process after `code`."""
    show = "import sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_importing_the_package_is_cheap() -> None:
    assert not loaded_by("import napari_sam2") & (WINDOW | {"torch", "scipy", "skimage", "zarr"})


def test_the_whole_core_runs_without_a_window() -> None:
    names = [name_of(p).replace("/", ".") for p in MODULES if "widgets" not in p.parts]
    names = [n.removesuffix(".__init__") for n in names if n != "__init__"]
    assert "cli" in names
    code = "\n".join(f"import napari_sam2.{name}" for name in names)
    assert not loaded_by(code) & WINDOW


def test_the_window_opens_before_torch_is_loaded() -> None:
    """Its import takes a second or more, so it is left to the worker."""
    assert not loaded_by("import napari_sam2.widgets.dock") & {"torch", "pandas", "zarr"}
