"""Z-stacks from real static images: every bright body gets a height and is cut plane by plane.

Sections of real nuclei keep their texture, dim before they end, and stay visible, out of focus,
beyond their end, often with the next nucleus right below. Time-lapse motion teaches none of that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, gaussian_filter, map_coordinates
from skimage.segmentation import expand_labels

from napari_sam2.training.camera import Depth, hazy
from napari_sam2.training.shapes import Array

Labels = NDArray[np.int32]
_LAYER = (1.5, 2.3)  # radii between the middles of two layers of cells


@dataclass(frozen=True)
class Layer:
    """Cells of about one height.

    Parameters
    ----------
    ground : (H, W) float32, what lies behind the cells.
    light : (H, W) float32, what the cells add to it.
    cells : (H, W) int32, 1 to N, 0 for none.
    around : (H, W) int32, the cell that the light of a pixel belongs to.
    centres, radii : (N + 1, 2) and (N + 1,) pixels; row 0 is nothing.
    """

    ground: Array
    light: Array
    cells: Labels
    around: Labels
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]


def bright_bodies(picture: Array, cells: Labels) -> bool:
    """Tell whether cells are brighter than what is around them, as stained nuclei are."""
    inside = cells > 0
    if not inside.any() or inside.all():
        return False
    outside = picture[~inside]
    return bool(np.median(picture[inside]) > np.median(outside) + 1.5 * outside.std())


def split(picture: Array, cells: Labels) -> Layer:
    """Part a picture (H, W) into ground and the light of its cells."""
    ids = np.unique(cells[cells > 0])
    compact: Labels = np.zeros_like(cells)
    compact[cells > 0] = np.searchsorted(ids, cells[cells > 0]) + 1
    areas = np.bincount(compact.ravel()).astype(float)
    areas[0] = 0
    radii = np.sqrt(areas / np.pi)
    typical = float(np.median(radii[1:]))
    free = expand_labels(compact, max(2.0, 0.15 * typical)) == 0
    weight = gaussian_filter(free.astype(np.float32), 1.5 * typical) + 1e-4
    rest = np.float32(np.quantile(picture, 0.05))  # where cells leave nothing free
    ground = rest + gaussian_filter(np.where(free, picture - rest, 0), 1.5 * typical) / weight
    around = np.asarray(expand_labels(compact, 0.5 * typical), np.int32)
    light = np.where(around > 0, picture - ground, 0)
    places = np.array(center_of_mass(compact > 0, compact, np.arange(1, len(areas))))
    centres = np.concatenate([np.zeros((1, 2)), places.reshape(-1, 2)])
    return Layer(
        np.asarray(ground, np.float32), np.asarray(light, np.float32), compact, around,
        centres, radii,
    )  # fmt: skip


def in_sections(rng: np.random.Generator, layers: list[Layer], planes: int) -> tuple[Array, Labels]:
    """Cut layers of cells, one below the other, plane by plane.

    Parameters
    ----------
    rng : of heights, thickness and blur.
    layers : of one shape (H, W); the first holds the cells of the first plane.
    planes : number of planes.

    Returns
    -------
    tuple
        Pictures (Z, H, W) float32, and labels (Z, H, W) int32 of all layers.
    """
    z_step = float(np.exp(rng.uniform(np.log(0.08), np.log(0.45))))
    power = rng.uniform(1.7, 3.5)
    depth = Depth.drawn(rng)
    # Near its ends a body fills only a part of the depth in focus, and is dim.
    dimming = 0.0 if rng.random() < 0.4 else rng.uniform(0.4, 1.6)
    shape = layers[0].light.shape
    light = np.zeros((planes, *shape), np.float32)
    truth = np.zeros((planes, *shape), np.int32)
    height, first = 0.0, 0
    for layer in layers:
        n = len(layer.radii)
        heights = height + rng.uniform(-0.7, 0.7, n)
        tilts = rng.normal(0, 0.2, (n, 2)) * layer.radii[:, None]
        for t in range(planes):
            z = t * z_step - heights
            shift = tilts * z[:, None]
            scale = _radius(z, power)
            seen, cells = _section(layer, scale, shift)
            if depth.reach > 1:
                _, cells = _section(layer, _radius(z / depth.reach, power), shift)
            light[t] += seen * (scale**dimming)[layer.around].astype(np.float32)
            truth[t] = np.where((cells > 0) & (truth[t] == 0), cells + first, truth[t])
        height += rng.uniform(*_LAYER)
        first += n
    return hazy(depth, light, z_step) + layers[0].ground, truth


def _radius(z: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Radius of a section at height z, over the largest."""
    return np.asarray(np.maximum(0, 1 - np.abs(z) ** power) ** (1 / power))


def _section(
    layer: Layer, scale: NDArray[np.float64], shift: NDArray[np.float64]
) -> tuple[Array, Labels]:
    """Draw every cell shrunk by `scale` (N + 1,) and moved by `shift` (N + 1, 2)."""
    around = layer.around
    factor = np.where(scale > 0.08, 1 / np.maximum(scale, 0.08), np.inf)
    factor[0] = np.inf
    rows, columns = np.nonzero(np.isfinite(factor[around]))
    cell = around[rows, columns]
    at = []
    for k, index in enumerate((rows, columns)):
        centre = layer.centres[cell, k]
        at.append(centre + (index - centre - shift[cell, k]) * factor[cell])
    y, x = (np.rint(a).astype(np.intp) for a in at)
    height, width = around.shape
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    own = inside & (around[y, x] == cell)
    value = map_coordinates(layer.light, at, order=1, mode="nearest", prefilter=False)
    seen = np.zeros(around.shape, np.float32)
    seen[rows, columns] = np.where(own, value, 0)
    cells = np.zeros(around.shape, np.int32)
    cells[rows, columns] = np.where(own & (layer.cells[y, x] == cell), cell, 0)
    return seen, cells
