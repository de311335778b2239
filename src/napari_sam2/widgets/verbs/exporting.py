"""Masklets of the window as files of other programs. No Qt widgets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2.physical_units import length_unit
from napari_sam2.widgets.layers.layer_adapters import StackGeometry, source_path
from napari_sam2.widgets.layers.results import ResultWriter
from napari_sam2.widgets.layers.sources import Source
from napari_sam2.widgets.session.record import Record
from napari_sam2.widgets.session.runs import Cancelled, Run

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam2.tracking.frames import Frames
    from napari_sam2.widgets.workbench import Workbench

MEASURED = "csv"


class WrittenLabels:
    """The labels as (T, Y, X), read frame by frame."""

    def __init__(self, writer: ResultWriter, geometry: StackGeometry, dtype: Any) -> None:
        self._writer = writer
        self.shape = (geometry.length, *geometry.frame_shape)
        self.dtype = np.dtype(dtype)

    def __getitem__(self, frame: int) -> npt.NDArray[Any]:
        return self._writer.read(frame)


class _Channel:
    """A channel of the image as (T, Y, X), read frame by frame."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self.shape = (len(frames), *frames.shape)

    def __getitem__(self, frame: int) -> npt.NDArray[Any]:
        return self._frames.read(frame)


def measured(source: Source, geometry: StackGeometry, images: Sequence[Image]) -> Any:
    """Return all that can be measured in the masklets, whatever of it the model sees.

    Parameters
    ----------
    source, geometry
        What is worked on.
    images
        Of the viewer; those of the same shape are channels, too.

    Returns
    -------
    One channel (T, Y, X), or several by name: of layers theirs, else their numbers.
    """
    from napari_sam2.tracking.frames import Frames  # torch takes seconds to import

    layers = source.siblings(images)
    if len(layers) > 1:
        parts = {layer.name: Source(layer).array(geometry)[:2] for layer in layers}
        return {name: _Channel(Frames(data, along)) for name, (data, along) in parts.items()}
    data, along, channels = source.array(geometry)
    if channels is None:
        return _Channel(Frames(data, along))
    numbers = range(source.count)
    each = [Frames(data, along, channel_axis=channels, channel=k) for k in numbers]
    return {str(k): _Channel(frames) for k, frames in zip(numbers, each, strict=True)}


class Export:
    """One export: made on the window's thread, run on the worker's.

    Parameters
    ----------
    path
        File, or folder for the Cell Tracking Challenge.
    format
        A name in `napari_sam2.export.formats.FORMATS`; None: by the suffix of `path`.
    source
        Gives axes, scale and unit.
    geometry
        Which axes are what.
    writer
        Has the labels.
    dtype
        Of the labels.
    images
        Of the viewer, see `measured`.
    overwrite
        Replace what is at `path`; never an image that is worked on.
    """

    def __init__(
        self,
        path: Path,
        format: str | None,
        source: Source,
        geometry: StackGeometry,
        writer: ResultWriter,
        dtype: Any,
        images: Sequence[Image] = (),
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self._format = format
        self._overwrite = overwrite
        self._images = images_of(source)
        self._labels = WrittenLabels(writer, geometry, dtype)
        self._source, self._geometry = source, geometry
        self._viewed = tuple(images)

    def run(self, session: Any, run: Run) -> tuple[str, ...]:
        """Write it.

        Returns
        -------
        What the format could not hold, in words.

        Raises
        ------
        InputError, OutputError
            If it cannot be written, or its name is taken.
        """

        # Its tables come with scikit-image, which the window does not wait for.
        from napari_sam2.export.files import check_apart
        from napari_sam2.export.formats import FORMATS, export_masklets, format_of

        check_apart(self.path, *self._images)
        scale, unit = self._source.frame_scale(self._geometry)  # may open the image's file

        def progress(done: int, total: int) -> None:
            run.done, run.total = done, total
            if run.cancelled.is_set():
                raise Cancelled

        name = format_of(self.path, self._format)
        image = None
        if name == MEASURED:
            session.frames.settle()
            image = measured(self._source, self._geometry, self._viewed)
        return export_masklets(
            self.path,
            self._labels,
            name,
            axes=f"{self._source.frame_axis(self._geometry)}YX",
            scale=scale,
            unit=length_unit(unit),  # napari knows more of them than files do
            image=image,
            quality=session.qualities() if FORMATS[name].quality else None,
            parents=session.parents,
            overwrite=self._overwrite,
            progress=progress,
        )


def export(
    bench: Workbench, path: Path, format: str | None = None, overwrite: bool = False
) -> None:
    """Write the masklets to a file; returns at once. Cancelling leaves nothing behind.

    Parameters
    ----------
    path, format
        As for `export_masklets`.
    overwrite
        Replace what is there, because the user was asked; never an image that is worked on.
    """
    layers = bench.require_layers()
    if layers is None or bench.source is None or bench.writer is None:
        return
    dtype = layers.labels.data.dtype
    one = Export(
        path, format, bench.source, layers.geometry, bench.writer, dtype, bench.images, overwrite
    )
    remarks: list[str] = []

    def work(record: Record, run: Run) -> None:
        run.follow = False
        remarks.extend(one.run(record.history.session, run))

    def said(run: Run) -> str:
        if run.cancelled.is_set():
            return "The export was cancelled; nothing was written."
        return f"Exported: {path}." + "".join(f" Note: {text}." for text in remarks)

    bench.controller.start(work, f"Writing {path.name} …", said=said)


def images_of(source: Source) -> list[str]:
    """Return the files of the layers that the model sees, of those that come from files."""
    return [source_path(layer) for layer in source.layers or (source.image,)]


def filters() -> dict[str, str]:
    """Name of each format by the text that a file dialog shows for it."""
    from napari_sam2.export.formats import FORMATS

    found = {}
    for name, one in FORMATS.items():
        pattern = " ".join(f"*{suffix}" for suffix in one.suffixes) or "*"
        found[f"{one.title} ({pattern})"] = name
    return found


def with_suffix(path: str, format: str) -> Path:
    """Return a path with the format's suffix, where the user typed none of them."""
    from napari_sam2.export.formats import FORMATS

    chosen, suffixes = Path(path), FORMATS[format].suffixes
    if suffixes and chosen.suffix.lower() not in suffixes:
        return chosen.with_name(chosen.name + suffixes[0])
    return chosen
