"""What to do when memory runs out: let go of encodings, then leave the GPU, and say so."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.encodings import Encodings

T = TypeVar("T")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # What torch raises for host memory, and for MPS.
    words = ("can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


class Room:
    """Makes room for a computation.

    Parameters
    ----------
    model : moved to the CPU if nothing else helps.
    encodings : forgotten before that.
    """

    def __init__(self, model: SAM2, encodings: Encodings) -> None:
        self.model = model
        self.encodings = encodings

    def attempt(self, compute: Callable[[], T]) -> T:
        """Compute; where memory runs out, again with fewer encodings, then on the CPU.

        Raises
        ------
        MemoryError, RuntimeError
            What the computation raised, if the CPU has no memory for it either.
        """
        for make_room in (self._forget, self._leave_gpu):
            try:
                return compute()
            except Exception as error:
                if not out_of_memory(error):
                    raise
            make_room()
        return compute()

    def _forget(self) -> None:
        self.encodings.forget()
        gc.collect()
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _leave_gpu(self) -> None:
        device = self.model.device.type
        if device == "cpu":
            return
        warnings.warn(
            f"out of memory on {device}: going on with the CPU, which is slower; fewer objects at "
            "a time, a smaller model or a smaller part of the stack would fit",
            RuntimeWarning,
            stacklevel=2,
        )
        self.model.to("cpu")
        self._forget()
