"""A session file in, the same labels out: what `napari-sam2 track --session` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath

from napari_sam2.export.files import check_apart
from napari_sam2.export.formats import check_room
from napari_sam2.journal import Journal, Keep
from napari_sam2.model.sam2 import SAM2
from napari_sam2.stacks import Stack, open_stack
from napari_sam2.target import Outcome, Target, check_beside, check_output
from napari_sam2.tracking.errors import InputError, reading
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.results_file import results_path
from napari_sam2.tracking.kept.session_file import SUFFIX, SessionFile, load_session
from napari_sam2.tracking.masklets import label_dtype
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.stack.channels import Channels
from napari_sam2.weights import is_file_name, lasting_name


@dataclass(frozen=True)
class ReplayJob:
    """Everything a replay needs but the model; `open` has checked it.

    Parameters
    ----------
    stack, frames
        The images.
    session
        What was done to them.
    model
        Its model, a name or a file.
    output
        Labels to write, as for `Target`; a folder holds the lineage, too.
    overwrite
        Replace `output` and `quality`.
    quality
        Table to write, .csv, as for `Target`.
    keep
        Session file to write.
    resume
        The session file, if its results are to be taken over and only what is left is to be done.
    encodings
        Folder of encodings, as for `TrackingPolicy`.
    """

    stack: Stack
    frames: Frames
    session: SessionFile
    model: str
    output: Path
    overwrite: bool = False
    quality: Path | None = None
    keep: Keep | None = None
    resume: Path | None = None
    encodings: Path | None = None

    @classmethod
    def open(
        cls,
        session: Path,
        stack: Path | None,
        output: Path,
        *,
        model: str | None = None,
        axes: str | None = None,
        channel: Channels | None = None,
        select: Mapping[str, int] | None = None,
        overwrite: bool = False,
        quality: Path | None = None,
        keep: Path | None = None,
        resume: bool = False,
        encodings: Path | None = None,
    ) -> ReplayJob:
        """Open the files and check everything that can be checked without a model.

        Parameters
        ----------
        session
            The session file.
        stack
            The image; None for the one that the session names.
        model
            Name or file of the weights; None for those that the session names.
        axes, channel, select
            The part of the image, as for `open_stack`; where they are not given, the session's
            channel and planes are taken, and its axes where the file does not say them.
        output, overwrite, quality, encodings
            As in the class.
        keep
            Session file to write, .ns2.json.
        resume
            Take over the results that are kept with the session, and do only what is left.

        Raises
        ------
        InputError
            If any of it is unusable, or the image is not the one of the session.
        OutputError
            If nothing can be written to `output`, `quality` or `keep`, or its disk is full.
        """
        format = check_output(output, overwrite, session, stack)
        check_beside(quality, ".csv", "quality", output, overwrite, session, stack)
        read = (session, results_path(session), stack)
        check_beside(keep, SUFFIX, "session", output, overwrite, *read)
        content = load_session(session)
        if not content.steps and not (resume and content.left):
            raise InputError(f"{session.name} holds no prompts; there is nothing to do")
        model = weights_of(content, session) if model is None else model
        opened = _opened(content, session, stack, axes, channel, select)
        for written in filter(None, (output, quality, keep)):
            check_apart(written, opened.path)
        check_room(output, opened.data.shape[:3], format)
        frames = opened.frames(content.image.contrast)
        content.image.check(frames)
        kept = None
        if keep is not None:
            image = replace(content.image, path=str(opened.path.resolve()))
            named = lasting_name(model)
            about = replace(content, image=image, model=named, steps=(), left=())
            kept = Keep(keep, about, overwrite)
        resumed = session if resume else None
        return cls(
            opened, frames, content, model, output, overwrite, quality, kept, resumed, encodings
        )


def _opened(
    content: SessionFile,
    session: Path,
    stack: Path | None,
    axes: str | None,
    channel: Channels | None,
    select: Mapping[str, int] | None,
) -> Stack:
    """Open the image that a session is about; parameters as for `ReplayJob.open`."""
    image = content.image
    place = stack or image_of(content, session)
    channel, select = image.channel if channel is None else channel, select or image.select
    try:
        return open_stack(place, axes, channel=channel, select=select)
    except InputError:
        if axes is not None or not image.axes:
            raise
        return open_stack(place, image.axes, channel=channel, select=select)


def replay(
    job: ReplayJob, model: SAM2, report: Callable[[int, int], None] | None = None
) -> Outcome:
    """Do all steps of a session again, or go on with it, and write the labels and the qualities.

    Parameters
    ----------
    job
        What to do.
    model
        From `load_model`; the one of the session.
    report
        Called after each frame with the frames done and in all, which is an estimate.

    Raises
    ------
    InputError
        If the model is another one, or a step cannot be done.
    OutputError
        If the output cannot be written.
    """
    content = job.session
    content.check_model(model)
    policy = TrackingPolicy(attention=content.attention, zoom=content.zoom, encodings=job.encodings)
    history = History(TrackingSession(model, job.frames, policy))
    session = history.session
    target = Target(job.stack, job.output, job.overwrite, lambda: session.parents, job.quality)
    dtype = label_dtype(content.object_ids)
    if job.resume is None:
        journal = Journal(history, content.steps, job.keep, first=1)
        return journal.collect(target, dtype, content.cost(), report)
    kept = KeptSession(job.resume).restore(history)
    total = min(content.image.shape[0], content.cost()) + content.cost(content.left)
    return Journal(history, content.left, job.keep).collect(target, dtype, total, report, kept)


def image_of(content: SessionFile, session: Path) -> Path:
    """Find the image of a session where it was, or beside the session file.

    Raises
    ------
    InputError
        If it is not there.
    """
    if not content.image.path:
        raise InputError(f"{session.name} does not name its image; give the image, too")
    place = _place(content.image.path, session)
    if place is None:
        raise InputError(
            f"the image of the session is not at {content.image.path}; give the image, too"
        )
    return place


def weights_of(content: SessionFile, session: Path) -> str:
    """Return the name of a session's model; its file is found as `image_of` finds the image.

    Raises
    ------
    InputError
        If the file is not there.
    """
    if not is_file_name(content.model):
        return content.model
    place = _place(str(Path(content.model).expanduser()), session)
    if place is None:
        raise InputError(
            f"the weights of the session are not at {content.model}; give the weights, too"
        )
    return str(place)


def _place(path: str, session: Path) -> Path | None:
    """Find a file where it was, or beside the session file; None where it is in neither place."""
    named = Path(path)
    # Its name, also where the session comes from Windows; that knows both kinds of slashes.
    name = PureWindowsPath(path).name
    for place in (named, session.parent / named.name, session.parent / name):
        with reading(place):
            if place.exists():
                return place
    return None
