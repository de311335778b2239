"""`napari-sam2 track`, from prompts or from a session."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.cli.options import (
    ChannelOption,
    DeviceOption,
    ModelOption,
    SelectOption,
    channels,
    given,
    load,
    refuse,
    selection,
)
from napari_sam2.model.config import Attention
from napari_sam2.terminal import counted, debugging, explained, progress, say
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.following.passes import Direction

if TYPE_CHECKING:
    from napari_sam2.batch import TrackJob
    from napari_sam2.model.sam2 import SAM2
    from napari_sam2.replay import ReplayJob
    from napari_sam2.target import Outcome
    from napari_sam2.tracking.objects.examined import ToCheck
    from napari_sam2.tracking.policy import TrackingPolicy

_MOST = 5  # doubts that are said one by one
# What a session says itself.
_OF_SESSION = (
    *("attention", "zoom", "contrast", "prompt_frame", "find_every", "diameter"),
    *("direction", "start", "stop", "close_gaps"),
)


def track(
    context: typer.Context,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Labels to write: .tif or .zarr; without suffix, a CTC folder."
        ),
    ],
    stack: Annotated[
        Path | None,
        typer.Argument(
            readable=False,
            metavar="STACK",
            help="TIFF, OME-Zarr, NumPy file, or a folder of images.",
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            help="Prompts (.json), regions of ImageJ (.zip, .roi), or a label image.",
        ),
    ] = None,
    session: Annotated[
        Path | None,
        typer.Option(
            readable=False, help="Instead of prompts: a session (.ns2.json), to be done again."
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--everything", metavar="", help="Instead of prompts: find all cells of a frame."
        ),
    ] = False,
    diameter: Annotated[
        float | None,
        typer.Option(
            help="Of a typical cell to find, in pixels. Default: all sizes; with --find-every, "
            "that of the masks that are there."
        ),
    ] = None,
    find_every: Annotated[
        int,
        typer.Option(help="Find new cells every so many frames, and follow them; 0: never."),
    ] = 0,
    model: ModelOption = "micro",
    device: DeviceOption = "auto",
    axes: Annotated[str | None, typer.Option(help="Axes of the file, e.g. TYX.")] = None,
    direction: Annotated[
        Direction, typer.Option(help="Which way from the prompts: to the end, to frame 0, or both.")
    ] = "both",
    start: Annotated[int | None, typer.Option(help="First frame, counted from 0.")] = None,
    stop: Annotated[int | None, typer.Option(help="The frame after the last.")] = None,
    prompt_frame: Annotated[
        int,
        typer.Option(
            help="Frame of a label image, of regions without a slice, or of --everything."
        ),
    ] = 0,
    attention: Annotated[
        Attention | None,
        typer.Option(help="Whole frames, or windows around the objects. Default: by the model."),
    ] = None,
    zoom: Annotated[
        float | None, typer.Option(help="Magnification. Default: by the size of each object.")
    ] = None,
    channel: ChannelOption = None,
    select: SelectOption = None,
    contrast: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Values shown as black and white. Default: from the whole stack."),
    ] = None,
    close_gaps: Annotated[
        int,
        typer.Option(help="Fill gaps of up to so many frames between two masks; 0: none."),
    ] = 0,
    quality: Annotated[
        Path | None,
        typer.Option(help="Also write a table (.csv): how sure each mask is, frame by frame."),
    ] = None,
    encodings: Annotated[
        Path | None,
        typer.Option(help="Folder to keep encoded frames in for the next time; published models."),
    ] = None,
    save_session: Annotated[
        Path | None,
        typer.Option(help="Also write a session (.ns2.json): to go on with it, or in the window."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", metavar="", help="With --session: take what is done, and do only the rest."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Overwrite outputs that exist.")
    ] = False,
) -> None:
    """Follow the prompted objects, or all cells of a frame, through STACK; write their labels.

    With --session, the image, the model and all that was done come from the file, and options
    that would change the outcome are refused; STACK and --model say where they are now.
    """
    _check_options(context, prompts, session, everything, find_every, diameter, resume)
    if session is not None:
        from napari_sam2.replay import ReplayJob

        replayed = ReplayJob.open(
            session,
            stack,
            output,
            model=model if given(context, "model") else None,
            axes=axes,
            channel=channels(channel),
            select=selection(select),
            overwrite=overwrite,
            quality=quality,
            keep=save_session,
            resume=resume,
            encodings=encodings,
        )
        _replay(replayed, device)
        return
    if stack is None or (prompts is None and not everything):
        raise InputError(
            "give STACK and --prompts or --everything, or --session FILE to do a session again"
        )
    from napari_sam2.batch import TrackJob
    from napari_sam2.tracking.policy import TrackingPolicy

    job = TrackJob.open(
        stack,
        prompts,
        output,
        axes=axes,
        channel=channels(channel),
        select=selection(select),
        contrast=contrast,
        prompt_frame=prompt_frame,
        direction=direction,
        start=start,
        stop=stop,
        overwrite=overwrite,
        close_gaps=close_gaps,
        find_every=find_every,
        diameter=diameter,
        quality=quality,
        session=save_session,
    )
    network = load(model, device)
    policy = TrackingPolicy(attention=attention, zoom=zoom, encodings=encodings)
    _follow(job, network, policy, model, prompt_frame if everything else None)


def _check_options(
    context: typer.Context,
    prompts: Path | None,
    session: Path | None,
    everything: bool,
    find_every: int,
    diameter: float | None,
    resume: bool,
) -> None:
    """Refuse options that contradict one another, or would not count."""
    if (prompts is not None) + (session is not None) + everything > 1:
        raise InputError("give one of --prompts, --everything and --session, not several")
    if session is not None:
        refuse(context, _OF_SESSION, "with --session, the file says how everything was done")
    if prompts is not None and prompts.suffix.lower() == ".json":
        refuse(context, ["prompt_frame"], f"the prompts in {prompts.name} have their frames")
    if diameter is not None and not (everything or find_every):
        raise InputError(
            "--diameter is for --everything and --find-every; leave it out, or find cells"
        )
    if resume and session is None:
        raise InputError("--resume goes on with a session; give it with --session FILE")


def _follow(
    job: TrackJob, network: SAM2, policy: TrackingPolicy, model: str, find_on: int | None
) -> None:
    """Follow what is prompted, after all cells of the frame `find_on`, if there is one."""
    from napari_sam2.batch import find_cells, track

    if find_on is not None:
        with progress("finding cells", "clicks") as report:
            job = find_cells(job, network, find_on, policy, report)
    with progress(f"tracking {counted(len(job.prompts), 'object')}") as report:
        outcome = track(job, network, policy, report, model)
    _conclude(outcome, job.output)


def _replay(job: ReplayJob, device: str) -> None:
    from napari_sam2.replay import replay

    network = load(job.model, device)
    title = "going on" if job.resume else f"doing {counted(len(job.session.steps), 'step')} again"
    with progress(title) as report:
        outcome = replay(job, network, report)
    _conclude(outcome, job.output, job.resume)


def _conclude(outcome: Outcome, output: Path, resumed: Path | None = None) -> None:
    """Say how a run ended, with the exit code that goes with it; `resumed` is what it went on."""
    for remark in outcome.remarks:
        say(remark)
    kept = outcome.kept
    if outcome.output != output:
        kept += f"; {output} is as it was"
    if outcome.session is not None:
        kept += f"; to go on: track --session {outcome.session} --resume --output ..."
    elif resumed is not None:
        kept += f"; to begin there again: track --session {resumed} --resume --output ..."
    if isinstance(outcome.failure, KeyboardInterrupt):
        say(f"stopped; {kept if outcome.done else 'no frame was finished'}")
        raise typer.Exit(130)
    if outcome.failure is not None:
        if debugging():
            raise outcome.failure
        code, message = explained(outcome.failure)
        say(f"{message}; {kept}" if outcome.done else message)
        raise typer.Exit(code)
    over = counted(outcome.frames, "frame")
    print(f"{output}: {counted(outcome.objects, 'object')} over {over}")
    if outcome.quality is not None:
        print(f"{outcome.quality}: the quality of each mask")
    if outcome.session is not None:
        print(f"{outcome.session}: the session")
    if outcome.to_check:
        say(_doubts(outcome.to_check))


def _doubts(found: Sequence[ToCheck]) -> str:
    """Say what should be looked at; `found`: the worst first."""
    worst = [
        f"object {one.object_id} on frame {one.worst} ({one.reasons})" for one in found[:_MOST]
    ]
    more = f", and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return f"{len(found)} to check: {', '.join(worst)}{more}"
