"""Masklets to GeoJSON as QuPath reads it: one feature for each object and frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, label

from napari_sam2.export.outlines import outlines
from napari_sam2.export.rle import Region, regions
from napari_sam2.export.source import LabelSource, Qualities
from napari_sam2.export.tables import QUALITY

SUFFIX = ".geojson"

Ring = list[tuple[int, int]]
"""Corners (x, y); the first one is not repeated."""


def write_geojson(path: Path, source: LabelSource) -> None:
    """Write the features as the frames are read, each on a line of its own.

    Outlines are in pixels along the edges of the mask; pixel (0, 0) lies between (0, 0) and (1, 1).
    Objects are detections, which QuPath draws by the thousand, on the frame's `z` or `t`. Their
    measurements are the object's id and, where it is known, how sure the network was.
    """
    along = source.axes[0].lower()
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        separator = "\n"
        for frame, plane in enumerate(source.planes()):
            # c is -1 for all channels.
            on = {"c": -1, "z": 0, "t": 0} | ({along: frame} if along in "zt" else {})
            for region in regions(plane):
                measured = _measurements(region.id, frame, source.quality)
                file.write(separator + json.dumps(_feature(region, on, measured)))
                separator = ",\n"
        file.write("\n]}\n")


def _feature(region: Region, plane: dict[str, int], measured: dict[str, float]) -> dict[str, Any]:
    corner, mask = region.patch()
    pieces = [[_closed(ring, corner) for ring in rings] for rings in polygons(mask)]
    one = len(pieces) == 1
    return {
        "type": "Feature",
        "geometry": {
            "type": "Polygon" if one else "MultiPolygon",
            "coordinates": pieces[0] if one else pieces,
            "plane": plane,
        },
        "properties": {
            "objectType": "detection",
            "name": f"object {region.id}",
            "measurements": measured,
        },
    }


def _measurements(object_id: int, frame: int, quality: Qualities) -> dict[str, float]:
    """Return what QuPath lists of an object; it takes numbers only."""
    sure = quality.get(object_id, {}).get(frame)
    known = {} if sure is None else {k: float(getattr(sure, a)) for k, a in QUALITY.items()}
    return {"object_id": object_id, **known}


def _closed(ring: Ring, corner: tuple[int, int]) -> list[list[int]]:
    top, left = corner
    return [[x + left, y + top] for x, y in (*ring, ring[0])]


def polygons(mask: npt.NDArray[np.bool_]) -> list[list[Ring]]:
    """Return the pieces of a mask (Y, X) as polygons: the ring around each, then its holes.

    No ring meets itself, as GeoJSON asks: where one would, at a corner that two pixels share, it is
    two rings. Those around pieces have the mask on their left with y upward, holes the other way
    round.
    """
    pieces, _ = label(mask)
    found = []
    for number, box in enumerate(find_objects(pieces), start=1):
        corner = np.array([side.start for side in box])
        lines = [line + corner for line in outlines(pieces[box] == number)]
        rings = [ring for line in lines for ring in _simple(line[:, ::-1])]
        found.append(sorted(rings, key=_area, reverse=True))
    return found


def _simple(line: npt.NDArray[np.intp]) -> list[Ring]:
    """Part a closed line (N, 2) where it comes to a corner for the second time."""
    rings: list[Ring] = []
    ring: dict[tuple[int, int], None] = {}  # in the order of the line
    for x, y in line.tolist():
        if (x, y) in ring:
            loop = [(x, y)]
            while (last := ring.popitem()[0]) != (x, y):
                loop.append(last)
            rings.append([(x, y), *loop[:0:-1]])
        ring[x, y] = None
    return [*rings, list(ring)]


def _area(ring: Ring) -> float:
    """Return what is within a ring, below 0 for a hole."""
    x, y = np.transpose(ring)
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)
