"""Noise to look things up in: periodic tiles, made once per process.

Drawing fresh correlated noise for every frame is slow. Instead a few 512 x 512 tiles with different
grain are filtered once (in Fourier space, so that they wrap around) and every texture of a clip is
a lookup into one of them at random offsets. A lookup with coordinates that move with a cell gives
a texture that moves with the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Spectrum = NDArray[np.float64]
TILE = 512


@cache
def tile(kind: str, scale: float) -> Array:
    """Return a periodic (512, 512) float32 tile.

    Parameters
    ----------
    kind : "smooth" (Gaussian grain), "cloud" (power law, all scales), "spots" (sparse blobs, 0 to
        about 1), "stripes" (bent parallel lines, -1 to 1) or "cells" (network of lines, 0 to 1).
    scale : grain size in pixels; the exponent for "cloud".

    Raises
    ------
    ValueError
        The kind is unknown.
    """
    # Python's own hash of strings differs between processes, so the seed is spelled out.
    rng = np.random.default_rng([*kind.encode(), round(scale * 100)])
    if kind == "smooth":
        return _filtered(rng, lambda f: np.exp(-2 * (np.pi * scale * f) ** 2))
    if kind == "cloud":
        return _filtered(rng, lambda f: 1 / (f + 0.004) ** scale)
    if kind == "spots":
        bumps = _filtered(rng, lambda f: np.exp(-2 * (np.pi * scale * f) ** 2))
        return np.asarray(np.clip(bumps - 1.4, 0, 1), np.float32)
    if kind == "stripes":
        y, x = np.mgrid[:TILE, :TILE].astype(np.float32)
        bend = _filtered(rng, lambda f: np.exp(-2 * (np.pi * scale * 2.5 * f) ** 2))
        cycles = round(TILE / (2.2 * scale))
        return np.asarray(np.sin(2 * np.pi * cycles / TILE * y + 2.2 * bend + 0 * x), np.float32)
    if kind == "cells":
        walls = _filtered(rng, lambda f: np.exp(-2 * (np.pi * scale * f) ** 2))
        return np.asarray(np.exp(-((walls / 0.15) ** 2)), np.float32)
    raise ValueError(f"unknown texture {kind!r}")


def _filtered(rng: np.random.Generator, transfer: Callable[[Spectrum], Spectrum]) -> Array:
    noise = np.fft.rfft2(rng.standard_normal((TILE, TILE)))
    fy, fx = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None]
    gain = transfer(np.hypot(fy, fx))
    gain[0, 0] = 0
    out = np.fft.irfft2(noise * gain, s=(TILE, TILE))
    return np.asarray(out / out.std(), np.float32)


def crop(texture: Array, shape: tuple[int, int], y: float, x: float) -> Array:
    """Cut a window of `shape` at (y, x) from a tile, wrapping around."""
    rows = (np.arange(shape[0]) + round(y)) % TILE
    columns = (np.arange(shape[1]) + round(x)) % TILE
    return texture[rows[:, None], columns[None]]


def lookup(texture: Array, y: Array, x: Array) -> Array:
    """Values of a tile at coordinates of any shape (nearest pixel, wrapping around)."""
    return np.asarray(
        texture[y.astype(np.int32) & (TILE - 1), x.astype(np.int32) & (TILE - 1)], np.float32
    )
