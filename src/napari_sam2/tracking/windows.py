"""Where an object is looked at: windows on a frame's token grid, and the way to data pixels.

A cell touches a small part of the frame. In the windowed policy it is processed in a square of
tokens around the place where it was last seen; positions stay absolute, so a window that covers
the whole frame is the published behaviour. Small models also see every object at a magnification
that suits its size: a level, named by its token grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sam2.model.config import Attention, ModelConfig
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.masks.thin_mask import place_of

Box = tuple[float, float, float, float]  # (y0, x0, y1, x1) in data pixels
TOKEN = 16  # model pixels
_SIDES = (8, 12, 16, 24, 32, 48, 64)  # of windows, in tokens
USUAL_ZOOM = 4.0  # that objects of any size are looked for at; only tiny ones need more
_ZOOMS = tuple(2 ** (k / 2) for k in range(-10, 5))  # half octaves, 1/32 to 4
_FINER_ZOOMS = (2**2.5, 8.0)
_MOST_LEVELS = 9  # of the usual ones
_USUAL_RADIUS = 35.0  # px, of objects that small models see as they are
_TINY_RADIUS = 5.0  # px; what is smaller is magnified until it looks as large as this does
_LARGEST = 16_384  # model pixels along a side, where frames are encoded in tiles


@dataclass(frozen=True)
class Geometry:
    """How data pixels, model pixels and tokens of a stack relate.

    Parameters
    ----------
    shape : (Y, X) of a frame in data pixels.
    size : (H, W) of the network's input in model pixels, multiples of 32.
    as_published : prompts are scaled as the published code does it, where data pixel 0 is model
        pixel 0 however large pixels are. Small models are trained with prompts in the middles of
        pixels, and on the outermost of those that a box holds.
    """

    shape: tuple[int, int]
    size: tuple[int, int]
    as_published: bool = False

    @property
    def tokens(self) -> tuple[int, int]:
        """(rows, columns) of the token grid."""
        return self.size[0] // TOKEN, self.size[1] // TOKEN

    @property
    def scale(self) -> tuple[float, float]:
        """Model pixels per data pixel, (y, x)."""
        return self.size[0] / self.shape[0], self.size[1] / self.shape[1]

    @property
    def zoom(self) -> float:
        """Model pixels per data pixel, as one number."""
        return float(np.sqrt(self.scale[0] * self.scale[1]))

    def to_model(self, points_yx: npt.NDArray[np.float64]) -> Tensor:
        """Turn (K, 2) data pixels, (y, x), into model pixels, (x, y)."""
        return self._scaled(points_yx, 0.0 if self.as_published else 0.5)

    def box_to_model(self, box_22: npt.NDArray[np.float64]) -> Tensor:
        """Turn the outermost data pixels of a box, (y, x), into those of the model, (x, y)."""
        if self.as_published:
            return self._scaled(box_22, 0.0)
        edges = self._scaled(box_22 + np.array([[0.0], [1.0]]), 0.0)
        return edges - edges.new_tensor([[0.0], [1.0]])

    def _scaled(self, points_yx: npt.NDArray[np.float64], middle: float) -> Tensor:
        sy, sx = self.scale
        xy = (points_yx[:, ::-1] + middle) * (sx, sy) - middle
        return torch.from_numpy(xy.astype(np.float32))


def levels(
    config: ModelConfig, shape: tuple[int, int], attention: Attention, zoom: float | None = None
) -> list[Geometry]:
    """Return the magnifications at which frames of (Y, X) pixels are looked at, coarse to fine.

    Published models see every frame at one size. A model that keeps the aspect ratio gets powers
    of the square root of two, or, looking at whole frames, the one closest to 1 that fits its input
    range.

    Parameters
    ----------
    config : of the model.
    shape : (Y, X) of the frames.
    attention : whole frames or windows.
    zoom : the only magnification to use, in model pixels per data pixel.

    Raises
    ------
    InputError
        If `zoom` cannot be used with the model, the policy or frames of this size.
    """
    if zoom is not None:
        return [_at_zoom(config, shape, attention, zoom)]
    if config.square_input:
        return [Geometry(shape, (config.image_size, config.image_size), as_published=True)]
    low, high = config.input_range
    longer = max(shape)
    if attention == "windowed":
        high = _LARGEST
    zooms = [z for z in _ZOOMS if low <= longer * z <= high][-_MOST_LEVELS:]
    zooms += [z for z in _FINER_ZOOMS if low <= longer * z <= high]
    if not zooms:
        zooms = [min(max(longer, low), high) / longer]
    if attention == "exact":
        zooms = [min(zooms, key=lambda z: abs(np.log(z)))]
    sizes = [_size(shape, z) for z in zooms]
    return [Geometry(shape, size) for size in dict.fromkeys(sizes)]


def suitable_zoom(radius: float, tiny: float = _TINY_RADIUS) -> float:
    """Return the magnification that suits an object, half of the way to the usual size.

    Small models are best on objects of a middling size, and small objects are made of blur and
    noise when magnified all the way to it. Tiny ones need more, or nothing of them is left in a
    mask of cells of 4 model pixels.

    Parameters
    ----------
    radius : of the object in data pixels.
    tiny : radius below which objects are magnified until they look as large as at this one.

    Returns
    -------
    float
        Model pixels per data pixel.
    """
    return float(np.sqrt(_USUAL_RADIUS * max(1 / radius, tiny / radius**2)))


def _size(shape: tuple[int, int], zoom: float) -> tuple[int, int]:
    height, width = (max(32, 32 * round(side * zoom / 32)) for side in shape)
    return height, width


def _at_zoom(
    config: ModelConfig, shape: tuple[int, int], attention: Attention, zoom: float
) -> Geometry:
    if config.square_input:
        raise InputError(f"zoom is not for {config.name}, which sees whole frames; leave it out")
    if attention == "exact":
        raise InputError(
            "zoom is for windows, and exact attention sees whole frames; leave out one of the two"
        )
    if not (zoom > 0 and 32 <= zoom * max(shape) <= _LARGEST):
        least, most = 32 / max(shape), _LARGEST / max(shape)
        raise InputError(
            f"zoom {zoom:g} does not suit frames of {shape[1]} x {shape[0]} px; choose one from "
            f"{least:.2g} to {most:.2g}"
        )
    return Geometry(shape, _size(shape, zoom))


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of tokens: upper left corner, size, and the token grid that it lies on."""

    row: int
    column: int
    height: int
    width: int
    grid: tuple[int, int]

    @property
    def is_whole(self) -> bool:
        """Whether it covers the whole frame."""
        return (self.height, self.width) == self.grid

    def slices(self, scale: int) -> tuple[slice, slice]:
        """Slices of this window in a map with `scale` cells per token."""
        return (
            slice(scale * self.row, scale * (self.row + self.height)),
            slice(scale * self.column, scale * (self.column + self.width)),
        )


def whole(geometry: Geometry) -> Window:
    """Return the window that is the whole frame."""
    return Window(0, 0, *geometry.tokens, geometry.tokens)


def around(
    geometry: Geometry,
    box: tuple[float, float, float, float],
    least: int = _SIDES[0],
    usual: int = 0,
) -> Window:
    """Return a window around a box, with room for the object to move and for its surroundings.

    The largest window is as large as a frame of the published models.

    Parameters
    ----------
    geometry : of the stack.
    box : (y0, x0, y1, x1) in model pixels.
    least : smallest side, in tokens.
    usual : side to keep if it is large enough and not far too large: objects whose windows have
        had the same sides share a batch.
    """
    y0, x0, y1, x1 = box
    needed = max(least, 1.5 * max(y1 - y0, x1 - x0) / TOKEN + 2)
    side = next((side for side in _SIDES if side >= needed), _SIDES[-1])
    if usual in _SIDES and side < usual <= 1.7 * needed:
        side = usual
    rows, columns = geometry.tokens
    height, width = min(side, rows), min(side, columns)
    row = round((y0 + y1) / 2 / TOKEN - height / 2)
    column = round((x0 + x1) / 2 / TOKEN - width / 2)
    row, column = min(max(row, 0), rows - height), min(max(column, 0), columns - width)
    return Window(row, column, height, width, geometry.tokens)


def grown(geometry: Geometry, window: Window) -> Window:
    """Return the next larger window with the same centre."""
    y, x = TOKEN * (window.row + window.height / 2), TOKEN * (window.column + window.width / 2)
    return around(geometry, (y, x, y, x), least=max(window.height, window.width) + 1)


def box_of(logits_hw: npt.NDArray[np.floating]) -> tuple[int, int, int, int] | None:
    """Bounding box (y0, x0, y1, x1), exclusive, of where logits are above 0; None if nowhere."""
    rows, columns = place_of(logits_hw > 0)
    if rows.start == rows.stop:
        return None
    return rows.start, columns.start, rows.stop, columns.stop
