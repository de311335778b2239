"""Two sample stacks that need no download: nuclei that move and divide, nuclei in depth.

They come from the parts that draw training clips, with habits chosen to look like a good day at a
fluorescence microscope. Both are deterministic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_sam2.training.motion import Habits, Population
from napari_sam2.training.shapes import Array, Canvas, draw_cell
from napari_sam2.training.textures import crop, lookup, tile

Images = NDArray[np.uint16]

_FULL_WELL = 52_000  # grey value of the brightest nucleus
_OFFSET = 900  # of the camera


def sample_timelapse(
    frames: int = 24, shape: tuple[int, int] = (256, 320), seed: int = 13
) -> tuple[Images, Images]:
    """Return fluorescent nuclei that wander and divide.

    Parameters
    ----------
    frames : number of frames.
    shape : (height, width) in pixels.
    seed : of everything random.

    Returns
    -------
    tuple
        Images (T, Y, X) uint16 and labels (T, Y, X) uint16. A nucleus keeps its id; a division
        starts two new ones.
    """
    habits = Habits(
        radius=15,
        spread=0.12,
        count=15,
        packing=1.2,
        aspect=(1.05, 1.5),
        roughness=0.035,
        roll_off=2.0,
        speed=0.09,
        persistence=0.85,
        turning=0.04,
        wobble=0.06,
        division=0.012,
    )
    return _film(habits, frames, shape, seed, bleach=0.992)


def sample_zstack(
    planes: int = 32, shape: tuple[int, int] = (256, 256), seed: int = 5
) -> tuple[Images, Images]:
    """Return planes through round nuclei at different depths.

    Parameters
    ----------
    planes : number of planes; one is 1.4 pixels deep.
    shape : (height, width) in pixels.
    seed : of everything random.

    Returns
    -------
    tuple
        Images (Z, Y, X) uint16 and labels (Z, Y, X) uint16.
    """
    habits = Habits(
        radius=17,
        spread=0.15,
        count=44,
        packing=0.8,
        aspect=(1.0, 1.4),
        roughness=0.04,
        roll_off=2.0,
        wobble=0.01,
        z_step=1.4 / 17,
    )
    return _film(habits, planes, shape, seed, bleach=0.985)


def _film(
    habits: Habits, frames: int, shape: tuple[int, int], seed: int, bleach: float
) -> tuple[Images, Images]:
    rng = np.random.default_rng(seed)
    cells = Population(rng, habits, shape)
    if habits.z_step:  # fill the whole depth of the stack
        cells.height = rng.uniform(-0.5, frames * habits.z_step + 0.5, len(cells.height))
    canvases = []
    for t in range(frames):
        if t:
            cells.step()
        canvas = Canvas.empty(shape)
        for pose in cells.poses():
            draw_cell(canvas, pose, on_top=False)
        canvases.append(canvas)
    stain = _stain(rng, cells)
    images = np.stack([_expose(rng, c, stain, bleach**t, t) for t, c in enumerate(canvases)])
    labels = np.stack([c.cells for c in canvases])
    return images, labels.astype(np.uint16)


def _stain(rng: np.random.Generator, cells: Population) -> Array:
    """Brightness and texture offsets (3, cells + 1); daughters are like their mother, brighter."""
    count = len(cells.ghost) + 1
    stain = np.stack([np.exp(rng.normal(-0.5, 0.3, count)), *rng.uniform(0, 512, (2, count))])
    for child, parent in sorted(cells.parents.items()):
        stain[0, child] = min(1.2, 1.15 * stain[0, parent])
    return stain.astype(np.float32)


def _expose(rng: np.random.Generator, canvas: Canvas, stain: Array, gain: float, t: int) -> Images:
    """One frame as the camera reads it out."""
    bright, offset_y, offset_x = stain[:, canvas.cells]
    y, x = canvas.local_y + offset_y, canvas.local_x + offset_x
    chromatin = 1 + 0.16 * lookup(tile("smooth", 2), y, x) + 0.1 * lookup(tile("cloud", 1.4), y, x)
    nucleoli = 1 - 0.55 * lookup(tile("spots", 3), y, x)
    dome = 1 - 0.25 * np.minimum(1, canvas.relative) ** 2
    body = bright * chromatin * nucleoli * dome * np.clip(canvas.depth / 3 + 0.5, 0, 1)
    light = gaussian_filter(body, 0.9) + 0.12 * gaussian_filter(body, 9)
    light = light + 0.02 + 0.006 * crop(tile("cloud", 1.8), light.shape, 40, 90)
    photons = rng.poisson(np.maximum(0, light * gain) * 900)
    grey = _OFFSET + photons * (_FULL_WELL / 1500) + rng.normal(0, 90, light.shape)
    return np.asarray(np.clip(grey, 0, 65_535), np.uint16)
