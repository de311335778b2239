from __future__ import annotations

import numpy as np
import pytest

from napari_sam2 import sample_data
from napari_sam2.training.samples import sample_timelapse, sample_zstack


@pytest.fixture(scope="module")
def timelapse():
    return sample_timelapse()


def test_the_timelapse_shows_nuclei_that_divide(timelapse):
    images, labels = timelapse
    assert images.shape == labels.shape == (24, 256, 320)
    assert images.dtype == labels.dtype == np.uint16
    assert images[labels > 0].mean() > 4 * images[labels == 0].mean()
    assert np.mean(images >= 65_535) < 1e-4
    first, last = set(np.unique(labels[0])), set(np.unique(labels[-1]))
    assert len(last - first) >= 2
    assert len(first & last) > 5


def test_the_zstack_has_nuclei_at_every_depth():
    images, labels = sample_zstack()
    assert images.shape == labels.shape == (32, 256, 256)
    assert all(len(np.unique(plane)) > 5 for plane in labels)
    assert not set(np.unique(labels[0])) >= set(np.unique(labels[-1]))


def test_samples_are_the_same_every_time(timelapse):
    again, _ = sample_timelapse(frames=3)
    np.testing.assert_array_equal(sample_timelapse(frames=3)[0], again)
    np.testing.assert_array_equal(sample_timelapse()[1], timelapse[1])


@pytest.mark.parametrize(("maker", "axis"), [("timelapse", "t"), ("zstack", "z")])
def test_napari_gets_an_image_layer_with_axes_and_scale(maker, axis):
    [(data, settings, kind)] = getattr(sample_data, maker)()
    assert kind == "image"
    assert data.ndim == len(settings["scale"]) == len(settings["units"]) == 3
    assert settings["axis_labels"] == (axis, "y", "x")
