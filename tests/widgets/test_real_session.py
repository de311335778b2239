"""The widget on the real session: random weights, or the embedded model where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from fakes import LARGE, SMALL, blobs
from hands import until
from scipy.ndimage import distance_transform_edt

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.session_file import SessionFile, load_session
from napari_sam2.tracking.kept.steps import SetPrompt
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.weights import load_model
from napari_sam2.widgets.scripts.live_session import LiveSession
from napari_sam2.widgets.session.opening import SessionOpener
from napari_sam2.widgets.verbs.following import Looking


@pytest.fixture
def random_session():
    """Open sessions of a network that knows nothing."""
    import torch

    from napari_sam2.model.config import MICRO
    from napari_sam2.model.sam2 import SAM2
    from napari_sam2.tracking.frames import Frames
    from napari_sam2.tracking.session import TrackingSession

    def make(request, progress):
        torch.manual_seed(0)
        return TrackingSession(SAM2(MICRO).eval(), Frames(request.data, axis=request.axis))

    return make


def centre_of_largest(labels: np.ndarray) -> tuple[int, int]:
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    depth = distance_transform_edt(labels == ids[counts.argmax()])
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return int(y), int(x)


def centre_of(mask: np.ndarray) -> tuple[float, float]:
    y, x = np.argwhere(mask).mean(axis=0)
    return float(y), float(x)


def test_gaps_and_doubts_by_name(open_desk, random_session):
    images = np.random.default_rng(0).integers(0, 255, (6, 64, 64), np.uint8)
    desk = open_desk(images, session_factory=random_session)
    labels = np.zeros((6, 64, 64), np.uint16)
    labels[[0, 1, 4, 5], 20:40, 20:40] = 3
    sam = LiveSession(desk.widget)
    sam.adopt(desk.viewer.add_labels(labels))
    assert [(one.object_id, one.first) for one in sam.frames_to_check()] == [(3, 2)]
    sam.close_gaps()
    assert "on a single frame" in sam.status
    assert not sam.masklets[2:4].any()
    sam.close_gaps(longest=2)
    np.testing.assert_array_equal(sam.masklets[2:4, 22:38, 22:38], 3)
    assert not sam.frames_to_check()
    for call in (lambda: sam.close_gaps(0), lambda: sam.split(3, 0)):
        with pytest.raises(InputError, match=r"aps of 0 frames|no masks before that frame"):
            call()
    assert sam.split(3, 4) == 4


@pytest.mark.parametrize(("name", "dtype"), [("hela_nuclei", "uint16"), ("u373_phase", "uint8")])
def test_every_kind_of_prompt(open_desk, random_session, dev_data, name, dtype):
    images = tifffile.imread(dev_data / name / "images.tif", key=range(3))
    assert images.dtype == dtype
    desk = open_desk(images, session_factory=random_session)
    y, x = centre_of_largest(tifffile.imread(dev_data / name / "masks.tif", key=0))
    desk.point(0, y, x)
    desk.done()
    desk.point(0, y + 3, x)
    desk.widget.new_object()
    desk.shape(0, [(y - 9, x - 9), (y - 9, x + 9), (y + 9, x + 9), (y + 9, x - 9)], "rectangle")
    desk.widget.new_object()
    desk.paint(1, 30, 30, 3, size=12)
    painted = desk.frame(1) == 3
    desk.done()
    assert {i: list(p) for i, p in desk.prompts.items()} == {1: [0], 2: [0], 3: [1]}
    assert len(desk.prompts[1][0].points) == 2
    desk.widget.propagate()
    desk.done()
    assert desk.status.startswith("Done: ")
    assert np.array_equal(desk.prompts[3][1].mask, painted)
    for frame in range(3):
        assert np.array_equal(desk.frame(frame), desk.widget.session.result(frame).labels)
    desk.widget.remove_last_point()
    desk.widget.object_id = 2
    desk.widget.delete_object()
    desk.done()
    assert desk.widget.session.object_ids == [1, 3]
    assert not (desk.layers.labels.data == 2).any()


def test_prompts_stay_where_nothing_can_be_followed_on_another_device(open_desk):
    desk = open_desk(blobs(), session_factory=SessionOpener())
    desk.point(0, *SMALL)
    desk.done()
    desk.widget.choose_model("micro", "cpu")
    desk.done()
    assert desk.status == "Ready: micro has your prompts."
    following = desk.widget.workbench.following
    following.frame_range, following.looking = (1, 2), Looking(2, None)
    desk.widget.propagate("backward")
    desk.done()
    assert desk.status == "No frame of those chosen lies backward from the prompts."
    assert len(desk.layers.points.data) == 1
    assert desk.layers.prompts == desk.prompts == {1: {0: Prompt([SMALL], [True])}}


def test_a_session_goes_on_with_the_contrast_that_it_was_made_with(open_desk, tmp_path):
    path, model = tmp_path / "cells.ns2.json", load_model()
    history = History(TrackingSession(model, Frames(blobs(), contrast=(20, 4000))))
    history.do(SetPrompt(1, 0, Prompt([SMALL], [True])))
    KeptSession(path).save(history, SessionFile.of(history, "micro"))
    desk = open_desk(blobs(), session_factory=SessionOpener())
    desk.widget.restore_session(path)
    desk.done()
    assert desk.status.startswith("Restored as it was")
    assert desk.widget.session.frames.contrast == (20, 4000)
    desk.point(0, *LARGE)
    desk.done()
    assert load_session(path).image.contrast == (20, 4000)
    desk.widget.choose_model("micro", "cpu")
    desk.done()
    assert desk.widget.session.frames.contrast == (20, 4000)


def test_the_embedded_model_on_real_nuclei(open_window, dev_data):
    images = tifffile.imread(dev_data / "hela_nuclei" / "images.tif", key=range(3))
    truth = tifffile.imread(dev_data / "hela_nuclei" / "masks.tif", key=range(3))
    y, x = centre_of_largest(truth[0])
    window = open_window(images, session_factory=SessionOpener())
    window.hover(y, x)
    until(lambda: window.widget.hover.picture.mask is not None)
    preview = window.widget.hover.picture.mask
    assert window.widget.session.object_ids == []
    window.click(y, x)
    window.done()
    clicked = window.frame(0) == 1
    assert (preview & clicked).sum() / (preview | clicked).sum() > 0.95
    np.testing.assert_allclose(window.widget.session.prompts[1][0].points, [(y, x)], atol=1)
    window.key("G")
    window.done()
    for frame in range(3):
        cell, mask = truth[frame] == truth[0][y, x], window.frame(frame) == 1
        assert (cell & mask).sum() / (cell | mask).sum() > 0.5
    window.widget.session.add_points(1, 1, [centre_of(truth[1] == truth[0][y, x])], [True])
    assert window.widget.session.stale_frames() == {1: (2,)}
    window.key("H")
    window.done()
    assert window.widget.session.stale_frames() == {}
    assert "Done: 2 frames in" in window.status  # the corrected one, and the one behind it
