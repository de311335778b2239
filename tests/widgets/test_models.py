"""Choosing a model, and how it looks at frames, by mouse."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import LARGE, SMALL, blobs
from hands import click_on
from qtpy.QtCore import QRect
from qtpy.QtWidgets import QStyle, QStyleOptionComboBox, QStyleOptionViewItem

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.widgets.scripts.live_session import LiveSession
from napari_sam2.widgets.session.opening import SessionOpener, SessionRequest

TINY, SMALLER = "sam2.1_hiera_tiny", "sam2.1_hiera_small"


@pytest.fixture
def with_models(monkeypatch, tmp_path):
    """Give a window the list of all models, as the real factory has it."""
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path))

    def listed(window):
        window.widget.choices.list_models(window.widget._worker)
        window.done()
        return window

    return listed


@pytest.fixture
def docked(open_docked, with_models):
    return with_models(open_docked(blobs()))


def room(box) -> int:
    """Pixels that a box has for its text."""
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    field = QStyle.SubControl.SC_ComboBoxEditField
    kind = QStyle.ComplexControl.CC_ComboBox
    area: QRect = box.style().subControlRect(kind, option, field, box)
    return area.width()


def shown_in_list(box, row: int) -> str:
    option = QStyleOptionViewItem()
    view = box.view()
    view.itemDelegateForIndex(view.model().index(row, 0)).initStyleOption(
        option, view.model().index(row, 0)
    )
    return option.text


def test_every_model_can_be_read_in_a_narrow_dock(window, with_models):
    with_models(window).widget.setFixedWidth(300)
    window.settle()
    form = window.widget.form
    box = form.model.native
    assert len(form.model.choices) == 10
    for name in form.model.choices:
        width = box.fontMetrics().horizontalAdvance(box.itemText(box.findData(name)))
        assert width <= room(box), name
    texts = [box.itemText(row) for row in range(box.count())]
    assert texts[:2] == ["micro", "SAM 2.1 tiny"]
    assert texts[-1] == "another file …"
    assert "in the package · ~0.03 s a frame for one cell on a CPU" in box.toolTip()
    assert "micro" in box.toolTip()
    row = box.findText("SAM 2.1 tiny")
    box.showPopup()
    window.settle()
    text = shown_in_list(box, row)
    assert text.startswith("SAM 2.1 tiny · 156 MB to download · ~5 s a frame for one cell")
    view = box.view()
    assert view.viewport().width() >= view.fontMetrics().horizontalAdvance(text)
    box.hidePopup()


def test_files_have_their_name_only(docked):
    form = docked.widget.form
    docked.widget.choose_model("/somewhere/my_weights.pt")
    docked.done()
    assert form.model.native.currentText() == "my_weights.pt"
    assert "MB" not in form.model.native.toolTip()


def test_how_frames_are_looked_at_is_a_choice_of_published_models(docked, factory):
    form = docked.widget.form
    looks = form.models.looks
    assert not looks.native.isVisible()
    docked.click(*SMALL)
    docked.done()
    click_on(form.model, "SAM 2.1 tiny")
    docked.done()
    assert looks.native.isVisible()
    assert looks.native.currentText() == "whole frames"
    assert factory.requests[-1].attention is None
    click_on(looks, "near each cell")
    docked.done()
    assert (factory.requests[-1].model, factory.requests[-1].attention) == (TINY, "windowed")
    assert list(docked.widget.session.prompts) == [1]
    docked.key("G")
    docked.done()
    count = len(factory.requests)
    click_on(looks, "near each cell")  # nothing new
    docked.done()
    assert len(factory.requests) == count
    texts = {SMALLER: "SAM 2.1 small", "micro": "micro", TINY: "SAM 2.1 tiny"}
    for model, attention in ((SMALLER, "windowed"), ("micro", None), (TINY, None)):
        click_on(form.model, texts[model])
        docked.done()
        assert (factory.requests[-1].model, factory.requests[-1].attention) == (model, attention)
        assert looks.native.isVisible() == (model != "micro")


def test_it_is_kept_in_the_session(docked, factory, tmp_path, open_docked):
    form = docked.widget.form
    click_on(form.model, "SAM 2.1 tiny")
    docked.done()
    click_on(form.models.looks, "near each cell")
    docked.done()
    docked.click(*SMALL)
    docked.done()
    path = tmp_path / "cells.ns2.json"
    docked.widget.save_session(path)
    docked.done()
    assert load_session(path).attention == "windowed"
    before = np.array(docked.layers.labels.data)
    docked.widget.shut_down()
    again = open_docked(blobs())
    again.widget.restore_session(path)
    again.done()
    assert (factory.requests[-1].model, factory.requests[-1].attention) == (TINY, "windowed")
    assert again.widget.form.models.looks.native.currentText() == "near each cell"
    np.testing.assert_array_equal(again.layers.labels.data, before)
    again.widget.choose_model(TINY, "cpu")
    again.done()
    assert factory.requests[-1].attention == "windowed"
    click_on(again.widget.form.models.looks, "whole frames")
    again.done()
    assert factory.requests[-1].attention is None


def test_a_model_that_ran_out_of_memory_is_loaded_again_where_it_was_wanted():
    opener, request = SessionOpener(), SessionRequest(np.zeros((2, 64, 64)), 0, "micro", "cpu")

    def opened():
        return opener(request, lambda *_: None).model

    model = opened()
    assert opened() is model
    model.to("meta")  # in the place of the CPU, to which a session moves what is on a GPU
    assert opened().device.type == "cpu"


def test_another_device_keeps_locks_and_says_what_it_does_not_know(desk):
    other = np.zeros((6, 80, 100), np.uint16)
    other[:, 15:25, 15:25], other[:, 50:60, 50:60] = 3, 4
    desk.widget.workbench.seeding.adopt(desk.viewer.add_labels(other, name="other"))
    desk.done()
    desk.widget.panels.editor.lock([3], True)
    desk.done()
    desk.widget.choose_model("micro", "cpu")
    desk.done()
    assert desk.widget.session.locked == desk.widget.workbench.notes.locked == {3}
    assert "Of 1 imported object it knows only the first frame" in desk.status
    desk.widget.choose_model("micro", "auto")
    desk.done()
    assert desk.widget.session.locked == {3}
    assert desk.status == "Ready: micro has your prompts."


@pytest.mark.parametrize("how", ["failed", "twice", "cancelled"])
def test_locks_and_mothers_stay_where_a_model_was_not_loaded(desk, factory, how):
    editor, sam = desk.widget.panels.editor, LiveSession(desk.widget)
    sam.add_points(1, 0, [SMALL])
    sam.add_points(2, 1, [LARGE])
    sam.set_parent(2, 1)
    editor.lock([1], True)
    desk.done()
    factory.error = InputError("there is no network") if how == "failed" else None
    desk.widget.choose_model("other")
    if how == "failed":
        desk.done()
        assert desk.status == "There is no network."
    elif how == "cancelled":
        desk.widget.cancel()
        desk.done()
    factory.error = None
    desk.widget.choose_model("micro")
    desk.done()
    assert desk.widget.session.locked == desk.widget.workbench.notes.locked == {1}
    assert desk.widget.session.parents == {2: 1}


def test_another_image_is_told_nothing_of_locks(desk, factory):
    sam = LiveSession(desk.widget)
    sam.add_points(1, 0, [SMALL])
    sam.lock(1)
    factory.error = InputError("there is no network")
    desk.widget.choose_model("other")
    desk.done()
    factory.error = None
    desk.widget.set_image(desk.viewer.add_image(blobs(4), name="others"))
    sam.add_points(1, 0, [SMALL])
    desk.widget.choose_model("micro")
    desk.done()
    assert desk.widget.session.locked == set()


def test_another_device_goes_on_with_the_zoom_of_a_restored_session(open_desk, factory, tmp_path):
    path = tmp_path / "cells.ns2.json"
    sam = LiveSession(open_desk(blobs()).widget)
    sam.add_points(1, 0, [SMALL])
    sam.save(path)
    path.write_text(path.read_text().replace('"zoom": null', '"zoom": 2.0'))  # as of `track --zoom`
    again = open_desk(blobs())
    again.widget.restore_session(path)
    again.done()
    assert factory.requests[-1].zoom == 2.0
    again.widget.choose_model("micro", "cpu")
    again.done()
    assert (factory.requests[-1].device, factory.requests[-1].zoom) == ("cpu", 2.0)
    again.widget.choose_model("other", "cpu")  # it suits the model that it was given for
    again.done()
    assert factory.requests[-1].zoom is None
