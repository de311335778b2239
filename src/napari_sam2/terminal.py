"""What the command line shows while it works, and when something is wrong."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from napari_sam2.tracking.errors import InputError, OutputError, TakenError

_QUIET = 30.0  # seconds between two lines in a log
_ENDINGS = ("SIGTERM", "SIGHUP", "SIGBREAK")  # Windows has only the last, of Ctrl-Break
_UsageError: Any = typer.BadParameter.__base__  # of click, wherever typer keeps it


class OneLineErrors(TyperGroup):
    """Commands whose every error becomes one line on stderr and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run and exit."""
        kwargs["standalone_mode"] = False
        if not args and kwargs.get("args") is None:
            # Given, because otherwise click looks on Windows for files that names and patterns
            # might stand for, also where they were quoted: `data[1].tif` became `data1.tif`.
            given = sys.argv[1:]
            kwargs["args"] = [*map(os.path.expanduser, given)] if os.name == "nt" else given
        with _notes_in_lines():
            try:
                code = super().main(*args, **kwargs)
            except Exception as error:
                if debugging():
                    raise
                code, message = explained(error)
                say(message)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            say("; ".join(["stopped", *getattr(stop, "__notes__", ())]))
            raise typer.Exit(130) from None


@contextmanager
def _notes_in_lines() -> Iterator[None]:
    """Say each warning in one line, without the line of code that Python shows.

    What tifffile logs of damaged files is left out: what can be done about them, our messages say.
    So is what zarr tells those who write stores.
    """
    if debugging():
        yield
        return

    def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if category.__module__.partition(".")[0] != "zarr":
            say(f"note: {message}")

    log = logging.getLogger("tifffile")
    usual = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        log.setLevel(usual)


def debugging() -> bool:
    """Whether NAPARI_SAM2_DEBUG asks for tracebacks."""
    return os.environ.get("NAPARI_SAM2_DEBUG", "0") not in ("", "0")


def counted(number: int, what: str) -> str:
    """Return "1 object", "2 objects"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def say(message: str) -> None:
    """Print one line on stderr, if there is still a terminal there."""
    with suppress(OSError):
        print("napari-sam2: " + " ".join(message.splitlines()).strip(), file=sys.stderr)


def explained(error: BaseException) -> tuple[int, str]:
    """Return the exit code for an error, and what to say about it."""
    if isinstance(error, _UsageError):
        return 2, f"{error.format_message().rstrip('.')}. See --help."
    if isinstance(error, TakenError):
        return 2, f"{error} (--overwrite)"
    if isinstance(error, InputError):
        return 2, str(error)
    from napari_sam2.fetch import DownloadError
    from napari_sam2.model.checkpoint import CheckpointError

    if isinstance(error, CheckpointError):
        return 2, f"{error}; give an intact SAM 2 checkpoint, or --model micro"
    if isinstance(error, DownloadError | OutputError):
        return 1, str(error)
    if "OutOfMemory" in type(error).__name__ or isinstance(error, MemoryError):
        return 1, "out of memory; use --device cpu, --attention windowed, or fewer objects"
    if isinstance(error, PermissionError) and error.filename:  # writing says an OutputError
        return 2, f"cannot read {error.filename}: no permission to read there; check the path"
    detail = f"{type(error).__name__}: {error}"
    return 1, f"failed with {detail} (NAPARI_SAM2_DEBUG=1 shows where)"


@contextmanager
def progress(title: str, unit: str = "frames") -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar with speed and time left on stderr; in a log, a line now and then.

    Meanwhile the signals by which a system or a cluster ends a program (SIGTERM, on Windows
    SIGBREAK), or a terminal that goes, as of a connection that is lost (SIGHUP), are as Ctrl-C, so
    that what is done is written.

    Parameters
    ----------
    title
        In front of the bar.
    unit
        What is counted; "bytes" are written as kB, MB, GB, and are those of a download: Ctrl-C
        while it runs is noted on the `KeyboardInterrupt`.

    Yields
    ------
    callable
        To be called with what is done and, if known, what there is in all.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    data = unit == "bytes"
    count = DownloadColumn() if data else MofNCompleteColumn()
    speed = TransferSpeedColumn() if data else TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), count, speed, TimeRemainingColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    task = bar.add_task(title, total=None, rate="")
    downloading, said = False, time.monotonic()

    def report(done: int, total: int | None) -> None:
        nonlocal downloading, said
        downloading = data and done != total
        if not console.is_terminal and time.monotonic() - said >= _QUIET and done != total:
            said = time.monotonic()
            say(f"{title}: {_counted(done, unit)} of {_counted(total, unit)} {unit}")
        bar.start()
        bar.update(task, completed=done, total=total, rate=_rate(bar.tasks[0].speed, unit))

    try:
        with _ending_is_stopping():
            yield report
    except KeyboardInterrupt as stop:
        if downloading:
            stop.add_note("the download goes on next time where it was")
        raise
    finally:
        if bar.live.is_started:
            with suppress(OSError):  # the terminal may be gone
                bar.stop()


@contextmanager
def _ending_is_stopping() -> Iterator[None]:
    """Raise KeyboardInterrupt on the first of `_ENDINGS` that comes.

    Signals can be handled in the main thread only. Those that are ignored, as by nohup, stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    numbers = [getattr(signal, name) for name in _ENDINGS if hasattr(signal, name)]
    usual = {n: old for n in numbers if (old := signal.getsignal(n)) is not signal.SIG_IGN}

    def stop(*_: Any) -> None:
        for number in usual:  # a shell and the system both tell of a terminal that goes
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    try:
        for number in usual:
            signal.signal(number, stop)
        yield
    finally:
        for number, old in usual.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)


def _counted(number: int | None, unit: str) -> str:
    return "?" if number is None else f"{number:,}" if unit == "bytes" else str(number)


def _rate(per_second: float | None, unit: str) -> str:
    if not per_second:
        return ""
    return f"{per_second:.1f} {unit}/s" if per_second >= 1 else f"{1 / per_second:.1f} s each"
