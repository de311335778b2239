"""A session on disk that opens at once: the file of its steps, and the results beside it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.results_file import NoResults, ResultsFile, results_path
from napari_sam2.tracking.kept.session_file import SessionFile, load_session, save_session
from napari_sam2.tracking.kept.session_text import SessionText

if TYPE_CHECKING:
    from napari_sam2.tracking.results import FrameResult


class KeptSession:
    """A session file (`.ns2.json`) and what it led to (`.ns2.results`).

    The results are a cache: where they are missing, damaged or out of date, the steps are done
    again.

    Parameters
    ----------
    path : of the session file.

    Examples
    --------
    >>> kept = KeptSession("cells.ns2.json")
    >>> kept.save(history, SessionFile.of(history, "micro"))
    >>> for result in KeptSession("cells.ns2.json").restore(new_history):
    ...     masklets[result.frame] = result.labels
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._text = SessionText()
        self._results = ResultsFile(results_path(self.path))

    def save(self, history: History, content: SessionFile) -> None:
        """Write what was done, and the results of the objects that have changed.

        Parameters
        ----------
        history : of the session.
        content : what the session file shall say.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        session = history.session
        state = save_session(self.path, content, session.prompts, self._text)
        self._results.write(state, session.object_ids, history.touched, session.packed)
        history.touched.clear()

    def open(self, history: History, content: SessionFile) -> list[int]:
        """Bring an empty session to where the file left it, without computing anything.

        Parameters
        ----------
        history : of the session; its steps are those of the file afterwards and cannot be undone.
        content : what the session file says.

        Returns
        -------
        list of int
            Frames on which there are objects, rising.

        Raises
        ------
        NoResults
            If the results cannot be used; the session stays empty.
        """
        session = history.session
        kept = self._results.read(content.state)
        try:
            session.unpack(kept)
        except ValueError as error:
            raise NoResults(f"the results that are kept cannot be used: {error}") from error
        history.resume(content.steps)
        return sorted({t for i in session.object_ids for t in session.frames_of(i)})

    def restore(self, history: History) -> Iterator[FrameResult]:
        """Bring an empty session to where the file left it; computes only what was not kept.

        Parameters
        ----------
        history : of a session on the same image, with the same model and policy.

        Yields
        ------
        FrameResult
            Frames with objects; one that is computed again may come several times.

        Raises
        ------
        InputError
            If the file cannot be read, or is about another image or model.
        """
        content = load_session(self.path)
        content.check(history.session)
        try:
            frames = self.open(history, content)
        except NoResults as reason:
            warnings.warn(f"{self.path.name}: {reason}; computing them again", stacklevel=2)
            for step in content.steps:
                yield from history.run(step)
            return
        yield from (history.session.result(frame) for frame in frames)
