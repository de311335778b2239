"""Options that several commands take, and what they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam2.terminal import progress
from napari_sam2.tracking.errors import InputError

if TYPE_CHECKING:
    from napari_sam2.model.sam2 import SAM2
    from napari_sam2.tracking.stack.channels import Channels

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
SelectOption = Annotated[
    list[str] | None, typer.Option(help="Index along another axis, e.g. Z=3; repeatable.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]


def load(model: str, device: str) -> SAM2:
    """Load a model by name or file, with a bar where it is downloaded."""
    from napari_sam2.weights import load_model

    with progress(f"downloading {model}", "bytes") as report:
        return load_model(model, device, progress=report)


def refuse(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Refuse options that were given and would not count.

    Parameters
    ----------
    context
        Of the command.
    names
        Of the parameters that do not count.
    why
        The second half of the message.

    Raises
    ------
    InputError
        If any of them was given.
    """
    options = [
        max(one.opts, key=len)
        for one in context.command.params
        if one.name in names and given(context, one.name)
    ]
    if options:
        raise InputError(f"leave out {' and '.join(options)}: {why}")


def given(context: typer.Context, name: str) -> bool:
    """Whether a parameter was given, be it with the value of its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def channels(text: str | None) -> Channels | None:
    """Read `ChannelOption`."""
    from napari_sam2.tracking.stack.channels import parsed_channels

    return None if text is None else parsed_channels(text)


def numbers(text: str) -> int | tuple[int, ...]:
    """Read the channels to measure: "1" is one of them, "0,2" are two.

    Raises
    ------
    InputError
        If it is anything else.
    """
    words = [word.strip() for word in text.split(",")]
    found = tuple(int(word) for word in words if word.isdecimal())
    if len(set(found)) != len(words):
        raise InputError(f"--channel {text} is not understood; write one (1), or several (0,2)")
    return found[0] if len(found) == 1 else found


def selection(items: list[str] | None) -> dict[str, int]:
    """Read `SelectOption`: the index by the letter of its axis.

    Raises
    ------
    InputError
        If it is anything else than an axis and an index, or an axis is given twice.
    """
    chosen: dict[str, int] = {}
    for item in items or []:
        letter, _, index = item.partition("=")
        if len(letter) != 1 or not index.isdecimal():
            raise InputError(f"--select {item} is not understood; write an axis and index, as Z=3")
        if letter.upper() in chosen:
            raise InputError(f"--select {item}: {letter.upper()} is given twice; keep one")
        chosen[letter.upper()] = int(index)
    return chosen
