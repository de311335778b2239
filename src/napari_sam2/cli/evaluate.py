"""`napari-sam2 evaluate`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.cli.options import DeviceOption, ModelOption, SelectOption, load, refuse, selection
from napari_sam2.terminal import say
from napari_sam2.tracking.errors import InputError

if TYPE_CHECKING:
    from napari_sam2.evaluation.metrics import LabelScores


# What counts only where a model is examined.
_OF_MODELS = ("model", "device", "only", "frames", "objects", "rounds")


class Protocol(StrEnum):
    """How a model is examined."""

    click = "click"
    three_clicks = "3-clicks"
    box = "box"
    mask = "mask"
    noc = "noc"
    offline = "offline"
    online = "online"


def evaluate(
    context: typer.Context,
    prediction: Annotated[
        Path | None,
        typer.Argument(
            readable=False, metavar="PRED", help="Labels: an image, a CTC folder, COCO or SA-V."
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Argument(readable=False, metavar="TRUTH", help="True labels.")
    ] = None,
    select: SelectOption = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print JSON.")] = False,
    sequences: Annotated[
        Path | None,
        typer.Option(readable=False, help="Instead: examine a model on a folder of sequences."),
    ] = None,
    protocol: Annotated[
        list[Protocol] | None,
        typer.Option(help="Print what this gives, instead of the numbers of the card; repeatable."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Sequences by name or pattern, e.g. '*_nuclei'; repeatable."),
    ] = None,
    model: ModelOption = "micro",
    device: DeviceOption = "auto",
    card: Annotated[
        Path | None, typer.Option(help="Model card to write. Default: its numbers are printed.")
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
        if select:
            raise InputError("--select is for PRED and TRUTH; leave it out")
        if protocol and card is not None:
            raise InputError("give either --protocol or --card: the card has its own protocols")
        from napari_sam2 import examine
        from napari_sam2.evaluation.examination import Extent
        from napari_sam2.evaluation.sequences import sequence_folders

        folders = sequence_folders(sequences, only or [])
        extent = Extent(frames, objects, rounds)
        network = load(model, device)
        if protocol:
            names = [one.value for one in protocol]
            examine.print_protocols(network, folders, names, extent, as_json)
        else:
            examine.print_measured(network, model, folders, only or [], extent, card, as_json)
        return
    if prediction is None or truth is None:
        raise InputError("give PRED and TRUTH, or --sequences DIR to examine a model")
    if protocol:
        raise InputError("--protocol examines a model: add --sequences DIR")
    if card is not None:
        raise InputError("--card is about a model: add --sequences DIR")
    refuse(context, _OF_MODELS, "PRED and TRUTH are scored as they are, without a model")
    from napari_sam2.evaluation.label_files import evaluate_files

    scores, remarks = evaluate_files(prediction, truth, selection(select))
    for remark in remarks:
        say(remark)
    if as_json:
        print(json.dumps(scores.as_dict(), indent=1))
    else:
        _print_scores(scores)


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
