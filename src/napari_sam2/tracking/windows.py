"""Where an object is looked at: windows on a frame's token grid, and the way to data pixels.

A cell touches a small part of the frame. In the windowed policy it is processed in a square of
tokens around the place where it was last seen; positions stay absolute, so a window that covers
the whole frame is the published behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam2.model.config import ModelConfig

TOKEN = 16  # model pixels
_SIDES = (8, 12, 16, 24, 32)  # of windows, in tokens; larger objects get the whole frame


@dataclass(frozen=True)
class Geometry:
    """How data pixels, model pixels and tokens of a stack relate.

    Parameters
    ----------
    shape : (Y, X) of a frame in data pixels.
    size : (H, W) of the network's input in model pixels, multiples of 32.
    """

    shape: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def of(cls, config: ModelConfig, shape: tuple[int, int]) -> Geometry:
        """Choose the input size for frames of (Y, X) pixels."""
        if config.square_input:
            return cls(shape, (config.image_size, config.image_size))
        low, high = config.input_range
        longer = max(shape)
        zoom = min(max(longer, low), high) / longer
        height, width = (max(32, 32 * round(side * zoom / 32)) for side in shape)
        return cls(shape, (height, width))

    @property
    def tokens(self) -> tuple[int, int]:
        """(rows, columns) of the token grid."""
        return self.size[0] // TOKEN, self.size[1] // TOKEN

    @property
    def scale(self) -> tuple[float, float]:
        """Model pixels per data pixel, (y, x)."""
        return self.size[0] / self.shape[0], self.size[1] / self.shape[1]

    def to_model(self, points_yx: npt.NDArray[np.float64]) -> Tensor:
        """Turn (K, 2) data pixels, (y, x), into model pixels, (x, y): the one place where that is.

        Coordinates are scaled as the published code does it: data pixel 0 is model pixel 0.
        """
        sy, sx = self.scale
        xy = np.stack([points_yx[:, 1] * sx, points_yx[:, 0] * sy], axis=1)
        return torch.from_numpy(xy.astype(np.float32))


@dataclass(frozen=True)
class Window:
    """A rectangle of tokens: upper left corner and size."""

    row: int
    column: int
    height: int
    width: int

    def model_slices(self, scale: int) -> tuple[slice, slice]:
        """Slices of this window in a map with `scale` cells per token."""
        return (
            slice(scale * self.row, scale * (self.row + self.height)),
            slice(scale * self.column, scale * (self.column + self.width)),
        )


def whole(geometry: Geometry) -> Window:
    """Return the window that is the whole frame."""
    return Window(0, 0, *geometry.tokens)


def around(
    geometry: Geometry, box: tuple[float, float, float, float], least: int = _SIDES[0]
) -> Window:
    """Return a window around a box, with room for the object to move and for its surroundings.

    Parameters
    ----------
    geometry : of the stack.
    box : (y0, x0, y1, x1) in model pixels.
    least : smallest side, in tokens.
    """
    y0, x0, y1, x1 = box
    needed = max(least, 2 * max(y1 - y0, x1 - x0) / TOKEN + 4)
    fitting = [side for side in _SIDES if side >= needed]
    if not fitting:
        return whole(geometry)
    rows, columns = geometry.tokens
    height, width = min(fitting[0], rows), min(fitting[0], columns)
    row = round((y0 + y1) / 2 / TOKEN - height / 2)
    column = round((x0 + x1) / 2 / TOKEN - width / 2)
    return Window(
        min(max(row, 0), rows - height), min(max(column, 0), columns - width), height, width
    )


def grown(geometry: Geometry, window: Window) -> Window:
    """Return the next larger window with the same centre."""
    y, x = TOKEN * (window.row + window.height / 2), TOKEN * (window.column + window.width / 2)
    return around(geometry, (y, x, y, x), least=max(window.height, window.width) + 1)


def to_data(
    geometry: Geometry, window: Window, logits_hw: Tensor
) -> tuple[tuple[slice, slice], npt.NDArray[np.float32]]:
    """Resample logits of a window (stride 4) to data pixels, bilinearly.

    Returns
    -------
    the part of the frame that the window covers, and the logits (y, x) there.
    """
    if window == whole(geometry):
        full = F.interpolate(
            logits_hw[None, None].float(), geometry.shape, mode="bilinear", align_corners=False
        )
        return (slice(0, geometry.shape[0]), slice(0, geometry.shape[1])), full[0, 0].cpu().numpy()
    slices, places = [], []
    for axis, (start, length) in enumerate(
        ((window.row, window.height), (window.column, window.width))
    ):
        scale = geometry.scale[axis]
        first = int(np.ceil(TOKEN * start / scale - 0.5))
        last = int(np.floor(TOKEN * (start + length) / scale - 0.5))
        last = min(last, geometry.shape[axis] - 1)
        pixels = torch.arange(first, last + 1, dtype=torch.float32, device=logits_hw.device)
        # Centre of a data pixel, in units of the window from -1 to 1.
        places.append(2 * ((pixels + 0.5) * scale / TOKEN - start) / length - 1)
        slices.append(slice(first, last + 1))
    grid = torch.stack(torch.meshgrid(places[1], places[0], indexing="xy"), dim=-1)
    sampled = F.grid_sample(
        logits_hw[None, None].float(), grid[None], padding_mode="border", align_corners=False
    )
    return (slices[0], slices[1]), sampled[0, 0].cpu().numpy()


def resized_mask(geometry: Geometry, mask: npt.NDArray[np.bool_]) -> Tensor:
    """Resize a mask (Y, X) to model pixels as the published code does: (H, W), 0 or 1."""
    values = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))[None, None]
    if mask.shape != geometry.size:
        values = F.interpolate(
            values, geometry.size, mode="bilinear", align_corners=False, antialias=True
        )
        small = (values >= 0.5).float()
        # A mask of a few pixels may not survive being shrunk: keep its most covered place.
        values = small if small.any() else (values == values.max()).float()
    return values[0, 0]


def box_of(logits_hw: npt.NDArray[np.floating]) -> tuple[int, int, int, int] | None:
    """Bounding box (y0, x0, y1, x1), exclusive, of where logits are above 0; None if nowhere."""
    inside = logits_hw > 0
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if rows.size == 0:
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def moved(logits_hw: Tensor, source: Window, target: Window) -> Tensor:
    """Lay logits of one window into another; background where the first does not reach."""
    if source == target:
        return logits_hw
    out = logits_hw.new_full((4 * target.height, 4 * target.width), -16.0)
    dy, dx = 4 * (source.row - target.row), 4 * (source.column - target.column)
    y0, x0 = max(dy, 0), max(dx, 0)
    y1 = min(dy + logits_hw.shape[0], out.shape[0])
    x1 = min(dx + logits_hw.shape[1], out.shape[1])
    if y0 < y1 and x0 < x1:
        out[y0:y1, x0:x1] = logits_hw[y0 - dy : y1 - dy, x0 - dx : x1 - dx]
    return out
