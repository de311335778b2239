"""What is drawn for a sentence or a click: each time, Qt puts all of the window together anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fakes import blobs
from hands import until
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QWidget

from napari_sam2.widgets.session.worker import process_events


class Heard(QObject):
    """Counts events of a kind by what they are for."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind, self.counts = kind, Counter[Any]()

    def eventFilter(self, target: Any, event: Any) -> bool:
        if event.type() == self.kind:
            self.counts[target] += 1
        return False


def settle() -> None:
    for _ in range(5):  # a layout is handed upwards from round to round
        process_events()


@contextmanager
def heard(kind: Any) -> Iterator[Counter[Any]]:
    application, ears = QApplication.instance(), Heard(kind)
    application.installEventFilter(ears)
    yield ears.counts
    settle()
    application.removeEventFilter(ears)


@pytest.fixture
def opened(open_docked: Any) -> Any:
    window = open_docked(blobs())
    until(lambda: not (window.widget.panels.busy or window.widget.forecaster.waiting))
    window.done()
    settle()
    return window


def test_a_sentence_lays_nothing_out_but_itself(opened):
    status = opened.widget.form.status
    opened.widget.form.say("Some words.", "info")
    settle()
    with heard(QEvent.Type.LayoutRequest) as asked:
        opened.widget.form.say("Other words.", "done")
    assert not [part for part in asked if part not in (status, status.label)]
    with heard(QEvent.Type.Paint) as painted:
        opened.widget.form.say("Words again.", "done")
    assert painted[status.label] == 1


def test_a_sentence_has_the_lines_that_it_needs(opened):
    form, status = opened.widget.form, opened.widget.form.status
    form.say("Few.", "info")
    settle()
    usual = status.height()
    form.say("Many words that do not fit. " * 30, "error")
    settle()
    assert status.height() >= status.label.heightForWidth(status.width()) > usual
    assert status.label.size() == status.size()
    form.say("Few.", "info")
    settle()
    assert status.height() == usual


def test_what_stays_as_it_is_is_not_drawn_anew(opened):
    form = opened.widget.form
    boxes: list[QWidget] = [
        form.swatch,
        form.propagation.range,
        *(box.native for box in (form.object_id, form.propagation.first, form.propagation.last)),
    ]
    with heard(QEvent.Type.Paint) as painted:
        opened.widget.workbench.changed.emit()
    assert not [box for box in boxes if painted[box]]
