"""The widget on the real session: random weights, or the embedded model where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hands import until
from scipy.ndimage import distance_transform_edt

from napari_sam2.widgets.opening import SessionOpener


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
