"""Where a run writes: frame by frame beside the output, and the output at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sam2.export.files import (
    check_apart,
    check_free,
    check_writable,
    numbered,
    remove,
    taken,
)
from napari_sam2.export.formats import check_target, export_masklets
from napari_sam2.export.labels import TIFF, ZARR
from napari_sam2.export.quality_table import QualityTable
from napari_sam2.stacks import Stack
from napari_sam2.tracking.errors import InputError, OutputError, writing
from napari_sam2.tracking.masklets import Masklets
from napari_sam2.tracking.objects.examined import ToCheck
from napari_sam2.tracking.results import FrameResult


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    done, total
        Frames that were finished, and that were to be. With prompts on several frames, frames
        that are passed in both directions count twice.
    output
        Where the labels are, if any frame was finished: what was asked for, or a name beside it,
        where a run that was stopped would have replaced what was there.
    frames, length
        Frames of `output` that were finished, each counted once, and all that it has.
    objects
        Objects that have a mask in it.
    quality
        Where the table of qualities is, if one was asked for and any frame was finished: what was
        asked for, or a name beside it, as with the labels.
    session
        Where the session is, if one was asked for, likewise.
    failure
        What stopped it (`KeyboardInterrupt` for Ctrl-C), or None. The frames that were finished
        are in `output` all the same, if there are any.
    remarks
        What the output could not hold, in words.
    to_check
        What should be looked at, the worst first; see `TrackingSession.frames_to_check`.
    """

    done: int
    total: int
    output: Path
    frames: int
    length: int
    objects: int
    quality: Path | None = None
    failure: BaseException | None = None
    remarks: tuple[str, ...] = ()
    session: Path | None = None
    to_check: tuple[ToCheck, ...] = ()

    @property
    def kept(self) -> str:
        """What is where after a failure, in words."""
        text = f"{self.frames} of {self.length} frames are kept in {self.output}"
        if self.quality is not None:
            text += f", their quality in {self.quality}"
        if self.session is not None:
            text += f", the session in {self.session}"
        if self.done > self.frames:
            text += f" ({self.done} of {self.total} passes over a frame were made)"
        return text


@dataclass(frozen=True)
class Target:
    """Where the labels of a stack go.

    Parameters
    ----------
    stack
        Gives axes, scale and length.
    output
        Labels to write: .tif, .tiff, .zarr, or a folder of the Cell Tracking Challenge.
    overwrite
        Replace `output` and `quality`.
    parents
        Returns the lineage at the end, as `TrackingSession.parents`.
    quality
        Table to write, .csv: how sure the network is, see `QualityTable`.
    """

    stack: Stack
    output: Path
    overwrite: bool = False
    parents: Callable[[], Mapping[int, int]] = dict
    quality: Path | None = None

    def collect(
        self,
        results: Iterator[FrameResult],
        dtype: npt.DTypeLike,
        total: int,
        report: Callable[[int, int], None] | None = None,
        changes: Iterable[FrameResult] = (),
    ) -> Outcome:
        """Write results as they come, and the file at the end or when something stops them.

        Then `changes` take the place of results that were written; they do not count as frames.
        What stops half-way never takes the place of something that is there: it goes beside it.

        Raises
        ------
        InputError, OutputError
            If the output cannot be written.
        """
        masklets, table = self._begun(self._claimed(), dtype)
        done, failure = 0, None
        present: dict[int, set[int]] = {}  # the objects on each frame that was finished

        def keep(result: FrameResult) -> None:
            masklets[result.frame] = result.labels
            found = np.unique(result.labels[result.labels > 0], return_counts=True)
            areas = dict(zip(*(some.tolist() for some in found), strict=True))
            present[result.frame] = set(areas)
            if table is not None:
                table.add(result, areas)

        try:
            if report is not None:
                report(done, total)
            for result in results:
                keep(result)
                done += 1
                if report is not None:
                    report(done, total)
            for result in changes:
                keep(result)
        except (Exception, KeyboardInterrupt) as error:
            failure = error
        output, quality = self._places(whole=failure is None)
        if done:
            remarks = self._finished(masklets, table, output, quality)
        else:
            remarks, quality = self._dropped(masklets, table), None
        counts = len(present), len(masklets), len(set().union(*present.values()))
        return Outcome(done, total, output, *counts, quality, failure, remarks)

    def _claimed(self) -> Path:
        """Make a folder for the frames until the output is written, which no other run has.

        What a killed run has left in one stays there.
        """
        wanted = self.output.with_name(f".{self.output.name}.unfinished.zarr")
        with writing(self.output):
            wanted.parent.mkdir(parents=True, exist_ok=True)
            for store in numbered(wanted):
                try:
                    store.mkdir()
                except FileExistsError:
                    continue
                return store
        raise AssertionError("there is always a further number")

    def _begun(self, store: Path, dtype: npt.DTypeLike) -> tuple[Masklets, QualityTable | None]:
        """Begin masklets in the folder, and the table; if that fails, there is nothing to keep."""
        try:
            masklets = Masklets(self.stack.data.shape[:3], dtype, store)
            return masklets, None if self.quality is None else QualityTable(self.quality)
        except OutputError:
            with suppress(OSError):
                remove(store)
            raise

    def _places(self, whole: bool) -> tuple[Path, Path | None]:
        """Return where labels and table go: what is not whole never replaces what is there."""
        output, quality = self.output, self.quality
        if not whole and taken(output):
            output = _partial(output)
        # A table beside old labels would be taken for theirs.
        if quality is not None and not whole and (output != self.output or taken(quality)):
            quality = _partial(quality)
        return output, quality

    def _finished(
        self, masklets: Masklets, table: QualityTable | None, output: Path, quality: Path | None
    ) -> tuple[str, ...]:
        """Write both to their places; returns remarks. If that fails, what was kept stays."""
        store, lines = masklets.store, ""
        if table is not None:
            table.close()
            lines = f", their quality in {table.unfinished}"
        with _noting(f"the finished frames are in {store}{lines}"):
            remarks = export_masklets(
                output,
                masklets,
                axes=self.stack.axes[:3],
                scale=self.stack.scale,
                unit=self.stack.unit,
                parents=self.parents(),
                overwrite=self.overwrite,
            )
        self._dropped(masklets)
        if table is not None and quality is not None:
            with _noting(f"the labels are in {output}{lines}"):
                table.finish(quality, self.overwrite)
        return remarks

    def _dropped(self, masklets: Masklets, table: QualityTable | None = None) -> tuple[()]:
        """Delete what was kept meanwhile, which leaves no remarks."""
        assert masklets.store is not None
        with suppress(OSError):  # it is hidden, and of no use any more
            remove(masklets.store)
        if table is not None:
            table.discard()
        return ()


@contextmanager
def _noting(left: str) -> Iterator[None]:
    """Say in an error, or when Ctrl-C stops the writing itself, what is where."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(left)
        raise
    except (InputError, OutputError) as error:
        raise type(error)(f"{error}; {left}") from error


def _partial(path: Path) -> Path:
    """Return a free name beside a path, for what is not complete."""
    name = f"{path.stem}{'.' if path.suffix else '_'}partial{path.suffix}"
    return next(p for p in numbered(path.with_name(name)) if not taken(p))


def check_output(path: Path, overwrite: bool, *inputs: Path | None) -> str:
    """Refuse, before any work, labels that could not be written.

    Returns
    -------
    The name of their format, for `check_room` once their shape is known.

    Raises
    ------
    InputError
        If the name is for something else than labels, is that of an input, or is taken and may not
        be replaced.
    OutputError
        If nothing can be written there.
    """
    if path.suffix.lower() not in ("", *TIFF, *ZARR):
        raise InputError(
            f"cannot write labels to {path}; choose a name in .tif or .zarr, or one without a "
            "suffix for a Cell Tracking Challenge folder"
        )
    check_apart(path, *inputs)
    return check_target(path, None, overwrite)


def check_beside(
    path: Path | None, suffix: str, what: str, output: Path, overwrite: bool, *inputs: Path | None
) -> None:
    """Refuse, before any work, a file beside the labels that could not be written; None: no file.

    Parameters
    ----------
    path, suffix, what
        Where, what its name has to end in, and what it holds.
    output, overwrite, inputs
        As for `check_output`.

    Raises
    ------
    InputError
        If the name is for something else, is in the output or that of an input, or is taken and
        may not be replaced.
    OutputError
        If nothing can be written there.
    """
    if path is None:
        return
    if not path.name.lower().endswith(suffix):
        raise InputError(f"cannot write the {what} to {path}; choose a name in {suffix}")
    if path.resolve().is_relative_to(output.resolve()):
        raise InputError(f"{path} is in {output}, which holds labels only; choose another place")
    check_apart(path, *inputs)
    check_free(path, overwrite)
    check_writable(path)
