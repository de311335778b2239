"""The one door: every format, in Python and on the command line."""

from __future__ import annotations

import errno
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

import napari_sam2
from napari_sam2.export import converting
from napari_sam2.export.formats import FORMATS, check_target, export_masklets, open_masklets
from napari_sam2.tracking.errors import InputError, OutputError
from napari_sam2.tracking.masklets import Masklets
from napari_sam2.tracking.objects.estimates import Quality
from tests import commands
from tests.commands import refused

NAMES = {name: f"out{one.suffixes[0] if one.suffixes else ''}" for name, one in FORMATS.items()}
MASKS = [name for name in FORMATS if name not in ("rois", "geojson", "csv", "tracks")]
run = partial(commands.run, "export")


def content(path: Path) -> dict[str, bytes]:
    """Everything below a path."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {p.relative_to(path.parent).as_posix(): p.read_bytes() for p in files}


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros((4, 10, 12), np.uint16)
    labels[:, 1:4, 2:6] = 3
    labels[[0, 2], 6:9, 7:11] = 9
    return labels


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("kind", ["numpy", "zarr", "masklets", "list"])
def test_every_format_takes_every_array(
    name: str, kind: str, labels: np.ndarray, tmp_path: Path
) -> None:
    array: Any = labels
    if kind == "zarr":
        array = zarr.array(labels, chunks=(1, 10, 12))
    elif kind == "masklets":
        array = Masklets(labels.shape)
        array.array[:] = labels
    elif kind == "list":
        array = labels.tolist()
    seen: list[tuple[int, int]] = []
    path = tmp_path / NAMES[name]
    export_masklets(path, array, name, progress=lambda *at: seen.append(at))
    total = 4 * FORMATS[name].passes
    assert seen == [(k + 1, total) for k in range(total)]
    np.testing.assert_array_equal(np.asarray(open_masklets(path).data), labels)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", MASKS)
def test_every_format_is_converted_into_every_other(
    name: str, labels: np.ndarray, tmp_path: Path
) -> None:
    source = tmp_path / "source" / NAMES[name]
    export_masklets(source, labels, name)
    for other in MASKS:
        target = tmp_path / other / NAMES[other]
        result = run(source, "--to", other, "--output", target)
        assert result.exit_code == 0, result.output
        assert result.stdout == f"{target}: 4 frames\n"
        np.testing.assert_array_equal(np.asarray(open_masklets(target).data), labels)


@pytest.mark.parametrize(
    ("path", "format", "expected"),
    [
        ("a.tif", None, "tiff"), ("a.TIFF", None, "tiff"), ("a.zarr", None, "zarr"),
        ("a.json", None, "coco"), ("a.csv", None, "csv"), ("01_RES", None, "ctc"),
        ("a.tif", "imagej", "imagej"), ("a.json", "sa-v", "sa-v"), ("a.csv", "tracks", "tracks"),
        ("exp.1", "ctc", "ctc"),
    ],
)  # fmt: skip
def test_the_name_tells_the_format(path: str, format: str | None, expected: str) -> None:
    assert check_target(Path("nowhere") / path, format) == expected


@pytest.mark.parametrize(
    ("path", "format", "message"),
    [
        (
            "a.png",
            None,
            r"for no format; choose one in \.tif, \.tiff, \.zarr, \.json, \.zip, \.geojson, \.csv",
        ),
        ("exp.1", None, "without a suffix for a Cell"),
        ("a.tif", "pdf", "no format 'pdf'; choose one of tiff, imagej"),
        ("a.tif", "coco", r"no name for COCO JSON; choose one in \.json"),
        ("a", "tiff", r"choose one in \.tif"),
        ("a.tif", "ctc", r"no name for Cell .* folder; choose one without \.tif"),
    ],
)
def test_a_wrong_name_is_refused_before_any_work(
    path: str, format: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        export_masklets(tmp_path / path, object(), format)


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_format_leaves_out_is_said(name: str, labels: np.ndarray, tmp_path: Path) -> None:
    quality = {3: {0: Quality(0.9, 8.0, 0.9)}}
    given = {"parents": {4: 3, 5: 3, 12: 9}, "quality": quality}
    said = "; ".join(export_masklets(tmp_path / NAMES[name], labels, name, **given))
    assert ("2 divisions are not in it" in said) == (name not in ("ctc", "csv"))
    assert ("the quality of the masks is not in it" in said) == (
        name not in ("coco", "geojson", "csv")
    )
    path = tmp_path / "plain" / NAMES[name]
    assert export_masklets(path, labels, name, parents={}, quality={}) == ()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("how", ["cancelled", "full disk", "broken labels"])
def test_what_fails_leaves_what_was_there(
    name: str, how: str, labels: np.ndarray, tmp_path: Path
) -> None:
    class Cancelled(Exception):
        pass

    def progress(done: int, total: int) -> None:
        if done == total - 1 and how == "cancelled":
            raise Cancelled
        if done == total - 1 and how == "full disk":
            raise OSError(errno.ENOSPC, "No space left on device")

    class Broken:
        shape, dtype = labels.shape, labels.dtype

        def __getitem__(self, index: int) -> np.ndarray:
            if index == 3:
                raise OSError("gone")
            return labels[index]

    error = {"cancelled": Cancelled, "full disk": OutputError, "broken labels": InputError}[how]
    source = Broken() if how == "broken labels" else labels
    path = tmp_path / NAMES[name]
    with pytest.raises(error):
        export_masklets(path, source, name, progress=progress)
    assert not list(tmp_path.iterdir())
    export_masklets(path, labels[:2], name)
    before = content(path)
    with pytest.raises(error):
        export_masklets(path, source, name, progress=progress, overwrite=True)
    assert content(path) == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["zarr", "ctc"])
def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    name: str, labels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / NAMES[name]
    export_masklets(path, labels[:2], name)
    before, real = content(path), Path.replace

    def broken(self: Path, target: Path) -> Path:
        if Path(target) == path:
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OutputError, match="Input/output error"):
        export_masklets(path, labels, name, overwrite=True)
    assert content(path) == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": {"Y": -3}}, "the scale of Y must be a number above 0, not -3"),
        ({"scale": {"T": float("nan")}}, "the scale of T must be"),
        ({"scale": {"X": "0.5"}}, "the scale of X must be"),
        ({"scale": 0.3}, "the scale has names: .*, not 0.3"),
        ({"scale": (1.0, 0.3, 0.3)}, "the scale has names"),
        ({"quality": {1: Quality(0.5, 1.0, 1.0)}}, r"as session\.qualities\(\) has it"),
        ({"scale": {"y": 2.0}}, "scale has no axis 'y'; its axes are T, Z, Y and X"),
        ({"unit": "parsnip"}, "unit 'parsnip' is no known one; use angstrom, nanometer"),
    ],
)
def test_steps_that_no_file_can_hold_are_refused(
    given: dict[str, Any], message: str, labels: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        export_masklets(tmp_path / "a.tif", labels, **given)
    assert not list(tmp_path.iterdir())
    export_masklets(tmp_path / "a.tif", labels, unit="pixel", scale={"Z": 2, "Y": np.float32(3)})


def test_steps_backward_in_a_file_are_no_reason_to_fail(labels: np.ndarray, tmp_path: Path) -> None:
    export_masklets(tmp_path / "a.zarr", labels, scale={"Y": 0.5, "X": 0.25}, unit="um")
    (meta,) = (tmp_path / "a.zarr").glob("zarr.json")
    text = meta.read_text()
    assert text.count("0.25") == 1
    meta.write_text(text.replace("0.25", "-0.25"))
    result = run(tmp_path / "a.zarr", "--output", tmp_path / "b.zarr")
    assert result.exit_code == 0, result.output
    assert open_masklets(tmp_path / "b.zarr").scale == {"T": 1.0, "Y": 0.5, "X": 0.25}


@pytest.mark.parametrize("name", FORMATS)
def test_overwriting_is_asked_for(name: str, labels: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / NAMES[name]
    export_masklets(path, labels, name)
    with pytest.raises(InputError, match="exists already"):
        export_masklets(path, labels[:2], name)
    export_masklets(path, labels[:1], name, overwrite=True)
    export_masklets(tmp_path / "fresh" / path.name, labels[:1], name)
    assert content(path) == content(tmp_path / "fresh" / path.name) or name in ("tiff", "imagej")
    assert {p.name for p in tmp_path.iterdir()} == {path.name, "fresh"}


def test_imagej_reads_it_itself(labels: np.ndarray, tmp_path: Path) -> None:
    scale = {"Z": 2.0, "Y": 0.5, "X": 0.25}
    export_masklets(tmp_path / "z.tif", labels, "imagej", axes="ZYX", scale=scale, unit="µm")
    export_masklets(tmp_path / "t.tif", labels, "imagej", scale={"T": 90.0})
    with tifffile.TiffFile(tmp_path / "z.tif") as tiff:
        assert tiff.is_imagej
        assert tiff.series[0].axes == "ZYX"
        assert tiff.imagej_metadata["slices"] == 4
        assert tiff.imagej_metadata["spacing"] == 2.0
        assert tiff.pages[0].compression == 1
        assert tiff.pages[0].dtype == np.uint16
    with tifffile.TiffFile(tmp_path / "t.tif") as tiff:
        assert tiff.imagej_metadata["frames"] == 4
        assert tiff.imagej_metadata["finterval"] == 90.0
    stack = open_masklets(tmp_path / "z.tif")
    assert (stack.axes, stack.scale, stack.unit) == ("ZYX", scale, "micrometer")
    stack = open_masklets(tmp_path / "t.tif")
    assert (stack.axes, stack.unit, stack.scale["T"]) == ("TYX", None, 90.0)


@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
@pytest.mark.parametrize("shape", [(2, 5, 1), (2, 1, 5), (2, 1, 1), (3, 5, 3)])
def test_imagej_keeps_narrow_stacks_and_steps_without_a_unit(
    axes: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    labels = np.arange(1, math.prod(shape) + 1, dtype=np.uint16).reshape(shape)
    scale = {axes[0]: 3.0, "Y": 2.0, "X": 0.5}
    export_masklets(tmp_path / "a.tif", labels, "imagej", axes=axes, scale=scale)
    stack = open_masklets(tmp_path / "a.tif")
    assert (stack.axes, stack.scale, stack.unit) == (axes, scale, None)
    np.testing.assert_array_equal(stack.data, labels)


def test_imagej_has_limits(tmp_path: Path) -> None:
    class Huge:
        shape, dtype = (2200, 1000, 1000), np.dtype(np.uint8)

    with pytest.raises(InputError, match=r"up to 4 GB, but these labels take 4\.4 GB"):
        export_masklets(tmp_path / "a.tif", Huge(), "imagej")
    with pytest.raises(InputError, match=r"in frame 0 cannot be written; use 0 to 65535"):
        export_masklets(tmp_path / "a.tif", np.full((1, 2, 2), 65_536), "imagej")
    assert not list(tmp_path.iterdir())


def test_measuring_on_the_command_line(labels: np.ndarray, tmp_path: Path) -> None:
    """The image has the scale that a folder of the challenge cannot hold."""
    export_masklets(tmp_path / "res", labels)
    image = np.stack([labels, labels * 0 + 7], axis=1)
    metadata = {"axes": "TCYX", "unit": "um", "finterval": 30.0}
    tifffile.imwrite(
        tmp_path / "image.tif", image, imagej=True, resolution=(2, 2), metadata=metadata
    )
    out = tmp_path / "out.csv"
    given = (tmp_path / "res", "--output", out, "--image", tmp_path / "image.tif")
    assert run(*given, "--channel", 1).exit_code == 0
    table = np.genfromtxt(out, delimiter=",", names=True)
    assert table["area_um2"].tolist() == (table["area_px"] / 4).tolist()
    assert table["time_s"].tolist() == (table["frame"] * 30).tolist()
    assert set(table["intensity_mean"]) == {7}
    refused(run(*given, "--channel", 1), "exists already", "--overwrite")
    assert run(*given, "--channel", 0, "--overwrite").exit_code == 0
    table = np.genfromtxt(out, delimiter=",", names=True)
    assert table["intensity_max"].tolist() == table["object_id"].tolist()
    refused(run(*given, "--to", "tracks", "--overwrite"), "no use for tracks")


def test_measuring_several_channels_on_the_command_line(labels: np.ndarray, tmp_path: Path) -> None:
    export_masklets(tmp_path / "res", labels)
    image = np.stack([labels, labels * 0 + 7, labels * 0 + 9, labels + 1], axis=1)
    tifffile.imwrite(tmp_path / "image.tif", image, imagej=True, metadata={"axes": "TCYX"})
    out = tmp_path / "out.csv"
    given = (tmp_path / "res", "--output", out, "--image", tmp_path / "image.tif", "--overwrite")
    for channels, names in ((None, "0123"), ("2,0", "20"), ("3", ("",))):
        options = () if channels is None else ("--channel", channels)
        assert run(*given, *options).exit_code == 0
        with out.open(newline="", encoding="ascii") as file:
            header = file.readline().strip().split(",")
        means = [name for name in header if name.startswith("intensity_mean")]
        assert means == [f"intensity_mean_{one}" if one else "intensity_mean" for one in names]
        table = np.genfromtxt(out, delimiter=",", names=True)
        for one in {*names} & {"0", "1", "2", "3"}:
            ids = table["object_id"]
            wanted = {"0": ids, "1": ids * 0 + 7, "2": ids * 0 + 9, "3": ids + 1}[one]
            assert table[f"intensity_mean_{one}"].tolist() == wanted.tolist()
    for wrong in ("4", "0,4"):
        refused(run(*given, "--channel", wrong), "image.tif", "0 to 3")
    for wrong in ("a", "0,", "1,1", "1,01", "-1", "0,-"):
        refused(run(*given, f"--channel={wrong}"), f"--channel {wrong} is not understood")
    several = (tmp_path / "image.tif", "--output", tmp_path / "b.tif", "--channel", "0,1")
    refused(run(*several), "one channel at a time")


def test_mistakes_on_the_command_line(labels: np.ndarray, tmp_path: Path) -> None:
    export_masklets(tmp_path / "a.tif", labels)
    export_masklets(tmp_path / "a.csv", labels)
    tifffile.imwrite(tmp_path / "f.tif", np.zeros((4, 5), np.float32))
    out = ("--output", tmp_path / "b.json")
    refused(run(tmp_path / "a.tif"), "--output")
    refused(run(tmp_path / "none.tif", *out), "none.tif does not exist")
    refused(run(tmp_path / "none.json", *out), "none.json does not exist")
    refused(run(tmp_path / "a.csv", *out), "table, which holds no masks")
    refused(run(tmp_path / "f.tif", *out), "labels are integers")
    (tmp_path / "p.json").write_text('{"version": 1, "objects": []}')
    refused(run(tmp_path / "p.json", *out), "which holds no masklets")
    refused(run(tmp_path / "a.tif", *out, "--to", "pdf"), "no format 'pdf'")
    refused(run(tmp_path / "a.tif", "--output", tmp_path / "a.tif" / "b.tif"), "is no folder")
    assert not (tmp_path / "b.json").exists()


def test_axes_on_the_command_line(labels: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", labels, photometric="minisblack")
    result = run(tmp_path / "plain.tif", "--axes", "ZYX", "--output", tmp_path / "b.json")
    assert result.exit_code == 0, result.output
    assert open_masklets(tmp_path / "b.json").axes == "ZYX"


def test_interrupted(labels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_masklets(tmp_path / "a.tif", labels)

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(converting, "export_masklets", stop)
    refused(run(tmp_path / "a.tif", "--output", tmp_path / "res"), "nothing was written", code=130)


def test_help_names_every_format() -> None:
    text = " ".join(run("--help").stdout.replace("│", " ").split())
    for name in FORMATS:
        assert name in text


def test_public_names_are_the_door() -> None:
    assert napari_sam2.export_masklets is export_masklets
    assert napari_sam2.open_masklets is open_masklets


def test_real_labels_of_the_challenge_as_coco(formats_data: Path, tmp_path: Path) -> None:
    truth = formats_data / "ctc_hela_head" / "01_GT" / "TRA"
    assert run(truth, "--output", tmp_path / "a.json").exit_code == 0
    assert run(tmp_path / "a.json", "--output", tmp_path / "a.tif").exit_code == 0
    expected = np.stack([tifffile.imread(p) for p in sorted(truth.glob("*.tif"))])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), expected)
