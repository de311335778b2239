"""Folders of images, laid out by their names."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

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
        (names_of("{c}_z{z}.tif", z=Z, c=["DAPI", "GFP"]), "ZC"),
        (names_of("scan_c{c}_t{t}_20260101T0{t}{c}.tif", t=T, c=C), "TC"),
        (names_of("t98g z={z}.tif", z=Z), "Z"),
        (names_of("c{c}.tif", c=C), "C"),
        (names_of("{t}.tif", t=T), "T"),
        (names_of("man_seg{t}.tif", t=T), "T"),
        (names_of("c{t}.tif", t=list(range(30))), "T"),  # so many are no channels
        (names_of("mask_{t}_{z}.tif", t=T, z=Z), "T"),  # nothing is told
        (names_of("a_s{t}_s{z}.tif", t=T, z=Z), "T"),  # told twice, and once is not enough
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


def test_a_missing_image() -> None:
    paths = names_of("a_t{t}_z{z}.tif", t=T, z=Z)
    paths.remove(Path("a_t9_z3.tif"))
    with pytest.raises(InputError, match="that of T 9, Z 3 is missing; copy it again, or keep"):
        laid_out(paths)


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
