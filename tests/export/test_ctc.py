from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam2.evaluation.ctc import tra_score
from napari_sam2.evaluation.overlap import overlap
from napari_sam2.export.ctc import Track, read_ctc, read_tracks, split_at_gaps
from napari_sam2.export.formats import export_masklets, open_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.tracking.errors import InputError


def checked(folder: Path) -> tuple[np.ndarray, dict[int, tuple[int, int, int]]]:
    """Read a result folder by the challenge's rules alone, and hold it to them."""
    names = sorted(p.name for p in folder.iterdir())
    assert names[-1] == "res_track.txt"
    digits = 3 if len(names) <= 1001 else 4
    assert names[:-1] == [f"mask{k:0{digits}d}.tif" for k in range(len(names) - 1)]
    masks = np.stack([tifffile.imread(folder / name) for name in names[:-1]])
    assert masks.dtype == np.uint16
    text = (folder / "res_track.txt").read_text()
    assert re.fullmatch(r"(\d+ \d+ \d+ \d+\n)*", text)
    lines = [tuple(int(n) for n in line.split()) for line in text.splitlines()]
    tracks = {label: (begin, end, parent) for label, begin, end, parent in lines}
    assert len(tracks) == len(lines)
    assert set(tracks) == set(np.unique(masks).tolist()) - {0}
    for label, (begin, end, parent) in tracks.items():
        on = np.flatnonzero((masks == label).any((1, 2))).tolist()
        assert on == list(range(begin, end + 1))
        assert parent == 0 or tracks[parent][1] < begin
    return masks, tracks


@pytest.fixture
def labels() -> np.ndarray:
    """Four objects; 5 is away twice, 9 comes late and goes early."""
    labels = np.zeros((8, 20, 24), np.uint16)
    labels[:, 1:4, 1:4] = 3
    labels[[0, 1, 3, 4, 7], 8:12, 2:7] = 5
    labels[2:5, 15:18, 15:20] = 9
    labels[6, 10, 20] = 1
    return labels


def test_gaps_become_tracks_with_a_parent(labels: np.ndarray, tmp_path: Path) -> None:
    export_masklets(tmp_path / "01_RES", labels)
    masks, tracks = checked(tmp_path / "01_RES")
    assert tracks == {
        1: (6, 6, 0), 3: (0, 7, 0), 5: (0, 1, 0), 9: (2, 4, 0), 10: (3, 4, 5), 11: (7, 7, 10),
    }  # fmt: skip
    np.testing.assert_array_equal(masks > 0, labels > 0)
    back = open_masklets(tmp_path / "01_RES")
    np.testing.assert_array_equal(np.asarray(back.data), labels)
    assert back.axes == "TYX"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=1, max_size=9), st.sampled_from([1, 65533]))
def test_any_coming_and_going_comes_back(
    tmp_path_factory: pytest.TempPathFactory, present: list[int], first: int
) -> None:
    labels = np.zeros((len(present), 2, 2), np.uint32)
    for frame, bits in enumerate(present):
        labels[frame].flat = [(first + k) * (bits >> k & 1) for k in range(4)]
    folder = tmp_path_factory.mktemp("ctc") / "res"
    export_masklets(folder, labels, "ctc")
    checked(folder)
    back = np.asarray(open_masklets(folder).data)
    if first == 1 or not (labels > 65535).any():
        kept = first == 1 or labels.max() + len(read_tracks(folder / "res_track.txt")) < 65535
        if kept:
            np.testing.assert_array_equal(back, labels)
    # The objects are the same ones, whatever their ids.
    pairs = set(zip(labels.ravel().tolist(), back.ravel().tolist(), strict=True)) | {(0, 0)}
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


def test_ids_that_do_not_fit_are_numbered_anew(labels: np.ndarray, tmp_path: Path) -> None:
    large = labels.astype(np.uint32)
    large[large == 3] = 70_000
    (said,) = export_masklets(tmp_path / "a", large)
    assert said == (
        "ids above 65535 do not fit, so all objects are numbered anew from 1, in the order of "
        "their ids: object 70000 is track 6"
    )
    assert export_masklets(tmp_path / "b", labels) == ()
    _, tracks = checked(tmp_path / "a")
    assert tracks == {
        1: (6, 6, 0), 2: (0, 1, 0), 3: (3, 4, 2), 4: (7, 7, 3), 5: (2, 4, 0), 6: (0, 7, 0),
    }  # fmt: skip


def test_too_many_tracks_are_refused_before_anything_is_written() -> None:
    split_at_gaps({i: [0] for i in range(1, 65_536)})
    with pytest.raises(InputError, match=r"65535 tracks, but there are 65536; write coco or tiff"):
        split_at_gaps({i: [0] for i in range(1, 65_535)} | {70_000: [0, 2]})


def test_more_than_a_thousand_frames_and_none_with_objects(tmp_path: Path) -> None:
    export_masklets(tmp_path / "a", np.zeros((1000, 2, 2), np.uint8))
    checked(tmp_path / "a")
    labels = np.zeros((1001, 2, 2), np.uint8)
    labels[999:, 0, 0] = 1
    export_masklets(tmp_path / "b", labels)
    _, tracks = checked(tmp_path / "b")
    assert tracks == {1: (999, 1000, 0)}
    np.testing.assert_array_equal(np.asarray(read_ctc(tmp_path / "b").data), labels)


def test_daughters_stay_themselves(tmp_path: Path) -> None:
    labels = np.zeros((6, 4, 4), np.uint16)
    labels[:2, 0] = 1
    labels[2:4, 0] = 2
    labels[3, 1] = 3
    labels[5, 0] = 4
    labels[4, 2] = 5
    for frame, image in enumerate(labels):
        tifffile.imwrite(tmp_path / f"man_track{frame:03d}.tif", image)
    # 2 and 3 are daughters of 1, 4 is 2 after a gap, 5 goes on where 3 ends.
    lines = "1 0 1 0\n2 2 3 1\n3 3 3 1\n4 5 5 2\n5 4 4 3\n"
    (tmp_path / "man_track.txt").write_text(lines)
    back = np.asarray(open_masklets(tmp_path).data)
    np.testing.assert_array_equal(back, np.where(labels == 4, 2, labels))


def test_reading_the_truth_of_the_challenge(formats_data: Path) -> None:
    folder = formats_data / "ctc_hela_head" / "01_GT" / "TRA"
    stack = open_masklets(folder)
    files = [tifffile.imread(p) for p in sorted(folder.glob("*.tif"))]
    assert stack.data.shape == (5, 700, 1100)
    np.testing.assert_array_equal(np.asarray(stack.data), np.stack(files))


@pytest.mark.parametrize("name", ["hela_nuclei", "u373_phase", "budding_yeast", "ovule_nuclei_z"])
def test_real_labels_come_back(name: str, dev_data: Path, tmp_path: Path) -> None:
    labels = read_labels(dev_data / name / "masks.tif")
    export_masklets(tmp_path / "res", labels)
    masks, tracks = checked(tmp_path / "res")
    np.testing.assert_array_equal(np.asarray(open_masklets(tmp_path / "res").data), labels)
    # A gap is one edge, whether drawn within a track or between two.
    lines = [Track(i, *rest) for i, rest in tracks.items()]
    overlaps = [overlap(m, m) for m in masks]
    assert tra_score(overlaps, lines, lines) == 1.0


@pytest.mark.parametrize("line", ["1 0", "1 0 x 0", "one", "1.5 0 1 0"])
def test_a_damaged_track_file_is_named(line: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mask000.tif", np.ones((4, 4), np.uint16))
    (tmp_path / "res_track.txt").write_text(f"2 0 0 0\n{line}\n")
    with pytest.raises(InputError, match=r"line 2 of res_track\.txt is .*; write four numbers"):
        open_masklets(tmp_path)


@pytest.mark.parametrize("missing", [0, 3])
def test_a_missing_image_is_named(missing: int, labels: np.ndarray, tmp_path: Path) -> None:
    export_masklets(tmp_path / "a", labels)
    (tmp_path / "a" / f"mask00{missing}.tif").unlink()
    with pytest.raises(InputError, match=rf"no image of frame {missing} \(mask00{missing}\.tif\)"):
        open_masklets(tmp_path / "a")


def test_images_may_begin_anywhere_and_end_early_but_not_twice(tmp_path: Path) -> None:
    for number in (150, 151, 152):
        tifffile.imwrite(tmp_path / f"man_track{number}.tif", np.full((4, 4), 3, np.uint16))
    (tmp_path / "man_track.txt").write_text("3 150 159 0\n")
    assert open_masklets(tmp_path).data.shape == (3, 4, 4)
    tifffile.imwrite(tmp_path / "mask151.tif", np.ones((4, 4), np.uint16))
    with pytest.raises(InputError, match="two images of frame 151, man_track151"):
        open_masklets(tmp_path)


def test_a_folder_of_others_is_never_deleted(labels: np.ndarray, tmp_path: Path) -> None:
    folder = tmp_path / "res"
    folder.mkdir()  # an empty one, as a file dialog makes it, is free
    export_masklets(folder, labels)
    with pytest.raises(InputError, match="exists already"):
        export_masklets(folder, labels)
    export_masklets(folder, labels[:2], overwrite=True)
    assert len(list(folder.iterdir())) == 3
    (folder / "thesis.doc").touch()
    with pytest.raises(InputError, match="something else"):
        export_masklets(folder, labels, overwrite=True)
    assert len(list(folder.iterdir())) == 4
    assert [p.name for p in tmp_path.iterdir()] == ["res"]
