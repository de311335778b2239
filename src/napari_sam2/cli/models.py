"""`napari-sam2 models`: list, download, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam2.terminal import progress

models_app = typer.Typer(help="List, download and verify models.", add_completion=False)


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
def download_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="See `models list`.")],
) -> None:
    """Download an official checkpoint into the cache folder."""
    from napari_sam2.weights import download

    with progress(name, "bytes") as report:
        path = download(name, report)
    print(path)


@models_app.command("verify")
def verify_model(
    path: Annotated[Path, typer.Argument(readable=False, metavar="PATH", help="A checkpoint.")],
) -> None:
    """Tell which model a file is, and whether it is intact."""
    from napari_sam2.model.checkpoint import build_model
    from napari_sam2.weights import verify

    found = verify(path)
    if found.name is None:
        name = build_model(path).config.name
        print(f"{path}: intact weights for {name}, not an official file (SHA-256 {found.sha256})")
    else:
        print(f"{path}: {found.name} (SHA-256 {found.sha256})")
