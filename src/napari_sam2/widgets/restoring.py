"""Bringing back what was done to an image before: from kept results, else step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_sam2.tracking.prompt import Prompts
from napari_sam2.tracking.results_file import NoResults
from napari_sam2.tracking.session_file import SessionFile
from napari_sam2.widgets.record import Record
from napari_sam2.widgets.runs import Run, summary
from napari_sam2.widgets.saving import SessionKeeper


class Restoring:
    """The work of restoring a session, and what to say of it.

    Parameters
    ----------
    content
        What the session file says.
    layers_of
        Makes the prompt layers from prompts; runs on the worker's thread.
    """

    def __init__(self, content: SessionFile, layers_of: Callable[[Prompts], Any]) -> None:
        self._content = content
        self._layers_of = layers_of
        self._reason = ""

    def work(self, record: Record, keeper: SessionKeeper, run: Run) -> None:
        """Do it; on the worker's thread."""
        run.follow = False
        try:
            frames = keeper.open(self._content)
        except NoResults as error:
            self._reason = str(error)
            self._compute(record, run)
            return
        run.total = len(frames)
        for result in record.resume(frames, self._layers_of):
            run.note(result.frame)  # to the end, even if cancelled: the session is there already

    def _compute(self, record: Record, run: Run) -> None:
        run.total = self._content.cost()
        for step in self._content.steps:
            run.consume(record.run(step, layers_of=self._layers_of))
            if run.cancelled.is_set():
                break

    def said(self, run: Run) -> str:
        """Say how it ended."""
        if self._reason:
            why = self._reason[0].upper() + self._reason[1:]
            return f"{why}; they were computed again. {summary(run)}"
        frames = "1 frame" if run.done == 1 else f"{run.done} frames"
        return f"Restored as it was: masks on {frames}. What was done before cannot be undone."
