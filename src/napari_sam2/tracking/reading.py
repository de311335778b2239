"""Reading parts of arrays of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from dask.base import is_dask_collection


def as_read(part: Any) -> npt.NDArray[Any]:
    """Return a part of an array as values; a lazy one of dask is computed now, from any thread.

    While napari slices, dask keeps what is computed in a cache of napari's, whichever thread
    computes it, and that cache fails where two threads use it at the same time.
    """
    return np.asarray(part.compute(callbacks=()) if is_dask_collection(part) else part)
