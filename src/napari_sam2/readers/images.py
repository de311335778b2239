"""Single images in PNG, JPEG or TIFF, and folders of them."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from napari_sam2.readers.file_names import Grid, laid_out, natural
from napari_sam2.readers.ome_zarr import is_zarr, read_zarr
from napari_sam2.readers.raw import RawStack, lazy
from napari_sam2.readers.tiff import read_tiff
from napari_sam2.tracking.errors import InputError

TIFF = (".tif", ".tiff", ".btf", ".tf8")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
_FORMATS = {**dict.fromkeys(TIFF, "TIFF"), ".jpg": "JPEG", ".jpeg": "JPEG"}


class _ImageFiles:
    """Images of one shape in many files, read when indexed; (file, ..., Y, X, ...)."""

    def __init__(self, files: Grid, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._paths = np.array(files.paths, object).reshape(files.shape)
        self.shape = (*files.shape, *shape)
        self.dtype = dtype
        self.ndim = len(self.shape)

    def __getitem__(self, index: tuple[int | slice, ...]) -> npt.NDArray[Any]:
        paths = np.asarray(self._paths[index[: self._paths.ndim]], object)
        within = index[self._paths.ndim :]
        images = np.stack([self._read(path)[within] for path in paths.flat])
        return images.reshape(*paths.shape, *images.shape[1:])

    def _read(self, path: Path | None) -> npt.NDArray[Any]:
        if path is None:
            return np.zeros(self.shape[self._paths.ndim :], self.dtype)
        return _load_image(path).astype(self.dtype, copy=False)


def read_folder(folder: Path) -> RawStack:
    """Open the images in a folder as their names say, as `laid_out`; or the only zarr in it."""
    paths = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    kinds = Counter(_format(p) for p in paths if p.suffix.lower() in TIFF + PICTURES)
    if not kinds:
        return _read_only_child(folder)
    kind = kinds.most_common(1)[0][0]
    if (others := kinds.total() - kinds[kind]) * 2 >= kinds[kind]:  # not a picture beside them
        warnings.warn(
            f"{folder.name}: of {kinds.total()} images, {others} of another kind than "
            f"{kind.lstrip('.').upper()} are left out",
            stacklevel=2,
        )
    images = sorted((p for p in paths if _format(p) == kind), key=natural)
    first = read_tiff(images[0]) if kind == "TIFF" else read_picture(images[0])
    shape, dtypes = first.shape, [first.data.dtype]
    for path in images[1:]:
        found, dtype = _image_kind(path)
        if found != shape:
            raise InputError(
                f"{folder.name}: {path.name} has shape {found}, but {images[0].name} has {shape}; "
                "keep only images of one shape in the folder"
            )
        dtypes.append(dtype)
    files = laid_out(images, first.axes)
    axes = files.axes + first.axes
    stack = lazy(_ImageFiles(files, shape, np.result_type(*dtypes)), axes)
    return RawStack(stack, axes, (*(1.0 for _ in files.axes), *first.scale), first.unit)


def _read_only_child(folder: Path) -> RawStack:
    children = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    stacks = [p for p in children if is_zarr(p)]
    if len(stacks) == 1:
        return read_zarr(stacks[0])
    names = ", ".join(p.name for p in (stacks or children)[:6])
    remedy = (
        f"open one of its folders ({names})" if names else "give one with TIFF, PNG, JPEG or BMP"
    )
    raise InputError(f"{folder} has no images in it; {remedy}")


def _format(path: Path) -> str:
    """Return one name for all spellings of a suffix."""
    suffix = path.suffix.lower()
    return _FORMATS.get(suffix, suffix)


def _image_kind(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of an image, without reading its pixels."""
    if path.suffix.lower() in TIFF:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            return tuple(series.shape), np.dtype(series.dtype)
    with Image.open(path) as image:
        bands, size = len(_plain(image.mode)), (image.height, image.width)
        deep = image.mode.startswith(("I", "F"))
        dtype = np.asarray(image.crop((0, 0, 1, 1))).dtype if deep else np.dtype(np.uint8)
        return (size if bands == 1 else (*size, bands)), dtype


def _load_image(path: Path) -> npt.NDArray[Any]:
    if path.suffix.lower() in TIFF:
        return np.asarray(tifffile.imread(path, series=0, level=0))
    with Image.open(path) as image:
        mode = "".join(_plain(image.mode))
        direct = mode == "X" or image.mode == mode
        return np.asarray(image if direct else image.convert(mode))


def _plain(mode: str) -> Sequence[str]:
    """Return the bands to read a picture of this mode as; X for the values as they are."""
    if mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "RGBX", "RGB"):
        return "RGB"
    if mode in ("RGBA", "RGBa", "PA"):
        return "RGBA"
    return "L" if mode in ("LA", "La") else "X"


def read_picture(path: Path) -> RawStack:
    """Read one PNG, JPEG or BMP."""
    image = _load_image(path)
    axes = "YX" if image.ndim == 2 else "YXS"
    return RawStack(image, axes, (1.0,) * image.ndim, None)
