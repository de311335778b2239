"""Places that are closed to the user, and disks that are full: said before any work, or kept."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_sam2 import batch, demo
from napari_sam2.export import files
from napari_sam2.export.formats import FORMATS, check_room, export_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.stacks import open_stack
from napari_sam2.tracking.errors import OutputError, writing
from napari_sam2.tracking.kept.session_file import (
    ImageIdentity,
    SessionFile,
    load_session,
    save_session,
)
from napari_sam2.tracking.kept.steps import SetPrompt
from napari_sam2.tracking.masklets import Masklets
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.prompts import load_prompts, save_prompts
from tests.commands import opened, run
from tests.tracking.toy import moving_disk, toy_model

LENGTH = 6
ROOM = 2**20
FULL = OSError(errno.ENOSPC, "No space left on device")
OUTPUTS = ["new/out.tif", "out.zarr", "01_RES"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stack, prompts, a session and labels; `there` is where to write to."""
    tifffile.imwrite(tmp_path / "stack.tif", moving_disk(LENGTH), metadata={"axes": "TYX"})
    prompts = [{"frame": 2, "box": [[18, 8], [42, 42]]}]
    content = {"version": 1, "axis": 0, "objects": [{"id": 1, "prompts": prompts}]}
    (tmp_path / "prompts.json").write_text(json.dumps(content))
    frames = open_stack(tmp_path / "stack.tif", "TYX").frames()
    image = ImageIdentity.of(frames, str(tmp_path / "stack.tif"), "TYX")
    steps = (SetPrompt(3, 2, Prompt([[30, 26]], [True])),)
    save_session(tmp_path / "a.ns2.json", SessionFile(image, "micro", "", steps), {})
    export_masklets(tmp_path / "labels.tif", np.ones((LENGTH, 64, 96), np.uint16))
    (tmp_path / "there").mkdir()
    return tmp_path


def commands(folder: Path, output: str) -> list[tuple[object, ...]]:
    """All that write to `output`, or to a folder in its place."""
    place, stack = folder / "there" / output, ("--axes", "TYX")
    return [
        ("track", folder / "stack.tif", *stack, "--prompts", folder / "prompts.json", "-o", place),
        ("track", folder / "stack.tif", *stack, "--everything", "--output", place),
        ("track", "--session", folder / "a.ns2.json", "--output", place),
        ("export", folder / "labels.tif", "--output", place),
        ("demo", folder / "stack.tif", *stack, "--no-gui", "--output", place),
    ]


def all_refused(
    folder: Path, output: str, monkeypatch: pytest.MonkeyPatch, *parts: str, code: int = 1
) -> None:
    """One line that names the place, and neither a model nor a file."""
    monkeypatch.setattr("napari_sam2.weights.load_model", None)
    monkeypatch.setattr("napari_sam2.export.converting.export_masklets", None)
    before = sorted(folder.rglob("*"))
    for command in commands(folder, output):
        result = run(*command)
        assert result.exit_code == code, result.output
        assert result.stderr.count("\n") == 1, result.stderr
        assert str(folder / "there" / output) in result.stderr
        for part in parts:
            assert part in result.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_is_closed(
    output: str, number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.touch

    def touch(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.parent == folder / "there":
            raise OSError(number, "closed")
        real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "touch", touch)
    words = ("no permission to write there", "choose another place")
    all_refused(folder, output, monkeypatch, *words)
    assert not list((folder / "there").iterdir())


def test_a_folder_that_cannot_even_be_looked_into(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.exists

    def exists(path: Path, **kwargs: Any) -> bool:
        if folder / "there" in path.parents:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, **kwargs)

    monkeypatch.setattr(Path, "exists", exists)
    all_refused(folder, "out.tif", monkeypatch, "no permission to write there")


CLOSED = [
    ("track", "in/stack.tif", "--prompts", "prompts.json", "--output", "out.tif"),
    ("track", "stack.tif", "--prompts", "in/prompts.json", "--output", "out.tif"),
    ("track", "stack.tif", "--prompts", "in/labels.tif", "--output", "out.tif"),
    ("track", "stack.tif", "--prompts", "prompts.json", "--model", "in/w.pt", "--output", "a.tif"),
    ("track", "--session", "in/a.ns2.json", "--output", "out.tif"),
    ("export", "in/labels.tif", "--output", "out.tif"),
    ("export", "in/coco.json", "--output", "out.tif"),
    ("export", "in/01_RES", "--output", "out.tif"),
    ("export", "labels.tif", "--image", "in/stack.tif", "--output", "out.csv"),
    ("evaluate", "labels.tif", "in/labels.tif"),
    ("evaluate", "--sequences", "in/data"),
]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("words", CLOSED, ids=lambda words: " ".join(words[:3]))
def test_what_is_read_is_in_a_closed_folder(
    words: tuple[str, ...], there: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there is something already that is to be written over."""
    monkeypatch.chdir(folder)
    if there and words[0] != "evaluate":
        Path(words[-1]).touch()
        words = (*words, "--overwrite")
    if words[1].endswith("stack.tif"):
        words = (*words, "--axes", "TYX")
    before = sorted(folder.rglob("*"))

    def refusing(name: str) -> Callable[..., Any]:
        real = getattr(Path, name)

        def ask(path: Path, *args: Any, **kwargs: Any) -> Any:
            if "in" in path.parts:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, *args, **kwargs)

        return ask

    for name in ("exists", "is_file", "is_dir", "stat", "open", "read_text", "glob"):
        monkeypatch.setattr(Path, name, refusing(name))
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert f"cannot read {next(w for w in words if w.startswith('in/'))}: no" in result.stderr
    assert sorted(folder.rglob("*")) == before


def test_a_file_where_a_folder_should_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "there").rmdir()
    (folder / "there").touch()
    all_refused(folder, "new/out.tif", monkeypatch, "there is no folder", code=2)


def test_what_was_tried_leaves_nothing(folder: Path) -> None:
    for output in ("a.tif", "deep/down/a.tif"):
        files.check_writable(folder / "there" / output)
    assert not list((folder / "there").iterdir())


def free(monkeypatch: pytest.MonkeyPatch, bytes_free: float, total: int = 2**40) -> None:
    def usage(path: Path) -> SimpleNamespace:
        assert path.is_dir()
        return SimpleNamespace(total=total, free=bytes_free)

    monkeypatch.setattr(files.shutil, "disk_usage", usage)


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_disk_that_is_full_already(
    output: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 5_000)
    words = ("only 0.01 MB are free", "0.07 MB or more are needed", "free some")
    all_refused(folder, output, monkeypatch, *words)


@pytest.mark.parametrize("name", FORMATS)
def test_only_what_cannot_fit_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room that blank labels take is enough room, whatever the format."""
    labels = np.zeros((3, 2048, 1024), np.uint16)
    path = tmp_path / ("a" + "".join(FORMATS[name].suffixes[:1]))
    export_masklets(path, labels, name)
    size = sum(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file())
    assert FORMATS[name].least * labels.nbytes <= size
    floor = ROOM if FORMATS[name].least else 4096
    needed = max(floor, FORMATS[name].least * 2 * 4_000_000_000)
    for shape in ((1000, 2000, 2000), (4_000_000_000, 1)):
        free(monkeypatch, needed)
        check_room(path, shape, name)
        free(monkeypatch, needed - 1)
        with pytest.raises(OutputError, match=r"only [\d,.]+ MB are free on its disk"):
            check_room(path, shape, name)
    # Of small labels, what they take uncompressed.
    free(monkeypatch, 200)
    check_room(path, (1, 10, 10), name)


def test_a_disk_that_does_not_say_is_no_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 0, total=0)
    files.check_space(tmp_path / "a.tif", 10)

    def unknown(path: Path) -> None:
        raise OSError(errno.ENOSYS, "unknown")

    monkeypatch.setattr(files.shutil, "disk_usage", unknown)
    files.check_space(tmp_path / "a.tif", 10)


def test_a_drive_that_is_nearly_full_of_large_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 GB of labels: a .tif of less than 19 MB cannot be; OME-Zarr may be, of few cells."""
    free(monkeypatch, 15_000_000)
    shape = (1000, 3200, 3200)
    with pytest.raises(OutputError, match=r"only 15\.00 MB are free.*19\.84 MB or more"):
        check_room(tmp_path / "a.tif", shape, "tiff")
    check_room(tmp_path / "a.zarr", shape, "zarr")
    check_room(tmp_path / "a.csv", shape, "csv")


def test_an_array_that_was_written_in_part(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="no space left on the disk"),
        writing(tmp_path / "a.tif"),
    ):
        raise OSError("262144 requested and 259904 written")  # as numpy's tofile says it


def filling(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let the disk get full when so many frames are in the store."""
    real, count = Masklets.__setitem__, [0]

    def put(masklets: Masklets, frame: int, labels: Any) -> None:
        count[0] += 1
        if count[0] > after:
            assert masklets.store is not None
            with writing(masklets.store):
                raise FULL
        real(masklets, frame, labels)

    monkeypatch.setattr(Masklets, "__setitem__", put)


@pytest.mark.parametrize("output", ["out.tif", "out.zarr", "01_RES"])
def test_a_disk_that_gets_full_in_the_middle(
    output: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_masklets(folder / "there" / output, np.full((LENGTH, 64, 96), 5, np.uint16))
    job = opened(folder, f"there/{output}", overwrite=True)
    filling(monkeypatch, 3)
    outcome = batch.track(job, toy_model())
    assert isinstance(outcome.failure, OutputError)
    assert "no space left on the disk" in str(outcome.failure)
    assert "partial" in outcome.output.name
    assert "3 of 6 frames are kept" in outcome.kept
    assert read_labels(outcome.output).any(axis=(1, 2)).sum() == 3
    assert (read_labels(folder / "there" / output) == 5).all()
    assert not list((folder / "there").glob(".*"))


def test_a_disk_that_is_full_before_the_first_frame(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = opened(folder, "there/out.tif")
    with monkeypatch.context() as patched:
        filling(patched, 0)
        outcome = batch.track(job, toy_model())
        assert isinstance(outcome.failure, OutputError)
        assert not list((folder / "there").iterdir())

    def full(**_: object) -> None:
        raise FULL

    monkeypatch.setattr(zarr, "create_array", full)
    with pytest.raises(OutputError, match="no space left on the disk"):
        batch.track(job, toy_model())
    assert not list((folder / "there").iterdir())


def cut(real: Callable[..., Any]) -> Callable[..., Any]:
    """Write something, and then find the disk full."""

    def write(*args: Any, **kwargs: Any) -> None:
        path = next(a for a in args if isinstance(a, Path))
        path.write_bytes(b"half")
        raise FULL

    return write


def test_the_demonstration_keeps_its_earlier_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_show_window", lambda *_, **__: None)
    out = folder / "there"
    for name in ("sample.tif", "preview.gif"):
        (out / name).write_bytes(b"old")
    with monkeypatch.context() as patched:
        patched.setattr(tifffile, "imwrite", cut(tifffile.imwrite))
        with pytest.raises(OutputError, match=r"sample\.tif: no space left"):
            demo.run(None, out, gui=False, model=toy_model())
    monkeypatch.setattr(Image.Image, "save", cut(Image.Image.save))
    with pytest.raises(OutputError, match=r"preview\.gif: no space left"):
        demo.run(folder / "stack.tif", out, gui=False, axes="TYX", model=toy_model())
    assert {(out / name).read_bytes() for name in ("sample.tif", "preview.gif")} == {b"old"}
    assert read_labels(out / "masklets.tif").any()
    assert not list(out.glob(".*"))
    shutil.rmtree(out)


def test_prompts_keep_their_earlier_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON and its masks, whichever of them finds the disk full."""
    path, mask = folder / "there" / "p.json", np.ones((64, 96), bool)
    save_prompts(path, {1: {0: Prompt(mask=mask)}})
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    for place, name in ((tifffile, "imwrite"), (Path, "write_text")):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, cut(getattr(place, name)))
            with pytest.raises(OutputError, match=r"p\.json: no space left"):
                save_prompts(path, {1: {0: Prompt(mask=mask)}, 2: {0: Prompt(mask=mask)}})
        assert before.items() <= {p.name: p.read_bytes() for p in path.parent.iterdir()}.items()
        assert not list(path.parent.glob("*.partial"))
    assert load_prompts(path).objects.keys() == {1}


def test_a_session_keeps_its_earlier_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, content = sorted(folder.iterdir()), load_session(folder / "a.ns2.json")
    monkeypatch.setattr(Path, "write_text", cut(Path.write_text))
    with pytest.raises(OutputError, match=r"a\.ns2\.json: no space left"):
        save_session(folder / "a.ns2.json", content, {})
    assert sorted(folder.iterdir()) == before
    assert load_session(folder / "a.ns2.json") == content
