"""TIFF: OME, ImageJ and plain."""

from __future__ import annotations

import threading
import warnings
import xml.etree.ElementTree as ElementTree
from math import prod
from operator import add
from pathlib import Path
from struct import unpack
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
import zarr

from napari_sam2.physical_units import convert_length, length_unit, seconds
from napari_sam2.readers.raw import RawStack, lazy
from napari_sam2.tracking.errors import InputError

# Plain TIFFs carry the resolution of a printer (72 to 600 per inch) more often than a real one.
_LARGEST_PLAIN_PIXEL_UM = 20.0


def read_tiff(path: Path) -> RawStack:
    """Open the first series of a TIFF: a memory map if it is uncompressed, else read by plane."""
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        _check_codec(path, series.keyframe)
        if 0 in series.shape:
            raise InputError(f"{path.name} is empty (shape {series.shape}); choose another file")
        axes = _tiff_axes(series)
        shape = _whole_images(path, tiff, series, axes)
        steps, unit = _tiff_scale(tiff)
        start, dtype = series.dataoffset, series.dtype.newbyteorder(tiff.byteorder)
        data: Any = None
        if start is None:
            data = lazy(_Compressed(tiff, series), axes)[tuple(map(slice, shape))]
    if start is not None:
        data = np.memmap(path, dtype, "r", start, shape)
    return RawStack(data, axes, tuple(steps.get(letter, 1.0) for letter in axes), unit)


class _Compressed:
    """A compressed series as an array whose file is open only while a part is read.

    Otherwise nobody could overwrite it on Windows, as long as a stack is in use.
    """

    def __init__(self, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
        self._array: Any = zarr.open(series.aszarr(level=0), mode="r")
        self._file = tiff.filehandle
        self._lock = threading.Lock()
        self.shape, self.dtype, self.ndim = series.shape, series.dtype, len(series.shape)

    def __getitem__(self, place: Any) -> npt.NDArray[Any]:
        with self._lock:
            self._file.open()
            try:
                return np.asarray(self._array[place])
            finally:
                self._file.close()


def _tiff_axes(series: tifffile.TiffPageSeries) -> str:
    axes = str(series.axes)
    if axes.startswith("S"):
        # tifffile stores a stack of three or four frames as the planes of one colour image, unless
        # told otherwise; real colour images with the colours first are rare.
        return axes.replace("S", "Q")
    colour = series.keyframe.photometric in (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
    return axes if colour else axes.replace("S", "C")


def _whole_images(
    path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, axes: str
) -> tuple[int, ...]:
    """Return the shape of what can be read of a series, and warn of a file that was cut short.

    It says that there are more images than it holds, or than are described in it.
    """
    shape, count = series.shape, len(axes.rstrip("YXS"))
    lengths, image = shape[:count], shape[count:]
    said = prod(lengths)
    lengths = _fitting(lengths, _images_within(tiff.filehandle.size, series, prod(image)))
    found = prod(lengths)
    if not found:
        raise InputError(f"{path.name} was cut short within its first image; copy it again")
    lost = _leads_nowhere(tiff)
    if tiff.is_imagej:
        said = max(said, int((tiff.imagej_metadata or {}).get("images", 0)))
    elif lost and series.dataoffset is None:
        said = 0  # nobody knows
    if found < said or lost:
        of = f" of {said}" if found < said else ""
        images = "image" if max(found, said) == 1 else "images"
        warnings.warn(
            f"{path.name} was cut short: only {found}{of} {images} can be read; copy it again",
            stacklevel=2,
        )
    return (*lengths, *image)


def _images_within(size: int, series: tifffile.TiffPageSeries, pixels: int) -> int:
    """Count the images, of so many values each, that end before the end of the file."""
    if series.dataoffset is not None:
        return int((size - series.dataoffset) // (pixels * series.dtype.itemsize))
    count = prod(series.shape) // pixels
    if count == len(series.pages):
        while count and not _is_whole(series, count - 1, size):
            count -= 1
    return count


def _is_whole(series: tifffile.TiffPageSeries, index: int, size: int) -> bool:
    """Whether a page is described, and all its data lie within the file."""
    try:
        page: Any = series.pages[index]
    except IndexError:
        return False
    if page is None:  # never written, and read as zeros
        return True
    ends = map(add, page.dataoffsets, page.databytecounts)
    return max(ends, default=0) <= size


def _fitting(lengths: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Shorten axes, the first one first, so that there are `most` images along them or fewer."""
    if not lengths:
        return () if most else (0,)
    inner = prod(lengths[1:])
    if most >= inner:
        return (min(lengths[0], most // inner), *lengths[1:])
    return (1, *_fitting(lengths[1:], most))


def _leads_nowhere(tiff: tifffile.TiffFile) -> bool:
    """Whether the last page names a next one that lies beyond the end of the file."""
    place, form = tiff.pages.next_page_offset, tiff.tiff
    if not place:
        return False
    tiff.filehandle.seek(place)
    data = tiff.filehandle.read(form.offsetsize)
    return (
        len(data) == form.offsetsize and unpack(form.offsetformat, data)[0] >= tiff.filehandle.size
    )


def _check_codec(path: Path, page: tifffile.TiffPage) -> None:
    if page.compression not in tifffile.TIFF.DECOMPRESSORS:
        name = getattr(page.compression, "name", str(page.compression))
        raise InputError(
            f"{path.name} is compressed with {name}, which needs a package: pip install imagecodecs"
        )


def _tiff_scale(tiff: tifffile.TiffFile) -> tuple[dict[str, float], str | None]:
    if tiff.is_ome and tiff.ome_metadata:
        return _ome_scale(tiff.ome_metadata)
    page = tiff.series[0].keyframe
    steps = {
        letter: pixels[1] / pixels[0]
        for letter, tag in (("X", "XResolution"), ("Y", "YResolution"))
        if tag in page.tags and (pixels := page.tags[tag].value)[0] > 0 and pixels[1] > 0
    }
    if tiff.is_imagej:
        return _imagej_scale(tiff.imagej_metadata or {}, steps)
    names = {2: "inch", 3: "centimeter"}
    name = names.get(page.tags["ResolutionUnit"].value) if "ResolutionUnit" in page.tags else None
    microns = {k: convert_length(v, name, "micrometer") for k, v in steps.items()}
    if name is None or max(microns.values(), default=np.inf) > _LARGEST_PLAIN_PIXEL_UM:
        return {}, None
    return microns, "micrometer"


def _imagej_scale(
    metadata: dict[str, Any], steps: dict[str, float]
) -> tuple[dict[str, float], str | None]:
    said = str(metadata.get("unit", ""))
    unit = length_unit(said)
    if unit is None and said != "pixel":  # nobody knows what the steps mean
        steps = {}
    elif metadata.get("spacing"):
        steps["Z"] = abs(float(metadata["spacing"]))
    if metadata.get("finterval"):
        steps["T"] = seconds(float(metadata["finterval"]), metadata.get("tunit"))
    return steps, unit


def _ome_scale(xml: str) -> tuple[dict[str, float], str | None]:
    pixels = next(
        (e for e in ElementTree.fromstring(xml).iter() if e.tag.rpartition("}")[2] == "Pixels"),
        None,
    )
    if pixels is None:
        return {}, None
    found = pixels.attrib
    unit = length_unit(found.get("PhysicalSizeXUnit", "µm")) if "PhysicalSizeX" in found else None
    steps = {
        letter: convert_length(float(found[key]), found.get(f"{key}Unit", "µm"), unit)
        for letter in "XYZ"
        if (key := f"PhysicalSize{letter}") in found
    }
    if "TimeIncrement" in found:
        steps["T"] = seconds(float(found["TimeIncrement"]), found.get("TimeIncrementUnit"))
    return {letter: step for letter, step in steps.items() if step > 0}, unit
