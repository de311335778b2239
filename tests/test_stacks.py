from __future__ import annotations

import gc
import sys
import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import psutil
import pytest
import tifffile
import zarr
from PIL import Image

from napari_sam2.physical_units import convert_length, length_unit, seconds
from napari_sam2.stacks import Stack, open_all, open_stack
from napari_sam2.tracking.errors import InputError


def ramp(*shape: int, dtype: Any = np.uint16) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) % 251).astype(dtype)


def assert_holds(stack: Stack, data: np.ndarray, axes: str = "TYX") -> None:
    assert stack.axes == axes
    assert stack.propagation_axis == 0
    np.testing.assert_array_equal(np.asarray(stack.data), data)


# --- real files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "axes", "shape", "unit", "step"),
    [
        ("float32_zstack.tif", "TYX", (124, 86, 94), None, 1.0),
        ("folder_of_frames", "TYX", (30, 190, 211), None, 1.0),
        ("mri_stack.ome.zarr", "ZYX", (27, 226, 186), None, 1.0),
        ("phase_2dt.ome.zarr", "TYX", (10, 592, 1280), None, 1.0),
        ("phase_2dt.ome.zarr/s1", "TYX", (10, 296, 640), None, 1.0),
        ("plain_stack_no_axes.tiff", "TYX", (10, 256, 256), None, 1.0),
        ("xy_16bit__nuclei_high_dynamic_range.tif", "TYX", (1, 147, 149), None, 1.0),
        ("xy_rgb__cells.tif", "TYXC", (1, 257, 280, 3), None, 1.0),
        ("xyt_8bit_polyp.tif", "TYX", (3, 313, 313), None, 1.0),
        (
            "xyt_calibrated_16bit__golgi_bfa_sum_projection.tif",
            *("TYX", (30, 137, 147), "micrometer", 59.86),
        ),
        (
            "xyz_8bit_calibrated_anisotropic__mri_head.tif",
            *("ZYX", (27, 226, 186), "millimeter", 7.0),
        ),
        ("ctc_hela_head/01", "TYX", (5, 700, 1100), "micrometer", 1.0),
        ("ctc_hela_head/01_ST/SEG", "TYX", (5, 700, 1100), None, 1.0),
    ],
)
def test_real_files(
    name: str, axes: str, shape: Any, unit: Any, step: float, formats_data: Path
) -> None:
    stack = open_stack(formats_data / name)
    assert (stack.axes, stack.data.shape, stack.unit) == (axes, shape, unit)
    assert isinstance(stack.data, da.Array | np.memmap)
    assert stack.scale[axes[0]] == pytest.approx(step)
    frames = stack.frames()
    assert frames.rgb == (len(shape) == 4)
    image = frames.image(len(frames) - 1)
    assert image.shape == (*shape[1:3], 3)
    assert image.max() > image.min()


def test_real_scale_of_a_challenge_folder(formats_data: Path) -> None:
    stack = open_stack(formats_data / "ctc_hela_head" / "01")
    assert stack.scale["X"] == pytest.approx(0.645)
    assert stack.frames(contrast=(0, 65535)).contrast == (0, 65535)


def test_real_files_with_more_axes(formats_data: Path) -> None:
    volume = formats_data / "carcinoma_TZYX.tif"
    whole = tifffile.imread(volume)
    with pytest.raises(InputError, match=r"carcinoma_TZYX.*Z=0 to 37 .*or select T=0 to 1"):
        open_stack(volume)
    assert_holds(open_stack(volume, select={"Z": 3}), whole[:, 3])
    stack = open_stack(volume, select={"t": 1})
    assert_holds(stack, whole[1], "ZYX")
    assert (stack.unit, stack.scale["Z"]) == ("centimeter", 0.5)

    hyperstack = formats_data / "imagej_hyperstack_TZCYX_mitosis.tif"
    whole = tifffile.imread(hyperstack)
    with pytest.raises(InputError, match=r"2 channels .*choose one: channel 0 to 1"):
        open_stack(hyperstack)
    assert_holds(open_stack(hyperstack, channel=1, select={"Z": 2}), whole[:, 2, 1])
    assert_holds(open_stack(hyperstack, select={"C": 0, "T": 2}), whole[2, :, 0], "ZYX")
    channels = formats_data / "imagej_ZCYX.tif"
    assert_holds(open_stack(channels, channel=1), tifffile.imread(channels)[:, 1], "ZYX")


def test_real_folders_that_hold_no_stack(formats_data: Path) -> None:
    with pytest.raises(InputError, match=r"no images in it; open one of its folders .01, 01_GT"):
        open_stack(formats_data / "ctc_hela_head")
    with pytest.raises(InputError, match="keep only images of one shape"):
        open_stack(formats_data)


# --- TIFF ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"compression": "lzw"}])
def test_tiff_plain_and_compressed_are_lazy(options: dict[str, str], tmp_path: Path) -> None:
    data = ramp(5, 20, 30)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", **options)
    stack = open_stack(tmp_path / "a.tif")
    assert isinstance(stack.data, da.Array if options else np.memmap)
    assert_holds(stack, data)
    np.testing.assert_array_equal(stack.frames().read(4), data[4])


def test_a_stack_is_printed_as_a_short_line(tmp_path: Path) -> None:
    """Not as the pixels of a memory map."""
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, ramp(3, 20, 30), metadata={"axes": "TYX"})
    shown = repr(open_stack(path))
    assert shown.startswith("Stack('cells.tif', TYX of 3 x 20 x 30 uint16, scale={'T': 1.0")
    assert "\n" not in shown


def test_ome_tiff_scale_and_units(tmp_path: Path) -> None:
    data = ramp(2, 3, 1, 8, 9)
    metadata = {
        "axes": "TZCYX",
        **{"PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 250.0},
        **{"PhysicalSizeYUnit": "nm", "PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "µm"},
        **{"TimeIncrement": 2.0, "TimeIncrementUnit": "min"},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata=metadata, photometric="minisblack")
    stack = open_stack(tmp_path / "a.ome.tif", select={"T": 1})
    assert_holds(stack, data[1, :, 0], "ZYX")
    assert stack.unit == "nanometer"
    assert stack.scale == pytest.approx({"Z": 2000.0, "Y": 250.0, "X": 250.0})
    assert open_stack(tmp_path / "a.ome.tif", select={"Z": 0}).scale["T"] == 120.0
    assert open_stack(tmp_path / "a.ome.tif", channel=0, select={"Z": 0}).axes == "TYX"


@pytest.mark.parametrize(("per_inch", "unit", "step"), [(72, None, 1), (50_800, "micrometer", 0.5)])
def test_the_resolution_of_a_printer_is_no_scale(
    per_inch: int, unit: str | None, step: float, tmp_path: Path
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", ramp(3, 16, 20), photometric="minisblack",
        resolution=(per_inch, per_inch), resolutionunit="inch",
    )  # fmt: skip
    stack = open_stack(tmp_path / "a.tif", "TYX")
    assert (stack.unit, stack.scale["X"]) == (unit, pytest.approx(step))


def test_a_stack_that_was_taken_downward_has_a_step_all_the_same(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "unit": "um", "spacing": -2.0}
    tifffile.imwrite(tmp_path / "a.tif", ramp(3, 16, 20), imagej=True, metadata=metadata)
    assert open_stack(tmp_path / "a.tif").scale["Z"] == 2.0


def test_imagej_tiff_with_rgb_frames(tmp_path: Path) -> None:
    data = ramp(4, 8, 9, 3, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "TYXS"})
    stack = open_stack(tmp_path / "a.tif")
    assert_holds(stack, data, "TYXC")
    assert stack.rgb
    np.testing.assert_array_equal(stack.frames().read(3), data[3])
    assert_holds(open_stack(tmp_path / "a.tif", channel=2), data[..., 2])
    assert_holds(open_stack(tmp_path / "a.tif", channel=np.int64(2)), data[..., 2])
    grey = ramp(5, 8, 9)
    tifffile.imwrite(tmp_path / "b.tif", grey, imagej=True)  # without axes: five channels
    with pytest.raises(InputError, match=r"5 channels .*if these are frames, give the axes"):
        open_stack(tmp_path / "b.tif")
    assert_holds(open_stack(tmp_path / "b.tif", "TYX"), grey)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("count", [3, 4, 5])
def test_tiff_without_axes_is_a_time_lapse(count: int, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(count, 8, 9))  # three or four: written as planar RGB
    assert_holds(open_stack(tmp_path / "a.tif"), ramp(count, 8, 9))


def test_axes_given_by_the_user(tmp_path: Path) -> None:
    data = ramp(2, 1, 5, 8, 9)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack")
    with pytest.raises(InputError, match="cannot be guessed; name them with axes"):
        open_stack(tmp_path / "a.tif")
    assert_holds(open_stack(tmp_path / "a.tif", "tczyx", select={"Z": 4}), data[:, 0, 4])
    assert_holds(open_stack(tmp_path / "a.tif", "TZYX", select={"T": 1}), data[1, 0], "ZYX")
    assert_holds(open_stack(tmp_path / "a.tif", "CZYX", channel=0), data[0, 0], "ZYX")
    np.save(tmp_path / "a.npy", ramp(8, 9, 5))
    assert_holds(open_stack(tmp_path / "a.npy", "YXZ"), np.moveaxis(ramp(8, 9, 5), -1, 0), "ZYX")
    np.save(tmp_path / "rgb.npy", ramp(5, 8, 9, 3))
    assert open_stack(tmp_path / "rgb.npy", "TYXC").rgb
    for axes, message in [("TYY", "no letter twice"), ("TZ", "Y and X"), ("TYX", "are 3, but")]:
        with pytest.raises(InputError, match=message):
            open_stack(tmp_path / "a.tif", axes)


def test_selections_that_do_not_exist(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(2, 5, 8, 9), imagej=True, metadata={"axes": "TZYX"})
    for arguments, message in [
        ({"select": {"Z": 5}}, "Z=5 does not exist; choose 0 to 4"),
        ({"select": {"Z": -1}}, "choose 0 to 4"),
        ({"select": {"Y": 1}}, "no axis Y to select from"),
        ({"channel": 1}, "no axis C to select from; it has axes TZYX of 2 x 5 x 8 x 9"),
        ({"channel": "DAPI"}, "channels are counted from 0, and have no names: not 'DAPI'"),
        ({"channel": 0.5}, "a channel is an integer, not 0.5"),
        ({"channel": (0, "GFP")}, "a channel is an integer, not 'GFP'"),
        ({"select": "Z=3"}, r'a selection is by letter, \{"Z": 3\}, not \'Z=3\''),
        ({"select": {"Z": "3"}}, "the index along Z is an integer, not '3'"),
    ]:
        with pytest.raises(InputError, match=message):
            open_stack(tmp_path / "a.tif", **arguments)


def test_a_missing_codec_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", ramp(8, 9), compression="lzw")
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", {1: None}, raising=False)
    with pytest.raises(InputError, match="LZW, which needs a package: pip install imagecodecs"):
        open_stack(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["none.tif", "text.tif", "cut.tif", "a.doc", "b.npy", "c.zarr"])
def test_unreadable_files(name: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cut.tif", ramp(5, 80, 90), photometric="minisblack")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:9000])
    np.save(tmp_path / "b.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "a.doc").touch()
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "c.zarr" / "zarr.json").write_text("{")
    with pytest.raises(InputError, match=name):
        open_stack(tmp_path / name)


# --- OME-Zarr -----------------------------------------------------------------------------------


def write_ome_zarr(path: Path, data: np.ndarray, version: str, axes: str) -> None:
    units = {"t": "minute", "c": None, "z": "micrometer", "y": "nanometer", "x": "nanometer"}
    types = {"t": "time", "c": "channel"}
    entries = [{"name": a, "type": types.get(a, "space"), "unit": units[a]} for a in axes]
    multiscale: dict[str, Any] = {
        "axes": [{k: v for k, v in entry.items() if v} for entry in entries],
        "datasets": [
            {
                "path": name,
                "coordinateTransformations": [{"type": "scale", "scale": [factor] * data.ndim}],
            }
            for name, factor in (("full", 3.0), ("half", 6.0))
        ],
        "coordinateTransformations": [{"type": "scale", "scale": [2.0] * data.ndim}],
    }
    attributes: dict[str, Any] = {"multiscales": [multiscale]}
    if version == "0.5":
        attributes = {"ome": {"version": version, **attributes}}
    group = zarr.create_group(path, attributes=attributes, zarr_format=3 if version == "0.5" else 2)
    chunks = (*data.shape[:-2], 5, 5)
    group.create_array("full", data=data, chunks=chunks)
    group.create_array("half", data=data[..., ::2, ::2], chunks=chunks)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(version: str, tmp_path: Path) -> None:
    data = ramp(3, 2, 4, 12, 13)
    path = tmp_path / "images" / "a.zarr"
    write_ome_zarr(path, data, version, "tczyx")
    stack = open_stack(path, channel=1, select={"Z": 2})
    assert isinstance(stack.data, da.Array)
    assert_holds(stack, data[:, 1, 2])
    assert stack.unit == "nanometer"
    assert stack.scale == pytest.approx({"T": 360.0, "Y": 6.0, "X": 6.0})
    stack = open_stack(path.parent, channel=1, select={"T": 2})  # the folder around it
    assert_holds(stack, data[2, 1], "ZYX")
    assert stack.scale["Z"] == pytest.approx(6000.0)
    assert open_stack(path / "full", channel=0, select={"T": 0}).scale["Y"] == pytest.approx(6.0)


def test_ome_zarr_of_earlier_versions_and_collections(tmp_path: Path) -> None:
    data = ramp(4, 1, 1, 8, 9)
    for name, axes in (("0", None), ("1", list("tczyx"))):
        attributes = {"multiscales": [{"datasets": [{"path": "s0"}]}]}
        if axes:
            attributes["multiscales"][0]["axes"] = axes
        zarr.create_group(tmp_path / "a.zarr" / name, attributes=attributes, zarr_format=2)
        zarr.create_array(tmp_path / "a.zarr" / name / "s0", data=data, zarr_format=2)
        assert_holds(open_stack(tmp_path / "a.zarr" / name), data[:, 0, 0])
    zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    with pytest.raises(InputError, match=r"no single image .found: 0, 1.; give one of them"):
        open_stack(tmp_path / "a.zarr")


def test_zarr_without_image_metadata(tmp_path: Path) -> None:
    data = ramp(4, 8, 9)
    zarr.create_array(tmp_path / "bare.zarr", data=data)
    assert_holds(open_stack(tmp_path / "bare.zarr"), data)
    zarr.create_array(tmp_path / "g.zarr" / "a", data=data, dimension_names=["z", "y", "x"])
    zarr.create_group(tmp_path / "g.zarr")
    assert_holds(open_stack(tmp_path / "g.zarr"), data, "ZYX")
    zarr.create_group(tmp_path / "p.zarr", attributes={"ome": {"plate": {}}})
    with pytest.raises(InputError, match="is a plate; give one of its images"):
        open_stack(tmp_path / "p.zarr")
    broken = {"multiscales": [{"axes": ["y", "x"], "datasets": [{"path": "0"}]}]}
    group = zarr.create_group(tmp_path / "b.zarr", attributes=broken, zarr_format=2)
    group.create_array("0", data=data)
    with pytest.raises(InputError, match="names 2 axes, its array has 3"):
        open_stack(tmp_path / "b.zarr")


# --- folders, pictures, numpy -------------------------------------------------------------------


def test_folder_is_sorted_naturally_and_read_lazily(tmp_path: Path) -> None:
    data = ramp(12, 8, 9)
    for k, image in enumerate(data):
        tifffile.imwrite(tmp_path / f"t{k}.tif", image)
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".t3.tif").touch()
    Image.fromarray(data[0].astype(np.uint8)).save(tmp_path / "overview.png")
    stack = open_stack(tmp_path)
    assert_holds(stack, data)
    (tmp_path / "t11.tif").unlink()  # was not read, so nothing is lost but itself
    np.testing.assert_array_equal(stack.frames().read(10), data[10])


@pytest.mark.parametrize(
    "names", [("a1.tif", "a2.tiff", "a10.TIF"), ("a1.jpg", "a2.JPEG", "a10.jpeg")]
)
def test_spellings_of_one_format_are_frames_of_one_stack(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    data = np.full((3, 8, 9), 10, np.uint8) * np.arange(1, 4, dtype=np.uint8)[:, None, None]
    for name, image in zip(names, data, strict=True):
        if "tif" in name.lower():
            tifffile.imwrite(tmp_path / name, image)
        else:
            Image.fromarray(image).save(tmp_path / name)
    Image.fromarray(data[0]).save(tmp_path / "overview.png")
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "._a1.tif").write_bytes(b"\0")
    assert_holds(open_stack(tmp_path), data)


def test_capitals_in_names_do_not_count(tmp_path: Path) -> None:
    for name, value in (("cell1", 0), ("Cell2", 1), ("cell10", 2)):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.full((4, 5), value, np.uint8))
    stack = open_stack(tmp_path)
    assert np.asarray(stack.data)[:, 0, 0].tolist() == [0, 1, 2]


def test_names_with_raised_digits_are_sorted(tmp_path: Path) -> None:
    data = ramp(3, 8, 9)
    for name, image in zip(("²1.tif", "²2.tif", "²10.tif"), data, strict=True):
        tifffile.imwrite(tmp_path / name, image)
    assert_holds(open_stack(tmp_path), data)


def test_folder_of_volumes(tmp_path: Path) -> None:
    data = ramp(3, 5, 8, 9)
    for k, volume in enumerate(data):
        tifffile.imwrite(tmp_path / f"{k}.tif", volume, imagej=True, metadata={"axes": "ZYX"})
    assert_holds(open_stack(tmp_path, select={"Z": 4}), data[:, 4])
    assert_holds(open_stack(tmp_path, select={"T": 1}), data[1], "ZYX")


@pytest.mark.parametrize(
    ("mode", "shape"),
    [("L", ()), ("I;16", ()), ("1", ()), ("LA", ()), ("RGB", (3,)), ("P", (3,)), ("RGBA", (4,))],
)
def test_pictures(mode: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    gradient = np.linspace(0, 255, 72).astype(np.uint8).reshape(8, 9)
    for k in range(3):
        Image.fromarray(np.roll(gradient, k, 0)).convert(mode).save(tmp_path / f"{k}.png")
    stack = open_stack(tmp_path)
    assert stack.data.shape == (3, 8, 9, *shape)
    frames = stack.frames()
    assert frames.image(1).max() > 0
    if mode not in ("1", "P"):
        read = frames.read(0)
        np.testing.assert_array_equal(read if read.ndim == 2 else read[..., 1], gradient)
    one = open_stack(tmp_path / "0.png")
    np.testing.assert_array_equal(np.asarray(one.data), np.asarray(stack.data[:1]))


def test_folders_without_a_stack(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images in it; give one with"):
        open_stack(tmp_path)
    Image.new("L", (8, 9)).save(tmp_path / "a.png")
    Image.new("L", (9, 9)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png has shape \(9, 9\), but a\.png has \(9, 8\)"):
        open_stack(tmp_path)


def test_numpy_files(tmp_path: Path) -> None:
    for shape, axes, expected in [
        ((8, 9), "TYX", (1, 8, 9)),
        ((5, 8, 9), "TYX", (5, 8, 9)),
        ((5, 8, 9, 3), "TYXC", (5, 8, 9, 3)),
    ]:
        np.save(tmp_path / "a.npy", ramp(*shape))
        stack = open_stack(tmp_path / "a.npy")
        assert isinstance(stack.data, np.memmap)
        assert_holds(stack, ramp(*shape).reshape(expected), axes)
    np.save(tmp_path / "line.npy", ramp(8))
    with pytest.raises(InputError, match="is no image"):
        open_stack(tmp_path / "line.npy")


def test_units() -> None:
    for name in ("µm", "μm", "um", "\\u00B5m", "micron", "Micrometer"):
        assert length_unit(name) == "micrometer"
    assert length_unit("pixel") is length_unit(None) is length_unit("") is None
    assert convert_length(2, "mm", "µm") == pytest.approx(2000)
    assert convert_length(2, "pixel", "µm") == 2
    assert (seconds(2, "minute"), seconds(2, None), seconds(2, "fortnight")) == (120, 2, 2)


@pytest.mark.parametrize(
    ("names", "size"),
    [
        (("ms", "msec", "msecs", "Milliseconds"), 1e-3),
        (("µs", "μs", "us", "usec", "\\u00B5s", "microseconds"), 1e-6),
        (("s", "sec", "sec.", "secs", "Seconds"), 1),
        (("min", "mins", "minutes", " Minutes "), 60),
        (("h", "hr", "hrs", "hours"), 3600),
        (("d", "days"), 86400),
    ],
)
def test_spellings_of_time(names: tuple[str, ...], size: float) -> None:
    for name in names:
        assert seconds(5, name) == pytest.approx(5 * size), name


def test_spellings_of_length() -> None:
    assert length_unit("micrometers") == length_unit("Micrometres") == "micrometer"
    assert (length_unit("inches"), length_unit("millimeters")) == ("inch", "millimeter")
    assert length_unit("pixels") is None


def test_imagej_minutes(tmp_path: Path) -> None:
    told = {"axes": "TYX", "finterval": 5, "tunit": "minutes", "unit": "um"}
    tifffile.imwrite(tmp_path / "a.tif", ramp(3, 8, 9), imagej=True, metadata=told)
    assert open_stack(tmp_path / "a.tif").scale["T"] == 300


def test_channels_are_mixed(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 99, (5, 2, 16, 20)).astype(np.uint16)
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": "TCYX"})
    stack = open_stack(path, channel=(1, None, 0))
    assert (stack.axes, stack.data.shape, stack.rgb) == ("TYXC", (5, 16, 20, 2), False)
    frame = stack.frames().read(3)
    np.testing.assert_array_equal(frame[..., 0], data[3, 1])
    np.testing.assert_array_equal(frame[..., 2], data[3, 0])
    assert stack.frames((10.0, 20.0)).contrast == ((10.0, 20.0),) * 3
    with pytest.raises(InputError, match="channel 2 does not exist"):
        open_stack(path, channel=(0, 2))
    tifffile.imwrite(path, data[:, 0], imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(InputError, match="no channels to mix"):
        open_stack(path, channel=(0, 1))


def test_all_of_a_file(tmp_path: Path) -> None:
    data = np.zeros((5, 3, 2, 16, 20), np.uint16)
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": "TZCYX"})
    stack = open_all(path)
    assert (stack.axes, stack.data.shape, stack.rgb) == ("TZCYX", data.shape, False)
    two = np.zeros((16, 20, 2), np.uint8)
    tifffile.imwrite(tmp_path / "two.tif", two, photometric="minisblack", planarconfig="contig")
    stack = open_all(tmp_path / "two.tif")
    assert (stack.axes, stack.rgb) == ("YXC", False)
    np.save(tmp_path / "plain.npy", data)
    assert open_all(tmp_path / "plain.npy").axes == "QQQYX"
    assert open_all(tmp_path / "plain.npy", "TZCYX").axes == "TZCYX"


@pytest.mark.parametrize("options", [{"compression": "zlib"}, {"compression": "lzw"}])
def test_a_compressed_tiff_is_open_only_while_it_is_read(
    options: dict[str, str], tmp_path: Path
) -> None:
    path, opened = tmp_path / "a.tif", []
    tifffile.imwrite(path, ramp(5, 8, 9), photometric="minisblack", **options)
    # A warning in a finalizer, as an error, has nobody to raise to but the hook.
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("error", ResourceWarning)
        patch.setattr(sys, "unraisablehook", lambda found: opened.append(found.exc_value))
        stack = open_stack(path, "TYX")
        assert np.array_equal(np.asarray(stack.data[3]), ramp(5, 8, 9)[3])
        assert np.array_equal(np.asarray(stack.data), ramp(5, 8, 9))
        held = [Path(file.path) for file in psutil.Process().open_files()]
        assert path not in held
        del stack
        gc.collect()
    assert opened == []
