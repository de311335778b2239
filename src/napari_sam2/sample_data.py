"""Samples for napari's File menu: synthetic stacks with the axes and the scale of real ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam2.training.samples import sample_timelapse, sample_zstack
from napari_sam2.training.synthetic import Clip

LayerData = tuple[Any, dict[str, Any], str]

_PIXEL = 0.325  # micrometres, a 20x objective on a common camera
_FRAME = 5.0  # minutes


def timelapse() -> list[LayerData]:
    """Return nuclei that move and divide, (T, Y, X), as an image layer."""
    images, _ = sample_timelapse()
    settings = {
        "name": "nuclei over time",
        "scale": (_FRAME, _PIXEL, _PIXEL),
        "units": ("minute", "micrometer", "micrometer"),
        "axis_labels": ("t", "y", "x"),
        "colormap": "gray",
    }
    return [(images, settings, "image")]


def zstack() -> list[LayerData]:
    """Return nuclei in depth, (Z, Y, X), as an image layer."""
    images, _ = sample_zstack()
    settings = {
        "name": "nuclei in depth",
        "scale": (1.4 * _PIXEL, _PIXEL, _PIXEL),
        "units": ("micrometer", "micrometer", "micrometer"),
        "axis_labels": ("z", "y", "x"),
        "colormap": "gray",
    }
    return [(images, settings, "image")]


def timelapse_clip() -> Clip:
    """Return the nuclei of `timelapse` with their truth."""
    images, labels = sample_timelapse()
    low, high = np.percentile(images, [0.1, 99.9])
    scaled = np.clip((images.astype(np.float32) - low) / (high - low), 0, 1)
    return Clip(scaled.astype(np.float32), labels.astype(np.int32), "nuclei")


def as_uint8(clip: Clip) -> NDArray[np.uint8]:
    """Images of a clip (T, Y, X) as grey values 0 to 255."""
    return np.rint(clip.images * 255).astype(np.uint8)
