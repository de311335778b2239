from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Tracks
from scipy import ndimage

from napari_sam2.export.formats import export_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.export.tables import tracks_of
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.masklets import Masklets
from napari_sam2.tracking.objects.estimates import Quality


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((3, 20, 30), np.uint16)
    labels[0, 2:6, 4:10] = 8
    labels[1, 3:7, 5:11] = 8
    labels[1, 10:20, 20:30] = 2
    return labels


def test_tracks_are_what_the_layer_takes(labels: np.ndarray, tmp_path: Path) -> None:
    expected = [[2, 1, 14.5, 24.5], [8, 0, 3.5, 6.5], [8, 1, 4.5, 7.5]]
    tracks = tracks_of(labels)
    np.testing.assert_array_equal(tracks, expected)
    np.testing.assert_array_equal(Tracks(tracks).data, expected)
    export_masklets(tmp_path / "a.csv", labels, "tracks", scale={"Y": 9.0}, unit="um")
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == "track_id,t,y,x"
    table = np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(table, expected)
    assert tracks_of(np.zeros((2, 3, 4), int)).shape == (0, 4)
    with pytest.raises(InputError, match="cannot have axes"):
        tracks_of(labels[0])


def test_tracks_of_real_labels(dev_data: Path, tmp_path: Path) -> None:
    labels = read_labels(dev_data / "hela_nuclei" / "masks.tif")
    tracks = tracks_of(labels)
    expected = []
    for frame, plane in enumerate(labels):
        ids = [i for i in np.unique(plane).tolist() if i]
        centres = ndimage.center_of_mass(np.ones_like(plane), plane, ids)
        expected += [(i, frame, *centre) for i, centre in zip(ids, centres, strict=True)]
    np.testing.assert_allclose(tracks, sorted(expected))
    np.testing.assert_array_equal(Tracks(tracks).data, tracks)
    export_masklets(tmp_path / "a.csv", labels, "tracks")
    np.testing.assert_allclose(np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1), tracks)


def test_measurements_in_pixels(labels: np.ndarray, tmp_path: Path) -> None:
    export_masklets(tmp_path / "a.csv", labels)
    rows = rows_of(tmp_path / "a.csv")
    assert [(r["frame"], r["object_id"]) for r in rows] == [("0", "8"), ("1", "2"), ("1", "8")]
    first = {name: float(value) for name, value in rows[0].items()}
    assert first == {
        "object_id": 8, "frame": 0, "area_px": 24, "centroid_y_px": 3.5, "centroid_x_px": 6.5,
        "bbox_y_px": 2, "bbox_x_px": 4, "bbox_height_px": 4, "bbox_width_px": 6,
        "major_axis_px": pytest.approx(4 * math.sqrt(35 / 12)),
        "minor_axis_px": pytest.approx(4 * math.sqrt(15 / 12)),
        "eccentricity": pytest.approx(math.sqrt(1 - 15 / 35)),
    }  # fmt: skip


def test_measurements_in_a_unit_on_pixels_that_are_not_square(
    labels: np.ndarray, tmp_path: Path
) -> None:
    scale = {"T": 60.0, "Y": 0.5, "X": 0.25}
    export_masklets(tmp_path / "a.csv", labels, scale=scale, unit="µm")
    row = rows_of(tmp_path / "a.csv")[1]
    assert float(row["time_s"]) == 60
    assert (float(row["area_px"]), float(row["area_um2"])) == (100, 12.5)
    assert (float(row["centroid_y_px"]), float(row["centroid_x_px"])) == (14.5, 24.5)
    assert (float(row["centroid_y_um"]), float(row["centroid_x_um"])) == (7.25, 6.125)
    # 10 x 10 pixels are 5 x 2.5 um.
    assert float(row["major_axis_um"]) == pytest.approx(2 * float(row["minor_axis_um"]))
    assert float(row["eccentricity"]) == pytest.approx(math.sqrt(0.75))
    export_masklets(
        tmp_path / "z.csv", labels, axes="ZYX", scale={"Z": 2.0, "Y": 1.0, "X": 1.0}, unit="nm"
    )
    assert [r["z_nm"] for r in rows_of(tmp_path / "z.csv")] == ["0", "2", "2"]
    assert (tmp_path / "z.csv").read_bytes().isascii()


def test_intensities_and_quality(labels: np.ndarray, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 60_000, labels.shape).astype(np.uint16)
    known = Quality(iou=0.75, object_score=3.0, stability=0.5, interpolated=True)
    quality = {8: {0: known, 1: known}}  # on frame 0 of all objects
    export_masklets(tmp_path / "a.csv", labels, image=image, quality=quality)
    for row in rows_of(tmp_path / "a.csv"):
        frame, i = int(row["frame"]), int(row["object_id"])
        inside = image[frame][labels[frame] == i]
        assert float(row["intensity_mean"]) == pytest.approx(inside.mean())
        assert float(row["intensity_max"]) == inside.max()
        assert float(row["intensity_min"]) == inside.min()
        sure = [row[k] for k in ("predicted_iou", "object_score", "stability", "interpolated")]
        assert sure == (["0.75", "3", "0.5", "1"] if i == 8 else [""] * 4)
    colours = np.stack([image, image // 2], axis=-1)
    export_masklets(tmp_path / "rgb.csv", labels, image=colours)
    for row, grey in zip(rows_of(tmp_path / "rgb.csv"), rows_of(tmp_path / "a.csv"), strict=True):
        assert row["intensity_mean_0"] == grey["intensity_mean"]
        assert float(row["intensity_max_1"]) == float(row["intensity_max_0"]) // 2
    named = {"DAPI (blue)": image, "µ": image // 2, "DAPI blue": image // 3}
    export_masklets(tmp_path / "named.csv", labels, image=named)
    for row, grey in zip(rows_of(tmp_path / "named.csv"), rows_of(tmp_path / "a.csv"), strict=True):
        assert row["intensity_mean_DAPI_blue"] == grey["intensity_mean"]
        assert float(row["intensity_max_1"]) == float(grey["intensity_max"]) // 2
        assert float(row["intensity_max_DAPI_blue_2"]) == float(grey["intensity_max"]) // 3
    for wrong in (image[:2], colours[..., None], {"a": image, "b": image[:2]}, {"a": colours}):
        with pytest.raises(InputError, match=r"does not fit labels of shape \(3, 20, 30\)"):
            export_masklets(tmp_path / "b.csv", labels, image=wrong)
    with pytest.raises(InputError, match="no channel to measure"):
        export_masklets(tmp_path / "b.csv", labels, image={})


def test_the_columns_are_the_same_whatever_the_first_frame_holds(
    labels: np.ndarray, tmp_path: Path
) -> None:
    image = np.ones((*labels.shape, 3), np.uint8)
    for name, data in (("full", labels), ("empty", labels[::-1]), ("none", labels * 0)):
        export_masklets(tmp_path / f"{name}.csv", data, image=image, quality={8: {}})
    headers = {p.read_text().splitlines()[0] for p in tmp_path.iterdir()}
    assert len(headers) == 1
    assert len(rows_of(tmp_path / "empty.csv")) == 3
    assert rows_of(tmp_path / "none.csv") == []


def test_very_high_ids_cost_nothing(tmp_path: Path) -> None:
    labels = np.zeros((1, 4, 4), np.uint32)
    labels[0, :2] = 2**32 - 1
    labels[0, 2:] = 2**31
    export_masklets(tmp_path / "a.csv", labels)
    rows = rows_of(tmp_path / "a.csv")
    assert [r["object_id"] for r in rows] == ["2147483648", "4294967295"]
    assert [r["area_px"] for r in rows] == ["8", "8"]
    assert tracks_of(labels)[1].tolist() == [2**32 - 1, 0, 0.5, 1.5]


def test_neither_labels_nor_image_are_read_as_a_whole(
    labels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masklets = Masklets(labels.shape, store=tmp_path / "store.zarr")
    for frame, image in enumerate(labels):
        masklets[frame] = image
    monkeypatch.delattr(Masklets, "__array__")
    export_masklets(tmp_path / "a.csv", masklets, image=masklets)
    export_masklets(tmp_path / "t.csv", masklets, "tracks")
    assert len(rows_of(tmp_path / "a.csv")) == len(rows_of(tmp_path / "t.csv")) == 3
