"""What the network sees is the frame itself, cut and resized as it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from napari_sam2 import Frames, TrackingPolicy, TrackingSession, load_model
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.stack.own_contrast import own_contrast
from tests.tracking.toy import moving_disk, toy_model


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_the_view_lies_on_the_frame(attention):
    model = load_model("micro", device="cpu") if attention == "windowed" else toy_model()
    stack = moving_disk(3, (150, 200))
    session = TrackingSession(
        model, Frames(stack, contrast=(0, 255)), TrackingPolicy(attention=attention)
    )
    session.add_box(4, 1, [[18, 12], [42, 36]])
    view = session.view(4, 1)
    assert view.image.shape[2] == 3
    assert 0 <= view.image.min() < view.image.max() <= 1
    y, x = np.mgrid[: view.image.shape[0], : view.image.shape[1]]
    places = [y / view.zoom[0] + view.corner[0], x / view.zoom[1] + view.corner[1]]
    expected = map_coordinates(stack[1] / 255.0, places, order=1, mode="nearest")
    if attention == "windowed":
        expected = own_contrast(torch.from_numpy(expected)[None, None])[0, 0].numpy()
    assert np.abs(view.image[..., 0] - expected).mean() < 0.02
    if attention == "windowed":
        assert view.image.shape[0] / view.zoom[0] < 150
    with pytest.raises(InputError, match="not been looked at"):
        session.view(4, 0)
    with pytest.raises(InputError, match="no object 5"):
        session.view(5, 1)
