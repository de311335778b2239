"""The command line, one module for each command.

Exit codes: 0, 1 for a failed run, 2 for unusable input, 130 for Ctrl-C.
Everything heavy is imported inside the commands, so that --help is instant.
That an input is closed to the user is said by what reads it, so typer is not to look (readable).
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from napari_sam2 import __version__
from napari_sam2.cli import demo, evaluate, export, gui, models, teach, track, train
from napari_sam2.cli.evaluate import Protocol
from napari_sam2.terminal import OneLineErrors

__all__ = ["Protocol", "app", "main"]

app = typer.Typer(
    cls=OneLineErrors,
    help="Track cells through time-lapses and z-stacks with SAM 2.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(gui.gui)
app.command()(track.track)
app.command()(export.export)
app.command()(evaluate.evaluate)
app.command()(teach.teach)
app.command()(train.train)
app.add_typer(models.models_app, name="models")


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", metavar="", help="Print the version.")
    ] = False,
) -> None:
    if version:
        print(__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command line."""
    # Names of files in other letters than those of a log are no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="napari-sam2")
