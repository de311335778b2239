"""Encodings of windows hold what the frame holds there, and are made once."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.model.config import MICRO
from napari_sam2.model.positions import TokenGrid
from napari_sam2.model.values import ImageFeatures
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.network.encodings import Encodings, cuts
from napari_sam2.tracking.stack.enlarging import enlarged_parts
from napari_sam2.tracking.windows import Geometry, Window
from tests.tracking.toy import toy_model


class Echo:
    """Stands for a network whose encoding is the image itself, averaged; counts its work."""

    config = MICRO
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.tiles: list[tuple[int, ...]] = []

    def encode_image(self, image):
        self.tiles += [tuple(image.shape[-2:])] * len(image)
        maps = [torch.nn.functional.avg_pool2d(image, stride) for stride in (16, 8, 4)]
        return ImageFeatures(*maps, TokenGrid(*maps[0].shape[-2:]))


@given(st.integers(1, 400))
def test_tiles_cover_an_axis_once_and_are_of_one_size(half):
    length = 2 * half
    found = cuts(length)
    kept = [i for cut in found for i in range(cut.start, cut.stop)]
    assert kept == list(range(length))
    assert len({cut.last - cut.first for cut in found}) == 1
    for cut in found:
        assert 0 <= cut.first <= cut.start
        assert cut.stop <= cut.last <= length
        assert cut.first == 0 or cut.start - cut.first >= 1
        assert cut.last == length or cut.last - cut.stop >= 1


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_windows_hold_what_the_frame_holds_there(data):
    rows, columns = (2 * data.draw(st.integers(1, 40)) for _ in range(2))
    shape = data.draw(st.sampled_from([(16 * rows, 16 * columns), (4 * rows, 4 * columns)]))
    stack = np.random.default_rng(0).integers(0, 255, (2, *shape)).astype(np.uint8)
    frames = Frames(stack, contrast=(0, 255))
    geometry = Geometry(shape, (16 * rows, 16 * columns))
    encodings = Encodings(Echo(), frames, {geometry.tokens: geometry}, divided=True, kept=2)
    height, width = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))
    windows = [
        Window(
            data.draw(st.integers(0, rows - height)),
            data.draw(st.integers(0, columns - width)),
            height,
            width,
            geometry.tokens,
        )
        for _ in range(2)
    ]
    with patch("napari_sam2.tracking.frames.own_contrast", lambda parts: parts):
        found = encodings.windows(1, windows)
    whole = Echo().encode_image(frames.tensor(1, geometry.size, grey=True))
    for n, window in enumerate(windows):
        for name, scale in (("stride16", 1), ("stride8", 2), ("stride4", 4)):
            expected = getattr(whole, name)[0][(slice(None), *window.slices(scale))]
            torch.testing.assert_close(getattr(found, name)[n], expected, rtol=0, atol=1e-4)


def _counted(kept=2):
    frames = Frames(np.zeros((3, 640, 640), np.uint8), contrast=(0, 255))
    geometry = Geometry((640, 640), (1280, 1280))
    model = Echo()
    levels = {geometry.tokens: geometry}
    return model, Encodings(model, frames, levels, divided=True, kept=kept)


def test_only_windows_are_encoded_and_only_once():
    model, encodings = _counted()
    corner, middle = Window(0, 0, 8, 8, (80, 80)), Window(28, 28, 8, 8, (80, 80))
    encodings.windows(0, [corner])
    encodings.windows(0, [corner, middle, middle])
    assert model.tiles == [(128, 128)] * 2
    encodings.windows(1, [corner])
    encodings.windows(0, [middle])
    assert len(model.tiles) == 3


def test_large_windows_are_made_of_tiles():
    model, encodings = _counted()
    encodings.windows(0, [Window(10, 10, 32, 32, (80, 80))])
    assert model.tiles == [(384, 384)] * 4
    encodings.windows(0, [Window(0, 0, 40, 40, (80, 80))])
    assert len(model.tiles) == 4


def test_what_was_used_longest_ago_is_forgotten():
    model, encodings = _counted(kept=1)
    windows = [Window(row, 0, 24, 24, (80, 80)) for row in range(56)]
    for window in windows:
        encodings.windows(0, [window])
        encodings.windows(0, windows[:1])
    assert len(model.tiles) == 56
    encodings.windows(0, windows[1:2])
    assert len(model.tiles) == 57
    encodings.forget()
    encodings.windows(0, windows[:1])
    assert len(model.tiles) == 58


def test_a_window_that_is_the_frame_is_encoded_as_published():
    model = toy_model()
    # Too little noise to be taken out; and its own contrast is that of the stack.
    stack = np.random.default_rng(0).integers(100, 150, (1, 60, 90)).astype(np.uint8)
    stack[0, 5:17, 5:17], stack[0, 30:42, 30:42] = 0, 255
    frames = Frames(stack, contrast=(0, 255))
    geometry = Geometry((60, 90), (128, 192))
    levels = {geometry.tokens: geometry}
    window = Window(0, 0, *geometry.tokens, geometry.tokens)
    with torch.inference_mode():
        divided = Encodings(model, frames, levels, True, 1).windows(0, [window])
        exact = Encodings(model, frames, levels, False, 1).windows(0, [window])
    assert divided.grid == exact.grid
    torch.testing.assert_close(divided.stride16, exact.stride16, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(divided.stride4, exact.stride4, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "size"), [((1, 1), (64, 32)), ((1, 7), (32, 96)), ((50, 3), (64, 64))]
)
def test_parts_of_tiny_frames(shape, size):
    planes = torch.rand(1, *shape)
    whole = torch.nn.functional.interpolate(
        planes[None], size, mode="bilinear", align_corners=False
    )[0]
    parts = [(slice(3, 20), slice(5, 30)), (slice(12, 29), slice(0, 25))]
    wanted = torch.stack([whole[:, rows, columns] for rows, columns in parts])
    torch.testing.assert_close(enlarged_parts(planes, size, parts), wanted, rtol=0, atol=1e-5)


def test_what_is_not_enlarged_is_cut_out_as_it_is():
    planes = torch.rand(3, 1088, 1056, generator=torch.manual_seed(0))
    parts = [(slice(656, 672), slice(784, 800)), (slice(0, 16), slice(1040, 1056))]
    wanted = torch.stack([planes[:, rows, columns] for rows, columns in parts])
    assert torch.equal(enlarged_parts(planes, (1088, 1056), parts), wanted)


def test_after_forgetting_there_is_as_much_room_as_before():
    model, encodings = _counted(kept=1)
    windows = [Window(row, 0, 24, 24, (80, 80)) for row in range(56)]
    for window in windows:
        encodings.windows(0, [window])
    encodings.forget()
    model.tiles.clear()
    for window in [*windows[:2], *windows[:2]]:
        encodings.windows(0, [window])
    assert len(model.tiles) == 2


def test_what_was_prepared_of_a_whole_frame_is_forgotten_with_it(monkeypatch):
    model, made = toy_model(), []
    prepare = model.prepare
    monkeypatch.setattr(model, "prepare", lambda features: made.append(1) or prepare(features))
    frames = Frames(np.zeros((1, 60, 90), np.uint8), contrast=(0, 255))
    geometry = Geometry((60, 90), (128, 192))
    encodings = Encodings(model, frames, {geometry.tokens: geometry}, divided=False, kept=1)
    for calls in (1, 2):
        for _ in range(2):
            encodings.prepared(0, [Window(0, 0, *geometry.tokens, geometry.tokens)])
        assert len(made) == calls
        encodings.forget()
