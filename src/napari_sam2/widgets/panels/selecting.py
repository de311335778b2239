"""Objects that are selected for what they are: at the edge, short, small, large or unsure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QInputDialog, QMenu

from napari_sam2.widgets.session.overview import Overview
from napari_sam2.widgets.session.worker import WindowThread, Worker

if TYPE_CHECKING:
    from napari_sam2.widgets.layers.results import ResultWriter
    from napari_sam2.widgets.panels.object_table import ObjectTable
    from napari_sam2.widgets.workbench import Workbench

EDGE = "edge"
_MOST = 10**9


@dataclass(frozen=True)
class Rule:
    """A way to select objects by a number and a bound.

    Parameters
    ----------
    title
        In the menu.
    question
        What the bound is.
    above
        Whether those above the bound are meant, or those below.
    numbers
        (N,) of the objects of an overview, in the order of its ids; only those with masks count.
    proposed
        The bound that is proposed, by these numbers of the objects that have masks.
    """

    title: str
    question: str
    above: bool
    numbers: Callable[[Overview], npt.NDArray[Any]]
    proposed: Callable[[npt.NDArray[Any]], float]


def _usual_area(overview: Overview) -> npt.NDArray[Any]:
    """Median area of each object in data pixels."""
    areas = np.ma.masked_equal(overview.area, 0)
    return np.asarray(np.ma.median(areas, axis=1).filled(0))


def _lowest(overview: Overview) -> npt.NDArray[Any]:
    """Lowest score of each object in percent, as the table shows it."""
    return np.array([round(100 * (row.lowest or 0.0)) for row in overview.summaries])


RULES: dict[str, Rule] = {
    "short": Rule(
        "On few frames …",
        "Objects with a mask on fewer frames than",
        False,
        lambda overview: overview.covered.sum(axis=1),
        lambda counts: max(2, counts.max() // 10),
    ),
    "small": Rule(
        "Small …",
        "Objects whose median area in pixels is below",
        False,
        _usual_area,
        lambda areas: np.median(areas) / 2,
    ),
    "large": Rule(
        "Large …",
        "Objects whose median area in pixels is above",
        True,
        _usual_area,
        lambda areas: 2 * np.median(areas),
    ),
    "unsure": Rule(
        "Unsure …",
        "Objects whose lowest score in percent is below",
        False,
        _lowest,
        lambda _: 50,
    ),
}


def add_select_menu(menu: QMenu, any_objects: bool, choose: Callable[[str], None]) -> None:
    """Add "Select" to a menu: by one of `RULES`, or what touches the edge.

    Parameters
    ----------
    menu
        To add it to.
    any_objects
        Whether there are any to select.
    choose
        Called with `EDGE` or a key of `RULES`.
    """
    found = menu.addMenu("Select")
    assert found is not None
    found.setEnabled(any_objects)
    found.addAction("At the edge of the image", lambda: choose(EDGE))
    for name, rule in RULES.items():
        found.addAction(rule.title, lambda name=name: choose(name))


def at_edge(writer: ResultWriter, check: Callable[[], bool]) -> set[int]:
    """Return the objects whose mask reaches the edge of the image on any frame.

    Parameters
    ----------
    writer
        Has the masks.
    check
        Asked before each frame whether to go on.
    """
    found: set[int] = set()
    for frame in sorted(writer.frames):
        if not check():
            break
        plane = writer.read(frame)
        for rim in (plane[0], plane[-1], plane[:, 0], plane[:, -1]):
            found.update(np.unique(rim).tolist())
    return found - {0}


class Selecting(QObject):
    """Selects rows of the object table.

    Parameters
    ----------
    bench
        Has the masks.
    table
        Where they are selected; the parent of dialogs.
    overview
        Returns what is known of the objects.
    """

    def __init__(
        self, bench: Workbench, table: ObjectTable, overview: Callable[[], Overview]
    ) -> None:
        super().__init__(table)
        self._bench, self._table, self._overview = bench, table, overview
        # Reading many frames from a disk takes longer than the window may stand still.
        self._worker = Worker(WindowThread(self))
        self._open = True

    @property
    def busy(self) -> bool:
        """Whether rows are about to be selected."""
        return self._worker.busy

    def select(self, name: str) -> None:
        """Select by a rule, and ask for its bound."""
        if name == EDGE:
            self._select_at_edge()
            return
        rule, overview = RULES[name], self._overview()
        covered = overview.covered.any(axis=1)
        if not covered.any():
            self._show([])
            return
        numbers = rule.numbers(overview)
        bound, agreed = QInputDialog.getInt(
            self._table, "Select objects", rule.question, int(rule.proposed(numbers[covered])), 0,
            _MOST,
        )  # fmt: skip
        if agreed:
            fitting = covered & (numbers > bound if rule.above else numbers < bound)
            self._show([i for i, fits in zip(overview.ids, fitting, strict=True) if fits])

    def _select_at_edge(self) -> None:
        writer = self._bench.writer
        if writer is None:
            return

        def current() -> bool:
            return self._open and writer is self._bench.writer

        def done(found: set[int]) -> None:
            if current():
                self._show(sorted(found & set(self._overview().ids)))

        self._worker.submit(
            lambda: at_edge(writer, current),
            done=done,
            failed=self._bench.controller.tell,
            key=EDGE,
        )

    def _show(self, ids: list[int]) -> None:
        if not ids:
            self._bench.status.emit("No object is like that; the selection stays.", "info")
            return
        self._table.select(ids)
        self._bench.set_object(ids[0])
        self._table.setFocus()
        what = "1 object is" if len(ids) == 1 else f"{len(ids)} objects are"
        self._bench.status.emit(
            f"{what} selected: Del deletes, the right mouse button has more.", "done"
        )

    def close(self) -> None:
        """Take no more work."""
        self._open = False
        self._worker.close()
