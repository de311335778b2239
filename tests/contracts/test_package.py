"""The public names, the manifest, the version."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_sam2
from napari_sam2.widgets.scripts.launch import TITLE

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "src" / "napari_sam2" / "napari.yaml"

PUBLIC = [
    "FrameResult",
    "Frames",
    "History",
    "InputError",
    "KeptSession",
    "Preview",
    "Prompt",
    "Quality",
    "SessionFile",
    "TrackingPolicy",
    "TrackingSession",
    "__version__",
    "attach",
    "export_masklets",
    "graph_of",
    "load_model",
    "open_masklets",
    "open_parents",
    "open_stack",
    "read_rois",
    "teach",
    "tracks_of",
]


def test_public_names() -> None:
    """Adding to this list is a promise; taking from it is a breaking change."""
    assert sorted(napari_sam2.__all__) == PUBLIC
    assert set(PUBLIC) <= set(dir(napari_sam2))
    for name in PUBLIC:
        assert getattr(napari_sam2, name) is not None


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_sam2.nothing


def test_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert napari_sam2.__version__ == project["version"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_no_qt_in_the_base_dependencies() -> None:
    """Which Qt it is, the user chooses; qtpy and superqt take any."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bindings = ("pyqt", "pyside")
    assert not [d for d in project["dependencies"] if d.lower().startswith(bindings)]
    assert project["optional-dependencies"]["all"] == ["napari[all]>=0.7"]


def test_the_lowest_napari_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (lowest,) = (d.partition(">=")[2] for d in project["dependencies"] if d.startswith("napari"))
    jobs = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert f'napari: "=={lowest}.0"' in jobs


def test_manifest() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    contributions = manifest.contributions
    widgets = {w.display_name: w.command for w in contributions.widgets or []}
    assert list(widgets) == [TITLE]
    assert [s.key for s in contributions.sample_data or []] == ["timelapse", "zstack"]
    targets = {c.id: c.python_name for c in contributions.commands or []}
    assert targets[widgets[TITLE]] == "napari_sam2.widgets.dock:MaskletsWidget"


def test_readers_and_writers() -> None:
    """What napari offers for a file, before any of our code is asked."""
    contributions = PluginManifest.from_file(MANIFEST).contributions
    readers = {r.command: r for r in contributions.readers or []}
    assert {c: r.filename_patterns for c, r in readers.items()} == {
        "napari-sam2.read_masklets": ["*.json"],
        "napari-sam2.read_session": ["*.ns2.json"],
    }
    # One that did would make napari ask for a reader for every folder.
    assert not any(r.accepts_directories for r in readers.values())
    suffixes = [w.filename_extensions for w in contributions.writers or []]
    assert suffixes == [[".ns2.json"], [".json"], [".zarr"], [".ctc"]]


def test_manifest_is_installed() -> None:
    assert PluginManifest.from_distribution("napari-sam2").name == "napari-sam2"
