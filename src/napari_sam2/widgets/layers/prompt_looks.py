"""How the layers that prompts are made in look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.layers import Labels, Points, Shapes
from napari.utils.colormaps.standardize_color import transform_color

from napari_sam2.widgets.layers.layer_adapters import StackGeometry

_POSITIVE = "#2fd35b"
_NEGATIVE = "#ff4d5e"
# Of points that are not on the object, and that are.
_COLOURS = transform_color([_NEGATIVE, _POSITIVE])


def new_layers(
    result: Any, geometry: StackGeometry, transform: Mapping[str, Any]
) -> tuple[Labels, Shapes, Points]:
    """Make the three layers, lowest first; shapes and points are empty.

    Parameters
    ----------
    result
        The array shown in the Labels layer.
    geometry
        Which axes are what; lines and points suit the size of a frame.
    transform
        Keywords that lay a layer over the image.
    """
    ndim, side = len(geometry.shape), min(geometry.frame_shape)
    labels = Labels(result, name="masklets", opacity=0.6, **transform)
    shapes = Shapes(
        ndim=ndim,
        name="prompts: boxes",
        features={"object": np.zeros(0, int)},
        face_color="transparent",
        edge_color="white",
        edge_width=float(np.clip(side / 250, 0.3, 4)),
        **transform,
    )
    points = Points(
        ndim=ndim,
        name="prompts: points",
        features={"object": np.zeros(0, int), "positive": np.zeros(0, bool)},
        size=float(np.clip(side / 60, 1, 10)),
        border_width=0.12,
        border_color="white",
        face_color=_POSITIVE,
        # Not larger than 16 px on screen; a lower limit would show napari's hidden points.
        canvas_size_limits=(0, 16),
        **transform,
    )
    return labels, shapes, points


def colour(labels: Labels, shapes: Shapes, points: Points) -> None:
    """Give shapes the colour of their object, and points that of their sign, if they have not."""
    if len(points.data):
        positive = points.features["positive"].to_numpy(bool)
        colours = _COLOURS[positive.astype(int)]
        if not np.array_equal(points.face_color, colours):
            points.face_color = colours
        # Not by colour alone: some eyes do not tell red from green.
        symbols = np.where(positive, "disc", "diamond").tolist()
        if [str(symbol) for symbol in points.symbol] != symbols:
            points.symbol = symbols
    if len(shapes.data):
        ids = shapes.features["object"].to_numpy(int)
        of = {i: labels.get_color(i) for i in set(ids.tolist())}
        colours = np.array([of[i] for i in ids.tolist()], np.float32)
        if not np.array_equal(shapes.edge_color, colours):
            shapes.edge_color = colours
