"""Batches, and what to do when memory runs out: smaller ones, fewer encodings, then the CPU."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.network.encodings import Encodings
from napari_sam2.tracking.windows import Window

T = TypeVar("T")
U = TypeVar("U")

_FRAME_TOKENS = 4096  # of a whole frame of the published models
_MOST_TOKENS = 16 * _FRAME_TOKENS  # a GPU is busy with these; more would only take memory
_TOKEN_BYTES = 128 << 10  # for all that is computed of a token; 62 KiB measured (micro)


def tokens_at_once(device: torch.device) -> int:
    """Return how many tokens, of all objects together, go through the network at a time.

    On a GPU as many as half of its free memory holds, within limits. On a CPU, where more would
    not be faster, those of one whole frame of the published models.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return min(max(free // 2 // _TOKEN_BYTES, _FRAME_TOKENS), _MOST_TOKENS)
    return _FRAME_TOKENS if device.type == "cpu" else 4 * _FRAME_TOKENS


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
    batch_tokens : tokens of all objects of a batch together; fewer, once memory has run out.
    """

    def __init__(self, model: SAM2, encodings: Encodings, batch_tokens: int) -> None:
        self.model = model
        self.encodings = encodings
        self.batch_tokens = batch_tokens
        self._said = False

    def in_batches(
        self, items: Sequence[T], window: Window, compute: Callable[[Sequence[T]], list[U]]
    ) -> Iterator[U]:
        """Compute something of each item; batches are halved where memory runs out.

        Parameters
        ----------
        items : of one object each.
        window : as large as that of each of them.
        compute : returns what comes of a batch, for one item after the other or for all.

        Raises
        ------
        MemoryError, RuntimeError
            As `attempt` does, of a single item.
        """
        tokens, start = window.height * window.width, 0
        while start < len(items):
            batch = items[start : start + max(1, self.batch_tokens // tokens)]
            found = self._unless_full(batch, compute)
            if found is None:
                self._say_smaller()
                self.batch_tokens = len(batch) // 2 * tokens
            else:
                yield from found
                start += len(batch)

    def by_size(
        self, windows: Sequence[Window], compute: Callable[[Sequence[int]], list[U]]
    ) -> list[U]:
        """Compute something in windows of any sizes, as `in_batches`, one size after the other.

        Parameters
        ----------
        windows : where.
        compute : returns what comes of some of them, given by their indices.

        Returns
        -------
        list
            In the order of the windows.
        """
        sizes: dict[tuple[int, int], list[int]] = {}
        for i, window in enumerate(windows):
            sizes.setdefault((window.height, window.width), []).append(i)
        found: dict[int, U] = {}
        for some in sizes.values():
            found |= zip(some, self.in_batches(some, windows[some[0]], compute), strict=True)
        return [found[i] for i in range(len(windows))]

    def _say_smaller(self) -> None:
        if not self._said:
            self._said = True
            warnings.warn(
                f"out of memory on {self.model.device.type}: going on with fewer objects at a "
                "time, which is slower",
                RuntimeWarning,
                stacklevel=2,
            )

    def _unless_full(
        self, items: Sequence[T], compute: Callable[[Sequence[T]], list[U]]
    ) -> list[U] | None:
        """Compute a batch; None where there is no memory for it, unless it is a single item."""
        if len(items) == 1:
            return self.attempt(lambda: compute(items))
        try:
            return compute(items)
        except Exception as error:
            if not out_of_memory(error):
                raise
        return None

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
