"""The command line. Exit codes: 0, 1 for a failed run, 2 for unusable input, 130 for Ctrl-C."""

from __future__ import annotations

# Everything heavy is imported inside the commands, so that --help is instant.
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2 import __version__
from napari_sam2.terminal import OneLineErrors, debugging, explained, progress, say
from napari_sam2.tracking.errors import InputError

if TYPE_CHECKING:
    from napari_sam2.batch import Outcome
    from napari_sam2.evaluation.metrics import LabelScores
    from napari_sam2.model.sam2 import SAM2
    from napari_sam2.tracking.channels import Channels

app = typer.Typer(
    cls=OneLineErrors,
    help="Track cells through time-lapses and z-stacks with SAM 2.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="List, download and verify models.", add_completion=False)
app.add_typer(models_app, name="models")


class Direction(StrEnum):
    """Which way to propagate."""

    both = "both"
    forward = "forward"
    backward = "backward"


class Attention(StrEnum):
    """What a frame attends to: the whole of its memories, or a window around each object."""

    exact = "exact"
    windowed = "windowed"


class Protocol(StrEnum):
    """How a model is examined."""

    click = "click"
    three_clicks = "3-clicks"
    box = "box"
    mask = "mask"
    noc = "noc"
    offline = "offline"
    online = "online"


ModelOption = Annotated[
    str, typer.Option("--model", help="Name (see `models list`) or a .pt/.safetensors file.")
]
ChannelOption = Annotated[
    str | None,
    typer.Option(
        help="Channel to track in, counted from 0; or up to three as red, green and blue, "
        "- for a dark one, e.g. 2,0 or 2,-,0."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def demo(
    input_path: Annotated[
        Path | None, typer.Argument(metavar="[INPUT]", help="A stack; default: the sample.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out/demo"),
    gui: Annotated[bool, typer.Option("--gui/--no-gui", help="Open napari at the end.")] = True,
) -> None:
    """Track the sample, or a stack with automatic seeds, and show the result."""
    from napari_sam2 import demo as demonstration

    demonstration.run(input_path, output, gui)


@app.command()
def gui(
    stack: Annotated[Path | None, typer.Argument(help="A stack to open.")] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of the file, e.g. TYX.")] = None,
    channel: ChannelOption = None,
) -> None:
    """Open napari with the dock widget."""
    from napari_sam2.stacks import open_all

    opened = None if stack is None else open_all(stack, axes)
    chosen = _channels(channel)
    from napari_sam2.widgets.launch import launch

    launch(opened, chosen)


@app.command()
def track(
    output: Annotated[
        Path, typer.Option(help="Labels to write: .tif or .zarr; without suffix, a CTC folder.")
    ],
    stack: Annotated[
        Path | None, typer.Argument(help="TIFF, OME-Zarr, or a folder of images.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="Prompts (.json), or a label image as seeds.")
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option(help="Instead of prompts: a session (.ns2.json), to be done again."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Instead of prompts: find all cells of a frame.")
    ] = False,
    diameter: Annotated[
        float | None,
        typer.Option(help="Of a typical cell in pixels, with --everything. Default: all sizes."),
    ] = None,
    model: ModelOption = "micro",
    device: DeviceOption = "auto",
    axes: Annotated[str | None, typer.Option(help="Axes of the file, e.g. TYX.")] = None,
    direction: Annotated[Direction, typer.Option()] = Direction.both,
    start: Annotated[int | None, typer.Option(help="First frame.")] = None,
    stop: Annotated[int | None, typer.Option(help="The frame after the last.")] = None,
    prompt_frame: Annotated[int, typer.Option(help="Of a label image or --everything.")] = 0,
    attention: Annotated[
        Attention | None, typer.Option(help="Default: what suits the model.")
    ] = None,
    zoom: Annotated[
        float | None, typer.Option(help="Magnification. Default: by the size of each object.")
    ] = None,
    channel: ChannelOption = None,
    select: Annotated[
        list[str] | None, typer.Option(help="Index along another axis, e.g. Z=3; repeatable.")
    ] = None,
    contrast: Annotated[
        tuple[float, float] | None, typer.Option(help="Values shown as black and white.")
    ] = None,
    close_gaps: Annotated[
        int,
        typer.Option(help="Fill gaps of up to so many frames between two masks; default: none."),
    ] = 0,
    encodings: Annotated[
        Path | None,
        typer.Option(help="Folder to keep encoded frames in for the next time; published models."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT.")] = False,
) -> None:
    """Follow the prompted objects, or all cells of a frame, through STACK; write their labels.

    With --session, the image, the model and all that was done come from the file, and options
    that would change the outcome are ignored.
    """
    if (prompts is not None) + (session is not None) + everything > 1:
        raise InputError("give one of --prompts, --everything and --session, not several")
    if diameter is not None and not everything:
        raise InputError("--diameter is for --everything; leave it out, or find all cells")
    if session is not None:
        chosen = _selection(select or [])
        _replay(session, stack, output, axes, _channels(channel), chosen, device, overwrite)
        return
    if stack is None or (prompts is None and not everything):
        raise InputError(
            "give STACK and --prompts or --everything, or --session FILE to do a session again"
        )
    from napari_sam2.batch import TrackJob, find_cells
    from napari_sam2.batch import track as run
    from napari_sam2.tracking.everything import check_diameter
    from napari_sam2.tracking.policy import TrackingPolicy

    job = TrackJob.open(
        stack,
        prompts,
        output,
        axes=axes,
        channel=_channels(channel),
        select=_selection(select or []),
        contrast=contrast,
        prompt_frame=prompt_frame,
        direction=direction.value,
        start=start,
        stop=stop,
        overwrite=overwrite,
        close_gaps=close_gaps,
    )
    check_diameter(diameter, job.frames.shape)
    network = _load(model, device)
    policy = TrackingPolicy(
        attention=attention.value if attention else None, zoom=zoom, encodings=encodings
    )
    if everything:
        with progress("finding cells", "clicks") as report:
            job = find_cells(job, network, prompt_frame, diameter, policy, report)
    with progress(f"tracking {len(job.prompts)} objects") as report:
        outcome = run(job, network, policy, report)
    _conclude(outcome, output, len(job.prompts))


def _replay(
    session: Path,
    stack: Path | None,
    output: Path,
    axes: str | None,
    channel: Channels | None,
    select: dict[str, int],
    device: str,
    overwrite: bool,
) -> None:
    from napari_sam2.replay import ReplayJob, replay

    job = ReplayJob.open(
        session, stack, output, axes=axes, channel=channel, select=select, overwrite=overwrite
    )
    network = _load(job.session.model, device)
    with progress(f"doing {len(job.session.steps)} steps again") as report:
        outcome = replay(job, network, report)
    _conclude(outcome, output, len(job.session.object_ids))


def _conclude(outcome: Outcome, output: Path, objects: int) -> None:
    """Say how a run ended, with the exit code that goes with it."""
    for remark in outcome.remarks:
        say(remark)
    kept = f"{outcome.done} of {outcome.total} frames are kept in {output}"
    if isinstance(outcome.failure, KeyboardInterrupt):
        say(f"stopped; {kept if outcome.done else 'no frame was finished'}")
        raise typer.Exit(130)
    if outcome.failure is not None:
        if debugging():
            raise outcome.failure
        code, message = explained(outcome.failure)
        say(f"{message}; {kept}" if outcome.done else message)
        raise typer.Exit(code)
    print(f"{output}: {objects} objects over {outcome.done} frames")


@app.command()
def export(
    labels: Annotated[
        Path, typer.Argument(help="Label image, CTC folder, COCO or SA-V JSON: what to convert.")
    ],
    output: Annotated[Path, typer.Option(help="File to write, or folder for ctc.")],
    to: Annotated[
        str | None,
        typer.Option(
            help="tiff, imagej, zarr, ctc, coco, sa-v, csv (measurements) or tracks. "
            "Default: by the name of OUTPUT."
        ),
    ] = None,
    image: Annotated[Path | None, typer.Option(help="Stack to measure, for csv.")] = None,
    channel: Annotated[int | None, typer.Option(help="Channel of the image.")] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of LABELS, e.g. TYX.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT.")] = False,
) -> None:
    """Convert masklets into another format, or measure them."""
    from napari_sam2.export.formats import convert

    try:
        with progress(f"exporting {labels.name}") as report:
            converted = convert(
                labels,
                output,
                to,
                axes=axes,
                image=image,
                channel=channel,
                overwrite=overwrite,
                progress=report,
            )
    except KeyboardInterrupt:
        say("stopped; nothing was written")
        raise typer.Exit(130) from None
    for remark in converted.remarks:
        say(remark)
    print(f"{output}: {converted.frames} frames")


@app.command()
def evaluate(
    prediction: Annotated[Path | None, typer.Argument(metavar="[PRED]", help="Labels.")] = None,
    truth: Annotated[Path | None, typer.Argument(metavar="[TRUTH]", help="True labels.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    sequences: Annotated[
        Path | None, typer.Option(help="Instead: examine a model on a folder of sequences.")
    ] = None,
    protocol: Annotated[
        list[Protocol] | None,
        typer.Option(help="Print what this gives, instead of writing the card; repeatable."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Sequences by name or pattern, e.g. '*_nuclei'; repeatable."),
    ] = None,
    model: ModelOption = "micro",
    device: DeviceOption = "auto",
    card: Annotated[
        Path | None, typer.Option(help="Model card to write. Default: docs/model-card.md.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames to propagate over.")] = 20,
    objects: Annotated[int, typer.Option(min=1, help="Objects of a sequence, at most.")] = 12,
    rounds: Annotated[
        int, typer.Option(min=1, help="Frames to click an object on; offline and online.")
    ] = 8,
) -> None:
    """Score labels against the truth, or a model on a folder of sequences."""
    if sequences is not None:
        if prediction is not None:
            raise InputError("give either PRED and TRUTH or --sequences, not both")
        if protocol and card is not None:
            raise InputError("give either --protocol or --card: the card has its own protocols")
        from napari_sam2 import examine
        from napari_sam2.evaluation.examination import Extent
        from napari_sam2.evaluation.sequences import sequence_folders

        folders = sequence_folders(sequences, only or [])
        extent = Extent(frames, objects, rounds)
        network = _load(model, device)
        if protocol:
            names = [one.value for one in protocol]
            examine.print_protocols(network, folders, names, extent, as_json)
        else:
            out = card or Path("docs/model-card.md")
            examine.write_card(network, model, folders, only or [], extent, out, as_json)
        return
    if prediction is None or truth is None:
        raise InputError("give PRED and TRUTH, or --sequences DIR to examine a model")
    if protocol:
        raise InputError("--protocol examines a model: add --sequences DIR")
    from napari_sam2.evaluation.metrics import evaluate_labels
    from napari_sam2.export.labels import read_labels

    scores = evaluate_labels(read_labels(prediction), read_labels(truth))
    if as_json:
        print(json.dumps(scores.as_dict(), indent=1))
    else:
        _print_scores(scores)


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, log and weights.")] = Path(
        "runs/micro"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 48_000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT.")] = False,
    data: Annotated[
        list[Path] | None, typer.Option(help="Folder of real images to mix in; repeatable.")
    ] = None,
) -> None:
    """Train the small model on synthetic microscopy."""
    for folder in data or []:
        if not folder.is_dir():
            raise InputError(f"no folder at {folder}; check --data")
    if (out / "checkpoint.pt").exists() and not resume:
        raise InputError(f"{out} holds a training run; pass --resume, or choose another --out")
    from napari_sam2.training.batches import BatchConfig
    from napari_sam2.training.fit import TrainConfig
    from napari_sam2.training.fit import train as fit
    from napari_sam2.weights import pick_device

    config = TrainConfig(
        out=out,
        steps=steps,
        seed=seed,
        device=str(pick_device(device)),
        resume=resume,
        batch=BatchConfig(real=tuple(str(folder) for folder in data or [])),
    )
    try:
        weights = fit(config, report=lambda line: print(json.dumps(line), flush=True))
    except KeyboardInterrupt:
        say(f"stopped; --resume --out {out} goes on from the last checkpoint, if there is one")
        raise typer.Exit(130) from None
    print(weights)


@models_app.callback(invoke_without_command=True)
def _models(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_models()


@models_app.command("list")
def list_models() -> None:
    """List the models that load by name."""
    from rich.console import Console
    from rich.table import Table

    from napari_sam2.weights import available_models

    table = Table("name", "size", "where", box=None, pad_edge=False)
    for model in available_models():
        size = "" if model.size is None else f"{model.size / 1e6:.0f} MB"
        where = "in the package" if model.embedded else str(model.location)
        table.add_row(model.name, size, where if model.downloaded else "not downloaded")
    Console(soft_wrap=True).print(table)


@models_app.command("download")
def download_model(name: Annotated[str, typer.Argument(help="See `models list`.")]) -> None:
    """Download an official checkpoint into the cache folder."""
    from napari_sam2.weights import download

    with progress(name, "bytes") as report:
        path = download(name, report)
    print(path)


@models_app.command("verify")
def verify_model(path: Annotated[Path, typer.Argument(help="A checkpoint.")]) -> None:
    """Tell which model a file is, and whether it is intact."""
    from napari_sam2.model.checkpoint import build_model
    from napari_sam2.weights import verify

    found = verify(path)
    if found.name is None:
        name = build_model(path).config.name
        print(f"{path}: intact weights for {name}, not an official file (SHA-256 {found.sha256})")
    else:
        print(f"{path}: {found.name} (SHA-256 {found.sha256})")


def main() -> None:
    """Run the command line."""
    app(prog_name="napari-sam2")


def _load(model: str, device: str) -> SAM2:
    from napari_sam2.weights import load_model

    with progress(f"downloading {model}", "bytes") as report:
        return load_model(model, device, progress=report)


def _channels(text: str | None) -> Channels | None:
    from napari_sam2.tracking.channels import parsed_channels

    return None if text is None else parsed_channels(text)


def _selection(items: list[str]) -> dict[str, int]:
    chosen = {}
    for item in items:
        letter, _, index = item.partition("=")
        if len(letter) != 1 or not index.isdecimal():
            raise InputError(f"--select {item} is not understood; write an axis and index, as Z=3")
        chosen[letter.upper()] = int(index)
    return chosen


def _print_scores(scores: LabelScores) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("object", "found as", "J", "F", box=None, pad_edge=False)
    for one in scores.objects:
        found = "-" if one.predicted_id is None else str(one.predicted_id)
        table.add_row(str(one.id), found, f"{one.j:.3f}", f"{one.f:.3f}")
    Console(soft_wrap=True).print(table)
    print(
        f"J {scores.j:.3f}  F {scores.f:.3f}  J&F {scores.j_and_f:.3f}  "
        f"SEG {scores.seg:.3f}  TRA {scores.tra:.3f}"
    )
