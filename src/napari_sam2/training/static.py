"""Clips from real static images: a photograph with masks is moved, bent and relit.

Real texture with a motion that is made up. A part of the image that holds some cell is cut out at
a random zoom and orientation. For clips, a displacement field then carries it from frame to frame:
the field as a whole drifts and bends, and each cell drags its own surroundings a little, so that
cells move against the background and against each other without being cut out of it. Last, the
camera of the synthetic clips adds its blur, light, noise and grey values.

Only folders whose licence allows training belong here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, zoom
from skimage.io import imread

from napari_sam2.tracking.errors import InputError
from napari_sam2.training.camera import Camera
from napari_sam2.training.sections import bright_bodies, in_sections, split
from napari_sam2.training.shapes import Array
from napari_sam2.training.synthetic import Clip

Labels = NDArray[np.int32]
_PAD = 24  # px around the crop that motion can bring into view
_SECTIONED = 0.5  # of the clips of bright bodies are z-stacks
_LAYERS = 3
_SUFFIXES = {".tif", ".tiff", ".png"}


class StaticImages:
    """A folder of images with masks; decoded images are kept.

    Parameters
    ----------
    folder : holds `images/` and `masks/` with files of the same stem: TIFF or PNG, grey or RGB,
        masks with one integer per cell.
    zooms : least and largest magnification.

    Raises
    ------
    InputError
        There is no image with a mask.
    """

    def __init__(self, folder: str | Path, zooms: tuple[float, float] = (0.5, 2.5)) -> None:
        folder = Path(folder)
        files = sorted((folder / "masks").glob("*"))
        masks = {p.stem: p for p in files if p.suffix.lower() in _SUFFIXES}
        images = [p for p in sorted((folder / "images").glob("*")) if p.stem in masks]
        if not images:
            raise InputError(f"{folder} has no images/NAME with masks/NAME (TIFF or PNG)")
        self.name = folder.name
        self.zooms = zooms
        self._files = [(p, masks[p.stem]) for p in images]
        self._pairs: dict[int, tuple[NDArray[np.generic], Labels]] = {}

    def __len__(self) -> int:
        return len(self._files)

    def pair(self, index: int) -> tuple[NDArray[np.generic], Labels]:
        """Return image (Y, X) or (Y, X, 3), raw, and labels (Y, X)."""
        if index not in self._pairs:
            image, labels = (imread(path) for path in self._files[index])
            if image.shape[:2] != labels.shape:
                raise InputError(
                    f"{self._files[index][0]}: image {image.shape} and mask {labels.shape} differ"
                )
            self._pairs[index] = (image, labels.astype(np.int32))
        return self._pairs[index]

    def clip(
        self, rng: np.random.Generator, frames: int = 1, size: tuple[int, int] = (128, 128)
    ) -> Clip:
        """Make a clip of a random part of a random image.

        Parameters
        ----------
        rng : of everything random.
        frames : number of frames.
        size : (height, width) in pixels.

        Returns
        -------
        Clip
            Objects have radii of about 5 to 60 px where the image allows it.
        """
        bare: set[int] = set()
        while True:
            index = int(rng.integers(len(self)))
            image, labels = self.pair(index)
            if labels.any():
                break
            bare.add(index)
            if len(bare) == len(self):
                raise InputError(f"no mask in {self.name} has a cell; check the folder 'masks'")
        grey = _grey(rng, image)
        if frames > 1 and rng.random() < _SECTIONED and bright_bodies(grey, labels):
            cuts = [self._cut(rng, grey, labels, size) for _ in range(_LAYERS)]
            layers = [split(patch, cells) for patch, cells in cuts if cells.any()]
            pictures, truth = in_sections(rng, layers, frames)
            return Clip(Camera(rng, size).expose(pictures), truth, self.name)
        pad = _PAD if frames > 1 else 0
        patch, cells = self._cut(rng, grey, labels, (size[0] + 2 * pad, size[1] + 2 * pad))
        if frames == 1:
            pictures, truth = patch[None], cells[None]
        else:
            pictures, truth = _animate(rng, patch, cells, frames, size)
        images = Camera(rng, size, noise=0.4).expose(pictures)
        return Clip(images, truth, self.name)

    def _cut(
        self, rng: np.random.Generator, image: Array, labels: Labels, size: tuple[int, int]
    ) -> tuple[Array, Labels]:
        """Cut a part of `size` around some cell, zoomed, turned, mirrored."""
        stride = 3 if labels[::3, ::3].any() else 1  # every third pixel tells enough, faster
        coarse = labels[::stride, ::stride]
        spot = np.unravel_index(int(rng.choice(np.flatnonzero(coarse))), coarse.shape)
        radius = stride * np.sqrt((coarse == coarse[spot]).sum() / np.pi)
        spot = tuple(stride * i for i in spot)
        wanted = np.exp(rng.uniform(np.log(5.5), np.log(min(60, min(size) / 3)))) / radius
        fits = max(size[0] / labels.shape[0], size[1] / labels.shape[1])
        magnify = float(np.clip(wanted, max(self.zooms[0], fits), max(self.zooms[1], fits)))
        quarter = int(rng.integers(4))
        if quarter % 2 and fits > 0.8:
            quarter -= 1
        tilt = rng.normal(0, 0.15) if rng.random() < 0.4 else 0.0
        matrix = _rotation(quarter * np.pi / 2 + tilt) @ np.diag(rng.choice([-1.0, 1.0], 2))
        matrix = matrix / magnify
        half = np.abs(matrix) @ (np.array(size) / 2)
        bounds = np.array(labels.shape)
        centre = np.array(spot, float) + rng.uniform(-0.35, 0.35, 2) * half * 2
        low = np.minimum(half, bounds / 2)
        centre = np.clip(centre, low, bounds - low)
        y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
        y, x = y - (size[0] - 1) / 2, x - (size[1] - 1) / 2
        rows = matrix[0, 0] * y + matrix[0, 1] * x + centre[0]
        columns = matrix[1, 0] * y + matrix[1, 1] * x + centre[1]
        part = _span(rows, labels.shape[0]), _span(columns, labels.shape[1])
        image, labels = image[part], labels[part]
        if magnify < 0.8:  # else detail folds into false grain
            image = gaussian_filter(image, 0.4 / magnify, truncate=3)
        return _sample(image, labels, rows - part[0].start, columns - part[1].start)


def _span(positions: Array, length: int) -> slice:
    """Part of an axis that positions lie in, and a little around."""
    low, high = int(positions.min()) - 3, int(positions.max()) + 4
    return slice(int(np.clip(low, 0, length - 1)), int(np.clip(high, 1, length)))


def _rotation(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _grey(rng: np.random.Generator, image: NDArray[np.generic]) -> Array:
    """Grey image; a random mix of colours, so that stains give many contrasts."""
    grey = image.astype(np.float32)
    if grey.ndim == 3:
        grey = grey[..., :3] @ rng.dirichlet([0.7] * 3).astype(np.float32)
        if rng.random() < 0.5:
            grey = grey.max() - grey
    return np.asarray(grey, np.float32)


def _sample(image: Array, labels: Labels, rows: Array, columns: Array) -> tuple[Array, Labels]:
    """Read image (linear) and labels (nearest) at coordinates; no cells outside of the image."""
    picture = map_coordinates(image, [rows, columns], order=1, mode="nearest", prefilter=False)
    height, width = labels.shape
    y, x = np.rint(rows).astype(np.intp), np.rint(columns).astype(np.intp)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    found = labels[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.asarray(picture, np.float32), np.where(inside, found, 0).astype(np.int32)


def _animate(
    rng: np.random.Generator, patch: Array, cells: Labels, frames: int, size: tuple[int, int]
) -> tuple[Array, Labels]:
    """Move a patch, `_PAD` larger on every side than the frames, over time."""
    ids, compact = np.unique(cells, return_inverse=True)
    compact = compact.reshape(cells.shape)
    radius = np.sqrt(np.bincount(compact.ravel()) / np.pi)
    radius[0] = 0
    reach = float(np.clip(np.median(radius[1:]) if len(ids) > 1 else 8, 3, 25))
    weight = np.asarray(gaussian_filter((compact > 0).astype(np.float32), reach / 3) + 0.15)
    own = rng.choice([0, 0.1, 0.22]) * np.minimum(radius, 40)
    drift = rng.normal(0, 1, 2) * rng.choice([0, 1.0, 2.5])
    spin, swell = rng.normal(0, 0.01), rng.normal(0, 0.006)
    bend_amount = rng.choice([0.5, 1.5, 2.5])
    bend = np.zeros((2, 5, 5), np.float32)
    moved = np.zeros((2, len(ids)))
    velocity = rng.normal(0, 1, (2, len(ids)))
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    middle = (np.array(size) - 1) / 2
    pictures, truth = [], []
    for t in range(frames):
        turned = _rotation(t * spin) * (1 + t * swell)
        shift = np.clip(t * drift, -_PAD, _PAD) - middle
        dy, dx = y + shift[0], x + shift[1]
        rows = turned[0, 0] * dy + turned[0, 1] * dx + middle[0] + _PAD
        columns = turned[1, 0] * dy + turned[1, 1] * dx + middle[1] + _PAD
        if t:
            step = bend_amount * rng.standard_normal(bend.shape, dtype=np.float32)
            bend = 0.9 * bend + step
            velocity = 0.7 * velocity + 0.7 * rng.normal(0, 1, velocity.shape)
            moved = np.clip(moved + velocity * own, -0.5 * radius, 0.5 * radius)
            field = _field(bend, moved, compact, weight, reach)[:, _PAD:-_PAD, _PAD:-_PAD]
            rows, columns = rows + field[0], columns + field[1]
        picture, found = _sample(patch, cells, rows, columns)
        pictures.append(picture)
        truth.append(found)
    return np.stack(pictures), np.stack(truth)


def _field(
    bend: Array, moved: NDArray[np.float64], compact: NDArray[np.intp], weight: Array, reach: float
) -> Array:
    """Displacement (2, H, W): a coarse smooth field, and that of each cell spread around it."""
    height, width = compact.shape
    parts = []
    for k in (0, 1):
        smooth = zoom(
            bend[k],
            (height / 5, width / 5),
            order=2,
            prefilter=False,
            grid_mode=True,
            mode="nearest",
        )
        if moved[k].any():
            drag = gaussian_filter(moved[k].astype(np.float32)[compact], reach / 3, truncate=3)
            smooth = smooth + drag / weight
        parts.append(smooth)
    return np.asarray(np.stack(parts), np.float32)
