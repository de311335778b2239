from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_sam2.tracking.errors import InputError, OutputError, writing
from napari_sam2.tracking.masklets import Masklets, label_dtype


def test_label_dtype() -> None:
    assert label_dtype([]) == label_dtype([1, 65535]) == np.uint16
    assert label_dtype([3, 65536]) == np.uint32
    for ids in ([0], [2**32]):
        with pytest.raises(InputError, match="object ids"):
            label_dtype(ids)


@pytest.mark.parametrize("on_disk", [False, True])
def test_write_and_read(on_disk: bool, tmp_path: Path) -> None:
    masklets = Masklets((4, 5, 6), store=tmp_path / "m.zarr" if on_disk else None)
    masklets[2] = np.arange(30).reshape(5, 6)
    assert (len(masklets), masklets.shape, masklets.ndim) == (4, (4, 5, 6), 3)
    assert masklets.dtype == masklets[2].dtype == np.uint16
    np.testing.assert_array_equal(masklets[2], np.arange(30).reshape(5, 6))
    assert np.asarray(masklets).sum() == masklets[1:].sum() == np.arange(30).sum()
    assert not np.shares_memory(np.array(masklets), masklets.array)
    assert np.asarray(masklets, np.float32).dtype == np.float32
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":  # before, it was no promise
        with pytest.raises(ValueError, match="copy"):
            np.array(masklets, np.float32, copy=False)
    for frame, labels, message in [
        (4, np.zeros((5, 6), int), "frame 4 does not exist"),
        (0, np.zeros((6, 5), int), "do not fit frames"),
        (0, np.full((5, 6), 70000), "make the masklets uint32"),
        (0, np.full((5, 6), -1), "do not fit"),
        (0, np.zeros((5, 6)), "integers"),
    ]:
        with pytest.raises(InputError, match=message):
            masklets[frame] = labels


def test_unusable_shapes_and_dtypes() -> None:
    for shape, dtype in [((3, 4), np.uint16), ((0, 4, 4), np.uint16), ((1, 4, 4), np.int64)]:
        with pytest.raises(InputError, match="masklets"):
            Masklets(shape, dtype)


def test_store_is_not_overwritten_unasked(tmp_path: Path) -> None:
    store = tmp_path / "m.zarr"
    Masklets((2, 3, 3), store=store)[0] = np.ones((3, 3), int)
    with pytest.raises(InputError, match="exists already"):
        Masklets((2, 3, 3), store=store)
    assert Masklets.open(store)[0].all()
    assert not Masklets((2, 3, 3), np.uint32, store, overwrite=True)[0].any()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.doc").touch()
    with pytest.raises(InputError, match="exists already"):  # never delete what is not ours
        Masklets((2, 3, 3), store=tmp_path / "folder", overwrite=True)


def test_open_needs_masklets(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no masklets"):
        Masklets.open(tmp_path / "none.zarr")


def test_what_was_written_is_readable_after_a_crash(tmp_path: Path) -> None:
    code = (
        "import os, sys, numpy as np\n"
        "from napari_sam2.tracking.masklets import Masklets\n"
        "m = Masklets((5, 8, 8), store=sys.argv[1])\n"
        "for i in range(3): m[i] = np.full((8, 8), i + 1)\n"
        "os._exit(9)\n"
    )
    source = str(Path(__file__).parents[2] / "src")
    store = tmp_path / "m.zarr"
    command = [sys.executable, "-c", code, str(store)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": source}, check=False)
    assert done.returncode == 9
    masklets = Masklets.open(store)
    assert [int(masklets[i].max()) for i in range(5)] == [1, 2, 3, 0, 0]
    masklets[4] = np.full((8, 8), 5)
    assert Masklets.open(store)[4].min() == 5


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "no space left"), (errno.EACCES, "no permission")]
)
def test_errors_of_the_disk_name_the_remedy(code: int, message: str) -> None:
    with pytest.raises(OutputError, match=message), writing(Path("out.zarr")):
        raise OSError(code, os.strerror(code))
