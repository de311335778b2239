"""One axis of an n-d array as a video: read lazily, one frame at a time, scaled linearly."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.stack.axes import (
    as_array,
    checked_dtype,
    guessed_channel_axis,
    normalised,
    picked_channels,
)
from napari_sam2.tracking.stack.channels import Channels
from napari_sam2.tracking.stack.contrast import Contrast, checked_contrast, spread
from napari_sam2.tracking.stack.enlarging import Cutout, enlarged_parts
from napari_sam2.tracking.stack.greys import GreyMix, grey_mix
from napari_sam2.tracking.stack.noise import denoised, noise_of
from napari_sam2.tracking.stack.own_contrast import own_contrast
from napari_sam2.tracking.stack.padding import filled
from napari_sam2.tracking.stack.reading import as_read
from napari_sam2.tracking.stack.stripes import levelled

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The contrast is taken from a bounded sample, so that a stack on disk is not read twice.
_SAMPLE_FRAMES = 16
_SAMPLE_PIXELS = 1 << 16

# Integers up to 16 bits are exact in float32; everything else is scaled in float64 first.
_FLOAT32_EXACT = ("bool", "uint8", "int8", "uint16", "int16", "float16", "float32")

_HOST = torch.device("cpu")
_READER = ThreadPoolExecutor(1, thread_name_prefix="napari-sam2-reader")


def _new_reader() -> None:
    global _READER
    _READER = ThreadPoolExecutor(1, thread_name_prefix="napari-sam2-reader")


if hasattr(os, "register_at_fork"):  # a forked process has the pool without its thread
    os.register_at_fork(after_in_child=_new_reader)


class Frames:
    """A stack of images as a video along one axis.

    Parameters
    ----------
    data
        Anything with ``shape``, ``dtype`` and slicing: numpy, dask, zarr, memmap. Shapes:
        (Y, X), (T, Y, X), or either with a channel axis. Only one frame is read at a time.
    axis
        The axis of `data` to propagate along (time or z); may be negative.
    channel_axis
        The axis of the channels. Without it, a last axis of 3 or 4 is taken for RGB(A) if `data`
        has four axes, or three axes and dtype uint8. Alpha is ignored.
    channel
        The channel to use, of a `channel_axis`; or a tuple of up to three, which are shown as red,
        green and blue (None: a dark colour), each with its own contrast.
    contrast
        Values shown as black and white, ``(low, high)``; for a tuple of channels also a pair for
        each colour. Default: (0, 255) for RGB uint8, (0, 1) for bool, else `percentiles` of a
        sample of the whole stack, never of one frame.
    percentiles
        In percent, ``(low, high)``.

    Raises
    ------
    InputError
        If the array is empty, of an unusable dtype, or its axes cannot be guessed. Reading
        `contrast` raises it if the sampled frames hold no finite value.
    """

    def __init__(
        self,
        data: Any,
        axis: int = 0,
        *,
        channel_axis: int | None = None,
        channel: Channels | None = None,
        contrast: Contrast | None = None,
        percentiles: tuple[float, float] = (0.1, 99.9),
    ) -> None:
        self._data = data if hasattr(data, "shape") and hasattr(data, "dtype") else as_array(data)
        sizes = tuple(int(n) for n in self._data.shape)
        self.dtype = checked_dtype(self._data.dtype)
        if 0 in sizes:
            raise InputError(f"the image is empty (shape {sizes}); choose one with pixels")
        if not 0 <= percentiles[0] < percentiles[1] <= 100:
            raise InputError(f"percentiles must be rising and in 0 to 100, not {percentiles}")
        self._percentiles = percentiles
        self._channel_axis = guessed_channel_axis(sizes, self.dtype, axis, channel_axis)
        self.rgb, self._channel = picked_channels(sizes, self._channel_axis, channel)
        mixed = isinstance(self._channel, tuple)
        self._fixed_contrast = None if contrast is None else checked_contrast(contrast, mixed)
        planes = len(sizes) - (self._channel_axis is not None)
        if planes not in (2, 3):
            raise InputError(
                f"the axes of an image of shape {sizes} cannot be guessed; pick one time-lapse or "
                "z-stack (T, Y, X) and name its axes with axis= and channel_axis="
            )
        self.axis = 0 if planes == 2 else normalised(axis, len(sizes), "axis")
        if planes == 3 and self.axis == self._channel_axis:
            raise InputError(f"axis {axis} is the channel axis; propagate along time or z")
        self._along: int | None = self.axis if planes == 3 else None
        self._length = sizes[self.axis] if planes == 3 else 1
        spatial = [n for k, n in enumerate(sizes) if k not in (self._along, self._channel_axis)]
        self.shape: tuple[int, int] = (spatial[0], spatial[1])
        self._last_planes: tuple[int, torch.Tensor] | None = None
        self._last_grey: tuple[torch.Tensor, torch.Tensor] | None = None  # of these planes
        self._resized_of: torch.Tensor | None = None  # planes
        self._last_resized: dict[tuple[int, int], torch.Tensor] = {}
        self._replaced = False
        self._expected: dict[int, Future[npt.NDArray[np.float32]]] = {}

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        kind = "RGB" if self.rgb else "grey"
        return f"Frames({len(self)} x {self.shape[0]} x {self.shape[1]} {kind} {self.dtype})"

    @cached_property
    def contrast(self) -> Contrast:
        """Values shown as black and white, the same for all frames."""
        if self._fixed_contrast is not None:
            return self._fixed_contrast
        mix = self._channel if isinstance(self._channel, tuple) else None
        if self.dtype == np.bool_:
            return (0.0, 1.0) if mix is None else ((0.0, 1.0),) * 3
        if mix is None and self.rgb and self.dtype == np.uint8:
            return (0.0, 255.0)
        sample = _sample(self)
        finite = np.isfinite(sample)
        if finite.any() and not finite.all():
            self._say_replaced()
        if mix is None:
            return spread(sample, self._percentiles)
        return tuple(
            (0.0, 1.0) if one is None else spread(sample[..., colour], self._percentiles)
            for colour, one in enumerate(mix)
        )

    @cached_property
    def _grey_mix(self) -> GreyMix:
        sample = self._unit(_sample(self)).reshape(-1, 3).astype(float)
        middle = torch.from_numpy(self._scaled(len(self) // 2))
        noise = [noise_of(middle[None, :, :, colour]) for colour in range(3)]
        return grey_mix(sample, self._percentiles, noise)

    def read(self, index: int) -> npt.NDArray[Any]:
        """Frame `index` in its own dtype, (Y, X) or (Y, X, 3).

        Raises
        ------
        InputError
            If there is no such frame, or it is damaged.
        """
        self.settle()
        return self._frame(index)

    def settle(self) -> None:
        """Wait for what is read in the background: arrays need not bear two readers at a time."""
        wait([*self._expected.values()])

    def _frame(self, index: int) -> npt.NDArray[Any]:
        if not 0 <= index < len(self):
            raise InputError(f"frame {index} does not exist; there are frames 0 to {len(self) - 1}")
        if isinstance(self._channel, tuple):
            planes = {one: self._read(index, one) for one in {*self._channel} if one is not None}
            dark = np.zeros(self.shape, self.dtype)
            return np.stack([dark if one is None else planes[one] for one in self._channel], -1)
        if self._channel_axis is None or self._channel is not None:
            return self._read(index, self._channel)
        shift = self._along is not None and self._along < self._channel_axis
        return np.moveaxis(self._read(index, slice(0, 3)), self._channel_axis - shift, -1)

    def _read(self, index: int, channels: int | slice | None) -> npt.NDArray[Any]:
        place: list[int | slice] = [slice(None)] * len(self._data.shape)
        if self._along is not None:
            place[self._along] = int(index)
        if self._channel_axis is not None and channels is not None:
            place[self._channel_axis] = channels
        try:
            return as_read(self._data[tuple(place)])
        except (InputError, MemoryError):
            raise
        except Exception as error:  # readers have errors of their own
            what = f"{type(error).__name__}: {error}"
            raise InputError(f"frame {index} cannot be read ({what}); check the file") from error

    def image(self, index: int) -> npt.NDArray[np.float32]:
        """Frame `index` as float32 (Y, X, 3), scaled by `contrast` and clipped to 0..1.

        NaN becomes 0. Grey frames are repeated over the three channels (a read-only view).
        """
        scaled = self._fetched(index)
        if self.rgb:
            return scaled
        return np.broadcast_to(scaled[..., None], (*self.shape, 3))

    def grey(self, index: int) -> npt.NDArray[np.float32]:
        """Frame `index` as small models see it, float32 (Y, X), 0..1.

        Colours in the mix in which they differ most, noise aside, the same for all frames; borders
        that were not measured are filled, stripes levelled, and strong noise taken out.
        """
        grey: npt.NDArray[np.float32] = self._planes(index, _HOST, grey=True)[0].numpy()
        return grey.copy()

    def tensor(
        self,
        index: int,
        size: tuple[int, int],
        parts: Sequence[Cutout] | None = None,
        device: torch.device = _HOST,
        grey: bool = False,
        own: bool = False,
    ) -> torch.Tensor:
        """Frame `index` as the network's input, float32 (1, 3, H, W) for `size` (H, W).

        Resized bilinearly with antialiasing, then normalised by ImageNet's mean and deviation,
        as the published model expects it.

        Parameters
        ----------
        index : of the frame.
        size : to resize the whole frame to.
        parts : rows and columns of the resized frame, N of one size: these are returned, (N, 3, h,
            w), and only they are made where the frame is enlarged.
        device : where that is done, and the result lies.
        grey : show the frame as `grey` does.
        own : show each part half of the way to its own contrast, see `own_contrast`.
        """
        planes = self._planes(index, device, grey)
        if parts is None or all(part == (slice(0, size[0]), slice(0, size[1])) for part in parts):
            resized = self._resized(planes, size)[None]
        elif min(size[0] / planes.shape[1], size[1] / planes.shape[2]) >= 1:
            resized = enlarged_parts(planes, size, parts)
        else:
            whole = self._resized(planes, size)
            resized = torch.stack([whole[:, rows, columns] for rows, columns in parts])
        if own:
            resized = own_contrast(resized)
        mean, std = _normalisation(device)
        return (resized - mean).div_(std)  # a grey plane becomes three

    def small(self, index: int, step: int, device: torch.device) -> npt.NDArray[np.float32]:
        """Frame `index` in grey, made of the means of squares of `step` pixels a side."""
        planes = self._planes(index, device, grey=True)
        small: npt.NDArray[np.float32] = F.avg_pool2d(planes, step)[0].cpu().numpy()
        return small

    def expect(self, index: int) -> None:
        """Start to read a frame in the background, while others are worked on.

        What fails is read again when the frame is asked for; errors appear then.
        """
        known = self._last_planes is not None and self._last_planes[0] == index
        if known or index in self._expected:
            return
        if len(self._expected) > 1:  # nobody came for the first
            self._drop(next(iter(self._expected)))
        _ = self.contrast  # sampled here, not by two readers at a time
        self._expected[index] = _READER.submit(self._scaled, index)

    @contextmanager
    def reading_ahead(self) -> Iterator[None]:
        """Drop in the end what was expected meanwhile and nobody asked for: it may change."""
        try:
            yield
        finally:
            for index in [*self._expected]:
                self._drop(index)

    def _drop(self, index: int) -> None:
        """Forget a frame that is expected."""
        future = self._expected.pop(index)
        if not future.cancel():
            wait([future])

    def _fetched(self, index: int) -> npt.NDArray[np.float32]:
        future = self._expected.pop(index, None)
        if future is not None and future.exception() is None:
            return future.result()
        wait(self._expected.values())
        return self._scaled(index)

    def _planes(self, index: int, device: torch.device, grey: bool = False) -> torch.Tensor:
        """Scaled frame (1 or 3, Y, X); the last one is kept, for its tiles."""
        if grey:
            shown = self._planes(index, device)
            if self._last_grey is None or self._last_grey[0] is not shown:
                mixed = self._grey_mix.of(*shown)[None] if self.rgb else shown
                self._last_grey = (shown, denoised(levelled(filled(mixed))))
            return self._last_grey[1]
        if self._last_planes is None or self._last_planes[0] != index:
            scaled = torch.from_numpy(np.ascontiguousarray(self._fetched(index)))
            planes = scaled.permute(2, 0, 1) if self.rgb else scaled[None]
            self._last_planes = (index, planes.contiguous())
        if self._last_planes[1].device != device:
            self._last_planes = (index, self._last_planes[1].to(device))
        return self._last_planes[1]

    def _resized(self, planes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Whole frame (1 or 3, H, W) in a size; of the last one all are kept, for its levels."""
        if self._resized_of is not planes:
            self._resized_of, self._last_resized = planes, {}
        if size not in self._last_resized:
            resized = F.interpolate(
                planes[None], size=size, mode="bilinear", align_corners=False, antialias=True
            )
            self._last_resized[size] = resized[0]
        return self._last_resized[size]

    def _say_replaced(self) -> None:
        """Say once what becomes of values that are no numbers."""
        if not self._replaced:
            self._replaced = True
            warnings.warn(
                "some values are NaN or infinite: NaN and -inf are seen as black, inf as white",
                stacklevel=2,
            )

    def _scaled(self, index: int) -> npt.NDArray[np.float32]:
        exact = self.dtype.name in _FLOAT32_EXACT
        return self._unit(self._frame(index).astype(np.float32 if exact else np.float64))

    def _unit(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Scale values of frames by `contrast`, in place, and clip them to 0..1."""
        low, high = np.transpose(self.contrast)  # numbers, or one for each colour
        np.subtract(values, low.astype(values.dtype), out=values)
        np.divide(values, (high - low).astype(values.dtype), out=values)
        np.clip(values, 0, 1, out=values)
        if self.dtype.kind == "f" and (missing := np.isnan(values)).any():
            values[missing] = 0
            self._say_replaced()
        return values.astype(np.float32, copy=False)


@cache
def _normalisation(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode(False):
        mean = torch.tensor(IMAGENET_MEAN, device=device).view(1, 3, 1, 1)
        return mean, torch.tensor(IMAGENET_STD, device=device).view(1, 3, 1, 1)


def _sample(frames: Frames) -> npt.NDArray[np.float64]:
    """Evenly spread pixels of evenly spread frames, (frame, Y, X) or (frame, Y, X, 3)."""
    count = min(len(frames), _SAMPLE_FRAMES)
    step = max(1, int(np.ceil(np.sqrt(frames.shape[0] * frames.shape[1] / _SAMPLE_PIXELS))))
    chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
    return np.stack([frames.read(int(i))[::step, ::step].astype(np.float64) for i in chosen])
