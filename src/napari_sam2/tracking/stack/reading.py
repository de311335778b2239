"""Reading parts of arrays of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from dask.base import is_dask_collection

from napari_sam2.tracking.errors import InputError


def as_read(part: Any) -> npt.NDArray[Any]:
    """Return a part of an array as values; a lazy one of dask is computed now, from any thread.

    While napari slices, dask keeps what is computed in a cache of napari's, whichever thread
    computes it, and that cache fails where two threads use it at the same time.
    """
    return np.asarray(part.compute(callbacks=()) if is_dask_collection(part) else part)


def read_plane(stack: Any, index: Any, what: str) -> npt.NDArray[Any]:
    """Read one frame of an array that may be on disk.

    Raises
    ------
    InputError
        If it cannot be read, so that nobody takes it for a failure to write.
    """
    try:
        return as_read(stack[index])
    except (InputError, MemoryError):
        raise
    except Exception as error:  # what is behind an array shares no base for its errors
        where = "" if index is ... else f"frame {index} of "
        raise InputError(
            f"cannot read {where}the {what} ({type(error).__name__}: {error}); "
            "the file may be damaged or gone"
        ) from error
