"""Teaching a small model the cells of the window. No Qt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.session.record import Record
from napari_sam2.widgets.session.runs import Run
from napari_sam2.widgets.verbs.exporting import WrittenLabels

if TYPE_CHECKING:
    from napari_sam2.teaching import Taught
    from napari_sam2.widgets.workbench import Workbench

WEIGHTS = ".safetensors"


def teach(bench: Workbench, path: Path, overwrite: bool = False, steps: int | None = None) -> None:
    """Teach the model that is in use, from the frames that were prompted on; returns at once.

    What was corrected on a frame was looked at; so all masks on it are taken to be right.
    Cancelling keeps what was learned until then. The weights are offered as a model.

    Parameters
    ----------
    path
        The weights (.safetensors) to write.
    overwrite
        Replace what is there, because the user was asked.
    steps
        How long; None: as long as suits most.
    """
    layers = bench.require_layers()
    if layers is None or bench.writer is None:
        return
    labels = WrittenLabels(bench.writer, layers.geometry, layers.labels.data.dtype)
    model, device = bench.model, bench.device
    found: list[Taught] = []
    written: list[Path] = []

    def work(record: Record, run: Run) -> None:
        from napari_sam2 import teaching  # torch takes seconds to import

        run.follow = False
        session, began = record.history.session, time.monotonic()

        def progress(done: int, total: int) -> None:
            run.total, run.seconds = total, time.monotonic() - began
            run.count()
            run.check()

        before = teaching.stamp(path)
        try:
            taught = teaching.teach(
                session.frames,
                labels,
                path,
                frames=looked_at(session),
                start=model,
                device=device,
                steps=teaching.STEPS if steps is None else steps,
                workers=0,  # another process would begin as the program did that opened the window
                overwrite=overwrite,
                progress=progress,
            )
            found.append(taught)
        finally:
            if teaching.stamp(path) != before:
                written.append(path)

    def said(run: Run) -> str:
        if run.cancelled.is_set():
            kept = f"{path.name} holds what was learned" if written else "nothing was written"
            return f"The lesson was cancelled; {kept}."
        return f"Taught: {path.name}.{brought(found[0])} Choose it under Model, then G."

    def after(_finished: bool) -> None:
        if written:
            bench.taught.emit(str(path))

    bench.controller.start(work, f"Teaching {path.name} …", said=said, after=after)


def looked_at(session: Any) -> Sequence[int]:
    """Return the frames on which some object was clicked, boxed or painted.

    Raises
    ------
    InputError
        If there is none.
    """
    prompts = (one for frames in session.prompts.values() for one in frames.items())
    frames = sorted({frame for frame, prompt in prompts if not prompt.absent})
    if not frames:
        raise InputError("there is nothing to learn from yet; make masks of some cells first")
    return frames


def brought(taught: Taught) -> str:
    """Say what came of a lesson, or nothing where no frame was held back."""
    if not taught.after:
        return ""
    rise = (f"one {p} {taught.before[p]:.2f} to {iou:.2f}" for p, iou in taught.after.items())
    return f" IoU on frames that were held back: {', '.join(rise)}."
