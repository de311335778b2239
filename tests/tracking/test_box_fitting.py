"""A box shows where the annotator's outline runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam2 import Frames, TrackingSession
from napari_sam2.tracking.masks.box_fitting import fitted
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.training.samples import sample_timelapse


def cone(radius, size=48, centre=24.0):
    """Logits that fall by 0.6 a cell; where they are 0 is a circle."""
    y, x = np.mgrid[:size, :size] + 0.5
    return torch.from_numpy(0.6 * (radius - np.hypot(y - centre, x - centre))).float()


def width(logits):
    return float((logits > 0).any(0).sum())


@pytest.mark.parametrize("half", [9.0, 10.0, 11.5])
def test_a_mask_comes_to_fill_a_box_that_is_a_little_off(half):
    box = np.array([[24 - half] * 2, [24 + half] * 2])
    before, after = (abs(width(x) - 2 * half) for x in (cone(10.5), fitted(cone(10.5), box)))
    assert after <= before
    assert after <= 1


def test_it_shrinks_more_readily_than_it_grows():
    sharp = 5 * cone(10)  # each logit moves the outline by a third of a cell

    def moved(half):
        box = np.array([[24 - half] * 2, [24 + half] * 2])
        return float((fitted(sharp, box) - sharp).mean())

    assert moved(10) == 0
    assert moved(8.5) < -1
    assert moved(11.5) == 0


def test_crumbs_beside_the_mask_do_not_count():
    crumbs = cone(10)
    crumbs[[0, 47], [47, 0]] = 9.0  # one before it, one behind it
    box = np.array([[15.0, 15.0], [33.0, 33.0]])
    shift = fitted(cone(10), box) - cone(10)
    assert shift.mean() < 0
    torch.testing.assert_close(fitted(crumbs, box) - crumbs, shift, atol=1e-5, rtol=0)


def test_a_box_that_is_far_off_and_a_mask_that_is_empty_change_nothing():
    far = np.array([[40.0, 40.0], [47.0, 47.0]])
    assert torch.equal(fitted(cone(6), far), cone(6))
    nothing = torch.full((48, 48), -9.0)
    assert torch.equal(fitted(nothing, far), nothing)


def test_a_box_on_a_followed_frame_is_answered_as_if_nothing_had_been_found(micro):
    images, labels = sample_timelapse(frames=4, shape=(128, 128))
    object_id = int(np.bincount(labels[0][labels[0] > 0]).argmax())
    ys, xs = np.nonzero(labels[2] == object_id)
    box = [[ys.min(), xs.min()], [ys.max(), xs.max()]]
    followed, fresh = (TrackingSession(micro, Frames(images, axis=0)) for _ in range(2))
    followed.add_mask(1, 0, labels[0] == object_id)
    for _ in followed.propagate("forward"):
        pass
    fresh.add_mask(1, 0, labels[0] == object_id)
    wanted = fresh.add_box(1, 2, box).mask
    np.testing.assert_array_equal(followed.add_box(1, 2, box).mask, wanted)
    # Clicks after it correct that mask.
    y, x = ys.max() + 2, int(np.median(xs))
    corrected = followed.add_points(1, 2, [[y, x]], [True]).mask
    assert corrected[y, x]
    assert (corrected & wanted).sum() > 0.9 * wanted.sum()
    # Without them the box alone counts again.
    again = followed.set_prompt(1, 2, Prompt(box=box)).mask
    np.testing.assert_array_equal(again, wanted)
