"""How sure the network is of every mask: a table that grows while frames come."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from napari_sam2.export.files import completed, numbered, remove
from napari_sam2.export.tables import QUALITY, cell
from napari_sam2.tracking.errors import OutputError, writing
from napari_sam2.tracking.results import FrameResult

COLUMNS = ("object_id", "frame", "area_px", *QUALITY)


class QualityTable:
    """A line for each object and frame that was looked at; the columns are those of measurements.

    Until it is finished, the lines are in a hidden file beside it, in the order in which they come
    and on the disk with every frame, so that they survive a crash. A frame that comes again has
    lines there again, of which the last ones count.

    Parameters
    ----------
    path
        Where the table is to be, a .csv file; the folder is made where it is missing.

    Raises
    ------
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unfinished = path
        self._frames: dict[int, str] = {}
        wanted = path.with_name(f".{path.name}.unfinished{path.suffix}")
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            for unfinished in numbered(wanted):
                try:
                    self._file = unfinished.open("x", encoding="ascii", newline="\n")
                except FileExistsError:  # of another run, or of one that was killed
                    continue
                self.unfinished = unfinished
                break
        try:
            with writing(path):
                self._append(",".join(COLUMNS) + "\n")
        except OutputError:
            self.discard()
            raise

    def add(self, result: FrameResult, areas: Mapping[int, int]) -> None:
        """Write the lines of a frame, in place of those that it had.

        Parameters
        ----------
        result
            Its `quality` says which objects were looked for.
        areas
            Pixels of each object that has a mask on the frame.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        rows = []
        for i, quality in sorted(result.quality.items()):
            values = [float(getattr(quality, field)) for field in QUALITY.values()]
            rows.append([i, result.frame, areas.get(i, 0), *values])
        lines = "".join(",".join(map(cell, row)) + "\n" for row in rows)
        self._frames[result.frame] = lines
        with writing(self.path):
            self._append(lines)

    def finish(self, path: Path, overwrite: bool = False) -> None:
        """Write the table to a path, sorted by frame and object; the hidden file goes.

        Raises
        ------
        InputError, OutputError
            If the name is taken, or it cannot be written; the hidden file stays.
        """
        self.close()
        with completed(path, overwrite) as partial:
            lines = (self._frames[frame] for frame in sorted(self._frames))
            partial.write_text(
                "".join([",".join(COLUMNS) + "\n", *lines]), encoding="ascii", newline="\n"
            )
        self.discard()

    def close(self) -> None:
        """Leave the hidden file as it is."""
        self._file.close()

    def discard(self) -> None:
        """Delete the hidden file, if the system lets it go."""
        self.close()
        with suppress(OSError):  # the table is there; this is only what is left of making it
            remove(self.unfinished)

    def _append(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()
