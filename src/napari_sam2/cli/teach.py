"""`napari-sam2 teach`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.cli.options import ChannelOption, DeviceOption, SelectOption, channels, selection
from napari_sam2.terminal import progress, say
from napari_sam2.tracking.errors import InputError

if TYPE_CHECKING:
    from napari_sam2.teaching import Taught


def teach(
    stack: Annotated[
        Path,
        typer.Argument(
            readable=False,
            metavar="STACK",
            help="TIFF, OME-Zarr, NumPy file, or a folder of images.",
        ),
    ],
    masks: Annotated[
        Path,
        typer.Option(
            readable=False,
            help="What is right in it: a label image, a CTC folder, COCO or SA-V JSON.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Weights (.safetensors) to write.")
    ],
    frames: Annotated[
        str | None,
        typer.Option(
            help="Frames whose masks are right, counted from 0: 0,5,10-19. Default: all that have "
            "masks, up to 60 of them."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="To begin with: micro, or what a lesson wrote.")
    ] = "micro",
    steps: Annotated[
        int, typer.Option(min=1, help="How long: one to two seconds each on a CPU.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers.")] = 0,
    device: DeviceOption = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that make the examples.")] = 1,
    axes: Annotated[str | None, typer.Option(help="Axes of STACK, e.g. TYX.")] = None,
    channel: ChannelOption = None,
    select: SelectOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace OUTPUT.")
    ] = False,
) -> None:
    """Teach micro your cells, from frames of STACK with masks that are right.

    Some frames are held back, to say what it brought. Ctrl-C keeps what was learned until then.
    """
    from napari_sam2.teaching import checked_output, open_lesson, stamp
    from napari_sam2.teaching import teach as learn

    named = None if frames is None else _numbers(frames)
    checked_output(output, overwrite)
    images, labels = open_lesson(
        stack, masks, axes=axes, channel=channels(channel), select=selection(select)
    )
    before = stamp(output)
    try:
        with progress("teaching", "steps") as report:
            taught = learn(
                images,
                labels,
                output,
                frames=named,
                start=model,
                steps=steps,
                seed=seed,
                device=device,
                workers=workers,
                overwrite=overwrite,
                progress=report,
            )
    except KeyboardInterrupt:
        written = stamp(output) != before
        kept = f"{output} holds what was learned until then" if written else "nothing was written"
        say(f"stopped; {kept}")
        raise typer.Exit(130) from None
    _conclude(taught)


def _conclude(taught: Taught) -> None:
    print(f"{taught.path}: learned from {len(taught.learned)} frames")
    if not taught.after:
        say("too few frames to hold some back, so look for yourself whether it is better")
    held = ", ".join(map(str, taught.judged))
    for prompt, iou in taught.after.items():
        was = taught.before[prompt]
        print(f"one {prompt} on what was held back (frame {held}): IoU {was:.2f}, now {iou:.2f}")


def _numbers(text: str) -> list[int]:
    """Read frames: "0,5,10-12" are 0, 5, 10, 11 and 12."""
    found: list[int] = []
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"--frames {text} is not understood; write frames, as 0,5,10-19")
        some = range(int(first), int(last or first) + 1)
        if not some:
            raise InputError(f"--frames {text}: {word.strip()} is no frame; write 3-9, not 9-3")
        found += some
    return found
