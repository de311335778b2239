from __future__ import annotations

import numpy as np
import pytest
from skimage.io import imread, imsave

from napari_sam2.tracking.errors import InputError
from napari_sam2.training.static import StaticImages


@pytest.fixture(params=["grey", "colour"])
def folder(tmp_path, request):
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    y, x = np.mgrid[:120, :150]
    labels = np.zeros((120, 150), np.uint16)
    for i in range(12):
        cy, cx = 18 + 40 * (i // 4), 20 + 36 * (i % 4)
        labels[(y - cy) ** 2 + (x - cx) ** 2 < 11**2] = i + 1
    image = 40 + 120 * (labels > 0) + rng.normal(0, 5, labels.shape)
    if request.param == "colour":
        image = image[..., None] * np.array([1, 0.8, 0.5])
    for name in ("a", "b"):
        imsave(tmp_path / "images" / f"{name}.png", image.astype(np.uint8), check_contrast=False)
        imsave(tmp_path / "masks" / f"{name}.png", labels, check_contrast=False)
    return tmp_path


@pytest.mark.parametrize("frames", [1, 5])
def test_clips_hold_cells_of_a_useful_size(folder, frames):
    images = StaticImages(folder)
    assert len(images) == 2
    rng = np.random.default_rng(3)
    for _ in range(5):
        clip = images.clip(rng, frames, (64, 80))
        assert clip.images.shape == clip.labels.shape == (frames, 64, 80)
        assert clip.images.dtype == np.float32
        assert clip.labels.dtype == np.int32
        assert clip.images.min() >= 0
        assert clip.images.max() <= 1
        assert np.bincount(clip.labels[0].ravel())[1:].max() > 50


def test_cells_keep_their_ids_while_they_move(folder):
    clip = StaticImages(folder).clip(np.random.default_rng(4), 6, (96, 96))
    overlaps = []
    for now, then in zip(clip.labels[:-1], clip.labels[1:], strict=True):
        for i in np.intersect1d(now[now > 0], then[then > 0]):
            a, b = now == i, then == i
            overlaps.append((a & b).sum() / (a | b).sum())
    assert np.mean(np.array(overlaps) > 0.3) > 0.8
    assert np.mean(overlaps) < 0.999


def test_the_same_generator_gives_the_same_clip(folder):
    a, b = (StaticImages(folder).clip(np.random.default_rng(6), 3, (64, 64)) for _ in range(2))
    np.testing.assert_array_equal(a.images, b.images)
    np.testing.assert_array_equal(a.labels, b.labels)


def test_labels_stay_on_the_cells(folder):
    images = StaticImages(folder)
    rng = np.random.default_rng(2)
    for _ in range(6):
        clip = images.clip(rng, 4, (64, 64))
        assert clip.labels[0].any()
        for image, labels in zip(clip.images, clip.labels, strict=True):
            if not labels.any():
                continue
            inside, outside = image[labels > 0].mean(), image[labels == 0].mean()
            assert abs(inside - outside) > 0.1


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no images"):
        StaticImages(tmp_path)


def test_masks_without_any_cell_are_refused(folder):
    for path in (folder / "masks").glob("*"):
        imsave(path, np.zeros_like(imread(path)), check_contrast=False)
    with pytest.raises(InputError, match=r"no mask in .* has a cell"):
        StaticImages(folder).clip(np.random.default_rng(1))


def test_suffixes_may_be_in_capitals(folder):
    for path in [*folder.glob("*/*.png")]:
        path.rename(path.with_suffix(".PNG"))
    assert len(StaticImages(folder)) == 2
