"""An animated picture of masklets over their images."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from skimage.segmentation import find_boundaries

from napari_sam2.export.files import completed
from napari_sam2.tracking.frames import Frames

_SIDE = 576  # px of the longer side, roughly
_MOST_FRAMES = 60
_GOLDEN = 0.618034
_IMAGE_COLOURS, _OBJECT_COLOURS = 64, 128


def write_gif(
    path: Path, frames: Frames, labels: npt.NDArray[Any], milliseconds: int = 120
) -> None:
    """Write an animation of the outlines of `labels` over the images.

    Parameters
    ----------
    path
        The .gif file; replaced, once the new one is complete, if it exists.
    frames
        The images.
    labels
        (T, Y, X), 0 is background; an object has one colour throughout.
    milliseconds
        How long a picture stands. Of long stacks, 60 frames are taken.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    count = min(len(frames), _MOST_FRAMES)
    chosen = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    pictures = [overlay(frames.image(int(t)), labels[t]) for t in chosen]
    with completed(path, overwrite=True) as partial:
        pictures[0].save(
            partial, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0
        )


def overlay(image: npt.NDArray[np.float32], labels: npt.NDArray[Any]) -> Image.Image:
    """Draw the outlines of objects over an image.

    Parameters
    ----------
    image
        (Y, X, 3), 0 to 1.
    labels
        (Y, X), 0 is background.

    Returns
    -------
    Image
        With a palette, enlarged or reduced to a size to look at.
    """
    height, width = labels.shape
    factor = _SIDE / max(height, width)
    factor = float(round(factor)) if factor >= 1.5 else min(1.0, factor)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    picture = Image.fromarray(np.round(image * 255).astype(np.uint8))
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    picture = picture.quantize(_IMAGE_COLOURS, dither=Image.Dither.NONE)
    large = Image.fromarray(labels.astype(np.int32)).resize(size, Image.Resampling.NEAREST)
    objects = np.array(large)
    edge = find_boundaries(objects, mode="inner")
    # The outlines' colours get places of their own in the palette: quantising would drop them.
    indices = np.array(picture)
    indices[edge] = _IMAGE_COLOURS + objects[edge] % _OBJECT_COLOURS
    palette = (picture.getpalette() or [])[: 3 * _IMAGE_COLOURS]
    palette += [0] * (3 * _IMAGE_COLOURS - len(palette))
    for k in range(_OBJECT_COLOURS):
        palette += colour(k)
    drawn = Image.fromarray(indices)
    drawn.putpalette(palette)
    return drawn


def colour(object_id: int) -> tuple[int, int, int]:
    """Return a bright colour; neighbouring ids differ much."""
    red, green, blue = colorsys.hsv_to_rgb((object_id * _GOLDEN) % 1.0, 0.85, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)
