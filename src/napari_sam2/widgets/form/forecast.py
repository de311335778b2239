"""What a propagation will take, said before it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from qtpy.QtCore import QObject, QTimer

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.pace import Pace
from napari_sam2.tracking.kept.steps import Propagate, Repair
from napari_sam2.widgets.form.propagation_form import PropagationForm
from napari_sam2.widgets.session.runs import Cancelled, Way, Wish, planned
from napari_sam2.widgets.session.worker import Worker
from napari_sam2.widgets.workbench import Workbench

if TYPE_CHECKING:
    from napari_sam2.tracking.following.workload import Workload

_REST_MS = 250
_MINUTE, _HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Forecast:
    """What a propagation will take.

    Parameters
    ----------
    seconds : least and most, equal where that was measured; None where nothing is known.
    memory : bytes, label images included where they are in memory.
    disk : bytes at most of label images that are on disk.
    free : bytes of memory that are free now.
    """

    seconds: tuple[float, float] | None
    memory: int
    disk: int
    free: int

    @property
    def text(self) -> str:
        """Say it: "about 2 min, 600 MB of memory"."""
        parts = [] if self.seconds is None else [in_time(*self.seconds)]
        scarce = f" (only {in_bytes(self.free)} are free)" if self.memory > self.free else ""
        parts.append(f"{in_bytes(self.memory)} of memory{scarce}")
        if self.disk:
            parts.append(f"up to {in_bytes(self.disk)} on disk")
        return ", ".join(parts)


def in_time(least: float, most: float) -> str:
    """Say a time: "about 40 s", or "1 to 4 min" where it is known only roughly."""
    low, high = _duration(least), _duration(most)
    if low == high:
        return f"about {high}"
    number, unit = low.split(" ")
    return f"{number if high.endswith(unit) else low} to {high}"


def _duration(seconds: float) -> str:
    for unit, length, most in (("s", 1.0, 90.0), ("min", _MINUTE, 90 * _MINUTE)):
        if seconds < most:
            return f"{max(_rounded(seconds / length), 1):g} {unit}"
    return f"{_rounded(seconds / _HOUR):g} h"


def _rounded(number: float) -> float:
    """Keep one digit, halves up to 3, or steps of five from 15 on: nobody knows it better."""
    if number < 3:
        return round(2 * number) / 2
    if number >= 95:
        return round(number, 1 - math.floor(math.log10(number)))
    return 5 * round(number / 5) if number >= 15 else round(number)


def in_bytes(size: int) -> str:
    """Say a size with two digits: "600 MB", "1.2 GB"."""
    unit, length = ("GB", 1e9) if size >= 0.995e9 else ("MB", 1e6)
    number = size / length
    if number < 9.95:
        return f"{number:.1f} {unit}"
    return f"{round(number, 1 - math.floor(math.log10(number))):.0f} {unit}"


def forecast(session: Any, pace: Pace, wish: Wish, on_disk: bool) -> Forecast | None:
    """Return what a propagation will take; None if there is nothing to do.

    Parameters
    ----------
    on_disk : the label images are.
    """
    try:
        step, _ = planned(session, wish)
    except InputError:
        return None
    work: Workload
    if isinstance(step, Propagate):
        work = session.workload(step.direction, step.start, step.stop, step.object_ids)
    else:
        assert isinstance(step, Repair)
        work = session.repair_workload(step.object_ids)
    labels = 2 * work.fresh * math.prod(session.frames.shape)
    seconds = None  # nobody knows what finding takes
    if not isinstance(step, PropagateAndFind):
        seconds = pace.seconds(work.frames, int(np.sum(work.looks)))
    memory = work.memory + (0 if on_disk else labels)
    free = int(psutil.virtual_memory().available)
    return Forecast(seconds, memory, labels if on_disk else 0, free)


class Forecaster(QObject):
    """Keeps what the form says of a propagation up to date.

    Parameters
    ----------
    bench
        Has the session.
    worker
        Of the session, which belongs to its thread.
    form
        Shows it.
    parent
        Lives as long as this.
    """

    def __init__(
        self, bench: Workbench, worker: Worker, form: PropagationForm, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._bench, self._worker, self._form = bench, worker, form
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST_MS)
        self._timer.timeout.connect(self._look)
        bench.changed.connect(self.request)
        for box in (form.first, form.last):
            box.changed.connect(self.request)
        for tick in (form.only_stale, form.find_new):
            tick.toggled.connect(self.request)

    @property
    def waiting(self) -> bool:
        """Whether something newer is about to be shown."""
        return self._timer.isActive()

    def request(self, _value: Any = None) -> None:
        """Show soon what is so; many calls become one."""
        self._timer.start()

    def _look(self) -> None:
        bench, controller = self._bench, self._bench.controller
        pace, layers = controller.pace, bench.layers
        if controller.run is not None:
            return
        if pace is None or layers is None or layers.geometry.length < 2:
            self._form.show_forecasts({})
            return
        session, on_disk = controller.session, not isinstance(layers.labels.data, np.ndarray)
        ways: tuple[Way, ...] = ("backward", "both", "forward", "repair")
        wishes = {way: bench.following.wish(way) for way in ways}

        def job() -> dict[str, str]:
            found: dict[str, str] = {}
            for way, wish in wishes.items():
                if self._worker.wanted:
                    raise Cancelled
                will = forecast(session, pace, wish, on_disk)
                if will is not None:
                    found[way] = will.text
            return found

        def done(texts: dict[str, str]) -> None:
            if layers is bench.layers and controller.run is None:
                self._form.show_forecasts(texts)

        def failed(error: Exception) -> None:
            if isinstance(error, Cancelled):
                self.request()  # something else had to be done first
            else:
                controller.tell(error)

        self._worker.submit(job, done=done, failed=failed, key="forecast", gives_way=True)
