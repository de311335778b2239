"""Where results go: one label image per frame, in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_sam2.replacing import patiently
from napari_sam2.tracking.errors import InputError, writing


def label_dtype(ids: Iterable[int]) -> np.dtype[Any]:
    """Return uint16, or uint32 where an id needs it.

    Raises
    ------
    InputError
        If an id is below 1 or above what uint32 holds.
    """
    listed = list(ids)
    if not listed:
        return np.dtype(np.uint16)
    low, high = min(listed), max(listed)
    if low < 1 or high > np.iinfo(np.uint32).max:
        raise InputError(f"object ids must be in 1 to {np.iinfo(np.uint32).max}, not {low}..{high}")
    return np.dtype(np.uint16 if high <= np.iinfo(np.uint16).max else np.uint32)


class Masklets:
    """The masks of all objects over all frames: labels (T, Y, X), 0 where there is none.

    Parameters
    ----------
    shape
        (T, Y, X).
    dtype
        uint16, or uint32 where ids need it (see `label_dtype`).
    store
        A folder for a zarr array with one chunk per frame; every frame written is on disk at once
        and readable after a crash. Default: in memory.
    overwrite
        Replace what is in `store`.

    Raises
    ------
    InputError
        If the shape or dtype is unusable, or `store` exists and `overwrite` is false.
    OutputError
        If `store` cannot be written.
    """

    def __init__(
        self,
        shape: Sequence[int],
        dtype: npt.DTypeLike = np.uint16,
        store: str | Path | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        sizes = tuple(int(n) for n in shape)
        kind = np.dtype(dtype)
        if len(sizes) != 3 or min(sizes) < 1:
            raise InputError(f"masklets have a shape (T, Y, X) of 1 or more each, not {sizes}")
        if kind not in (np.dtype(np.uint16), np.dtype(np.uint32)):
            raise InputError(f"masklets are uint16 or uint32, not {kind}")
        self.store = None if store is None else Path(store)
        # What a Labels layer shows: written to in place.
        self.array: Any
        if self.store is None:
            self.array = np.zeros(sizes, dtype=kind)
        else:
            self.array = _create_store(self.store, sizes, kind, overwrite)

    @classmethod
    def open(cls, store: str | Path) -> Masklets:
        """Open masklets on disk again, to read or to go on writing.

        Raises
        ------
        InputError
            If there are none at `store`.
        """
        try:
            array = zarr.open_array(Path(store), mode="r+")
        except (OSError, ValueError) as error:
            raise InputError(f"there are no masklets at {store}; check the path") from error
        if array.ndim != 3 or array.dtype.kind != "u":
            raise InputError(f"{store} is a zarr array, but not of masklets (T, Y, X)")
        masklets = cls.__new__(cls)
        masklets.store = Path(store)
        masklets.array = array
        return masklets

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, Y, X)."""
        frames, height, width = self.array.shape
        return frames, height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the labels: uint16 or uint32."""
        dtype: np.dtype[Any] = self.array.dtype
        return dtype

    @property
    def ndim(self) -> int:
        """Always 3."""
        return 3

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        return np.asarray(self.array[index])

    def __setitem__(self, frame: int, labels: npt.ArrayLike) -> None:
        """Write the labels (Y, X) of one frame.

        Raises
        ------
        InputError
            If the frame does not exist, or the labels have another shape or do not fit the dtype.
        OutputError
            If the disk is full or the store not writable.
        """
        values = np.asarray(labels)
        if not 0 <= frame < len(self):
            raise InputError(f"frame {frame} does not exist; there are frames 0 to {len(self) - 1}")
        if values.shape != self.shape[1:]:
            raise InputError(
                f"labels of shape {values.shape} do not fit frames of {self.shape[1:]} (Y, X)"
            )
        if values.dtype != self.dtype and values.size:
            if values.dtype.kind not in "bui":
                raise InputError(f"labels must be integers, not {values.dtype}")
            if values.min() < 0 or values.max() > np.iinfo(self.dtype).max:
                raise InputError(
                    f"labels {values.min()}..{values.max()} do not fit into {self.dtype}; "
                    "make the masklets uint32"
                )
        if self.store is None:
            self.array[frame] = values
        else:
            with writing(self.store):
                whole = values.astype(self.dtype, copy=False)
                patiently(lambda: self.array.__setitem__(frame, whole))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False and self.store is not None:
            raise ValueError("masklets on disk cannot be had as an array without a copy")
        values = np.asarray(self.array[:])
        if copy is None:  # which numpy 1 does not know
            return np.asarray(values, dtype=dtype)
        return np.array(values, dtype=dtype, copy=copy)


def _create_store(
    store: Path, shape: tuple[int, ...], dtype: np.dtype[Any], overwrite: bool
) -> zarr.Array[Any]:
    is_zarr = (store / "zarr.json").exists()
    if store.exists() and not (is_zarr and overwrite) and (is_zarr or not _empty_folder(store)):
        remedy = "choose another place, or allow to overwrite it" if is_zarr else "choose another"
        raise InputError(f"{store} exists already; {remedy}")
    with writing(store):
        return zarr.create_array(
            store=store,  # as text, a name with "::" would be an address
            shape=shape,
            chunks=(1, *shape[1:]),
            dtype=dtype,
            fill_value=0,
            overwrite=is_zarr,
            dimension_names=("t", "y", "x"),
        )


def _empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
