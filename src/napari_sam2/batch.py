"""A stack and prompts in, a label file out: what `napari-sam2 track` does, without the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_sam2.export.files import check_apart
from napari_sam2.export.formats import check_room
from napari_sam2.journal import Journal, Keep
from napari_sam2.model.sam2 import SAM2
from napari_sam2.prompt_files import check_there, mask_files, prompts_from
from napari_sam2.stacks import Stack, open_stack
from napari_sam2.target import Outcome, Target, check_beside, check_output
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.everything import check_diameter
from napari_sam2.tracking.following.passes import Direction
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.session_file import SUFFIX as SESSION
from napari_sam2.tracking.kept.session_file import ImageIdentity, SessionFile
from napari_sam2.tracking.kept.steps import AddPrompts, CloseGaps, Propagate, Step
from napari_sam2.tracking.masklets import label_dtype
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompts import Prompts
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.stack.channels import Channels
from napari_sam2.weights import lasting_name


@dataclass(frozen=True)
class TrackJob:
    """Everything a run needs but the model; `open` has checked it.

    Parameters
    ----------
    stack, frames
        The images.
    prompts
        Object id -> frame -> prompt; none yet before `find_cells`.
    output
        Labels to write: .tif, .tiff, .zarr, or a folder of the Cell Tracking Challenge.
    direction, start, stop
        Which way and over which frames to propagate, as for `TrackingSession.propagate`.
    overwrite
        Replace `output` and `quality`.
    close_gaps
        Longest gap to fill at the end, see `TrackingSession.close_gaps`; 0 for none.
    find_every
        Frames from one look for new cells to the next, see `TrackingSession.propagate_and_find`; 0
        for none.
    diameter
        Of cells that are looked for in pixels; None: all sizes, and on the way that of the masks
        that are there; all sizes where there are fewer than three.
    quality
        Table to write, .csv: how sure the network is of each object on each frame.
    session
        Session file to write, .ns2.json.
    image
        What it says of the images.
    """

    stack: Stack
    frames: Frames
    prompts: Prompts
    output: Path
    direction: Direction = "both"
    start: int | None = None
    stop: int | None = None
    overwrite: bool = False
    close_gaps: int = 0
    find_every: int = 0
    diameter: float | None = None
    quality: Path | None = None
    session: Path | None = None
    image: ImageIdentity | None = None

    @classmethod
    def open(
        cls,
        stack: Path,
        prompts: Path | None,
        output: Path,
        *,
        axes: str | None = None,
        channel: Channels | None = None,
        select: Mapping[str, int] | None = None,
        contrast: tuple[float, float] | None = None,
        prompt_frame: int = 0,
        direction: Direction = "both",
        start: int | None = None,
        stop: int | None = None,
        overwrite: bool = False,
        close_gaps: int = 0,
        find_every: int = 0,
        diameter: float | None = None,
        quality: Path | None = None,
        session: Path | None = None,
    ) -> TrackJob:
        """Open the files and check everything that can be checked without a model.

        Parameters
        ----------
        stack, axes, channel, select
            The images, as for `open_stack`; `select` is for a label image of prompts, too, where
            that has the axis.
        prompts
            A prompts file (.json), regions of ImageJ (.zip, .roi), or a label image in which each
            label is a mask prompt. None: `find_cells` is to find them.
        contrast
            Values shown as black and white, of a mix in every colour; default: percentiles of the
            whole stack.
        prompt_frame
            The frame that a label image or a region without a position belongs to, or on which
            cells are to be found.
        output, direction, start, stop, overwrite, close_gaps, find_every, diameter, quality
            As in the class.
        session
            As in the class.

        Raises
        ------
        InputError
            If any of it is unusable; the message names it and the remedy.
        OutputError
            If nothing can be written to `output`, `quality` or `session`, or its disk is full.
        """
        format = check_output(output, overwrite, stack, prompts)
        check_beside(quality, ".csv", "quality", output, overwrite, stack, prompts)
        check_beside(session, SESSION, "session", output, overwrite, stack, prompts)
        if close_gaps < 0:
            raise InputError(f"gaps of {close_gaps} frames do not exist; give 1 or more, or 0")
        if find_every < 0:
            raise InputError(f"cells are found every 1 or more frames, not {find_every}; or give 0")
        check_there(prompts)
        opened = open_stack(stack, axes, channel=channel, select=select)
        check_room(output, opened.data.shape[:3], format)
        frames = opened.frames(contrast)
        _check_range(start, stop, len(frames))
        planes = {letter.upper(): index for letter, index in (select or {}).items()}
        objects = prompts_from(prompts, opened, frames, prompt_frame, planes, axes)
        if prompts is not None and prompts.suffix.lower() == ".json":
            for written in filter(None, (output, quality, session)):
                check_apart(written, *mask_files(prompts))
        label_dtype(objects)
        check_diameter(diameter, frames.shape)
        image = None
        if session is not None:
            image = ImageIdentity.of(frames, str(stack.resolve()), axes or "", channel, planes)
        return cls(
            opened,
            frames,
            objects,
            output,
            direction,
            start,
            stop,
            overwrite,
            close_gaps,
            find_every,
            diameter,
            quality,
            session,
            image,
        )


def find_cells(
    job: TrackJob,
    model: SAM2,
    frame: int = 0,
    policy: TrackingPolicy | None = None,
    report: Callable[[int, int], None] | None = None,
) -> TrackJob:
    """Return a job with all cells that are found on a frame as its prompts.

    Parameters
    ----------
    job
        What to do with them.
    model
        From `load_model`.
    frame
        Where to look.
    policy
        As for `TrackingSession`.
    report
        Called with the clicks done and in all.

    Raises
    ------
    InputError
        If the frame or the diameter cannot be used, or nothing is found.
    """
    session = TrackingSession(model, job.frames, policy)
    prompts: Prompts = {}
    for found in session.segment_everything(frame, diameter=job.diameter):
        prompts = found.prompts(frame)
        if report is not None:
            report(found.done, found.total)
    if not prompts:
        size = "the diameter of a typical cell" if job.diameter is None else "another diameter"
        raise InputError(
            f"no cells were found on frame {frame}; try another frame, give {size}, or give prompts"
        )
    label_dtype(prompts)
    return replace(job, prompts=prompts)


def track(
    job: TrackJob,
    model: SAM2,
    policy: TrackingPolicy | None = None,
    report: Callable[[int, int], None] | None = None,
    name: str = "micro",
) -> Outcome:
    """Track, and write the labels with the axes and scale of the stack, qualities and session.

    While it runs, the finished frames are in a zarr array beside the output, and the lines of the
    table and the session in files beside these, so that they survive a crash. Frames that were not
    reached hold 0.

    Parameters
    ----------
    job
        What to do.
    model
        From `load_model`.
    policy
        As for `TrackingSession`.
    report
        Called after each frame with the frames done and in all.
    name
        Of the model, or its path, for the session file.

    Raises
    ------
    InputError
        If the session refuses a prompt or the range.
    OutputError
        If the output cannot be written.
    """
    history = History(TrackingSession(model, job.frames, policy))
    history.do(AddPrompts(job.prompts))
    session = history.session
    total = session.total_frames(job.direction, job.start, job.stop, find_every=job.find_every)
    if not total:
        raise InputError(
            f"no frame of those that are asked for lies {job.direction} from the prompts; give "
            "another direction, start or stop"
        )
    dtype = label_dtype(job.prompts)
    steps: list[Step] = [_following(job, int(np.iinfo(dtype).max))]
    if job.close_gaps:
        steps.append(CloseGaps(job.close_gaps))
    keep = None
    if job.session is not None and job.image is not None:
        about = SessionFile.about(session, job.image, lasting_name(name))
        keep = Keep(job.session, about, job.overwrite)
    target = Target(job.stack, job.output, job.overwrite, lambda: session.parents, job.quality)
    return Journal(history, steps, keep).collect(target, dtype, total, report)


def _following(job: TrackJob, last_id: int) -> Propagate:
    if not job.find_every:
        return Propagate(job.direction, job.start, job.stop)
    return PropagateAndFind(
        job.direction,
        job.start,
        job.stop,
        every=job.find_every,
        diameter=job.diameter,
        last_id=last_id,
        dividing=not job.stack.axes.startswith("Z"),
    )


def _check_range(start: int | None, stop: int | None, length: int) -> None:
    for name, value, first in (("start", start, 0), ("stop", stop, 1)):
        if value is not None and not first <= value < length + first:
            raise InputError(f"{name} {value} is outside the stack, which has {length} frames")
    if start is not None and stop is not None and start >= stop:
        raise InputError(f"start {start} must be below stop {stop}")
