"""What microscope and camera do to any picture: light, blur, noise, grey values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from napari_sam2.training.shapes import Array


class Camera:
    """The instrument of one clip.

    Parameters
    ----------
    rng : of everything random.
    shape : (height, width) of the frames.
    noise : factor on the noise that is drawn.
    """

    def __init__(
        self, rng: np.random.Generator, shape: tuple[int, int], noise: float = 1.0
    ) -> None:
        self.rng = rng
        self.blur = float(rng.choice([0, 0.5, 0.8, 1.1, 1.6], p=[0.1, 0.25, 0.3, 0.2, 0.15]))
        self.light = _uneven_light(rng, shape)
        self.bleach = float(rng.uniform(0.96, 1)) if rng.random() < 0.4 else 1.0
        self.flicker = float(rng.uniform(0, 0.04)) if rng.random() < 0.4 else 0.0
        self.shot = float(10 ** rng.uniform(-4, -1.5)) * noise
        self.read = float(10 ** rng.uniform(-3, -1.4)) * noise
        self.noise_blur = float(rng.choice([0, 0.5, 0.8], p=[0.65, 0.2, 0.15]))
        self.gamma = float(np.exp(rng.normal(0, 0.25))) if rng.random() < 0.4 else 1.0
        self.invert = bool(rng.random() < 0.08)
        self.hot = int(rng.integers(1, 12)) if rng.random() < 0.1 else 0
        self.hot_spots = rng.integers(0, shape, (self.hot, 2))

    def expose(self, pictures: Array) -> Array:
        """Images (T, H, W) in 0..1 from ideal pictures of any range."""
        out = np.empty_like(pictures)
        for t, picture in enumerate(pictures):
            gain = self.bleach**t * (1 + self.flicker * self.rng.normal())
            seen = picture * np.float32(gain)
            out[t] = gaussian_filter(seen, self.blur, truncate=3) if self.blur else seen
        out *= self.light
        low, high = np.quantile(out[:: max(1, len(out) // 2), ::2, ::2], [0.003, 0.997])
        out -= np.float32(low)
        out /= np.float32(max(high - low, 1e-4))
        self._add_noise(out)
        return self._grey_values(out)

    def _add_noise(self, frames: Array) -> None:
        for frame in frames:
            noise = self.rng.standard_normal(frame.shape, dtype=np.float32)
            if self.noise_blur:
                noise = gaussian_filter(noise, self.noise_blur, truncate=3)
                noise *= np.float32(1 + 2 * self.noise_blur)
            level = np.maximum(frame, 0) * np.float32(self.shot) + np.float32(self.read**2)
            frame += noise * np.sqrt(level)
            frame[self.hot_spots[:, 0], self.hot_spots[:, 1]] = 1.3

    def _grey_values(self, frames: Array) -> Array:
        """Fit into 0..1, as the contrast limits of a whole stack would, or less tightly."""
        rng = self.rng
        low, high = np.quantile(frames[:, ::2, ::2], [0.001, 0.999])
        if rng.random() < 0.3:  # narrow band of grey values, saturation
            span = high - low
            low -= span * rng.uniform(-0.02, 0.8)
            high += span * rng.uniform(-0.1, 0.8)
        frames -= np.float32(low)
        frames /= np.float32(max(high - low, 1e-4))
        np.clip(frames, 0, 1, out=frames)
        if self.gamma != 1:
            np.power(frames, np.float32(self.gamma), out=frames)
        return 1 - frames if self.invert else frames


def _uneven_light(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None]
    strength = rng.uniform(0, 0.5) if rng.random() < 0.4 else rng.uniform(0, 0.06)
    a, b, c = (np.float32(v) for v in rng.normal(0, 1, 3) * strength)
    light = 1 + a * y + b * x - np.abs(c) * (y * y + x * x) * np.float32(0.5)
    return np.asarray(np.clip(light, 0.3, 2), np.float32)


def faded(rng: np.random.Generator, pictures: Array, cells: NDArray[np.int32]) -> Array:
    """Dim sections with their size: near its ends a body fills only a part of the depth in focus.

    Parameters
    ----------
    rng : of the strength.
    pictures : (Z, H, W).
    cells : (Z, H, W), number of the cell at a pixel, 0 for none.
    """
    if rng.random() < 0.4:
        return pictures
    count = int(cells.max(initial=0)) + 1
    areas = np.stack([np.bincount(plane.ravel(), minlength=count) for plane in cells])
    part = (areas + 1e-3) / (areas.max(axis=0) + 1e-3)
    light = part ** rng.uniform(0.2, 0.8)
    light[:, 0] = 1
    planes = np.arange(len(cells))[:, None, None]
    return np.asarray(pictures * light[planes, cells], np.float32)


@dataclass(frozen=True)
class Depth:
    """How a microscope sees along z.

    Parameters
    ----------
    blur : standard deviation along z over the radius of the cells; 0 in a confocal microscope at
        its best.
    reach : by how much masks are longer along z than the cells are: some annotators follow the
        blur.
    """

    blur: float
    reach: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Depth:
        """Draw one."""
        if rng.random() < 0.25:
            return cls(0.0, 1.0)
        blur = rng.uniform(0.1, 0.5)
        return cls(blur, 1 + blur * max(0.0, rng.uniform(-0.5, 1.0)))


def hazy(depth: Depth, pictures: Array, z_step: float) -> Array:
    """Blur planes along the depth: a cell is still seen, dimmer, where its section has ended.

    Parameters
    ----------
    depth : how much.
    pictures : (Z, H, W).
    z_step : distance of planes over the radius of the cells.
    """
    planes = min(depth.blur / z_step, 4.0)
    if planes == 0:
        return pictures
    return np.asarray(gaussian_filter1d(pictures, planes, axis=0, mode="nearest"), np.float32)
