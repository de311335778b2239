"""The demonstration: track the sample or a stack, score it, and leave pictures of the result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_sam2.batch import TrackJob, track
from napari_sam2.evaluation.annotators import centre_click
from napari_sam2.evaluation.metrics import jaccard
from napari_sam2.export.files import completed
from napari_sam2.export.formats import check_room
from napari_sam2.export.labels import read_labels
from napari_sam2.model.sam2 import SAM2
from napari_sam2.preview import write_gif
from napari_sam2.stacks import Stack, open_stack
from napari_sam2.target import check_output
from napari_sam2.terminal import counted, progress, say
from napari_sam2.tracking.errors import InputError, writing
from napari_sam2.tracking.finding.seeds import automatic_seeds
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.tracking.prompts import save_prompts
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.stack.channels import Channels

Labels = npt.NDArray[Any]

MAX_OBJECTS = 20
_MASKLETS = "masklets.tif"
_WRITTEN = ("sample.tif", "prompts.json", _MASKLETS, "preview.gif", "window.png")
_MARK = ".unfinished-demo"  # in the folder of one that is not complete
_SHARED = 0.4  # of a mask; more, and it is taken for another object's
_WINDOW_SECONDS = 180
_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")


@dataclass(frozen=True)
class Score:
    """How well one object of the sample was followed.

    Parameters
    ----------
    object_id : in truth and masklets.
    first : J of the mask on the frame that was clicked.
    followed : mean J over the frames in which the truth shows the object.
    copied : the same for its first mask copied to every frame.
    """

    object_id: int
    first: float
    followed: float
    copied: float


def run(
    input_path: Path | None,
    output: Path,
    gui: bool = True,
    *,
    axes: str | None = None,
    channel: Channels | None = None,
    select: Mapping[str, int] | None = None,
    model: SAM2 | None = None,
) -> list[Score]:
    """Track the sample, or a stack with automatic seeds, and write what came out to `output`.

    Written are the image (for the sample), prompts.json, masklets.tif, preview.gif and window.png.

    Parameters
    ----------
    input_path
        A stack; None: the sample, which has a truth and is scored.
    output
        Folder, made where it is missing; files of an earlier demonstration are replaced.
    gui
        Leave napari open with the result, if there is a screen.
    axes, channel, select
        The part of the stack, as for `open_stack`.
    model
        Default: the embedded one.

    Returns
    -------
    list of Score
        Empty for a stack without truth.

    Raises
    ------
    InputError
        If the stack cannot be opened, or nothing in it stands out from the background.
    OutputError
        If the folder cannot be written to, or its disk is full.
    """
    labels = output / _MASKLETS
    format = check_output(labels, True, input_path)
    _check_ours(output)
    truth = None
    if input_path is None:
        input_path, truth = _write_sample(output)
    part: dict[str, Any] = {"axes": axes, "channel": channel, "select": dict(select or {})}
    stack = open_stack(input_path, **part)
    check_room(labels, stack.data.shape[:3], format)
    job = _job(stack, labels, truth)
    if model is None:
        from napari_sam2.weights import load_model

        model = load_model()
    if truth is None:
        job = replace(job, prompts=distinct(model, job.frames, job.prompts))
    _mark(output)
    save_prompts(output / "prompts.json", job.prompts)
    seconds = _track(job, model)
    masklets = read_labels(job.output)
    done = f"{counted(len(job.prompts), 'object')} over {counted(len(masklets), 'frame')}"
    print(f"Tracked {done} in {seconds:.1f} s ({model.config.name}, {model.device}).")
    scores = [] if truth is None else score(masklets, truth, job.prompts)
    if scores:
        _print(scores)
    write_gif(output / "preview.gif", job.frames, masklets)
    (output / _MARK).unlink(missing_ok=True)
    _show_window(input_path, output, stay=gui and has_screen(), part=part)
    print("Written to", output)
    for path in sorted(output / name for name in _WRITTEN if (output / name).exists()):
        print(f"  {path.name:<14} {path.stat().st_size / 1e3:8.0f} kB")
    return scores


def _check_ours(output: Path) -> None:
    """Refuse a folder with files that we would replace, and that are of no demonstration."""
    there = [name for name in _WRITTEN if (output / name).exists()]
    if there and not _is_ours(output):
        raise InputError(
            f"{output} has a file {there[0]} of other origin, which would be replaced; choose "
            "another folder"
        )


def _is_ours(output: Path) -> bool:
    marks = ("preview.gif", _MARK)
    return output.name == "demo" or any((output / name).exists() for name in marks)


def _mark(output: Path) -> None:
    """Mark a folder as ours before anything is written to it, for when we are stopped."""
    if _is_ours(output):
        return
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        (output / _MARK).touch()


def distinct(model: SAM2, frames: Frames, prompts: Prompts) -> Prompts:
    """Leave out prompts whose masks are mostly those of another, surer one; ids start at 1.

    Parameters
    ----------
    model
        Answers the prompts.
    frames
        The stack.
    prompts
        Of objects on one frame each.
    """
    session = TrackingSession(model, frames)
    taken = np.zeros(frames.shape, dtype=bool)
    kept: Prompts = {}
    answers = []
    for by_frame in prompts.values():
        ((frame, prompt),) = by_frame.items()
        preview = session.add_points(1, frame, prompt.points, prompt.positive, replace=True)
        answers.append((preview.quality.score, frame, prompt, preview.mask))
    for _, frame, prompt, mask in sorted(answers, key=lambda answer: -answer[0]):
        if not kept or (mask.any() and (mask & taken).sum() <= _SHARED * mask.sum()):
            kept[len(kept) + 1] = {frame: prompt}
            taken |= mask
    return kept


def _write_sample(output: Path) -> tuple[Path, Labels]:
    from napari_sam2.training.samples import sample_timelapse

    images, truth = sample_timelapse()
    path = output / "sample.tif"
    _mark(output)
    with completed(path, overwrite=True) as partial:
        tifffile.imwrite(partial, images, ome=True, compression="zlib", metadata={"axes": "TYX"})
    return path, truth


def _job(stack: Stack, labels: Path, truth: Labels | None) -> TrackJob:
    """Return what to track: clicks on true cells, or else on what looks like cells."""
    frames = stack.frames()
    start = len(frames) // 2 if stack.axes.startswith("Z") else 0
    if truth is None:
        seeds = automatic_seeds(frames.grey(start), MAX_OBJECTS)
        clicks = dict(enumerate(seeds, start=1))
    else:
        ids = np.unique(truth[start])
        clicks = {int(i): centre_click(truth[start] == i) for i in ids[ids > 0]}
    if not clicks:
        raise InputError(
            f"nothing stands out in frame {start} of {stack.path.name}; "
            f"click on cells yourself: napari-sam2 gui {stack.path}"
        )
    prompts: Prompts = {
        i: {start: Prompt(points=np.array([click], float), positive=np.array([True]))}
        for i, click in clicks.items()
    }
    return TrackJob(stack, frames, prompts, labels, overwrite=True)


def _track(job: TrackJob, model: SAM2) -> float:
    start = time.monotonic()
    with progress(f"tracking {counted(len(job.prompts), 'object')}") as report:
        outcome = track(job, model, report=report)
    if outcome.failure is not None:
        if outcome.done:
            say(outcome.kept)
        raise outcome.failure
    return time.monotonic() - start


def score(masklets: Labels, truth: Labels, prompts: Prompts) -> list[Score]:
    """Score every prompted object, by its id, on the frames in which the truth shows it.

    Parameters
    ----------
    masklets, truth
        (T, Y, X), with the same ids.
    prompts
        Object id -> frame -> prompt; the first frame is the one that was clicked.
    """
    scores = []
    for object_id, by_frame in prompts.items():
        start = min(by_frame)
        first = masklets[start] == object_id
        shown = [t for t in range(len(truth)) if (truth[t] == object_id).any()]
        followed = [jaccard(masklets[t] == object_id, truth[t] == object_id) for t in shown]
        copied = [jaccard(first, truth[t] == object_id) for t in shown]
        scores.append(
            Score(
                object_id,
                jaccard(first, truth[start] == object_id),
                float(np.mean(followed)),
                float(np.mean(copied)),
            )
        )
    return scores


def _print(scores: list[Score]) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = ("one click", "followed", "first mask copied")
    table = Table("object", title="J (intersection over union) with the truth", box=None)
    for name in columns:
        table.add_column(name, justify="right")
    rows = [(str(s.object_id), s.first, s.followed, s.copied) for s in scores]
    means = np.mean([row[1:] for row in rows], axis=0)
    for name, *values in [*rows, ("mean", *means)]:
        table.add_row(name, *(f"{value:.3f}" for value in values))
    Console().print(table)


def has_screen() -> bool:
    """Whether a window can be opened for somebody to see."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in _SCREENS)


def _show_window(image: Path, output: Path, stay: bool, part: Mapping[str, Any]) -> None:
    """Open napari with the result in a process of its own, and photograph it.

    `part` is what of the image was tracked, as `open_stack` takes it.

    Without a usable screen Qt ends the whole process, and the results are not worth that.
    """
    picture = output / "window.png"
    picture.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "napari_sam2.widgets.scripts.screenshot",
        str(image),
        str(output),
    ]
    command += ["--part", json.dumps(part)]
    if not has_screen():
        if shutil.which("xvfb-run") is None:
            say("no picture of the window: there is no screen; install xvfb and xauth")
            return
        command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", *command]
    if stay:
        print("napari is open; close its window to end.", flush=True)
        command.append("--stay")
    try:
        # New sessions of Xvfb and Qt must not wait for a terminal.
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=None if stay else _WINDOW_SECONDS,
        )
        words = (result.stderr.strip() or result.stdout.strip()).splitlines()
    except subprocess.TimeoutExpired:
        words = [f"the window took longer than {_WINDOW_SECONDS} s"]
    if not picture.is_file():
        say(f"no picture of the window: {words[-1] if words else 'napari did not start'}")
