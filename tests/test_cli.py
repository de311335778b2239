from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
import zarr
from typer.testing import Result

from napari_sam2 import __version__, batch, terminal, weights
from napari_sam2.cli import app
from napari_sam2.export.labels import read_labels
from napari_sam2.stacks import open_stack
from napari_sam2.terminal import progress
from napari_sam2.tracking.errors import InputError, OutputError
from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.tracking.kept.steps import CloseGaps, Propagate
from napari_sam2.tracking.masklets import Masklets
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.weights import Verified
from tests.commands import FRAMES, SIZE, random_model, refused, run, two_moving_cells, write_prompts


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(tmp_path_factory.mktemp("model") / "random.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_moving_cells(tmp_path)


@pytest.fixture
def track(folder: Path, model: Path) -> Callable[..., Result]:
    def call(*args: object, stack: str = "stack.tif", prompts: str = "seeds.tif") -> Result:
        out = () if {"--output", "-o"} & {*args} else ("--output", folder / "out.tif")
        which = () if "--model" in args else ("--model", model)
        given = ("--axes", "TYX", "--device", "cpu", "--prompts", folder / prompts)
        return run("track", folder / stack, *given, *out, *which, *args)

    return call


def test_help_and_version_need_no_torch() -> None:
    code = (
        "import sys; from napari_sam2.cli import app\n"
        "try: app(['track', '--help'])\n"
        "except SystemExit as e: print(e.code, [m for m in ('torch', 'zarr', 'napari', 'numpy') "
        "if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--prompts" in out.stdout
    assert out.stdout.splitlines()[-1] == "0 []"
    assert run("--version").stdout.strip() == __version__
    bare = run()
    assert bare.exit_code == 0
    for name in ("demo", "gui", "track", "export", "evaluate", "train", "models"):
        assert name in bare.stdout


@pytest.mark.parametrize(
    "args",
    [["trak"], ["track"], ["track", "x.tif", "--nope"], ["models", "verify"],
     ["track", "a", "--prompts", "b", "--output", "c.tif", "--direction", "up"]],
)  # fmt: skip
def test_usage_errors_are_one_line(args: list[str]) -> None:
    result = run(*args)
    refused(result, ". See --help.")
    assert ".. See" not in result.stderr


def test_flags_in_help_take_no_value() -> None:
    names = ("demo", "gui", "track", "export", "evaluate", "teach", "train")
    texts = [run(name, "--help").stdout for name in names]
    flags = [line for text in texts for line in text.splitlines() if "<bool>" in line]
    # The newest typer writes so of its own flag, and would of ours; earlier ones of none.
    assert {line.split()[1] for line in flags} <= {"--help"}


def test_help_says_what_every_option_is_for() -> None:
    """Arguments are called as the texts call them."""
    group = typer.main.get_command(app)
    commands = [*group.commands.values(), *group.commands["models"].commands.values()]
    for command in commands:
        for one in command.params:
            assert one.help, f"{command.name} {one.name}"
            if one.param_type_name == "argument":
                assert one.metavar, f"{command.name} {one.name}"
                assert one.metavar.isupper()
                assert one.metavar.isalpha()


def test_the_current_folder_has_a_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    seeds = ("--prompts", "seeds.tif", "--output", "out.zarr")
    refused(run("track", ".", *seeds), f"napari-sam2: {folder.name}: ")


def test_track_with_seeds_writes_labels_like_the_stack(
    track: Callable[..., Result], folder: Path
) -> None:
    result = track("--prompt-frame", 1)
    assert result.exit_code == 0, result.output
    assert "2 objects" in result.stdout
    labels = open_stack(folder / "out.tif")
    assert (labels.axes, labels.data.shape) == ("TYX", (FRAMES, SIZE, SIZE))
    # A painted mask is the result on its own frame.
    values = read_labels(folder / "out.tif")
    assert np.array_equal(values[1], tifffile.imread(folder / "seeds.tif"))
    assert set(np.unique(values)) <= {0, 1, 7}
    assert not list(folder.glob(".*"))


def test_track_with_a_prompts_file_to_zarr_over_a_range(
    track: Callable[..., Result], folder: Path
) -> None:
    out = folder / "new" / "out.zarr"
    args = ("--output", out, "--start", 0, "--stop", 2, "--attention", "exact")
    result = track(*args, prompts="prompts.json")
    assert result.exit_code == 0, result.output
    labels = read_labels(out)
    assert labels.shape == (FRAMES, SIZE, SIZE)
    assert not labels[2:].any()
    refused(track(*args, prompts="prompts.json"), "exists already", "--overwrite")
    assert track(*args, "--overwrite", prompts="prompts.json").exit_code == 0


def test_how_it_was_tracked_is_as_asked_for(track: Callable[..., Result], folder: Path) -> None:
    session = folder / "a.ns2.json"
    options = ("--zoom", 2, "--direction", "backward", "--close-gaps", 2)
    result = track(*options, "--prompt-frame", 1, "--save-session", session)
    assert result.exit_code == 0, result.output
    kept = load_session(session)
    assert kept.zoom == 2
    assert kept.steps[1:] == (Propagate("backward"), CloseGaps(2))
    args = ("--attention", "exact", "--encodings", folder / "kept", "--save-session", session)
    assert track(*args, "--overwrite").exit_code == 0
    assert load_session(session).attention == "exact"
    assert len([*(folder / "kept").iterdir()]) == FRAMES


def test_cells_are_found_as_they_will_be_tracked(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def none(job: object, network: object, frame: int, policy: object, report: object) -> None:
        found.append((frame, policy))
        raise InputError("no cells")

    monkeypatch.setattr(batch, "find_cells", none)
    given = ("--everything", "--prompt-frame", 2, "--zoom", 2, "--output", folder / "a.tif")
    options = ("--axes", "TYX", "--device", "cpu", "--model", model)
    refused(run("track", folder / "stack.tif", *given, *options), "no cells")
    assert found == [(2, TrackingPolicy(zoom=2))]


@pytest.mark.parametrize(
    ("args", "files", "parts"),
    [
        ((), {"stack": "none.tif"}, ("none.tif",)),
        ((), {"prompts": "none.json"}, ("no prompts at", "none.json")),
        ((), {"prompts": "stack.tif"}, ()),
        (("--axes", "TYQ"), {}, ("axes",)),
        (("--output", "out.png"), {}, ("out.png", ".tif or .zarr")),
        (("--prompt-frame", 9), {}, ("prompt frame 9", "0 to 3")),
        (
            ("--prompt-frame", 0),
            {"prompts": "prompts.json"},
            ("leave out --prompt-frame", "prompts.json have their frames"),
        ),
        (("--start", 3, "--stop", 1), {}, ("start 3 must be below stop 1",)),
        (("--start", 2, "--stop", 2), {}, ("start 2 must be below stop 2",)),
        (("--stop", 90), {}, ("stop 90", "4 frames")),
        (("--select", "Z"), {}, ("--select Z", "Z=3")),
        (("--contrast", 5, 5), {}, ("contrast",)),
        (("--model", "sam3"), {}, ("unknown model 'sam3'", "micro")),
        (("--model", "none.pt"), {}, ("no checkpoint at none.pt",)),
        (("--device", "toaster"), {}, ("toaster", "use auto")),
    ],
)
def test_unusable_input_is_refused_before_any_work(
    track: Callable[..., Result],
    folder: Path,
    args: tuple[object, ...],
    files: dict[str, str],
    parts: tuple[str, ...],
) -> None:
    if files.get("prompts") == "stack.tif":
        tifffile.imwrite(folder / "stack.tif", np.zeros((FRAMES, SIZE, SIZE), np.uint8))
    refused(track(*args, **files), *parts)
    assert not [p for p in folder.iterdir() if p.name.startswith((".", "out"))]


def test_a_table_is_no_file_of_prompts(track: Callable[..., Result], folder: Path) -> None:
    (folder / "points.csv").write_text("id,frame,y,x\n1,0,5,5\n")
    refused(track(prompts="points.csv"), "points.csv is a table; give prompts as JSON")


def test_prompts_outside_the_stack_are_named(track: Callable[..., Result], folder: Path) -> None:
    for entry, part in (
        ({"frame": 50, "box": [[1, 1], [9, 9]]}, "frames 0 to 3"),
        ({"frame": 1, "points": [[500, 1]], "positive": [True]}, "outside"),
    ):
        write_prompts(folder, [{"id": 3, "prompts": [entry]}])
        refused(track(prompts="prompts.json"), "prompts.json", "object 3", part)
    tifffile.imwrite(folder / "seeds.tif", np.ones((5, 5), np.uint8))
    refused(track(), "seeds.tif", "object 1")
    tifffile.imwrite(folder / "seeds.tif", np.ones((3, SIZE, SIZE), np.uint8))
    refused(track("--axes", "TYX"), "seeds.tif has 3 frames")


@pytest.mark.filterwarnings("default:every value looked at")
def test_an_empty_channel_is_said(track: Callable[..., Result], folder: Path) -> None:
    tifffile.imwrite(folder / "stack.tif", np.full((FRAMES, SIZE, SIZE), 7, np.uint16))
    result = track()
    assert result.exit_code == 0, result.output
    note, *doubts = result.stderr.splitlines()
    assert note == (
        "napari-sam2: note: every value looked at is 7: is it the right channel or plane?"
    )
    assert [" to check: " in line for line in doubts] == [True]


@pytest.mark.filterwarnings("default::RuntimeWarning", "default:.* was cut short")
def test_whatever_warns_or_logs_is_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def warned(path: Path) -> Verified:
        warnings.warn("out of memory:\ngoing on", RuntimeWarning, stacklevel=1)
        return Verified("0" * 64, "micro")

    monkeypatch.setattr(weights, "verify", warned)
    with pytest.raises(SystemExit, match="0"):
        app(["models", "verify", str(folder)])
    assert capfd.readouterr().err == "napari-sam2: note: out of memory: going on\n"
    whole = (folder / "truth.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[: len(whole) // 2])
    # As in a process of its own: pytest listens to what is logged.
    monkeypatch.setattr(logging.getLogger("tifffile"), "propagate", False)
    with pytest.raises(SystemExit, match="0"):
        app(["export", str(folder / "cut.tif"), "--output", str(folder / "out.tif")])
    lines = capfd.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("napari-sam2: ") for line in lines)
    assert logging.getLogger("tifffile").level != logging.CRITICAL


def test_what_zarr_tells_those_who_write_stores_is_no_note(tmp_path: Path) -> None:
    labels = np.ones((2, 8, 8), np.uint16)
    zarr.create_array(store=str(tmp_path / "a.zarr"), data=labels, zarr_format=2)
    about = tmp_path / "a.zarr" / ".zarray"
    about.write_text(json.dumps({**json.loads(about.read_text()), "filters": []}))
    with pytest.warns(zarr.errors.ZarrUserWarning, match="empty list of filters"):
        zarr.open_array(str(tmp_path / "a.zarr"), mode="r")
    args = ("export", tmp_path / "a.zarr", "--axes", "TYX", "--output", tmp_path / "a.tif")
    result = run(*args)
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("command", ["export", "evaluate", "track", "demo", "gui"])
def test_a_closed_file_is_said_by_what_reads_it(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every command in the same words, not in those of typer, which asks `os.access`."""
    path = tmp_path / "a.tif"
    path.write_text("no image")
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    more = {"evaluate": [path], "track": ["--everything"]}.get(command, [])
    output = [] if command in ("evaluate", "gui") else ["--output", tmp_path / "out"]
    refused(run(command, path, *more, *output), f"cannot read {path}")


def test_damaged_weights_are_refused(track: Callable[..., Result], folder: Path) -> None:
    (folder / "bad.pt").write_bytes(b"no weights")
    refused(track("--model", folder / "bad.pt"), "bad.pt is damaged", "--model micro")


def stopping(error: BaseException, after: int) -> type[batch.TrackingSession]:
    class Stopping(batch.TrackingSession):
        def propagate(self, *args: object, **kwargs: object) -> Iterator[object]:
            for n, result in enumerate(super().propagate(*args, **kwargs)):  # type: ignore[arg-type]
                if n == after:
                    raise error
                yield result

    return Stopping


def test_ctrl_c_keeps_the_finished_frames(
    track: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "TrackingSession", stopping(KeyboardInterrupt(), 2))
    result = track("--prompt-frame", 0)
    refused(result, "stopped; 2 of 4 frames are kept in", "out.tif", code=130)
    labels = read_labels(folder / "out.tif")
    assert labels[0].any()
    assert not labels[2:].any()


def test_ctrl_c_before_the_first_frame(
    track: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "TrackingSession", stopping(KeyboardInterrupt(), 0))
    refused(track(), "no frame was finished", code=130)
    assert not (folder / "out.tif").exists()


def test_a_failure_in_the_middle_keeps_the_finished_frames(
    track: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "TrackingSession", stopping(RuntimeError("it\nbroke"), 3))
    result = track()
    refused(result, "RuntimeError: it broke", "3 of 4 frames are kept", code=1)
    assert read_labels(folder / "out.tif").any()
    monkeypatch.setenv("NAPARI_SAM2_DEBUG", "1")
    assert isinstance(track("--overwrite").exception, RuntimeError)


def test_a_full_disk_at_the_end_leaves_the_store(
    track: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OutputError("cannot write out.tif: no space left on the disk; free some")

    monkeypatch.setattr("napari_sam2.target.export_masklets", full)
    refused(track(), "no space left", ".out.tif.unfinished.zarr", code=1)
    assert Masklets.open(folder / ".out.tif.unfinished.zarr")[0].any()


def test_models(folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(folder / "cache"))
    for result in (run("models"), run("models", "list")):
        assert result.exit_code == 0
        assert all(name in result.stdout for name in ("micro", *weights.REGISTRY))
    assert "intact weights for micro" in run("models", "verify", model).stdout
    refused(run("models", "verify", folder / "none.pt"), "no file at")
    refused(run("models", "verify", folder / "stack.tif"), "damaged")
    refused(run("models", "download", "sam2.1_hiera_tyny"), "did you mean sam2.1_hiera_tiny")
    monkeypatch.setenv("NAPARI_SAM2_BASE_URL", "http://127.0.0.1:1/")
    monkeypatch.setattr("napari_sam2.fetch.PAUSE_S", 0.001)
    refused(
        run("models", "download", "sam2.1_hiera_tiny"),
        "By hand: get http://127.0.0.1:1/",
        " or https://dl.",
        code=1,
    )


def test_an_interrupted_download_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    def cut(name: str, report: Callable[[int, int | None], None]) -> None:
        report(5, 10)
        raise KeyboardInterrupt

    def late(name: str, report: Callable[[int, int | None], None]) -> None:
        report(10, 10)
        raise KeyboardInterrupt

    resumes = "stopped; the download goes on next time where it was"
    for download, words in ((interrupt, "stopped"), (cut, resumes), (late, "stopped")):
        monkeypatch.setattr(weights, "download", download)
        result = run("models", "download", "sam2.1_hiera_tiny")
        refused(result, code=130)
        assert result.stderr == f"napari-sam2: {words}\n"


def test_gui_without_a_screen_or_a_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refused(run("gui", tmp_path / "none.tif"), "none.tif")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    refused(run("gui"), "no screen")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setitem(sys.modules, "qtpy.QtWidgets", None)
    refused(run("gui"), 'pip install "napari-sam2[all]"')


def test_train_refuses_to_overwrite_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(run("train", "--data", tmp_path / "none"), "no folder at")
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    refused(run("train", "--out", tmp_path), "--resume")


def test_train_refuses_to_go_on_with_nothing(tmp_path: Path) -> None:
    options = ("train", "--resume", "--device", "cpu", "--steps", 1, "--out", tmp_path / "new")
    refused(run(*options), "new holds no training run to go on with; check --out")
    assert not (tmp_path / "new").exists()


def test_train_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_sam2.training import fit

    seen = []

    def note(config: fit.TrainConfig, report: Callable[[dict[str, float]], None]) -> Path:
        report({"step": 20})
        seen.append(config)
        if config.seed:
            raise KeyboardInterrupt
        return config.out / "weights.safetensors"

    monkeypatch.setattr(fit, "train", note)
    options = (
        "train",
        "--out",
        tmp_path / "a",
        "--steps",
        7,
        "--device",
        "cpu",
        "--data",
        tmp_path,
    )
    result = run(*options)
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ['{"step":', "20}", str(tmp_path / "a" / "weights.safetensors")]
    assert (seen[0].steps, seen[0].device, seen[0].batch.real) == (7, "cpu", (str(tmp_path),))
    assert run(*options, "--times", 2, "--workers", 3).exit_code == 0
    assert (seen[1].steps, seen[1].batch.times, seen[1].workers) == (3, 2, 3)
    refused(run(*options, "--seed", 5), "--resume", code=130)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell of a terminal that goes")
def test_a_terminal_that_goes_stops_once_and_not_under_nohup() -> None:
    def told_twice() -> None:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
        finally:  # while what is done is written, the shell tells it, too
            os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may have started the tests, too
    try:
        with pytest.raises(KeyboardInterrupt), progress("tracking"):
            told_twice()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with progress("tracking"):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_log_gets_a_line_now_and_then(
    track: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "of" not in track("-o", folder / "quiet.tif").stderr
    monkeypatch.setattr(terminal, "_QUIET", 0.0)
    lines = track("-o", folder / "told.tif").stderr.splitlines()
    assert lines[0].startswith("napari-sam2: tracking 2 objects: 0 of ")
    assert all(line.endswith(" frames") for line in lines if " to check: " not in line)
    assert (folder / "told.tif").exists()
