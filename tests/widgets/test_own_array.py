"""Somebody puts another array into the layer of the masklets."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from fakes import SMALL, blobs
from test_layers_and_session import few
from test_undo import do, seen

from napari_sam2.tracking.kept.session_file import load_session
from napari_sam2.widgets.layers import results
from napari_sam2.widgets.layers.own_array import NAME


def convert(desk) -> None:
    """As napari's menu of a layer does: Convert data type > int32."""
    from napari.layers._layer_actions import _convert_dtype

    desk.viewer.layers.selection.active = desk.layers.labels
    _convert_dtype(desk.viewer.layers, "int32")
    desk.done()


@pytest.fixture(params=["memory", "zarr"])
def kept(request, monkeypatch, open_desk):
    """A desk with the masklets in memory, or on disk."""
    if request.param == "zarr":
        monkeypatch.setattr(results, "_MEMORY_SHARE", 0)
    return open_desk(blobs())


def test_what_is_done_then_is_seen_saved_and_exported(kept, tmp_path):
    desk = kept
    do(desk, "click")
    array, before = desk.layers.labels.data, seen(desk)
    desk.layers.labels.data = np.array(array).astype(np.int32)
    desk.done()
    assert desk.layers.labels.data is array
    assert seen(desk) == before
    for what in ("second object", "stroke", "propagate"):
        do(desk, what)
        desk.done()
    assert {1, 2} <= set(np.unique(desk.frame(2)))
    assert desk.prompts[2][1].mask.any()
    np.testing.assert_array_equal(desk.widget.workbench.writer.read(2), desk.frame(2))
    desk.widget.save_session(tmp_path / "cells.ns2.json")
    desk.widget.export(tmp_path / "cells.tif")
    desk.done()
    assert load_session(tmp_path / "cells.ns2.json").object_ids == [1, 2]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells.tif"), desk.layers.labels.data)
    for _ in range(3):
        desk.widget.undo()
        desk.done()
    assert seen(desk) == before


def test_what_was_put_there_is_a_layer_beside(open_desk):
    desk = open_desk(blobs(), scale=(3, 0.5, 0.5))
    do(desk, "click")
    convert(desk)
    other = desk.viewer.layers[NAME]
    assert (other.data.dtype, other.visible) == (np.int32, False)
    np.testing.assert_array_equal(other.data, desk.layers.labels.data)
    np.testing.assert_array_equal(other.scale, desk.layers.labels.scale)
    assert desk.viewer.layers.selection.active is desk.layers.labels
    assert f"is the hidden layer '{NAME}'" in desk.status
    convert(desk)  # once more: no layers pile up
    assert [layer.name for layer in desk.viewer.layers].count(NAME) == 1
    desk.widget.workbench.restoring.restart()
    desk.done()
    desk.widget.workbench.seeding.adopt(desk.viewer.layers[NAME])
    desk.done()
    assert desk.frame(0)[SMALL] == 1


def test_another_shape_moves_nothing(open_desk):
    desk = open_desk(blobs(), scale=(3, 0.5, 0.5), translate=(0, 5, 5))
    do(desk, "click")
    array, labels = desk.layers.labels.data, desk.layers.labels
    labels.data = np.zeros((9, 9), np.uint8)
    desk.done()
    assert labels.data is array
    np.testing.assert_array_equal(labels.scale, (3, 0.5, 0.5))
    np.testing.assert_array_equal(labels.translate, (0, 5, 5))
    assert desk.viewer.layers[NAME].data.shape == (9, 9)
    do(desk, "stroke")
    desk.done()
    assert desk.prompts[2][1].mask.any()


def test_masklets_that_were_left_are_anybodys(desk):
    do(desk, "click")
    old, other = desk.layers.labels, np.ones(blobs().shape, np.int32)
    desk.widget.set_image(desk.viewer.add_image(blobs() // 2, name="other"))
    few()
    old.data = other
    few()
    assert old.data is other
    assert NAME not in desk.viewer.layers
