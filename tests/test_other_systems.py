"""What Windows and macOS do otherwise, as far as it can be brought about elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
import typer.core

from napari_sam2 import cli, replacing
from napari_sam2.export import files
from napari_sam2.export.formats import export_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.fetch import DownloadError, fetch, sha256_of
from napari_sam2.stacks import open_stack
from napari_sam2.target import Target
from napari_sam2.terminal import progress
from napari_sam2.tracking.errors import InputError, OutputError, writing
from napari_sam2.tracking.masklets import Masklets
from napari_sam2.tracking.results import FrameResult
from napari_sam2.weights import _can_all, pick_device

LABELS = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
STRANGE = "细胞"


def refusal(winerror: int | None) -> PermissionError:
    error = PermissionError(13, "Access is denied")
    if winerror is not None:
        error.winerror = winerror  # type: ignore[attr-defined]
    return error


class Held:
    """A file that another program holds for the first few times."""

    def __init__(self, times: int, winerror: int | None = 5) -> None:
        self.left, self.winerror = times, winerror

    def asked(self) -> None:
        if self.left:
            self.left -= 1
            raise refusal(self.winerror)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "_PAUSES", (0.001,) * 5)


def hold(monkeypatch: pytest.MonkeyPatch, name: str, held: Held) -> None:
    """Let a method of paths be refused as `held` says."""
    usual = getattr(Path, name)

    def refused(path: Path, *args: object, **options: object) -> object:
        held.asked()
        return usual(path, *args, **options)

    monkeypatch.setattr(Path, name, refused)


@pytest.mark.usefixtures("hasty")
def test_a_file_that_is_held_for_a_moment_is_replaced(tmp_path: Path, monkeypatch) -> None:
    for name in ("a.tif", "a"):
        export_masklets(tmp_path / name, LABELS)
        with monkeypatch.context() as patch:
            hold(patch, "replace", Held(3))
            export_masklets(tmp_path / name, LABELS[::-1], overwrite=True)
        np.testing.assert_array_equal(read_labels(tmp_path / name), LABELS[::-1])
    held = Held(3)
    hold(monkeypatch, "replace", held)
    with replacing.replacing(tmp_path / "a.txt") as unfinished:
        unfinished.write_text("a", encoding="ascii")
    assert (tmp_path / "a.txt").read_text(encoding="ascii") == "a"
    assert held.left == 0


@pytest.mark.usefixtures("hasty")
def test_what_stays_held_or_is_forbidden_is_said(tmp_path: Path, monkeypatch) -> None:
    export_masklets(tmp_path / "a.tif", LABELS)
    for held, words in (
        (Held(1000, 32), "open in another program"),
        (Held(1000, None), "no permission to write there"),
    ):
        with monkeypatch.context() as patch:
            hold(patch, "replace", held)
            with pytest.raises(OutputError, match=words):
                export_masklets(tmp_path / "a.tif", LABELS[::-1], overwrite=True)
        asked = 1000 - held.left
        assert asked == (1 if held.winerror is None else 6)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), LABELS)


@pytest.mark.usefixtures("hasty")
def test_frames_are_written_while_a_scanner_looks(tmp_path: Path, monkeypatch) -> None:
    masklets, held = Masklets((2, 3, 4), store=tmp_path / "a.zarr"), Held(2)
    write = type(masklets.array).__setitem__

    def refused(array: object, *args: object) -> None:
        held.asked()
        write(array, *args)

    monkeypatch.setattr(type(masklets.array), "__setitem__", refused)
    masklets[1] = LABELS[1]
    np.testing.assert_array_equal(masklets[1], LABELS[1])


@pytest.mark.usefixtures("hasty")
def test_a_scanner_that_looks_at_what_is_to_be_deleted(tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        hold(patch, "unlink", held := Held(2))
        files.check_writable(tmp_path / "a.tif")
        assert held.left == 0
    tifffile.imwrite(tmp_path / "a.tif", LABELS, metadata={"axes": "TYX"})
    target, held = Target(open_stack(tmp_path / "a.tif"), tmp_path / "b.tif"), Held(2)
    delete = shutil.rmtree

    def refused(path: Path, ignore_errors: bool = False) -> None:
        try:
            held.asked()
        except PermissionError:
            if ignore_errors:
                return
            raise
        delete(path)

    monkeypatch.setattr(shutil, "rmtree", refused)
    target.collect(iter([FrameResult(0, LABELS[0], {})]), np.uint16, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "b.tif"]


@pytest.mark.usefixtures("hasty")
def test_what_cannot_be_deleted_afterwards_is_no_failure(tmp_path: Path, monkeypatch) -> None:
    export_masklets(tmp_path / "01_RES", LABELS)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda _path: Held(1, 32).asked())
        export_masklets(tmp_path / "01_RES", LABELS[::-1], overwrite=True)
    np.testing.assert_array_equal(read_labels(tmp_path / "01_RES"), LABELS[::-1])
    export_masklets(tmp_path / "01_RES", LABELS, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["01_RES"]


@pytest.mark.usefixtures("hasty")
def test_a_download_that_is_held(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "there").write_bytes(b"weights")
    source, target = (tmp_path / "there").as_uri(), tmp_path / "here"
    hold(monkeypatch, "replace", Held(1000, 32))
    with pytest.raises(DownloadError, match="open in another program"):
        fetch(source, target, sha256_of(tmp_path / "there"))


def test_what_excel_has_open_is_told_before_any_work(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a.csv").write_text("old", encoding="ascii")
    files.check_free(tmp_path / "a.csv", overwrite=True)
    monkeypatch.setattr(files.sys, "platform", "win32")
    files.check_free(tmp_path / "a.csv", overwrite=True)
    hold(monkeypatch, "open", Held(1, 32))
    with pytest.raises(OutputError, match="open in another program"):
        files.check_free(tmp_path / "a.csv", overwrite=True)


def test_names_that_windows_does_not_have(tmp_path: Path, monkeypatch) -> None:
    names = ["con.tif", "Aux.csv", "nul", "COM1.zarr", "t 12:30.tif", "which?.csv", "a|b.tif"]
    for name in names:
        files.check_free(tmp_path / name, overwrite=False)
    monkeypatch.setattr(files.sys, "platform", "win32")
    for name in names:
        with pytest.raises(InputError, match="Windows allows no such name"):
            files.check_free(tmp_path / name, overwrite=False)
    for name in ("control.tif", "auxin.csv", "COM10.zarr", "12.30.tif", "nul_1"):
        files.check_free(tmp_path / name, overwrite=False)


@pytest.mark.parametrize("number", [3, 206])
def test_a_path_that_is_too_long_for_windows(tmp_path: Path, number: int) -> None:
    error = FileNotFoundError(2, "The system cannot find the path specified", str(tmp_path))
    error.winerror = number  # type: ignore[attr-defined]
    error.filename = str(tmp_path / ("long" * 60)) if number == 3 else None
    with pytest.raises(OutputError, match="too long for this system"), writing(tmp_path / "a.tif"):
        raise error
    error.filename = str(tmp_path)
    error.winerror = 3  # type: ignore[attr-defined]
    with pytest.raises(OutputError, match="cannot find"), writing(Path("a.tif")):
        raise error


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="too long for this system"):
        export_masklets(tmp_path / ("long" * 64 + ".tif"), LABELS)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_colons_in_a_folder_are_no_address(tmp_path: Path) -> None:
    folder = tmp_path / "plate::3"
    folder.mkdir()
    export_masklets(folder / "a.zarr", LABELS)
    export_masklets(folder / "a.zarr", LABELS[::-1], overwrite=True)
    np.testing.assert_array_equal(read_labels(folder / "a.zarr"), LABELS[::-1])
    np.testing.assert_array_equal(read_labels(folder / "a.zarr" / "0"), LABELS[::-1])
    Masklets((2, 3, 4), store=folder / "b.zarr")[0] = LABELS[0]
    assert Masklets.open(folder / "b.zarr").shape == (2, 3, 4)


def test_a_disk_that_tells_no_capitals_apart(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "Data").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "Data")  # another name of the same folder
    monkeypatch.setattr(Path, "resolve", Path.absolute)  # which macOS leaves as it was typed
    tifffile.imwrite(tmp_path / "Data" / "a.tif", LABELS)
    with pytest.raises(InputError, match="which is read"):
        files.check_apart(tmp_path / "data", tmp_path / "Data" / "a.tif")
    with pytest.raises(InputError, match="would be read with the images"):
        files.check_apart(tmp_path / "data" / "b.tif", tmp_path / "Data")
    files.check_apart(tmp_path / "data" / "b.tif", tmp_path / "Data" / "a.tif")


def test_a_drive_that_is_not_there(monkeypatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    with pytest.raises(OutputError, match="its drive is not there"):
        files.check_writable(Path("/media/stick/a.tif"))


@pytest.mark.parametrize("name", [".DS_Store", "._res_track.txt", "Thumbs.db", "desktop.ini"])
def test_what_systems_leave_in_folders_is_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "01_RES").mkdir()
    (tmp_path / "01_RES" / name).write_bytes(b"\0")
    export_masklets(tmp_path / "01_RES", LABELS)
    (tmp_path / "01_RES" / name).write_bytes(b"\0")
    with pytest.raises(InputError, match="exists already"):
        export_masklets(tmp_path / "01_RES", LABELS)
    export_masklets(tmp_path / "01_RES", LABELS[::-1], overwrite=True)
    np.testing.assert_array_equal(read_labels(tmp_path / "01_RES"), LABELS[::-1])
    (tmp_path / "01_RES" / "mine.txt").write_bytes(b"\0")
    with pytest.raises(InputError, match="something else than labels"):
        export_masklets(tmp_path / "01_RES", LABELS, overwrite=True)


def test_a_disk_without_hard_links(tmp_path: Path, monkeypatch) -> None:
    def refused(*args: object, **kwargs: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refused)
    export_masklets(tmp_path / "a.zarr", LABELS)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr"), LABELS)
    Masklets((2, 3, 4), store=tmp_path / "b.zarr")[0] = LABELS[0]


def test_a_log_in_another_alphabet(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", LABELS, metadata={"axes": "TYX"})
    output = tmp_path / f"{STRANGE}.tif"
    command = [sys.executable, "-m", "napari_sam2", "export", tmp_path / "a.tif", "-o", output]
    coded = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    result = subprocess.run(command, capture_output=True, env=coded, check=False)
    assert result.returncode == 0, result.stderr
    assert b"\\u7ec6" in result.stdout
    assert output.exists()


def test_patterns_and_brackets_stay_as_they_were_typed(tmp_path: Path, monkeypatch, capsys) -> None:
    for name in ("data1.pt", "data[1].pt"):
        (tmp_path / name).write_bytes(b"no weights")
    windows = SimpleNamespace(**{**vars(os), "name": "nt"})
    monkeypatch.setattr(typer.core, "os", windows)
    monkeypatch.setattr(sys, "argv", ["", "models", "verify", str(tmp_path / "data[1].pt")])
    with pytest.raises(SystemExit):
        cli.main()
    assert "data[1].pt is damaged" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to do it with")
def test_ctrl_break_is_as_ctrl_c(monkeypatch) -> None:
    def unheard(*_: object) -> None:
        raise AssertionError("nobody listens")

    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR1, raising=False)
    before = signal.signal(signal.SIGUSR1, unheard)
    try:
        with pytest.raises(KeyboardInterrupt), progress("tracking"):
            os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_clock_that_ticks_slowly(monkeypatch) -> None:
    from napari_sam2.widgets.layers.planes import Attic, Planes

    monkeypatch.setattr(time, "monotonic", lambda: 1.0)
    planes = Planes(Attic())
    for frame in range(2):
        planes.keep(frame, LABELS[frame])
    assert planes.kept_at(0) < planes.kept_at(1)


def test_an_apple_gpu_that_torch_cannot_use_whole(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device().type == "cpu"  # this torch knows the name only
    with pytest.raises(InputError, match="update torch, or use cpu"):
        pick_device("mps")
    monkeypatch.setattr("napari_sam2.weights._can_all", lambda _device: True)
    assert pick_device().type == "mps"
    assert pick_device("mps").type == "mps"


def test_errors_of_windows_in_words(tmp_path: Path) -> None:
    from napari_sam2.widgets.words import in_words

    error = OSError(22, "A dynamic link library (DLL) initialization routine failed")
    error.winerror = 1114  # type: ignore[attr-defined]
    assert "Visual C++ Redistributable" in in_words(error)
    with pytest.raises(OutputError, match="close it there"), writing(tmp_path / "a.csv"):
        raise refusal(32)


@pytest.mark.parametrize("error", [TypeError, RuntimeError])
def test_an_apple_gpu_without_bfloat16(monkeypatch, error: type[Exception]) -> None:
    usual = torch.Tensor.to

    def refused(tensor: torch.Tensor, *args: object, **options: object) -> torch.Tensor:
        if torch.bfloat16 in args:
            raise error("MPS bfloat16 type is supported on MacOS 14.0 or newer.")
        return usual(tensor, *args, **options)

    assert _can_all.__wrapped__(torch.device("cpu"))
    monkeypatch.setattr(torch.Tensor, "to", refused)
    assert not _can_all.__wrapped__(torch.device("cpu"))


def test_two_programs_that_write_one_file_at_the_same_time(tmp_path):
    path = tmp_path / "a.txt"
    with replacing.replacing(path) as one, replacing.replacing(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # it was complete last
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
