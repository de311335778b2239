"""Errors in words."""

from __future__ import annotations

import logging
import sys

from napari_sam2.fetch import DownloadError
from napari_sam2.tracking.errors import InputError, OutputError

logger = logging.getLogger(__name__)

COMMAND = "Cmd" if sys.platform == "darwin" else "Ctrl"
"""The key that is held for commands; what Qt and napari call Control."""

OPTION = "Option" if sys.platform == "darwin" else "Alt"
"""The other one, that Qt and napari call Alt."""

FIRST_STEP = (
    "Open an image first: drag a stack into napari, or File > Open Sample > SAM 2 masklets."
)

_NOT_LOADED = (126, 127, 1114)  # what Windows says of libraries
_NO_TORCH = (
    "Windows could not load a library of PyTorch. Start napari by 'napari-sam2 gui', or install "
    "the newest Microsoft Visual C++ Redistributable."
)
_NO_MEMORY = "Out of memory. Choose a smaller model or the device 'cpu', and close other programs."


def duration(seconds: float) -> str:
    """Say how long something takes, or took: "8 s", "2:05 min", "1:30 h"."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{max(rest, 1)} s"
    return f"{minutes}:{rest:02} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02} h"


def in_words(error: Exception) -> str:
    """One sentence about an error for the window; what nobody expected goes to the log in full."""
    if _is_for_users(error):
        return _sentence(str(error))
    logger.error("%s", error, exc_info=error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return _NO_MEMORY
    if getattr(error, "winerror", None) in _NOT_LOADED:
        return _NO_TORCH
    if isinstance(error, OSError):
        return _sentence(f"{error.strerror or error}" + _file_of(error))
    return f"That failed unexpectedly ({type(error).__name__}). The details are in the log."


def _is_for_users(error: Exception) -> bool:
    """Whether the message was written for the user to read."""
    if isinstance(error, InputError | OutputError | DownloadError):
        return True
    checkpoint = sys.modules.get("napari_sam2.model.checkpoint")  # its import brings torch
    return checkpoint is not None and isinstance(error, checkpoint.CheckpointError)


def _file_of(error: OSError) -> str:
    return f": {error.filename}" if error.filename else ""


def _sentence(text: str) -> str:
    text = " ".join(text.splitlines()).strip()
    if text.split(" ", 1)[0].isalpha():  # the name of a file stays as it is
        text = text[0].upper() + text[1:]
    return text + ("" if text.endswith((".", "!", "?")) else ".")
