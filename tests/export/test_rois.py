"""Regions of ImageJ: what roifile, which knows nothing of ours, reads and writes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi, roiread, roiwrite
from scipy import ndimage

from napari_sam2.export.formats import export_masklets, open_masklets
from napari_sam2.export.outlines import filled, outlines
from napari_sam2.export.rois import read_rois
from napari_sam2.tracking.errors import InputError

SHAPE = (30, 40)


def region(kind: ROI_TYPE, box: tuple[int, int, int, int], **more: Any) -> ImagejRoi:
    """Return a region with its (top, left, bottom, right)."""
    top, left, bottom, right = box
    return ImagejRoi(roitype=kind, top=top, left=left, bottom=bottom, right=right, **more)


def polygon(points: Any, kind: ROI_TYPE = ROI_TYPE.POLYGON, **more: Any) -> ImagejRoi:
    """Return a region of some (x, y) points."""
    roi = ImagejRoi.frompoints(points)
    roi.roitype = kind
    for name, value in more.items():
        setattr(roi, name, value)
    return roi


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes regions, and reads them as prompts of five frames."""

    def write(*rois: ImagejRoi, **options: Any) -> Any:
        path = tmp_path / "RoiSet.zip"
        roiwrite(path, rois, name=[f"{i}-{roi.name}" for i, roi in enumerate(rois)], mode="w")
        return read_rois(path, SHAPE, 5, **options)

    return write


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_outlines_and_back(mask: np.ndarray) -> None:
    lines = outlines(mask)
    np.testing.assert_array_equal(filled(lines, mask.shape), mask)
    pieces = ndimage.label(mask)[1]
    background = ndimage.label(np.pad(~mask, 1, constant_values=True), np.ones((3, 3)))[1]
    assert len(lines) == pieces + background - 1  # one for each piece, one for each hole
    for line in lines:
        steps = np.diff(line, axis=0, append=line[:1])
        assert (np.count_nonzero(steps, axis=1) == 1).all()  # along the edges
        assert (np.abs(np.sign(steps) - np.sign(np.roll(steps, 1, 0))).sum(1) == 2).all()  # corners


def test_round_trip_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    labels = np.zeros((3, *SHAPE), np.uint16)
    labels[:, 5:15, 5:20] = 3
    labels[1, 8:10, 8:10] = 0  # a hole
    labels[2, 20:28, 10:30] = 700 * (rng.random((8, 20)) < 0.5)  # in pieces
    export_masklets(tmp_path / "new" / "RoiSet.zip", labels)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["RoiSet.zip"]
    found = read_rois(tmp_path / "new" / "RoiSet.zip", SHAPE, 3)
    assert {i: sorted(by_frame) for i, by_frame in found.items()} == {3: [0, 1, 2], 700: [2]}
    for i, by_frame in found.items():
        for frame, prompt in by_frame.items():
            np.testing.assert_array_equal(prompt.mask, labels[frame] == i)


def test_what_the_roi_manager_is_given(tmp_path: Path) -> None:
    labels = np.zeros((2, *SHAPE), np.uint32)
    labels[1, 4:6, 7:10] = 300
    export_masklets(tmp_path / "a.zip", labels, "rois")
    (roi,) = roiread(tmp_path / "a.zip")
    assert (roi.name, roi.position, roi.group) == ("object0300-frame0002", 2, 45)
    assert (roi.top, roi.left, roi.bottom, roi.right) == (4, 7, 6, 10)
    corners = {(7, 4), (10, 4), (10, 6), (7, 6)}
    assert {tuple(p) for p in roi.coordinates().tolist()} == corners
    export_masklets(tmp_path / "none.zip", np.zeros_like(labels))
    with pytest.raises(InputError, match=r"none\.zip holds no points or areas; add"):
        read_rois(tmp_path / "none.zip", SHAPE, 2)


def test_what_is_drawn_in_fiji(write: Any) -> None:
    found = write(
        region(ROI_TYPE.RECT, (3, 4, 13, 20), position=3),
        region(ROI_TYPE.OVAL, (10, 20, 20, 36)),
        polygon([(2, 2), (8, 2), (8, 6), (2, 6)], t_position=2),
        polygon([(5.7, 9.2), (30, 29)], ROI_TYPE.POINT, z_position=5),
        frame=4,
    )
    at = {i: next(iter(by_frame)) for i, by_frame in found.items()}
    assert at == {1: 2, 2: 4, 3: 1, 4: 4, 5: 4}
    one = {i: by_frame[at[i]] for i, by_frame in found.items()}
    np.testing.assert_array_equal(one[1].box, [[3, 4], [12, 19]])  # through the outermost pixels
    y, x = np.mgrid[:30, :40]
    oval = ((y + 0.5 - 15) / 5) ** 2 + ((x + 0.5 - 28) / 8) ** 2 < 1
    assert np.count_nonzero(one[2].mask ^ oval) < 0.05 * oval.sum()
    np.testing.assert_array_equal(one[3].mask, (y >= 2) & (y < 6) & (x >= 2) & (x < 8))
    np.testing.assert_allclose(one[4].points, [[9.2, 5.7]], rtol=1e-6)  # from pixels' middles
    np.testing.assert_array_equal(one[5].points, [[29, 30]])


def test_positions(write: Any) -> None:
    several = polygon([(5, 9), (6, 10), (7, 11)], ROI_TYPE.POINT, position=-2)
    several.counters = np.zeros(3, np.uint8)
    several.counter_positions = np.array([4, 0, 5], np.uint32)
    assert [list(by_frame) for by_frame in write(several, frame=1).values()] == [[3], [1], [4]]


def test_positions_in_hyperstacks(write: Any) -> None:
    """Those of the plane that is followed; what points count there, nobody knows."""
    volume = region(ROI_TYPE.RECT, (3, 4, 13, 20), z_position=5, t_position=2)
    other = region(ROI_TYPE.OVAL, (3, 4, 13, 20), z_position=4, t_position=1)
    assert list(write(volume, along="Z")[1]) == [4]
    assert list(write(volume)[1]) == [1]
    assert [list(some) for some in write(volume, other, planes={"Z": 3}).values()] == [[0]]
    assert [list(some) for some in write(volume, other, along="Z", planes={"T": 1}).values()] == [
        [4]
    ]
    with pytest.raises(InputError, match="no points or areas of this plane"):
        write(volume, planes={"Z": 0})
    point = polygon([(5, 9), (6, 10)], ROI_TYPE.POINT, t_position=3, c_position=2)
    point.counters = np.zeros(2, np.uint8)
    point.counter_positions = np.array([6, 6], np.uint32)
    assert [list(some) for some in write(point).values()] == [[2], [2]]
    point.counter_positions = np.array([6, 8], np.uint32)
    with pytest.raises(InputError, match="on several slices of a hyperstack"):
        write(point)


def test_other_areas(write: Any) -> None:
    circle = [(20, 5), (30, 15), (20, 25), (10, 15)]
    found = write(
        region(ROI_TYPE.RECT, (3, 4, 13, 20), rounded_rect_arc_size=8),
        region(ROI_TYPE.RECT, (3, 4, 13, 5)),  # too thin for a box
        polygon(circle, options=ROI_OPTIONS.SPLINE_FIT),
        ImagejRoi(roitype=ROI_TYPE.LINE, x2=9.0, y2=9.0),
        region(ROI_TYPE.RECT, (3, 4, 13, 20), subtype=ROI_SUBTYPE.TEXT),
    )
    assert sorted(found) == [1, 2, 3]  # lines and text are for the eye
    np.testing.assert_array_equal(found[1][0].box, [[3, 4], [12, 19]])
    assert np.argwhere(found[2][0].mask).tolist() == [[y, 4] for y in range(3, 13)]
    assert found[3][0].mask.sum() == pytest.approx(np.pi * 10**2, rel=0.04)


def test_a_curve_goes_through_all_of_its_corners(write: Any) -> None:
    angle = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    radius = 12 + 1.5 * np.cos(16 * angle)
    corners = np.stack([20 + radius * np.cos(angle), 15 + radius * np.sin(angle)], axis=-1)
    found = write(polygon(corners, options=ROI_OPTIONS.SPLINE_FIT))[1][0].mask
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    drawn = np.hypot(y - 15, x - 20) < 12 + 1.5 * np.cos(16 * np.arctan2(y - 15, x - 20))
    assert np.count_nonzero(found ^ drawn) <= 4


def test_a_single_region_and_a_cut_one(tmp_path: Path) -> None:
    region(ROI_TYPE.RECT, (-5, 30, 13, 60)).tofile(tmp_path / "one.roi")
    found = read_rois(tmp_path / "one.roi", SHAPE, 1)
    np.testing.assert_array_equal(found[1][0].box, [[-0.5, 30], [12, 39.5]])


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        (region(ROI_TYPE.RECT, (3, 4, 13, 20), position=6), "on slice 6, but there are 5"),
        (
            polygon([(70, 70), (80, 70), (80, 80)]),
            "it covers no pixel of the frames, which are 30 x 40",
        ),
        (
            polygon([(70, 70)], ROI_TYPE.POINT, position=4),
            r"object 1 on frame 3: the point .* lies outside the frame",
        ),
    ],
)
def test_refused(write: Any, roi: ImagejRoi, message: str) -> None:
    with pytest.raises(InputError, match=rf"RoiSet\.zip: region .*: .*{message}"):
        write(roi)


def test_names_that_clash(tmp_path: Path) -> None:
    roi = region(ROI_TYPE.RECT, (3, 4, 13, 20), name="object0007-frame0001")
    other = region(ROI_TYPE.RECT, (3, 4, 13, 20), name="untitled")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name, one in (("a.roi", other), ("b.roi", roi)):
            file.writestr(name, one.tobytes())
    assert sorted(read_rois(tmp_path / "a.zip", SHAPE, 1)) == [7, 8]
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as file:
        file.writestr("c.roi", roi.tobytes())
    with pytest.raises(InputError, match="object 7 on frame 0 is in the file twice"):
        read_rois(tmp_path / "a.zip", SHAPE, 1)


def test_packed_with_other_files(tmp_path: Path) -> None:
    roi = region(ROI_TYPE.RECT, (3, 4, 13, 20), name="untitled")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("__MACOSX/Rois/._a.roi", b"nonsense")
        file.writestr("Rois/", b"")
        file.writestr("Rois/a.roi", roi.tobytes())
        file.writestr("readme.txt", b"text")
    assert sorted(read_rois(tmp_path / "a.zip", SHAPE, 1)) == [1]


def test_curves_are_refused(write: Any) -> None:
    roi = region(ROI_TYPE.RECT, (0, 0, 9, 9))
    roi.multi_coordinates = np.array([0, 1, 1, 3, 5, 1, 9, 5, 5, 9, 4], np.float32)
    roi.shape_roi_size = len(roi.multi_coordinates)
    with pytest.raises(InputError, match=r"its outline cannot be read \(NotImplementedError"):
        write(roi)


def test_frames_that_imagej_cannot_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="end at pixel 60535"):
        export_masklets(tmp_path / "a.zip", np.zeros((1, 2, 61000), np.uint8))
    assert not list(tmp_path.iterdir())


def test_masks_of_very_many_pieces() -> None:
    mask = np.random.default_rng(0).random((300, 300)) < 0.3
    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)


def test_damaged_and_used_as_labels(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK nonsense")
    (tmp_path / "a.roi").write_bytes(b"Iout" + bytes(9))
    for name in ("a.zip", "a.roi"):
        with pytest.raises(InputError, match=f"{name} holds no regions that can be read"):
            read_rois(tmp_path / name, SHAPE, 1)
        with pytest.raises(InputError, match=r"how large their image is; use them as prompts"):
            open_masklets(tmp_path / name)
    with pytest.raises(InputError, match="missing"):
        read_rois(tmp_path / "missing.zip", SHAPE, 1)
