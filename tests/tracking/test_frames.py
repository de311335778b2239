from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import zarr
from dask.cache import Cache
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import IMAGENET_MEAN, IMAGENET_STD, Frames
from napari_sam2.tracking.stack.channels import parsed_channels
from tests.tracking.toy import a_session, drawn, moving_disk


@pytest.fixture
def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, (5, 12, 9), dtype=np.uint16)


class Spy:
    """Counts what is read, and holds no array in memory."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.dtype, self.reads = shape, np.dtype(np.uint16), []

    def __getitem__(self, index: Any) -> np.ndarray:
        self.reads.append(index)
        assert isinstance(index[0], int), "more than one frame at a time"
        return np.full(self.shape[1:], index[0], dtype=self.dtype)


def test_any_array_and_any_axis_give_the_same_frames(stack: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", stack)
    on_disk = zarr.create_array(str(tmp_path / "a.zarr"), data=stack, chunks=(2, 5, 5))
    for data in (stack, da.from_array(stack), on_disk, np.load(tmp_path / "a.npy", "r")):
        frames = Frames(data)
        assert (len(frames), frames.shape, frames.axis, frames.rgb) == (5, (12, 9), 0, False)
        np.testing.assert_array_equal(frames.read(3), stack[3])
    for axis in (0, 1, 2, -1, -2, -3):
        frames = Frames(np.moveaxis(stack, 0, axis), axis=axis)
        assert frames.axis == axis % 3
        np.testing.assert_array_equal(frames.read(4), stack[4])


def test_reads_one_frame_at_a_time_and_a_bounded_sample() -> None:
    spy = Spy((1000, 8, 8))
    frames = Frames(spy)
    assert spy.reads == []
    low, high = frames.contrast
    assert low < 10
    assert high > 990
    sampled = [index[0] for index in spy.reads]
    assert len(sampled) == 16
    assert (sampled[0], sampled[-1]) == (0, 999)
    frames.image(5)
    assert len(spy.reads) == 17


class Slow:
    """A stack whose reading can be held back; counts readers."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.open = threading.Event()
        self.read: list[int] = []
        self.readers = self.most = 0
        self.broken = True  # a frame of it

    def __getitem__(self, place: Any) -> np.ndarray:
        self.readers += 1
        self.most = max(self.most, self.readers)
        self.open.wait(5)
        self.read.append(place[0])
        self.readers -= 1
        if self.broken and place[0] == 3:
            raise OSError("broken")
        return self.data[place]


def test_an_expected_frame_is_read_in_the_background_and_once(stack: np.ndarray) -> None:
    slow = Slow(stack)
    frames = Frames(slow, contrast=(0, 255))
    frames.expect(1)
    threading.Timer(0.05, slow.open.set).start()
    first, second = frames.image(0).copy(), frames.tensor(1, stack.shape[1:])
    plain = Frames(stack, contrast=(0, 255))
    np.testing.assert_array_equal(first, plain.image(0))
    assert torch.equal(second, plain.tensor(1, stack.shape[1:]))
    frames.tensor(1, stack.shape[1:])
    assert sorted(slow.read) == [0, 1]
    assert slow.most == 1


def test_what_is_read_for_others_waits_for_the_one_that_is_expected(stack: np.ndarray) -> None:
    slow = Slow(stack)
    frames = Frames(slow, contrast=(0, 255))
    frames.expect(1)
    threading.Timer(0.05, slow.open.set).start()
    np.testing.assert_array_equal(frames.read(0), stack[0])
    assert slow.most == 1


def test_dask_is_read_beside_a_window_that_keeps_what_is_computed(stack: np.ndarray) -> None:
    """As napari does while it slices; its cache does not bear two threads."""
    lazy = da.from_array(np.repeat(stack, 8, axis=0), chunks=(1, *stack.shape[1:]))
    frames, over, wrong = Frames(lazy, contrast=(0, 255)), threading.Event(), []
    cache = Cache(1e5)

    def slicing() -> None:
        while not over.is_set():
            for index in range(len(frames)):
                try:
                    with cache:
                        np.asarray(lazy[index])
                except KeyError as error:
                    wrong.append(error)

    window = threading.Thread(target=slicing)
    window.start()
    try:
        for index in [*range(len(frames))] * 5:
            frames.read(index)
    finally:
        over.set()
        window.join()
    assert not wrong


def test_what_is_expected_is_bounded_and_read_by_one_at_a_time(stack: np.ndarray) -> None:
    slow = Slow(stack)
    frames = Frames(slow, contrast=(0, 255))
    threading.Timer(0.05, slow.open.set).start()
    for index in range(3):
        frames.expect(index)
    frames.tensor(4, stack.shape[1:])
    assert slow.most == 1
    assert len(slow.read) <= 4


def test_what_is_expected_and_never_asked_for_is_dropped(stack: np.ndarray) -> None:
    frames = Frames(stack)
    for index in range(len(frames)):
        frames.expect(index)
    assert len(frames._expected) <= 2


def test_errors_of_an_expected_frame_come_when_it_is_asked_for(stack: np.ndarray) -> None:
    slow = Slow(stack)
    slow.open.set()
    frames = Frames(slow, contrast=(0, 255))
    frames.expect(3)
    frames.tensor(0, stack.shape[1:])
    with pytest.raises(InputError, match=r"frame 3 cannot be read .*broken"):
        frames.tensor(3, stack.shape[1:])


def test_an_expected_frame_that_failed_is_read_again(stack: np.ndarray) -> None:
    """The network is back, say."""
    slow = Slow(stack)
    slow.open.set()
    frames = Frames(slow, contrast=(0, 255))
    frames.expect(3)
    frames.settle()
    slow.broken = False
    np.testing.assert_array_equal(frames.image(3), Frames(stack, contrast=(0, 255)).image(3))


def test_what_was_read_ahead_is_not_kept_when_others_may_change_it(model) -> None:
    stack = moving_disk(4)
    session = a_session(model, stack=stack)
    session.add_mask(1, 0, drawn())
    results = session.propagate("forward")
    assert next(results).frame == 0  # the next one is being read
    results.close()
    stack[1] = 7
    assert (session.frames.image(1) == np.float32(7 / 255)).all()


def test_contrast_is_that_of_the_whole_stack_and_linear() -> None:
    ramp = np.linspace(100, 200, 4 * 50 * 50).reshape(4, 50, 50)
    frames = Frames(ramp)
    low, high = frames.contrast
    np.testing.assert_allclose((low, high), np.percentile(ramp, (0.1, 99.9)))
    expected = np.clip((ramp[2] - low) / (high - low), 0, 1)
    image = frames.image(2)
    assert image.shape == (50, 50, 3)
    assert image.dtype == np.float32
    for channel in range(3):
        np.testing.assert_allclose(image[..., channel], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 30, 40, 3), (30, 40, 3), (2, 30, 40, 4)])
def test_tensor_of_rgb_uint8_is_the_reference_input(shape: tuple[int, ...]) -> None:
    data = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    frames = Frames(data, contrast=(0, 255))
    assert frames.rgb
    last = len(frames) - 1
    rgb = (data[last] if data.ndim == 4 else data)[..., :3]
    unit = torch.from_numpy(rgb).permute(2, 0, 1)[None].contiguous().float() / 255
    resized = F.interpolate(
        unit, size=(64, 64), mode="bilinear", antialias=True, align_corners=False
    )
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    tensor = frames.tensor(last, (64, 64))
    assert tensor.shape == (1, 3, 64, 64)
    torch.testing.assert_close(tensor, (resized - mean) / std, rtol=0, atol=0)
    assert Frames(data).contrast == (0.0, 255.0)


COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


@given(COLOURS, COLOURS, st.booleans())
def test_colours_are_grey_in_the_mix_in_which_they_differ_most(ground, cell, repeated):
    """Whatever the two colours are: the picture is seen, the brighter one brighter."""
    apart = np.subtract(cell, ground)
    assume(np.abs(apart).max() >= 60)
    assume(abs(apart.sum()) >= 3)
    picture = np.random.default_rng(0).uniform(0, 1, (3, 20, 30))
    picture[1] *= 0.5  # frames are not stretched one by one
    mixed = (ground + picture[..., None] * apart).round().astype(np.uint8)
    frames = Frames(mixed)
    wanted = Frames(picture.astype(np.float32))
    for t in (2, 1, 1):
        expected = wanted.grey(t) if apart.sum() > 0 else 1 - wanted.grey(t)
        np.testing.assert_allclose(frames.grey(t), expected, atol=0.03)
        if repeated:
            seen = frames.tensor(t, (20, 30), grey=True)
            alike = Frames(frames.grey(t)[None], contrast=(0, 1)).tensor(0, (20, 30))
            torch.testing.assert_close(seen, alike)
            frames.tensor(t, (20, 30))  # the same frame in colour lies beside it


def test_a_frame_is_read_once_for_colours_and_grey(monkeypatch):
    colours = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3)).astype(np.uint8)
    frames, seen = Frames(colours), []
    frames.grey(0)  # the mix is known
    read = Frames._read
    monkeypatch.setattr(Frames, "_read", lambda self, t, c: seen.append(t) or read(self, t, c))
    for t in (1, 2):
        frames.small(t, 2, torch.device("cpu"))
        frames.tensor(t, (16, 16))
        frames.tensor(t, (32, 32), grey=True)
        frames.expect(t)
    assert seen == [1, 2]


@pytest.mark.parametrize("side", [1, 8])
def test_a_frame_of_one_colour_is_grey_too(side):
    frames = Frames(np.full((1, side, side, 3), (30, 61, 90), np.uint8))
    np.testing.assert_allclose(frames.grey(0), (30 + 61 + 90) / 3 / 255, atol=1e-6)


def test_tensor_of_grey_repeats_the_channel(stack: np.ndarray) -> None:
    tensor = Frames(stack).tensor(0, (16, 20))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    unit = tensor * std + mean
    assert tensor.shape == (1, 3, 16, 20)
    torch.testing.assert_close(unit[:, 0], unit[:, 2])


def test_which_arrays_are_rgb() -> None:
    assert Frames(np.zeros((7, 6, 3), np.uint8)).shape == (7, 6)
    assert not Frames(np.zeros((7, 6, 3), np.uint16)).rgb
    assert len(Frames(np.zeros((7, 6, 3), np.uint16))) == 7
    few = Frames(np.zeros((7, 6, 3), np.uint8), axis=-1)  # three frames, told by the axis
    assert (few.rgb, len(few)) == (False, 3)
    assert Frames(np.zeros((2, 7, 6, 3), np.float32)).rgb
    first = Frames(np.zeros((3, 2, 7, 6), np.uint16), axis=1, channel_axis=0)
    assert (first.rgb, len(first), first.read(0).shape) == (True, 2, (7, 6, 3))


def test_channels_are_picked() -> None:
    data = np.random.default_rng(2).integers(0, 99, (4, 2, 7, 6))
    with pytest.raises(InputError, match="2 channels; pick one with channel=0 to 1"):
        Frames(data, channel_axis=1)
    frames = Frames(data, channel_axis=-3, channel=1)
    assert not frames.rgb
    np.testing.assert_array_equal(frames.read(2), data[2, 1])
    assert not Frames(np.zeros((2, 7, 6, 3), np.uint8), channel_axis=3, channel=0).rgb
    assert Frames(data[:, :1], channel_axis=1).read(0).shape == (7, 6)
    for kwargs, message in [
        ({"channel_axis": 1, "channel": 2}, "channel 2 does not exist"),
        ({"channel": 0}, "channel_axis="),
        ({"channel_axis": 7}, "channel_axis 7 does not exist"),
        ({"channel_axis": 0, "channel": 0}, "is the channel axis"),
    ]:
        with pytest.raises(InputError, match=message):
            Frames(data, **kwargs)
    with pytest.raises(InputError, match="channel 3 does not exist; there is only channel 0"):
        Frames(data[:, :1], channel_axis=1, channel=(0, 3))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((0, 5, 5)), "is empty"),
        (np.zeros((3, 0, 5)), "is empty"),
        (np.zeros(5), "cannot be guessed"),
        (np.zeros((2, 2, 2, 5, 5)), "cannot be guessed"),
        (np.zeros((2, 6, 5, 5)), "name its axes"),
        (np.zeros((2, 5, 5), complex), "complex128"),
        (np.zeros((2, 5, 5), object), "object"),
        ([[1, 2], [3]], "no regular array"),
        ("cells.tif", r"open_stack\(path\)\.frames\(\)"),
        ([["a", "b"]], "cannot be used"),
    ],
)
def test_unusable_arrays(data: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Frames(data)


def test_unusable_arguments(stack: np.ndarray) -> None:
    with pytest.raises(InputError, match="axis 3 does not exist"):
        Frames(stack, axis=3)
    with pytest.raises(InputError, match="low < high"):
        Frames(stack, contrast=(5, 5))
    for contrast in ((1, 2, 3), (1,), 5, ((0, 1),) * 3):
        with pytest.raises(InputError, match=r"contrast must be \(low, high\), not"):
            Frames(stack, contrast=contrast)
    for words in ("auto", ("low", "high"), (1, (2, 3)), {}):
        with pytest.raises(InputError, match=r"contrast must be \(low, high\), two numbers"):
            Frames(stack, contrast=words)
    for name in ("axis", "channel_axis"):
        for axis in ("T", 0.0):
            with pytest.raises(InputError, match=f"{name} is the number of an axis"):
                Frames(stack, **{name: axis})
    assert Frames(stack, axis=np.int64(0), contrast=np.array([0, 9])).contrast == (0.0, 9.0)
    with pytest.raises(InputError, match="percentiles"):
        Frames(stack, percentiles=(50, 10))
    for index in (-1, 5):
        with pytest.raises(InputError, match="frames 0 to 4"):
            Frames(stack).read(index)


def test_two_dimensions_are_one_frame(stack: np.ndarray) -> None:
    frames = Frames(stack[0])
    assert (len(frames), frames.axis) == (1, 0)
    np.testing.assert_array_equal(frames.read(0), stack[0])
    assert Frames([[0, 1], [2, 3]]).shape == (2, 2)


def test_odd_values() -> None:
    data = np.random.default_rng(3).normal(0, 100, (3, 20, 20)).astype(np.float32)
    data[1, 0, :3] = np.nan, np.inf, -np.inf
    frames = Frames(data)
    with pytest.warns(UserWarning, match="some values are NaN or infinite") as said:
        low, high = frames.contrast
    assert len(said) == 1
    assert np.isfinite([low, high]).all()
    assert low < 0 < high
    np.testing.assert_array_equal(frames.image(1)[0, :3, 0], [0, 1, 0])
    assert torch.isfinite(frames.tensor(1, (32, 32))).all()
    fixed = Frames(data, contrast=(low, high))  # whose values were not looked at before
    with pytest.warns(UserWarning, match="NaN and -inf are seen as black, inf as white") as said:
        np.testing.assert_array_equal([fixed.image(1), fixed.image(1)], [frames.image(1)] * 2)
    assert len(said) == 1
    with pytest.raises(InputError, match="no finite values"):
        _ = Frames(np.full((2, 5, 5), np.nan)).contrast


@pytest.mark.parametrize("value", [0, 7.0, -3.5, 1e20])
def test_constant_images_are_said_and_divide_by_no_zero(value: float) -> None:
    frames = Frames(np.full((2, 5, 5), value))
    told = f"every value looked at is {value:g}: is it the right channel or plane?"
    with pytest.warns(UserWarning, match=re.escape(told)) as said:
        low, high = frames.contrast
    assert len(said) == 1
    assert low == value
    assert high > low
    assert not frames.image(0).any()


def test_sparse_signal_on_a_constant_background_is_not_lost() -> None:
    data = np.zeros((10, 100, 100), np.uint16)
    data[5:, 50, 50] = 900
    assert Frames(data).contrast == (0.0, 900.0)


def test_bool_and_big_integers() -> None:
    mask = np.eye(5, dtype=bool)[None]
    assert Frames(mask).contrast == (0.0, 1.0)
    np.testing.assert_array_equal(Frames(mask).image(0)[..., 0], mask[0])
    big = np.arange(100, dtype=np.int64).reshape(1, 10, 10) + 2**40
    image = Frames(big, contrast=(2**40, 2**40 + 99)).image(0)
    np.testing.assert_allclose(image[0, :, 0], np.arange(10) / 99, atol=1e-6)


def _two(dtype: type = np.uint16) -> np.ndarray:
    """(C, T, Y, X), channel 1 ten times as bright as channel 0."""
    one = np.random.default_rng(0).integers(0, 200, (4, 20, 30)).astype(dtype)
    return np.stack([one, one[::-1] * 10])


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_a_mix_of_channels_wherever_their_axis_is(axis: int) -> None:
    data = _two()
    moved = np.moveaxis(data, 0, axis)
    frames = Frames(moved, axis=1 if axis == 0 else 0, channel_axis=axis, channel=(1, None, 0))
    assert frames.rgb
    assert (len(frames), frames.shape) == (4, (20, 30))
    np.testing.assert_array_equal(frames.read(2)[..., 0], data[1, 2])
    np.testing.assert_array_equal(frames.read(2)[..., 2], data[0, 2])
    assert not frames.image(2)[..., 1].any()


def test_each_colour_of_a_mix_has_its_own_contrast() -> None:
    data = _two()
    mix = Frames(data, axis=1, channel_axis=0, channel=(0, 1))
    for colour in (0, 1):
        alone = Frames(data, axis=1, channel_axis=0, channel=colour)
        assert mix.contrast[colour] == alone.contrast
        np.testing.assert_array_equal(mix.image(1)[..., colour], alone.image(1)[..., 0])
    fixed = Frames(data, axis=1, channel_axis=0, channel=(0, 1), contrast=mix.contrast)
    np.testing.assert_array_equal(fixed.image(3), mix.image(3))
    same = Frames(data, axis=1, channel_axis=0, channel=(0, 1), contrast=(0, 100))
    assert same.contrast == ((0, 100),) * 3


@pytest.mark.parametrize(
    ("channel", "contrast", "words"),
    [
        ((0, 2), None, "channel 2 does not exist"),
        ((None,), None, "choose a channel"),
        ((0, 1, 0, 1), None, "one to three"),
        ((0, 1), ((0, 1), (0, 1)), "three colours"),
        ((0, 1), ((0, 1), (1, 0), (0, 1)), "low < high"),
    ],
)
def test_mixes_that_cannot_be(channel, contrast, words) -> None:
    with pytest.raises(InputError, match=words):
        Frames(_two(), axis=1, channel_axis=0, channel=channel, contrast=contrast)


@given(
    st.one_of(
        st.integers(0, 99),
        st.lists(st.one_of(st.none(), st.integers(0, 99)), min_size=2, max_size=3).map(tuple),
    )
)
def test_channels_as_text(channels) -> None:
    several = channels if isinstance(channels, tuple) else (channels,)
    text = ",".join("-" if one is None else str(one) for one in several)
    assert parsed_channels(text) == channels


@pytest.mark.parametrize("text", ["", "red", "1;2", "1.5", "1,,2"])
def test_channels_that_nobody_can_read(text: str) -> None:
    with pytest.raises(InputError, match="cannot be used"):
        parsed_channels(text)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_borders_of_zeros_leave_the_contrast_alone(dtype):
    stack = np.random.default_rng(0).normal(33_000, 200, (4, 64, 64)).astype(dtype)
    padded = np.pad(stack, ((0, 0), (5, 5), (5, 5)))
    np.testing.assert_allclose(Frames(padded).contrast, Frames(stack).contrast, atol=30)


def test_a_frame_of_zeros_leaves_the_contrast_alone():
    stack = np.random.default_rng(0).normal(900, 50, (12, 64, 64)).astype(np.uint16)
    blank = stack.copy()
    blank[5] = 0
    np.testing.assert_allclose(Frames(blank).contrast, Frames(stack).contrast, atol=5)


@pytest.mark.parametrize("level", [2, 40])
def test_zeros_that_were_measured_count(level):
    stack = np.random.default_rng(0).poisson(level, (4, 64, 64)).astype(np.uint8)
    stack[:, :10] = np.random.default_rng(1).poisson(1, (4, 10, 64))
    assert Frames(stack).contrast[0] == 0


def test_a_dark_background_of_zeros_stays_black():
    stack = np.zeros((3, 64, 64), np.uint16)
    stack[:, 10:30, 10:30] = np.random.default_rng(0).integers(500, 900, (3, 20, 20))
    assert Frames(stack).contrast[0] == 0


def test_a_damaged_frame_is_named() -> None:
    class Damaged:
        shape, dtype = (3, 8, 8), np.dtype(np.uint8)

        def __getitem__(self, place: tuple[int | slice, ...]) -> np.ndarray:
            if place[0] == 2:
                raise OSError("200 bytes in place of 400")
            return np.zeros((8, 8), np.uint8)

    frames = Frames(Damaged(), contrast=(0, 255))
    assert frames.read(1).shape == (8, 8)
    with pytest.raises(InputError, match=r"frame 2 cannot be read \(OSError: 200 bytes"):
        frames.read(2)


def test_the_levels_of_a_frame_are_made_once(monkeypatch):
    frames = Frames(np.random.default_rng(0).integers(0, 255, (2, 60, 80)).astype(np.uint8))
    made, interpolate, part = [], F.interpolate, [(slice(0, 8), slice(0, 8))]

    def counted(*args, **options):
        made.append(options["size"])
        return interpolate(*args, **options)

    monkeypatch.setattr(F, "interpolate", counted)
    sizes = [(42, 56), (30, 40)]
    first = {size: frames.tensor(0, size, part) for size in sizes}
    for size in sizes * 2:
        assert torch.equal(frames.tensor(0, size, part), first[size])
    assert made == sizes
    frames.tensor(1, sizes[0], part)
    frames.tensor(0, sizes[0], part)  # only those of the last frame are kept
    assert made == [*sizes, sizes[0], sizes[0]]
