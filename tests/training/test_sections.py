"""Real pictures cut plane by plane."""

import numpy as np
import pytest
from skimage.draw import disk

from napari_sam2.training.sections import bright_bodies, in_sections, split


def _picture(side=96, radius=14, centre=(40, 52)):
    cells = np.zeros((side, side), np.int32)
    cells[disk(centre, radius)] = 7
    picture = np.where(cells > 0, 0.9, 0.1).astype(np.float32)
    return picture, cells


def test_bright_bodies_are_told_from_dark_ones():
    picture, cells = _picture()
    assert bright_bodies(picture, cells)
    assert not bright_bodies(1 - picture, cells)
    assert not bright_bodies(picture, np.zeros_like(cells))


def test_ground_and_light_add_up_where_cells_are():
    picture, cells = _picture()
    layer = split(picture, cells)
    here = layer.around > 0
    np.testing.assert_allclose((layer.ground + layer.light)[here], picture[here], atol=1e-6)
    assert layer.ground[cells > 0].max() < 0.3
    np.testing.assert_allclose(layer.centres[1], (40, 52), atol=0.5)
    assert layer.radii[1] == pytest.approx(14, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_sections_shrink_dim_and_end_in_place(seed):
    picture, cells = _picture()
    rng = np.random.default_rng(seed)
    pictures, truth = in_sections(rng, [split(picture, cells)], 40)
    areas = (truth > 0).sum((1, 2))
    top = int(areas.argmax())
    assert areas[top] > 0.4 * (cells > 0).sum()  # its middle may lie above the first plane
    assert areas[-1] == 0
    assert (np.diff(areas[top:]) <= 0.05 * areas[top]).all()  # but for whole pixels
    light = pictures[:, 40, 52]
    assert light[-1] < 0.4 < light[top]


def test_layers_keep_their_ids_apart():
    layers = [split(*_picture()), split(*_picture(centre=(50, 50)))]
    _, truth = in_sections(np.random.default_rng(3), layers, 60)
    assert set(np.unique(truth)) == {0, 1, 3}
    first, second = ((truth == i).any((1, 2)).nonzero()[0] for i in (1, 3))
    assert first.min() == 0
    assert second.max() > first.max()
