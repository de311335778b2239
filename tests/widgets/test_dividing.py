"""A cell divides, by mouse and keys, and by name."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
import tifffile
from fakes import SMALL, blobs
from hands import go, rows, shown
from qtpy.QtCore import Qt

from napari_sam2 import open_parents
from napari_sam2.export.ctc import read_tracks
from napari_sam2.layer_writer import write_ctc
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.widgets.scripts.live_session import LiveSession
from napari_sam2.widgets.scripts.scripting import attach, divide_here
from napari_sam2.widgets.session.opening import SessionOpener
from tests.tracking.dividing import DIVIDES, FRAMES, centres, dividing_cell

IMAGES, TRUTH = dividing_cell()
CONTROL, NONE = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def on(window, object_id: int) -> list[int]:
    length = window.layers.geometry.length
    return [t for t in range(length) if (window.frame(t) == object_id).any()]


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return float((mask & truth).sum() / (mask | truth).sum())


def steps(window) -> list[str]:
    return [step.kind for step in window.widget.controller.record.history.steps]


@pytest.fixture(scope="module")
def opener():
    return SessionOpener()


@pytest.fixture(scope="module")
def followed_once(tmp_path_factory):
    """For the session of the mother, to be followed once only."""
    return tmp_path_factory.mktemp("kept") / "mother"


@pytest.fixture
def mother(open_docked, opener, followed_once, tmp_path):
    """The mother was clicked on the first frame and followed through the stack."""
    window = open_docked(IMAGES, session_factory=opener)
    own = tmp_path / "mother"
    own.mkdir()
    if followed_once.exists():
        shutil.copytree(followed_once, own, dirs_exist_ok=True)
        window.widget.restore_session(own / "mother.ns2.json")
        window.done()
    else:
        window.click(*centres(0)[0])
        window.done()
        window.key("G")
        window.done()
        window.widget.save_session(own / "mother.ns2.json")
        window.done()
        shutil.copytree(own, followed_once)
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


def test_the_session_is_saved_and_restored_with_its_daughters(mother, tmp_path):
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


def test_a_real_nucleus_divides(open_window, opener, dev_data):
    """HeLa: nucleus 33 of the published lineage divides into 39 and 40 on frame 25."""
    folder, first, divides = dev_data / "hela_nuclei", 21, 25
    images, truth = (
        tifffile.imread(folder / name, key=range(first, first + 8))
        for name in ("images.tif", "masks.tif")
    )
    born = {t.id: (t.first, t.parent) for t in read_tracks(folder / "tracks.txt")}
    assert [born[i] for i in (39, 40)] == [(divides, 33)] * 2
    window = open_window(images, session_factory=opener)
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


@pytest.fixture
def window(followed):
    return followed


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


def test_a_division_in_a_propagation_has_to_wait(open_docked, factory):
    window = open_docked(blobs(), session_factory=factory)
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
