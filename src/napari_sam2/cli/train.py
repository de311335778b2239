"""`napari-sam2 train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from napari_sam2.cli.options import DeviceOption
from napari_sam2.terminal import say
from napari_sam2.tracking.errors import InputError


def train(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, log and weights.")] = Path(
        "runs/micro"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 48_000,
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers.")] = 0,
    device: DeviceOption = "auto",
    times: Annotated[
        int,
        typer.Option(min=1, help="Multiply the batch size by this, and divide the steps by it."),
    ] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make the data.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", metavar="", help="Go on from OUT.")] = False,
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
        workers=workers,
        resume=resume,
        batch=BatchConfig(real=tuple(str(folder) for folder in data or [])),
    )
    try:
        weights = fit(config.larger(times), report=lambda line: print(json.dumps(line), flush=True))
    except KeyboardInterrupt:
        say(f"stopped; --resume --out {out} goes on from the last checkpoint, if there is one")
        raise typer.Exit(130) from None
    print(weights)
