"""Folders of images, laid out by their names."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.cli import app
from napari_sam2.readers.file_names import laid_out
from napari_sam2.stacks import open_all, open_stack
from napari_sam2.tracking.errors import InputError


def names_of(pattern: str, **values: list[object]) -> list[Path]:
    """Return a name for each combination, the last value changing first."""
    rows = [dict(zip(values, row, strict=True)) for row in product(*values.values())]
    return [Path(pattern.format(**row)) for row in rows]


T, Z, C = [8, 9, 10, 11], [1, 2, 3], [1, 2]


@pytest.mark.parametrize(
    ("paths", "axes"),
    [
        (names_of("a_t{t:03}_z{z:02}_c{c}.tif", t=T, z=Z, c=C), "TZC"),
        (names_of("Series7_t{t}_z{z}_ch{c:02}.ome.tif", t=T, z=Z, c=[0, 1]), "TZC"),
        (names_of("cellsT{t:02}Z{z:02}C{c}.png", t=T, z=Z, c=C), "TZC"),
        (names_of("img_channel{c:03}_position000_time{t:09}_z{z:03}.tif", t=T, z=Z, c=C), "TZC"),
        (names_of("img_{t:09}_{c}_{z:03}.tif", t=T, z=Z, c=["Cy3", "Cy5"]), "TZC"),
        (names_of("exp_w{c}_s{s}_t{t}.TIF", s=C, t=T, c=["1DAPI", "2GFP"]), "PTC"),
        (names_of("{c}_{t}.tif", t=T, c=["DAPI", "GFP"]), "TC"),
        (names_of("{c}_z{z}.tif", z=Z, c=["lysosomes", "mCherry"]), "ZC"),
        (names_of("{c}_{t}.tif", t=T, c=["Cy3", "Cy5", "DAPI"]), "TC"),
        (names_of("a_{t}_{c}.tif", t=T, c=["Alexa488", "Alexa568"]), "TC"),
        (names_of("scan_c{c}_t{t}_20260101T{t:02}0{c}00.tif", t=T, c=C), "TC"),
        (names_of("t98g z={z}.tif", z=Z), "Z"),
        (names_of("c{c}.tif", c=C), "C"),
        (names_of("cells_XY{s}T{t}.tif", s=C, t=T), "PT"),
        (names_of("exp_w{c}_s{s}_t{t}.TIF", s=C, t=T, c=["1Cy3", "2Cy5", "3TL"]), "PTC"),
        (names_of("r02c03f{s:02}p{z:02}-ch{c}sk{t}fk1fl1.tiff", s=C, t=T, z=Z, c=C), "PTZC"),
        (names_of("P_B02_T{t:04}F001L01A01Z{z:02}C{c:02}.tif", t=T, z=Z, c=C), "TZC"),
        (names_of("{c}_A1_1_{d:02}d{h:02}h00m.tif", d=C, h=T, c=["Green", "Phase"]), "TC"),
        # Nothing is told, or told in a way that is not to be trusted: frames.
        (names_of("{t}.tif", t=T), "T"),
        (names_of("man_seg{t}.tif", t=T), "T"),
        (names_of("c{t}.tif", t=list(range(30))), "T"),
        (names_of("mask_{t}_{z}.tif", t=T, z=Z), "T"),
        (names_of("a_s{t}_s{z}.tif", t=T, z=Z), "T"),
        (names_of("{w}{z:02}.tif", w=list("ABCDEFGH"), z=list(range(1, 13))), "T"),
        (names_of("{w}_{t}.tif", w=["after", "before"], t=T), "T"),
        (names_of("{w}_{t}_c{c}.tif", w=["a", "b"], t=T, c=C), "T"),
        (names_of("cam_2024010{t}0000.tif", t=["1T22", "1T23", "2T00", "2T01"]), "T"),
        (names_of("day{t}00_c1.tif", t=["1_time22", "1_time23", "2_time01"]), "T"),
        (names_of("r02c03f01p01-ch{c}sk{t}fk1fl{f}.tiff", c=C, t=T, f=C), "T"),  # two of each
        ([Path("t000.tif"), Path("t003 (1).tif"), Path("t003.tif")], "T"),
        ([Path(f"a_t{t}_z{z}.tif") for t, z in ((1, 1), (2, 2), (3, 3), (4, 4))], "T"),
        ([Path("DAPI.tif"), Path("GFP.tif")], "T"),
        ([Path("one.tif")], "T"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0].name,
)
def test_what_names_tell(paths: list[Path], axes: str) -> None:
    grid = laid_out(paths[::-1])
    assert grid.axes == axes
    assert grid.paths == paths
    assert np.prod(grid.shape) == len(paths)


@given(st.permutations(names_of("a_z{z}_c{c}_t{t}.tif", t=T, z=Z, c=C)))
def test_in_any_order(paths: list[Path]) -> None:
    grid = laid_out(paths)
    assert (grid.axes, grid.shape) == ("TZC", (4, 3, 2))
    assert grid.paths == names_of("a_z{z}_c{c}_t{t}.tif", t=T, z=Z, c=C)


def test_what_the_images_have_themselves() -> None:
    paths = names_of("a_t{t}.tif", t=T)
    assert laid_out(paths, "ZYX").axes == "T"
    assert laid_out(paths, "TYX").axes == "Q"
    assert laid_out(names_of("a_t{t}_z{z}.tif", t=T, z=Z), "ZYX").axes == "T"


def test_midnight_with_channels() -> None:
    paths = [Path(f"d{d}_time{h}_c{c}.tif") for d, h in ((1, 22), (1, 23), (2, 1)) for c in C]
    assert laid_out(paths).axes == "T"  # and not the second day first


@pytest.mark.parametrize("gone", [[5], [10, 11], [1, 4, 7]])
def test_missing_images_are_black(tmp_path: Path, gone: list[int]) -> None:
    """A file that was lost, a run that was stopped, a slice that was taken less often."""
    places = list(product(T, Z))
    for k, (t, z) in enumerate(places):
        if k not in gone:
            tifffile.imwrite(tmp_path / f"a_t{t}_z{z}.tif", np.full((8, 9), k + 1, np.uint8))
    t, z = places[gone[0]]
    with pytest.warns(UserWarning, match=rf"in {tmp_path.name}, that of T {t}, Z {z} is not there"):
        stack = open_all(tmp_path)
    assert stack.axes == "TZYX"
    expected = [0 if k in gone else k + 1 for k in range(len(places))]
    assert np.asarray(stack.data)[..., 0, 0].ravel().tolist() == expected


def test_images_of_several_types(tmp_path: Path) -> None:
    for t in T:
        tifffile.imwrite(tmp_path / f"BF_{t}.tif", np.full((8, 9), t, np.uint8))
        tifffile.imwrite(tmp_path / f"GFP_{t}.tif", np.full((8, 9), 1000 * t, np.uint16))
    stack = open_stack(tmp_path, channel=(0, 1))
    assert stack.data.dtype == np.uint16
    assert np.asarray(stack.data)[:, 0, 0].tolist() == [[t, 1000 * t] for t in T]


def test_opened(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 255, (3, 4, 2, 8, 9), np.uint8)
    for t, z, c in np.ndindex(3, 4, 2):
        tifffile.imwrite(tmp_path / f"a_t{t}_z{z}_c{c}.tif", data[t, z, c])
    stack = open_stack(tmp_path, channel=1, select={"Z": 2})
    assert stack.axes == "TYX"
    np.testing.assert_array_equal(stack.frames().read(1), data[1, 2, 1])
    np.testing.assert_array_equal(np.asarray(stack.data), data[:, 2, 1])
    mixed = open_stack(tmp_path, channel=(1, 0), select={"T": 2})
    assert mixed.axes == "ZYXC"
    np.testing.assert_array_equal(np.asarray(mixed.data), np.moveaxis(data[2], 1, -1))
    everything = open_all(tmp_path)
    assert everything.axes == "TZCYX"
    np.testing.assert_array_equal(np.asarray(everything.data), data)
    with pytest.raises(InputError, match="it has 2 channels"):
        open_stack(tmp_path)


def test_positions_are_chosen_from(tmp_path: Path) -> None:
    for s, t in product((1, 2, 3), (1, 2)):
        tifffile.imwrite(tmp_path / f"a_s{s}_t{t}.tif", np.full((8, 9), 10 * s + t, np.uint8))
    with pytest.raises(InputError, match="select P=0 to 2, one of the positions"):
        open_stack(tmp_path)
    assert np.asarray(open_stack(tmp_path, select={"P": 1}).data)[:, 0, 0].tolist() == [21, 22]


@pytest.mark.filterwarnings("default:by the names")
def test_a_missing_image_is_a_note_in_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for t, z in ((1, 1), (1, 2), (2, 1)):
        tifffile.imwrite(tmp_path / f"a_t{t}_z{z}.tif", np.zeros((8, 9), np.uint16))
    with pytest.raises(SystemExit):
        app(["export", str(tmp_path), "--output", str(tmp_path / "b.zarr"), "--select", "Z=1"])
    (line, *_) = capsys.readouterr().err.splitlines()
    assert line == (
        f"napari-sam2: note: by the names of the images in {tmp_path.name}, that of T 2, Z 2 is "
        "not there; such frames are black"
    )
