"""What the network gets to see of an object on a frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from napari_sam2.tracking.frames import IMAGENET_MEAN, IMAGENET_STD
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.objects.estimates import Estimate
from napari_sam2.tracking.windows import TOKEN


@dataclass(frozen=True, eq=False)
class View:
    """A part of a frame as it goes into the network, before ImageNet's mean and deviation.

    Parameters
    ----------
    image : (h, w, 3) float32, 0 to 1.
    corner : (y, x) of the first pixel's centre, in data pixels.
    zoom : model pixels per data pixel along y and x.
    """

    image: npt.NDArray[np.float32] = field(repr=False)
    corner: tuple[float, float]
    zoom: tuple[float, float]


def view_of(engine: Engine, frame: int, estimate: Estimate) -> View:
    """Return the window in which an object was looked at on a frame."""
    window, geometry = estimate.window, engine.geometry(estimate.window)
    rows, columns = (
        slice(part.start, min(part.stop, length))
        for part, length in zip(window.slices(TOKEN), geometry.size, strict=True)
    )
    seen = engine.frames.tensor(
        frame,
        geometry.size,
        [(rows, columns)],
        grey=engine.model.config.sees_grey,
        own=engine.small,
    )[0]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    image = (seen * std + mean).clamp(0, 1).permute(1, 2, 0).contiguous().numpy()
    zoom = tuple(
        size / length for size, length in zip(geometry.size, engine.frames.shape, strict=True)
    )
    corner = [(part.start + 0.5) / z - 0.5 for part, z in zip((rows, columns), zoom, strict=True)]
    return View(image, (corner[0], corner[1]), (zoom[0], zoom[1]))
