"""How small models see a frame: parts in their own contrast, without borders, stripes, noise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_sam2 import Frames, TrackingSession
from napari_sam2.tracking.stack.noise import _KNOWN, _filtered, denoised, noise_of
from napari_sam2.tracking.stack.own_contrast import own_contrast
from napari_sam2.tracking.stack.padding import filled
from napari_sam2.tracking.stack.stripes import levelled

CENTRES = [(24, 24), (28, 80), (68, 50)]


def cells(ground: float, cell: float, noise: float, shape: tuple[int, int] = (96, 112)):
    """Return an image with three cells, and their labels."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    truth = np.zeros(shape, np.int32)
    for number, (cy, cx) in enumerate(CENTRES, start=1):
        truth[((y - cy) / 11) ** 2 + ((x - cx) / 14) ** 2 < 1] = number
    body = ndimage.gaussian_filter((truth > 0).astype(float), 1)
    image = np.random.default_rng(0).normal(ground, noise, shape) + (cell - ground) * body
    return image.astype(np.float32), truth


def clicked(model, image, truth):
    """Return the IoU of a click in the middle of each cell."""
    session = TrackingSession(model, Frames(image[None]))
    scores = []
    for number in (1, 2, 3):
        centre = np.argwhere(truth == number).mean(axis=0).round()
        mask = session.add_points(number, 0, [centre]).mask
        scores.append((mask & (truth == number)).sum() / (mask | (truth == number)).sum())
    return scores


@given(st.integers(0, 2**31 - 1), st.floats(0, 1), st.floats(0, 1), st.integers(8, 40))
@settings(deadline=None)
def test_parts_are_shown_half_of_the_way_to_their_own_contrast(seed, one, other, side):
    low, high = min(one, other), max(one, other)
    part = torch.rand(1, 1, side, 24, generator=torch.Generator().manual_seed(seed))
    part = low + (high - low) * part
    part[..., :8, :8], part[..., :8, -8:] = low, high
    seen = own_contrast(part)
    assert seen.min() >= 0
    assert seen.max() <= 1
    order = part.flatten().argsort()
    assert (seen.flatten()[order].diff() >= -1e-6).all()
    span = max(high - low, 1 / 64)
    between = float(seen[..., 0, -1] - seen[..., 0, 0])
    assert between == pytest.approx((high - low) / np.sqrt(span), abs=2e-4)
    beside = torch.cat([torch.rand(2, 1, side, 24), part])
    assert torch.equal(own_contrast(beside)[2:], seen)


def test_a_part_with_all_the_contrast_of_its_stack_stays_as_it_is():
    part = torch.rand(1, 1, 32, 48)
    part[..., :8, :8], part[..., -8:, -8:] = 0, 1
    torch.testing.assert_close(own_contrast(part), part)


def test_a_hot_pixel_takes_no_contrast():
    part = torch.rand(1, 1, 64, 64) / 10
    part[..., :8, :8], part[..., -8:, -8:] = 0, 0.1
    hot = part.clone()
    hot[..., 20, 30] = 1
    seen, expected = own_contrast(hot), own_contrast(part)
    assert seen[..., 20, 30] == 1
    expected[..., 20, 30] = 1
    assert torch.equal(seen, expected)


def rectangle(shape):
    inside = np.zeros(shape, bool)
    inside[7:, : shape[1] - 12] = True
    return inside


def turned(shape):
    return ndimage.rotate(np.ones(shape), 12, reshape=False, order=0) > 0


def disc(shape):
    y, x = np.ogrid[: shape[0], : shape[1]]
    centre = (np.array(shape) - 1) / 2
    return np.hypot(y - centre[0], x - centre[1]) < min(shape) / 2 - 2


@pytest.mark.parametrize("picture", [rectangle, turned, disc])
@pytest.mark.parametrize("border", [0.0, 1.0])
@pytest.mark.parametrize("size", [1, 6])
def test_borders_are_filled_with_what_lies_along_them(picture, border, size):
    shape = 90 * size, 100 * size
    inside = picture(shape)
    seen = np.random.default_rng(0).normal(0.5, 0.05, shape).astype(np.float32)
    plane = torch.from_numpy(np.where(inside, seen, np.float32(border)))[None]
    before = plane.clone()
    found = filled(plane)
    assert torch.equal(plane, before)
    assert torch.equal(found[0][inside], plane[0][inside])
    np.testing.assert_allclose(found[0][~inside], 0.5, atol=0.05)


def corner_cells(shape):
    """Cells on a ground that is even."""
    image = np.zeros(shape, np.float32)
    image[20:40, 20:40] = image[60:80, 50:90] = 0.8
    return image


def one_cell(shape):
    image = np.zeros(shape, np.float32)
    image[20:70, 20:70] = 0.8
    return image


def one_round_cell(shape):
    y, x = np.ogrid[: shape[0], : shape[1]]
    radius = 0.41 * min(shape)
    inside = np.hypot(y - shape[0] / 2, x - shape[1] / 2) < radius
    return np.where(inside, noise(shape), np.float32(0))


def many_specks(shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    return np.where(image > 0.5, image, 0)


def one_grey(shape):
    return np.full(shape, 0.3, np.float32)


def noise(shape):
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize(
    "picture", [corner_cells, one_cell, one_round_cell, many_specks, one_grey, noise]
)
@pytest.mark.parametrize("shape", [(90, 100), (600, 500), (90, 1), (1, 1), (2, 300)])
def test_what_is_no_border_stays(picture, shape):
    plane = torch.from_numpy(picture(shape))[None]
    assert filled(plane) is plane


@pytest.mark.parametrize("value", [0, np.nan])
def test_the_embedded_model_does_not_take_the_picture_for_a_cell(micro, value):
    image, truth = cells(500, 560, 8)
    padded = np.pad(image, 24, constant_values=value)
    truth = np.pad(truth, 24)
    if np.isnan(value):
        with pytest.warns(UserWarning, match="NaN"):
            scores = clicked(micro, padded, truth)
    else:
        scores = clicked(micro, padded, truth)
    assert min(scores) > 0.9
    *_, found = TrackingSession(micro, Frames(np.nan_to_num(padded)[None])).segment_everything(0)
    assert len(found.cells) == 3


def test_the_embedded_model_sees_dim_cells_far_from_a_bright_thing(micro):
    image, truth = cells(100, 140, 4, (96, 400))
    image[30:70, 340:380] += 40 * 60
    assert min(clicked(micro, image, truth)) > 0.95
    session = TrackingSession(micro, Frames(image[None]))
    session.add_points(1, 0, [CENTRES[0]])
    view = session.view(1, 0).image
    assert np.ptp(view) > 8 * 40 / np.ptp(image)  # as it is seen


def test_frames_as_published_stay_beside_what_small_models_see():
    image = np.pad(np.random.default_rng(0).normal(500, 8, (80, 90)), 12).astype(np.float32)
    plain = Frames(image[None])
    seen = plain.tensor(0, (64, 64))
    plain.tensor(0, (64, 64), grey=True, own=True)
    assert torch.equal(plain.tensor(0, (64, 64)), seen)
    assert torch.equal(Frames(image[None]).tensor(0, (64, 64)), seen)
    low = Frames(image[None]).image(0)[0, 0]
    np.testing.assert_array_equal(low, 0)


def striped(shape: tuple[int, int], by: float, axis: int, seed: int = 0) -> np.ndarray:
    offsets = np.random.default_rng(seed).normal(0, by, shape[axis])
    return np.expand_dims(offsets, 1 - axis)


def plane_of(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float32))[None]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("by", [0.05, 0.1])
def test_stripes_are_taken_out(axis, by):
    image, truth = cells(0.4, 0.6, 0.01, (160, 240))
    striped_plane = plane_of(image + striped(image.shape, by, axis))
    before = striped_plane.clone()
    found = levelled(striped_plane)
    assert torch.equal(striped_plane, before)
    assert (found[0].numpy() - image).std() < 0.35 * by
    inside, around = (found[0].numpy()[truth == i].mean() for i in (1, 0))
    assert inside - around == pytest.approx(0.2, abs=0.05)


def test_rows_and_columns_are_levelled_at_once():
    image, _ = cells(0.4, 0.6, 0.01, (160, 240))
    both = striped(image.shape, 0.05, 0) + striped(image.shape, 0.05, 1, seed=1)
    assert (levelled(plane_of(image + both))[0].numpy() - image).std() < 0.35 * both.std()


def layers(shape):
    """Layers that run across the whole picture, 3 to 12 px thick."""
    thick = np.random.default_rng(0).integers(3, 13, shape[0])
    grey = np.random.default_rng(1).random(shape[0])
    column = np.repeat(grey, thick)[: shape[0]]
    return np.repeat(column[:, None], shape[1], axis=1)


def channels(shape):
    """Walls as a mother machine has them."""
    wall = np.arange(shape[1]) % 20 < 4
    return np.repeat(np.where(wall, 0.8, 0.2)[None], shape[0], axis=0)


@pytest.mark.parametrize("picture", [layers, channels, noise, one_grey, corner_cells, one_cell])
def test_what_is_no_stripe_stays(picture):
    plane = plane_of(picture((90, 100)))
    assert levelled(plane) is plane


@given(st.integers(0, 2**31 - 1), st.integers(24, 200), st.integers(24, 200), st.floats(0, 0.3))
@settings(deadline=None, max_examples=40)
def test_noise_is_taken_for_no_stripes(seed, height, width, by):
    image = np.random.default_rng(seed).normal(0.5, by, (height, width))
    plane = plane_of(image)
    assert levelled(plane) is plane


@pytest.mark.parametrize("shape", [(600, 1), (1, 600), (23, 400), (1, 1)])
def test_frames_of_a_few_rows_stay(shape):
    plane = plane_of(np.random.default_rng(0).random(shape))
    assert levelled(plane) is plane
    assert denoised(plane) is plane


@pytest.mark.parametrize("by", [0.08, 0.15, 0.25])
def test_noise_is_measured(by):
    image, _ = cells(0.4, 0.6, by, (200, 300))
    assert noise_of(plane_of(image)) == pytest.approx(by, rel=0.05)
    stripes = striped(image.shape, 0.1, 0) + striped(image.shape, 0.1, 1, seed=1)
    assert noise_of(plane_of(image + stripes)) == pytest.approx(by, rel=0.05)


@pytest.mark.parametrize(("by", "left", "blur"), [(0.1, 0.75, 0.5), (0.2, 0.4, 0.8)])
def test_noise_beyond_what_is_known_is_taken_out_and_edges_stay(by, left, blur):
    clean, truth = cells(0.3, 0.7, 0, (120, 160))
    answers = []
    for seed in range(20):
        noisy = plane_of(clean + np.random.default_rng(seed).normal(0, by, clean.shape))
        before = noisy.clone()
        answers.append(denoised(noisy)[0].numpy())
        assert torch.equal(noisy, before)
        assert (answers[-1] - clean).std() < left * by
    edges = ndimage.binary_dilation(truth > 0) & ~ndimage.binary_erosion(truth > 0)
    smoothed = np.abs(ndimage.gaussian_filter(clean, 2) - clean)[edges].mean()
    assert np.abs(np.mean(answers, axis=0) - clean)[edges].mean() < blur * smoothed


@pytest.mark.parametrize("by", [0.0, 0.02, 0.07])
def test_noise_as_in_training_stays(by):
    image, _ = cells(0.3, 0.7, by)
    plane = plane_of(image)
    assert denoised(plane) is plane


def test_frames_of_any_height_are_filtered_as_a_whole():
    for height, width in [(24, 25), (128, 40), (129, 40), (300, 64), (31, 500)]:
        noisy = torch.rand(1, height, width, generator=torch.Generator().manual_seed(height))
        excess = noise_of(noisy) ** 2 - _KNOWN**2
        whole = _filtered(noisy, excess).clamp(0, 1)
        torch.testing.assert_close(denoised(noisy), whole, rtol=0, atol=2e-6)
    small = torch.rand(1, 20, 23)
    assert denoised(small) is small


@pytest.mark.parametrize("axis", [0, 1])
def test_the_embedded_model_sees_cells_among_stripes(micro, axis):
    image, truth = cells(500, 600, 8)
    assert min(clicked(micro, image + 100 * striped(image.shape, 0.5, axis), truth)) > 0.85


def test_strong_noise_is_taken_out_of_what_is_seen_and_nothing_else():
    image, _ = cells(500, 600, 40)
    frames = Frames(image[None])
    published = frames.image(0)[..., 0]
    assert noise_of(plane_of(frames.grey(0))) < 0.75 * noise_of(plane_of(published))
    np.testing.assert_array_equal(frames.image(0)[..., 0], published)
    np.testing.assert_array_equal(frames.read(0), image)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_channel_of_noise_does_not_hide_the_others(place):
    """What nothing was stained with is stretched from black to white, too."""
    image, _ = cells(500, 700, 8, (240, 280))
    channels = np.stack([np.random.default_rng(k).normal(100, 5, image.shape) for k in (1, 2, 3)])
    channels[place] = image
    mixed = Frames(channels[None], channel_axis=1, channel=(0, 1, 2))
    alone = Frames(channels[None], channel_axis=1, channel=place)
    np.testing.assert_allclose(mixed.grey(0), alone.grey(0), atol=0.1)


def test_a_mix_of_noise_alone_is_shown():
    channels = np.random.default_rng(0).normal(100, 5, (1, 3, 40, 40))
    grey = Frames(channels, channel_axis=1, channel=(0, 1, 2)).grey(0)
    assert np.isfinite(grey).all()
    assert 0.3 < grey.mean() < 0.7
