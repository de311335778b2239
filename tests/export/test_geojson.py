"""Outlines for QuPath, read by a plain reader that knows nothing of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_sam2.export.formats import export_masklets, open_masklets
from napari_sam2.export.geojson import polygons
from napari_sam2.export.outlines import filled
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.objects.estimates import Quality


def features(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content.keys() == {"type", "features"}
    assert content["type"] == "FeatureCollection"
    return content["features"]


def pieces(geometry: dict[str, Any]) -> list[list[np.ndarray]]:
    """The polygons of a geometry: rings of (x, y), closed as GeoJSON asks."""
    several = geometry["type"] == "MultiPolygon"
    assert several or geometry["type"] == "Polygon"
    found = geometry["coordinates"] if several else [geometry["coordinates"]]
    assert (len(found) > 1) == several
    return [[np.array(ring) for ring in piece] for piece in found]


def area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((3, 20, 30), np.uint16)
    labels[0, 2:8, 3:12] = 4
    labels[0, 4:6, 5:8] = 0  # a hole
    labels[2, 2:5, 3:9] = 4
    labels[2, 9:12, 20:28] = 4  # another piece
    labels[1:, 14:18, 1:7] = 300
    return labels


@pytest.mark.parametrize(("axes", "along"), [("TYX", "t"), ("ZYX", "z")])
def test_what_qupath_reads(axes: str, along: str, labels: np.ndarray, tmp_path: Path) -> None:
    sure = Quality(iou=0.9, object_score=4.0, stability=0.8)
    path = tmp_path / "cells.geojson"
    assert export_masklets(path, labels, axes=axes, quality={4: {2: sure}}) == ()
    painted = np.zeros_like(labels)
    for one in features(path):
        assert one["type"] == "Feature"
        plane, properties = one["geometry"]["plane"], one["properties"]
        assert plane == {"c": -1, "z": 0, "t": 0} | {along: plane[along]}
        assert properties["objectType"] == "detection"
        measured = properties["measurements"]
        assert properties["name"] == f"object {measured['object_id']}"
        for first, *holes in pieces(one["geometry"]):
            for ring in (first, *holes):
                np.testing.assert_array_equal(ring[0], ring[-1])
            assert area(first) > 0
            assert all(area(hole) < 0 for hole in holes)
            mask = filled([ring[:-1, ::-1] for ring in (first, *holes)], labels.shape[1:])
            painted[plane[along]][mask] = measured["object_id"]
        quality = {"predicted_iou": 0.9, "object_score": 4.0, "stability": 0.8, "interpolated": 0}
        known = quality if (measured["object_id"], plane[along]) == (4, 2) else {}
        assert {k: v for k, v in measured.items() if k != "object_id"} == known
    np.testing.assert_array_equal(painted, labels)


def test_a_single_image_and_no_objects(labels: np.ndarray, tmp_path: Path) -> None:
    export_masklets(tmp_path / "one.geojson", labels[1], axes="YX")
    (one,) = features(tmp_path / "one.geojson")
    assert one["geometry"]["plane"] == {"c": -1, "z": 0, "t": 0}
    # Along the edges of the pixels.
    assert one["geometry"]["coordinates"] == [[[7, 14], [7, 18], [1, 18], [1, 14], [7, 14]]]
    export_masklets(tmp_path / "none.geojson", labels[1] * 0, axes="YX")
    assert features(tmp_path / "none.geojson") == []


@pytest.mark.parametrize(
    ("mask", "rings"),
    [
        ("x. .x", [[4], [4]]),  # pixels that share a corner are two pieces
        ("xxx x.x xxx", [[4, 4]]),
        ("xxxx x.xx xx.x xxxx", [[4, 4, 4]]),  # holes that share one are two holes
        (".xx x.x xxx", [[6, 4]]),  # a hole that shares one with the outside
        ("xxxxx x...x x.x.x x...x xxxxx", [[4, 4], [4]]),  # an island in a hole
    ],
)
def test_rings_that_do_not_meet_themselves(mask: str, rings: list[list[int]]) -> None:
    """How many corners each piece's ring has, and its holes."""
    pixels = np.array([[c == "x" for c in row] for row in mask.split()])
    found = polygons(pixels)
    lines = [np.array(ring)[:, ::-1] for piece in found for ring in piece]
    np.testing.assert_array_equal(filled(lines, pixels.shape), pixels)
    for piece in found:
        assert all(len(set(ring)) == len(ring) for ring in piece)
    assert [[len(ring) for ring in piece] for piece in found] == rings


def test_masks_of_very_many_pieces() -> None:
    mask = np.random.default_rng(0).random((60, 60)) < 0.6
    found = polygons(mask)
    assert all(len(set(ring)) == len(ring) for piece in found for ring in piece)
    for first, *holes in found:
        assert area(np.array([*first, first[0]])) > 0
        assert all(area(np.array([*hole, hole[0]])) < 0 for hole in holes)
    lines = [np.array(ring)[:, ::-1] for piece in found for ring in piece]
    np.testing.assert_array_equal(filled(lines, mask.shape), mask)


def test_used_as_labels(labels: np.ndarray, tmp_path: Path) -> None:
    export_masklets(tmp_path / "a.geojson", labels)
    with pytest.raises(InputError, match="holds outlines, which do not say how large"):
        open_masklets(tmp_path / "a.geojson")
