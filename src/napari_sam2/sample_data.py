"""Samples for napari's File menu: synthetic stacks with the axes and the scale of real ones."""

from __future__ import annotations

from typing import Any

from napari_sam2.training.samples import sample_timelapse, sample_zstack

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
