"""Mothers by hand, in the timeline, in files and in layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes import blobs
from hands import go, rows, shown
from menus import submenu
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QInputDialog

from napari_sam2 import export_masklets, open_masklets, open_parents
from napari_sam2.layer_data import PARENTS_KEY
from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.layers.tracks_layer import show_tracks
from napari_sam2.widgets.panels.mother_menu import candidates
from napari_sam2.widgets.panels.object_model import NAME
from napari_sam2.widgets.panels.timeline_lineage import lines
from napari_sam2.widgets.scripts.live_session import LiveSession
from napari_sam2.widgets.session.overview import Notes, Overview
from napari_sam2.widgets.verbs.importing import import_masklets

CONTROL, NONE = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def window(followed):
    return followed


@pytest.fixture
def three(window):
    """Three objects; the table shows them."""
    for place in ((55, 60), (5, 5)):
        window.key("N")
        go(window, 0)
        window.click(*place)
        window.done()
    shown(window)
    return window


def choose(window, *texts: str) -> None:
    """Choose something in the menu of the table's selected rows."""
    menu = window.widget.form.objects.table.menu()
    for text in texts[:-1]:
        menu = submenu(menu, text)
    action = next(a for a in menu.actions() if a.text() == texts[-1])
    assert action.isEnabled()
    action.trigger()
    shown(window)


def select(window, *ids: int) -> None:
    table = window.widget.form.objects.table
    for n, i in enumerate(ids):
        place = table.visualRect(table.model().index(i - 1, 0)).center()
        modifier = CONTROL if n else NONE
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, modifier, place)
    window.settle()


def tip(window, object_id: int) -> str:
    model = window.widget.form.objects.table.objects
    return model.index(object_id - 1, 0).data(Qt.ItemDataRole.ToolTipRole)


def test_the_menu_says_and_takes_back_a_mother(three):
    window = three
    labels = window.layers.labels
    sam = LiveSession(window.widget)
    sam.set_parent(2, 1)
    shown(window)
    assert window.status == "Object 2 is a daughter of Object 1."
    select(window, 2)
    choose(window, "Daughter of", "Nobody")
    assert window.status == "Object 2 has no mother any more."
    assert window.widget.session.parents == {}
    assert labels.metadata[PARENTS_KEY] == {}
    window.key("Z", CONTROL)
    shown(window)
    assert window.status == "Undone: mother of object 2."
    assert labels.metadata[PARENTS_KEY] == {2: 1}
    assert "Daughter of object 1" in tip(window, 2)
    model = window.widget.form.objects.table.objects
    assert model.index(1, NAME).data(Qt.ItemDataRole.AccessibleTextRole) == "daughter of 1"
    assert model.index(1, NAME).data(Qt.ItemDataRole.EditRole) == ""
    assert "Mother of 2" in tip(window, 1)
    assert rows(window)[2] == "↳ 1"
    window.widget.panels.editor.rename(2, "left")
    shown(window)
    assert rows(window)[2] == "left"


def test_two_daughters_are_one_step(three):
    window = three
    window.widget.session.tracked.clear()  # 1 begins later than where it was clicked, in the table
    select(window, 2, 3)
    window.widget.form.objects.table.mother_chosen.emit(1)
    shown(window)
    assert window.status == "Object 2 and Object 3 are daughters of Object 1."
    assert window.widget.session.parents == {2: 1, 3: 1}
    window.key("Z", CONTROL)
    window.done()
    assert window.widget.session.parents == {}


def test_what_cannot_be_a_mother_is_said(three):
    window = three
    window.widget.workbench.dividing.set_mother([2], 2)
    window.done()
    assert window.status == "Object 2 cannot be its own mother."
    with pytest.raises(InputError, match="own mother"):
        LiveSession(window.widget).set_parent(3, 3)


def test_the_menu_divides_the_row(three):
    window = three
    go(window, 3)
    select(window, 1)
    choose(window, "Divides here (D)")
    assert window.widget.session.parents == {4: 1, 5: 1}


def overview(spans: dict[int, tuple[int, int]], parents: dict[int, int]) -> Overview:
    """Objects with masks from the first to the last frame of each span."""
    from napari_sam2.tracking.results import Trace

    traces = {}
    for i, (first, last) in spans.items():
        frames = np.arange(first, last + 1)
        count = len(frames)
        traces[i] = Trace(
            frames,
            np.full(count, 0.9),
            np.full(count, 5, np.float32),
            np.full(count, 50.0),
            np.zeros((count, 2)),
            np.zeros(count, bool),
        )
    return Overview(30, traces, {}, Notes(names={2: "b"}), (9,), parents)


def test_the_likeliest_mothers_come_first(three, monkeypatch):
    spans = {1: (0, 9), 2: (3, 20), 3: (10, 29), 4: (0, 4), 5: (10, 20), 6: (12, 20)}
    found = overview(spans, {5: 1, 6: 3})
    chosen = [one for one in found.summaries if one.object_id in (3, 5)]
    assert [one.object_id for one in candidates(found.summaries, chosen)] == [1, 4, 2]
    later = [one for one in found.summaries if one.object_id == 6]
    assert 3 in [one.object_id for one in candidates(found.summaries, later)]
    none = [one for one in found.summaries if one.object_id == 9]  # has no masks yet
    assert len(candidates(found.summaries, none)) == 6

    window = three
    many = dict.fromkeys(range(1, 14), (0, 9)) | {20: (10, 20)}
    table = window.widget.form.objects.table
    table.show_rows(overview(many, {}).summaries, 20)
    said = []
    table.mother_chosen.connect(said.append)
    monkeypatch.setattr(QInputDialog, "getInt", lambda *_: (13, True))
    menu = submenu(table.menu(), "Daughter of")
    assert len(menu.actions()) == 10 + 3
    next(a for a in menu.actions() if a.text() == "Another …").trigger()
    menu.actions()[0].trigger()
    assert said == [13, 1]


def test_the_timeline_joins_mother_and_daughters():
    found = overview({1: (0, 9), 2: (10, 20), 3: (12, 29)}, {2: 1, 3: 1, 9: 3})
    places = [
        [(p.x(), p.y()) for p in line]
        for line in lines(found, lambda frame: 10.0 * frame, lambda row: 100.0 * row)
    ]
    assert places == [
        [(95.5, 0), (95.5, 100), (100.5, 100)],
        [(115.5, 0), (115.5, 200), (120.5, 200)],
    ]  # 9 has no masks


def test_the_timeline_draws_it(three):
    window = three
    view = window.widget.panels.panel.timeline
    go(window, 3)
    window.widget.object_id = 1
    window.widget.divide()
    window.done()
    window.click(20, 26)
    shown(window)
    assert view.overview.parents == {4: 1, 5: 1}
    x = round((view.x_of(3) + view.x_of(2)) / 2)
    image, ratio = view.viewport().grab().toImage(), view.devicePixelRatioF()
    y = round(view.y_of(2) * ratio) - 1
    there = [image.pixelColor(round(x * ratio) + dx, y) for dx in (-1, 0, 1)]
    assert max(min(c.red(), c.green(), c.blue()) for c in there) > 180


def test_another_model_keeps_the_mothers(window):
    go(window, 3)
    window.key("D")
    window.done()
    window.click(20, 26)
    window.done()
    window.widget.choose_model("another")
    window.done()
    assert window.widget.session.parents == {2: 1}


def imported(desk, folder: Path) -> np.ndarray:
    labels = np.zeros((6, 80, 100), np.uint16)
    cells = blobs() > 0
    labels[:, :40] = 4 * cells[:, :40]
    labels[:3, 40:] = 7 * cells[:3, 40:]
    labels[3:, 40:] = 9 * cells[3:, 40:]
    export_masklets(folder, labels, parents={9: 7})
    return labels


def test_an_imported_folder_brings_its_mothers(desk, tmp_path):
    labels = imported(desk, tmp_path / "01_RES")
    LiveSession(desk.widget).add_points(1, 0, [(5, 90)])  # all ids go up by one
    import_masklets(desk.widget.workbench, tmp_path / "01_RES")
    desk.done()
    assert desk.widget.session.parents == {10: 8}
    desk.widget.undo()
    desk.done()
    assert desk.widget.session.parents == {}
    desk.widget.redo()
    desk.done()
    desk.widget.export(tmp_path / "again")
    desk.done()
    assert open_parents(tmp_path / "again") == {10: 8}
    back = np.asarray(open_masklets(tmp_path / "again").data)
    np.testing.assert_array_equal(back, np.where(labels, labels + 1, 0))


def test_a_layer_with_mothers_by_name(desk):
    labels = np.zeros((6, 80, 100), np.uint16)
    labels[:3, :9, :9], labels[3:, :9, :9], labels[3:, 20:29, :9] = 3, 4, 5
    layer = Labels(labels, name="trackmate")
    desk.viewer.add_layer(layer)
    sam = LiveSession(desk.widget)
    # 3 cannot be its own granddaughter, and 99 is not in the layer.
    sam.adopt(layer, parents={4: 3, 5: 3, 3: 4, 99: 3})
    assert sam.parents == {4: 3, 5: 3}


def test_tracks_as_a_layer(window):
    go(window, 3)
    window.key("D")
    window.done()
    window.click(20, 26)
    window.done()
    menu = window.widget._session_actions.menu()
    for _ in range(2):  # the second time it takes the place of the first
        next(a for a in menu.actions() if a.text() == "Tracks as a layer").trigger()
        window.done()
    (layer,) = [la for la in window.viewer.layers if la.name == "tracks of masklets"]
    assert window.status == "2 tracks are shown, 1 with their mother."
    assert layer.graph == {2: [1]}
    trace = window.widget.session.traces()[1]
    first = layer.data[layer.data[:, 0] == 1]
    np.testing.assert_allclose(first[:, 1], trace.frames[trace.area > 0])
    np.testing.assert_allclose(first[:, 2:], trace.centre[trace.area > 0])
    assert window.viewer.layers.selection.active is window.layers.points


def test_no_tracks_without_masks_or_along_another_axis(desk, open_desk):
    show_tracks(desk.widget.workbench)
    desk.done()
    assert desk.status == "There are no masks yet, so no tracks."
    other = open_desk(blobs())
    other.widget.set_image(other.widget.workbench.image, 1)
    other.done()
    show_tracks(other.widget.workbench)
    assert "along the first axis" in other.status
    assert len(other.viewer.layers) == 4
