"""What a propagation takes is said before it begins; every clock here is a fake."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from fakes import LARGE, SMALL, FakeFactory, FakeSession, blobs
from hands import until
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.tracking.kept import pace as pace_module
from napari_sam2.tracking.kept.pace import Costs, Pace, Ran, costs_of, frame_seconds, read_runs
from napari_sam2.tracking.kept.steps import Propagate, SetPrompt
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.weights import available_models
from napari_sam2.widgets.form.forecast import Forecast, forecast, in_bytes, in_time
from napari_sam2.widgets.form.model_choice import model_details
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.layers.results import ResultWriter
from napari_sam2.widgets.session.record import Record
from napari_sam2.widgets.session.runs import Wish

UNITS = {"s": 1, "min": 60, "h": 3600, "MB": 1e6, "GB": 1e9}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(FakeSession):
    """Its network takes the time of a slow computer, by the fake clock."""

    def __init__(self, length: int, clock: Clock, costs: Costs) -> None:
        from napari_sam2.tracking.frames import Frames

        super().__init__(Frames(blobs(length), contrast=(0, 200)))
        self.clock, self.costs = clock, costs
        self.following = False

    def _begin(self) -> None:
        super()._begin()
        looks = self.costs.look * len(self.prompts)
        self.clock.now += self.costs.frame + looks if self.following else self.costs.click

    def propagate(self, *args, **kwargs):
        self.following = True
        yield from super().propagate(*args, **kwargs)
        self.following = False


def a_record(length: int, costs: Costs) -> tuple[Record, Clock]:
    clock = Clock()
    array = np.zeros((length, 80, 100), np.uint16)
    writer = ResultWriter(array, StackGeometry.of(array.shape, 0, (0, 0, 0)))
    record = Record(Slow(length, clock, costs), writer)
    record.pace.clock = clock
    return record, clock


def click(record: Record, object_id: int, place: tuple[int, int]) -> None:
    record.prompt(SetPrompt(object_id, 0, Prompt(points=[place], positive=[True])), None, False)


def took(record: Record, clock: Clock) -> float:
    start = clock.now
    for _ in record.run(Propagate()):
        clock.now += 7.0  # a pause, or the window's own work
    return clock.now - start - 7.0 * len(record.history.session.frames)


def said(record: Record) -> tuple[float, float]:
    will = forecast(record.history.session, record.pace, Wish(), on_disk=False)
    assert will is not None
    assert will.seconds is not None
    return will.seconds


@pytest.mark.parametrize("slower", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("look", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("frame", [0.3, 1.0, 3.0])
def test_within_a_factor_of_two(slower, look, frame):
    """A computer that is slower as a whole, and in other proportions than ours."""
    plain = costs_of("micro")
    costs = Costs(
        slower * plain.click, slower * frame * plain.frame, slower * look * plain.look, (1, 1)
    )
    record, clock = a_record(8, costs)
    assert forecast(record.history.session, record.pace, Wish(), False) is None
    click(record, 1, SMALL)
    least, most = said(record)
    expected = 8 * (costs.frame + costs.look)
    assert least <= expected <= most  # a range, and it holds
    seconds = took(record, clock)
    assert seconds == pytest.approx(expected)
    assert said(record) == pytest.approx((seconds, seconds))
    later, clock = a_record(40, costs)  # another day, a longer stack, more objects
    for object_id, place in enumerate((SMALL, LARGE, (20, 22), (55, 62)), start=1):
        click(later, object_id, place)
    least, most = said(later)
    assert most == pytest.approx(4 * least)
    assert least <= took(later, clock) <= most


@pytest.mark.parametrize("look", [0.4, 2.5])
@pytest.mark.parametrize("frame", [0.3, 3.0])
def test_more_objects_on_the_same_stack(look, frame):
    plain = costs_of("micro")
    costs = Costs(plain.click, frame * plain.frame, look * plain.look, (1, 1))
    record, clock = a_record(12, costs)
    click(record, 1, SMALL)
    took(record, clock)
    for object_id, place in enumerate((LARGE, (20, 22), (55, 62), (20, 18)), start=2):
        click(record, object_id, place)
    least, most = said(record)
    assert least == most
    seconds = took(record, clock)
    assert seconds / 2 <= least <= 2 * seconds


def test_what_a_cancelled_run_did_counts():
    costs = costs_of("micro")
    record, _ = a_record(20, Costs(1, 0.1 * costs.frame, 0.1 * costs.look, (1, 1)))
    click(record, 1, SMALL)
    results = record.run(Propagate())
    for _ in range(5):
        next(results)
    results.close()
    (run,) = record.pace.runs
    assert (run.frames, run.looks) == (5, 5)
    assert run.scale(costs) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"runs": 3}', '{"runs": {"a": [[1]]}}', '{"runs": {"a": [["x", 1, 2]]}}'],
)
def test_a_damaged_file_is_no_obstacle(content):
    path = pace_module._file()
    path.write_text(content)
    assert read_runs() == {}
    Pace("a", costs_of("micro")).note(Ran(10, 10, 3.0))
    assert read_runs() == {"a": [Ran(10, 10, 3.0)]}


def test_only_some_runs_are_kept_for_each_model_and_device(monkeypatch):
    for key in ("one", "other"):
        for n in range(1, 9):
            Pace(key, costs_of("micro"), read_runs().get(key, [])).note(Ran(n, n, float(n)))
    content = json.loads(pace_module._file().read_text())
    assert {key: len(runs) for key, runs in content["runs"].items()} == {"one": 5, "other": 5}
    assert read_runs()["one"][-1] == Ran(8, 8, 8.0)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    Pace("one", costs_of("micro")).note(Ran(9, 9, 9.0))  # nothing is said


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (0.01, 0.01, "about 1 s"),
        (38, 38, "about 40 s"),
        (115, 115, "about 2 min"),
        (5000, 5000, "about 85 min"),
        (9000, 9000, "about 2.5 h"),
        (60 * 3600, 60 * 3600, "about 60 h"),
        (7, 41, "7 to 40 s"),
        (40, 200, "40 s to 3 min"),
        (3, 3.4, "about 3 s"),
    ],
)
def test_times_in_words(least, most, text):
    assert in_time(least, most) == text


def number(text: str) -> float:
    value, unit = re.search(r"([\d.]+) (\w+)$", text).groups()
    return float(value) * UNITS[unit]


@given(st.floats(1, 3e6))
def test_a_time_in_words_is_the_time(seconds):
    assert seconds / 1.35 <= number(in_time(seconds, seconds)) <= 1.35 * seconds


@given(st.integers(1_000_000, 10**13))
def test_a_size_in_words_is_the_size(size):
    assert number(in_bytes(size)) == pytest.approx(size, rel=0.06)


def test_what_is_scarce_is_said():
    assert Forecast((5, 5), 600_000_000, 0, 10**10).text == "about 5 s, 600 MB of memory"
    text = Forecast(None, 1_240_000_000, 50_000_000, 10**9).text
    assert text == "1.2 GB of memory (only 1.0 GB are free), up to 50 MB on disk"


def test_the_list_of_models_says_size_speed_and_whether_it_is_here(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path))
    (tmp_path / "sam2.1_hiera_small.pt").write_bytes(bytes(2_000_000))
    models = {info.name: info for info in available_models()}
    runs = {"sam2.1_hiera_tiny, as usual, cuda:0": [Ran(10, 10, 1.2)]}
    texts = {name: model_details(info, runs) for name, info in models.items()}
    assert texts["sam2.1_hiera_tiny"] == "156 MB to download · 0.12 s a frame for one cell"
    assert "~15 s a frame for one cell on a CPU" in texts["sam2.1_hiera_large"]
    assert texts["sam2.1_hiera_small"].startswith("2 MB downloaded · ~5 s")
    assert " MB in the package · ~0.03 s a frame for one cell on a CPU" in texts["micro"]
    assert frame_seconds("micro", runs) is None


def shown(window) -> str:
    window.done()
    until(lambda: not (window.widget.forecaster.waiting or window.widget._worker.busy))
    return window.widget.form.propagation.forecast.text()


def test_the_form_says_it_before_the_propagation(open_docked):
    window = open_docked(blobs(40), session_factory=FakeFactory(delay=0.01))
    form = window.widget.form
    assert shown(window) == ""
    window.click(*SMALL)
    assert re.fullmatch(r"Both: (about )?[\w. ]+, 51 MB of memory", shown(window))
    assert "MB of memory" in form.propagation.directions["forward"].toolTip()
    assert "MB of memory" not in form.propagation.directions["repair"].toolTip()
    assert window.widget.controller.pace.clicks
    window.key("G")
    assert shown(window).startswith("Both: about ")
    assert len(window.widget.controller.pace.runs) == 1
    window.press(form.propagation.only_stale)
    assert shown(window) == ""
    window.press(form.propagation.only_stale)
    asked = []
    session, plain = window.widget.session, window.widget.session.workload

    def workload(*args):
        asked.append(args)
        return plain(*args)

    session.workload = workload
    form.propagation.first.value, form.propagation.last.value = 3, 20
    assert shown(window).startswith("Both: about ")
    assert ("both", 3, 21, None) in asked
