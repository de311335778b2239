"""A cell divides, by mouse and keys in a real window; mothers by hand; the lineage in files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fakes import blobs
from menus import submenu
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QInputDialog

from napari_sam2 import export_masklets, open_masklets, open_parents
from napari_sam2.export.ctc import read_tracks
from napari_sam2.layer_data import PARENTS_KEY
from napari_sam2.layer_writer import write_ctc
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.session_file import load_session
from napari_sam2.widgets.importing import import_masklets
from napari_sam2.widgets.live_session import LiveSession
from napari_sam2.widgets.mother_menu import candidates
from napari_sam2.widgets.object_table import NAME
from napari_sam2.widgets.opening import SessionOpener
from napari_sam2.widgets.overview import Notes, Overview
from napari_sam2.widgets.scripting import attach, divide_here
from napari_sam2.widgets.timeline_lineage import lines
from napari_sam2.widgets.tracks_layer import show_tracks
from tests.tracking.dividing import DIVIDES, FRAMES, centres, dividing_cell

IMAGES, TRUTH = dividing_cell()
CONTROL, NONE = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def shown(window) -> None:
    window.widget.wait(120, panels=True)
    window.settle()


def go(window, frame: int) -> None:
    window.viewer.dims.set_current_step(0, frame)
    window.settle()


def on(window, object_id: int) -> list[int]:
    length = window.layers.geometry.length
    return [t for t in range(length) if (window.frame(t) == object_id).any()]


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def rows(window) -> dict[int, str]:
    """What the column of names shows, by object."""
    model = window.widget.form.objects.table.objects
    return {r.object_id: model.index(n, NAME).data() for n, r in enumerate(model.rows)}


def steps(window) -> list[str]:
    return [step.kind for step in window.widget.controller.record.history.steps]


@pytest.fixture
def mother(open_window):
    """The mother was clicked on the first frame and followed through the stack."""
    window = open_window(IMAGES, session_factory=SessionOpener())
    window.click(*centres(0)[0])
    window.done()
    window.key("G")
    shown(window)
    assert on(window, 1)[: DIVIDES + 1] == list(range(DIVIDES + 1))
    go(window, DIVIDES)
    return window


def divide_by_hand(window) -> None:
    """Take back the daughters that were found, to click on them."""
    window.key("D")
    window.done()
    window.key("Z", CONTROL)
    window.done()


def test_it_divides_by_two_keys(mother):
    window = mother
    window.key("D")
    window.done()
    assert window.widget.object_id == 2
    assert "objects 2 and 3 are its daughters" in window.status
    assert not (window.frame(DIVIDES) == 1).any()
    assert steps(window)[-2:] == ["divide", "prompts"]
    window.key("H")
    shown(window)
    assert on(window, 1) == list(range(DIVIDES))
    labels = [int(window.frame(DIVIDES)[tuple(map(round, c))]) for c in centres(DIVIDES)]
    assert labels == [2, 3]  # the upper one first
    for i in labels:
        assert on(window, i) == list(range(DIVIDES, FRAMES))
        for t in range(DIVIDES, FRAMES):
            assert overlap(window.frame(t) == i, TRUTH[t] == i) > 0.7
    assert rows(window) == {1: "", 2: "↳ 1", 3: "↳ 1"}


def test_by_name_daughters_are_looked_for_on_demand(mother):
    sam = LiveSession(mother.widget)
    assert sam.divide(1, DIVIDES) == (2, 3)
    assert not {2, 3} & sam.prompts.keys()
    sam.undo()
    assert sam.divide(1, DIVIDES, find=True) == (2, 3)
    assert {2, 3} <= sam.prompts.keys()


def test_it_divides_by_hand(mother, tmp_path):
    window = mother
    before = {t: window.frame(t) for t in range(DIVIDES)}
    divide_by_hand(window)
    assert window.widget.object_id == 2
    assert not np.isin(window.frame(DIVIDES), [1, 2, 3]).any()
    window.click(*centres(DIVIDES)[0])
    window.done()
    assert window.status.endswith("N, then click on the other daughter of 1, object 3.")
    window.key("N")
    assert window.widget.object_id == 3
    assert window.status == "Object 3 is new: click on the other daughter."
    window.click(*centres(DIVIDES)[1])
    window.done()
    assert window.status.endswith(
        "H follows the daughters, and takes away what object 1 has from there on."
    )
    window.key("H")
    shown(window)
    for t in range(DIVIDES):
        np.testing.assert_array_equal(window.frame(t), before[t])
    assert on(window, 1) == list(range(DIVIDES))
    for i in (2, 3):
        assert on(window, i) == list(range(DIVIDES, FRAMES))
        for t in range(DIVIDES, FRAMES):
            assert overlap(window.frame(t) == i, TRUTH[t] == i) > 0.7
    assert rows(window) == {1: "", 2: "↳ 1", 3: "↳ 1"}
    window.key("N")
    assert window.widget.object_id == 4  # no one waits any more

    window.widget.export(tmp_path / "01_RES")
    window.done()
    assert window.status == f"Exported: {tmp_path / '01_RES'}."
    tracks = read_tracks(tmp_path / "01_RES" / "res_track.txt")
    assert tracks == [(1, 0, 5, 0), (2, 6, 11, 1), (3, 6, 11, 1)]
    window.widget.export(tmp_path / "cells.csv")
    window.done()
    with (tmp_path / "cells.csv").open(newline="") as file:
        mothers = {row["object_id"]: row["parent"] for row in csv.DictReader(file)}
    assert mothers == {"1": "0", "2": "1", "3": "1"}
    data, meta, _ = window.layers.labels.as_layer_data_tuple()  # as napari's File menu does
    (path,) = write_ctc(str(tmp_path / "menu.ctc"), data, meta)
    assert open_parents(path) == {2: 1, 3: 1}


def test_a_mother_that_was_not_repaired_is_said_at_the_export(mother, tmp_path):
    window = mother
    divide_by_hand(window)
    window.click(*centres(DIVIDES)[0])
    window.done()
    window.widget.export(tmp_path / "res")
    window.done()
    assert "Note: object 1 has masks beside its daughters, from frame 6 on" in window.status
    window.widget.export(tmp_path / "flat.tif")
    window.done()
    assert "Note: 1 division is not in it, only in" in window.status
    assert "quality" not in window.status  # nobody asked for it


def test_one_undo_takes_a_division_back(mother):
    window = mother
    before = [window.frame(t) for t in range(FRAMES)]
    divide_by_hand(window)
    assert steps(window) == ["prompt", "propagate", "divide"]
    window.click(*centres(DIVIDES)[0])
    window.done()
    window.key("Z", CONTROL)
    window.done()
    assert window.widget.object_id == 2
    window.key("Z", CONTROL)
    shown(window)
    assert window.status == "Undone: division of object 1 on frame 6."
    assert window.widget.object_id == 1
    assert window.widget.session.object_ids == [1]
    assert window.layers.prompts.keys() == {1}
    assert rows(window) == {1: ""}
    for t in range(FRAMES):
        np.testing.assert_array_equal(window.frame(t), before[t])
    window.key("Z", CONTROL | SHIFT)
    shown(window)
    assert window.status == "Done again: division of object 1 on frame 6."
    assert window.widget.object_id == 2
    assert rows(window) == {1: "", 2: "↳ 1", 3: "↳ 1"}
    assert window.layers.prompts[1][DIVIDES].absent


def test_the_session_is_saved_and_restored_with_its_daughters(mother, tmp_path, open_window):
    window = mother
    divide_by_hand(window)
    window.click(*centres(DIVIDES)[0])
    window.done()
    path = tmp_path / "cells.ns2.json"
    window.widget.save_session(path)
    window.done()
    assert [step.kind for step in load_session(path).steps] == steps(window)
    seen = [window.frame(t) for t in range(FRAMES)]
    window.widget.set_image(window.widget.workbench.image)
    window.done()
    assert window.widget.session.object_ids == []
    window.widget.restore_session(path)
    shown(window)
    assert rows(window) == {1: "", 2: "↳ 1", 3: "↳ 1"}
    for t in range(FRAMES):
        np.testing.assert_array_equal(window.frame(t), seen[t])
    window.widget.object_id = 2
    window.key("N")  # the other one still waits
    assert window.widget.object_id == 3


def test_a_real_nucleus_divides(open_window, dev_data):
    """HeLa: nucleus 33 of the published lineage divides into 39 and 40 on frame 25."""
    folder, first, divides = dev_data / "hela_nuclei", 21, 25
    images, truth = (
        tifffile.imread(folder / name, key=range(first, first + 8))
        for name in ("images.tif", "masks.tif")
    )
    born = {t.id: (t.first, t.parent) for t in read_tracks(folder / "tracks.txt")}
    assert [born[i] for i in (39, 40)] == [(divides, 33)] * 2
    window = open_window(images, session_factory=SessionOpener())
    window.click(*middle(truth[0] == 33))
    window.done()
    window.key("G")
    shown(window)
    go(window, divides - first)
    divide_by_hand(window)
    for i, label in ((2, 39), (3, 40)):
        assert window.widget.object_id == i
        window.click(*middle(truth[divides - first] == label))
        window.done()
        window.key("N")
    window.key("H")
    shown(window)
    mother = on(window, 1)  # as it rounds up, on the last frame, micro may not see it
    assert mother[:3] == [0, 1, 2]
    assert max(mother) < divides - first
    for i, label in ((2, 39), (3, 40)):
        scores = [overlap(window.frame(t) == i, truth[t] == label) for t in range(4, 8)]
        assert np.mean(scores) > 0.7, (i, scores)


def middle(mask: np.ndarray) -> tuple[float, float]:
    y, x = np.argwhere(mask).mean(axis=0)
    return float(y), float(x)


# --- with a session that finds blobs --------------------------------------------------------

SMALL, LARGE = (20, 20), (55, 60)


@pytest.fixture
def window(open_window):
    window = open_window(blobs())
    window.click(*SMALL)
    window.done()
    window.key("G")
    shown(window)
    return window


def test_the_button_divides(window):
    go(window, 3)
    window.press(window.widget.form.objects.divide)
    window.done()
    assert window.widget.object_id == 2
    assert window.widget.session.parents == {2: 1, 3: 1}
    assert window.widget.form.tools["point"].isChecked()


def test_where_it_cannot_divide_all_stays_and_is_said(window):
    prompts, seen = dict(window.layers.prompts), window.frame(0)
    window.key("D")  # on its first frame
    window.done()
    assert window.status == "Object 1 cannot divide on frame 0."
    assert window.layers.prompts == prompts
    np.testing.assert_array_equal(window.frame(0), seen)
    assert window.widget.object_id == 1
    assert steps(window) == ["prompt", "propagate"]


def test_points_are_positive_again_and_a_tool_is_in_use(window):
    go(window, 3)
    window.key("Q")
    window.viewer.layers.selection.active = window.widget.workbench.image
    window.key("D")
    window.done()
    assert window.widget.workbench.positive
    window.click(20, 26)
    window.done()
    assert window.widget.session.prompts[2][3].positive.tolist() == [True]


def test_n_comes_to_the_other_daughter_and_then_to_a_new_object(window):
    go(window, 3)
    window.key("D")
    window.done()
    for expected in (3, 4, 4):  # from one that waits on, and no way back
        window.key("N")
        assert window.widget.object_id == expected
    window.widget.object_id = 3
    window.click(20, 26)
    window.done()
    window.key("N")
    assert window.widget.object_id == 2


def test_a_division_in_a_propagation_has_to_wait(open_window, factory):
    window = open_window(blobs(), session_factory=factory)
    window.click(*SMALL)
    window.done()
    factory.sessions[0].gate.clear()
    window.widget.propagate()
    window.settle()
    window.key("D")
    assert window.status == "Cancel the propagation first."
    factory.sessions[0].gate.set()
    window.done()
    assert window.widget.session.parents == {}


# --- by hand --------------------------------------------------------------------------------


@pytest.fixture
def three(window):
    """Three objects; the table shows them."""
    for place in (LARGE, (5, 5)):
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


# --- elsewhere ------------------------------------------------------------------------------


def test_by_name(desk):
    sam = LiveSession(desk.widget)
    sam.add_points(1, 0, [SMALL])
    sam.propagate()
    assert sam.divide(1, 3) == (2, 3)
    sam.add_points(2, 3, [(20, 26)])
    assert sam.parents == {2: 1, 3: 1}
    sam.set_parent(3, None)
    assert sam.parents == {2: 1}
    for _ in range(3):
        sam.undo()
    assert sam.parents == {}
    assert set(sam.prompts) == {1}
    with pytest.raises(InputError, match="cannot divide"):
        sam.divide(1, 0)
    with pytest.raises(InputError, match="does not exist"):
        sam.divide(1, 99)
    assert set(sam.prompts[1]) == {0}


def test_from_the_palette(window):
    go(window, 3)
    assert attach(window.viewer).widget is window.widget
    divide_here(window.viewer)
    window.done()
    assert window.widget.session.parents == {2: 1, 3: 1}


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
