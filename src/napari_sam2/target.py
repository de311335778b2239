"""Where a run writes: frame by frame beside the output, and the output at the end."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_sam2.export.files import check_apart, numbered, taken
from napari_sam2.export.formats import check_target, export_masklets
from napari_sam2.export.labels import TIFF, ZARR
from napari_sam2.stacks import Stack
from napari_sam2.tracking.errors import InputError, OutputError, writing
from napari_sam2.tracking.masklets import Masklets
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
    failure
        What stopped it (`KeyboardInterrupt` for Ctrl-C), or None. The frames that were finished
        are in `output` all the same, if there are any.
    remarks
        What the output could not hold, in words.
    """

    done: int
    total: int
    output: Path
    frames: int
    length: int
    objects: int
    failure: BaseException | None = None
    remarks: tuple[str, ...] = ()

    @property
    def kept(self) -> str:
        """What is where after a failure, in words."""
        text = f"{self.frames} of {self.length} frames are kept in {self.output}"
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
        Replace `output`.
    parents
        Returns the lineage at the end, as `TrackingSession.parents`.
    """

    stack: Stack
    output: Path
    overwrite: bool = False
    parents: Callable[[], Mapping[int, int]] = dict

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
        store = self._claimed()
        masklets = self._begun(store, dtype)
        done, failure = 0, None
        present: dict[int, set[int]] = {}  # the objects on each frame that was finished

        def keep(result: FrameResult) -> None:
            masklets[result.frame] = result.labels
            present[result.frame] = set(np.unique(result.labels[result.labels > 0]).tolist())

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
        output = self.output if failure is None else self._beside()
        remarks = self._write(masklets, output) if done else ()
        shutil.rmtree(store, ignore_errors=True)
        objects = len(set().union(*present.values()))
        return Outcome(done, total, output, len(present), len(masklets), objects, failure, remarks)

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

    def _begun(self, store: Path, dtype: npt.DTypeLike) -> Masklets:
        """Begin masklets in the folder; if that fails, it holds nothing to keep."""
        try:
            return Masklets(self.stack.data.shape[:3], dtype, store)
        except OutputError:
            shutil.rmtree(store, ignore_errors=True)
            raise

    def _beside(self) -> Path:
        """Return a free name for what is not complete: the output's, unless that is taken."""
        if not taken(self.output):
            return self.output
        suffix = self.output.suffix
        name = f"{self.output.stem}{'.' if suffix else '_'}partial{suffix}"
        return next(p for p in numbered(self.output.with_name(name)) if not taken(p))

    def _write(self, masklets: Masklets, output: Path) -> tuple[str, ...]:
        stack = self.stack
        try:
            return export_masklets(
                output,
                masklets,
                axes=stack.axes[:3],
                scale=stack.scale,
                unit=stack.unit,
                parents=self.parents(),
                overwrite=self.overwrite,
            )
        except (InputError, OutputError) as error:
            kind = type(error)
            raise kind(f"{error}; the finished frames are in {masklets.store}") from error


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
