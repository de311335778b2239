"""What a look is made of: random properties of every cell, and masks to paint with.

Every cell keeps its own brightness, nucleus and texture over a clip: they are read from tables by
its number. Cells from a division resemble the one that they came from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_sam2.training.shapes import Array, Canvas
from napari_sam2.training.textures import crop, lookup


def f32(value: float) -> np.float32:
    """Return a float32, which keeps arrays float32 also before NumPy 2."""
    return np.float32(value)


class Traits:
    """Random properties of the cells and the background of one clip.

    Parameters
    ----------
    rng : of everything random.
    drift : movement of the background per frame, pixels.
    ghost : (cells + 1,) bool, cells that are not labelled; one for each number, 0 is nothing.
    parents : number of a cell -> number of the cell that it came from.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        drift: tuple[float, float],
        ghost: NDArray[np.bool_],
        parents: dict[int, int],
    ) -> None:
        self.rng = rng
        self.count = len(ghost)
        self.ghost = ghost
        self.parents = parents
        self.drift = np.array(drift)
        self.offset = rng.integers(0, 512, (2, self.count)).astype(np.float32)
        self.origin = rng.uniform(0, 512, (16, 2))
        self.grain = float(np.exp(rng.uniform(np.log(0.5), np.log(1.6))))

    def values(self, mean: float, spread: float) -> Array:
        """Log-normal value of each cell; like that of the cell that it came from."""
        logs = self.rng.normal(0, spread, self.count)
        for child, parent in sorted(self.parents.items()):
            logs[child] = logs[parent] + 0.2 * logs[child]
        return np.asarray(mean * np.exp(logs), np.float32)

    def inside(self, canvas: Canvas, texture: Array, zoom: float = 1.0) -> Array:
        """Texture that moves with the cells."""
        grain = f32(self.grain * zoom)
        return lookup(
            texture,
            canvas.local_y * grain + self.offset[0][canvas.cells],
            canvas.local_x * grain + self.offset[1][canvas.cells],
        )

    def behind(self, texture: Array, shape: tuple[int, int], t: int, layer: int) -> Array:
        """Texture of the background, moving with the drift."""
        return crop(texture, shape, *(self.origin[layer] - t * self.drift))


def cover(canvas: Canvas, softness: float = 1.0) -> Array:
    """1 inside of cells, 0 outside, with an edge of `softness` pixels."""
    return np.asarray(np.clip(canvas.depth / f32(softness) + f32(0.5), 0, 1), np.float32)


def ridge(canvas: Canvas, at: float, width: float) -> Array:
    """Line along the edge of cells, `at` pixels inside (negative: outside)."""
    return np.asarray(np.exp(-(((canvas.depth - f32(at)) / f32(width)) ** 2)), np.float32)


def walls(canvas: Canvas, width: float) -> Array:
    """Lines of even width between touching cells, 0..1."""
    cells = canvas.cells
    edge = np.zeros(cells.shape, np.float32)
    edge[1:] += cells[1:] != cells[:-1]
    edge[:, 1:] += cells[:, 1:] != cells[:, :-1]
    np.minimum(edge, 1, out=edge)
    # A one-pixel line blurred by sigma peaks at 1 / (sigma * sqrt(2 pi)).
    blurred = gaussian_filter(edge, width, truncate=3)
    return np.asarray(np.minimum(blurred * f32(width * 2.2), f32(1.3)), np.float32)


def nucleus(canvas: Canvas, place: Array, size: Array) -> Array:
    """Dome 0..1 of one round body per cell at `place` (2, cells), of `size` (cells,) pixels."""
    dy = canvas.local_y - place[0][canvas.cells]
    dx = canvas.local_x - place[1][canvas.cells]
    r = size[canvas.cells]
    return np.where(canvas.cells > 0, np.maximum(0, 1 - (dy * dy + dx * dx) / (r * r)), 0)
