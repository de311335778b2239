"""A model examined on a folder of sequences: the model card, or tables of single protocols."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer

from napari_sam2.evaluation.examination import (
    Examinations,
    Extent,
    SequenceNumbers,
    by_protocols,
    for_each,
    mean_numbers,
)
from napari_sam2.evaluation.report import COLUMNS, FOLLOWING, check_card, write_model_card
from napari_sam2.evaluation.rows import Row, measure
from napari_sam2.evaluation.sequences import Task
from napari_sam2.model.checkpoint import read_recipe
from napari_sam2.model.sam2 import SAM2
from napari_sam2.terminal import debugging, explained, progress, say
from napari_sam2.weights import locate

T = TypeVar("T")


def print_measured(
    network: SAM2,
    weights: str,
    folders: Sequence[Path],
    only: Sequence[str],
    extent: Extent,
    card: Path | None,
    as_json: bool,
) -> None:
    """Measure everything that the model card holds; write it where there is a name for it.

    A sequence that fails is left out, and the card says so. After Ctrl-C the old card stays.

    Raises
    ------
    InputError
        There is something else in the place of the card.
    OutputError
        The card cannot be written.
    typer.Exit
        130 after Ctrl-C, 1 where a sequence failed.
    """
    if card is not None:
        check_card(card)
    outcome = _run(folders, extent, lambda name, task: measure(network, name, task))
    if outcome.stopped:
        nothing = "no numbers are shown" if card is None else "no card was written"
        say(f"stopped after {len(outcome.done)} of {len(folders)} sequences; {nothing}")
        raise typer.Exit(130)
    if card is not None:
        file = locate(weights)
        write_model_card(
            network,
            outcome.done,
            card,
            _command(str(network.config.name), folders[0].parent, only, extent, card),
            recipe=read_recipe(file),
            size=file.stat().st_size,
            objects=extent.objects,
            left_out={name: explained(error)[1] for name, error in outcome.failures.items()},
        )
    if as_json:
        print(_json([row.as_dict() for row in outcome.done]))
    elif card is not None:
        print(card)
    else:
        _print_rows(outcome.done)
    if outcome.failures:
        raise typer.Exit(1)


def print_protocols(
    network: SAM2,
    folders: Sequence[Path],
    protocols: Sequence[str],
    extent: Extent,
    as_json: bool,
) -> None:
    """Print what some protocols gave; after Ctrl-C, of the sequences that were finished.

    Raises
    ------
    typer.Exit
        130 after Ctrl-C, 1 where a sequence failed.
    """
    outcome = _run(folders, extent, by_protocols(network, protocols, extent))
    if outcome.done and as_json:
        print(_json(_as_dict(str(network.config.name), outcome.done, protocols)))
    elif outcome.done:
        _print_tables(outcome.done, protocols)
    if outcome.stopped:
        say(f"stopped; {len(outcome.done)} of {len(folders)} sequences were finished")
        raise typer.Exit(130)
    if outcome.failures:
        raise typer.Exit(1)


def _run(
    folders: Sequence[Path], extent: Extent, examine: Callable[[str, Task], T]
) -> Examinations[T]:
    """Examine with a progress bar; say what failed. Where all failed, that is an error."""
    with progress("examining", "sequences") as report:
        outcome = for_each(folders, extent, examine, report)
    failures = outcome.failures
    if failures and (debugging() or (not outcome.done and not outcome.stopped)):
        raise next(iter(failures.values()))
    for name, error in failures.items():
        say(f"{name} is left out: {explained(error)[1]}")
    return outcome


def _command(name: str, data_dir: Path, only: Iterable[str], extent: Extent, card: Path) -> str:
    """Command that does the same again, without the folders of this machine."""
    words = ["napari-sam2 evaluate", f"--sequences {data_dir.name}"]
    words += [f"--only '{pattern}'" for pattern in only]
    words += [f"--model {name}", f"--card {card.name}", f"--frames {extent.frames}"]
    if extent.objects != Extent.objects:
        words.append(f"--objects {extent.objects}")
    return " ".join(words)


def _as_dict(
    model: str, examined: Sequence[SequenceNumbers], protocols: Iterable[str]
) -> dict[str, Any]:
    return {
        "model": model,
        "sequences": [vars(one) for one in examined],
        "mean": {p: mean_numbers(one.numbers[p] for one in examined) for p in protocols},
    }


def _json(content: Any) -> str:
    return json.dumps(_without_nan(content), indent=1, allow_nan=False)


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content


def _print_tables(examined: Sequence[SequenceNumbers], protocols: Iterable[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    # A narrow terminal breaks lines, which is better than names and numbers cut short.
    console = Console(width=max(Console().width, 120))
    for protocol in dict.fromkeys(protocols):
        means = mean_numbers(one.numbers[protocol] for one in examined)
        table = Table(protocol, "objects", "frames", *means, box=None, pad_edge=False)
        for one in examined:
            cells = [_cell(one.numbers[protocol].get(column)) for column in means]
            table.add_row(one.sequence, str(one.objects), str(one.frames), *cells)
        count = str(sum(one.objects for one in examined))
        table.add_row("mean", count, "", *map(_cell, means.values()), style="bold")
        console.print(table)
        console.print()


def _print_rows(rows: Sequence[Row]) -> None:
    """Print the columns of the card's tables, with the sequences below one another."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=max(Console().width, 120))
    for columns in (COLUMNS, FOLLOWING):
        table = Table("sequence", *(name for name, _, _ in columns), box=None, pad_edge=False)
        for row in rows:
            values = [(getattr(row, attribute), digits) for _, attribute, digits in columns]
            table.add_row(row.sequence, *(_cell(value, digits) for value, digits in values))
        console.print(table)
        console.print()


def _cell(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"
