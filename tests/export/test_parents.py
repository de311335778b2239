"""Mothers and daughters in files: held to the challenge's rules, and back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels, Tracks

from napari_sam2 import graph_of, open_parents, tracks_of
from napari_sam2.evaluation.ctc import tra_score
from napari_sam2.evaluation.overlap import overlap
from napari_sam2.export.ctc import Track, read_tracks
from napari_sam2.export.formats import export_masklets, open_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.layer_data import PARENTS_KEY
from napari_sam2.layer_writer import write_ctc
from napari_sam2.tracking.errors import InputError
from tests.commands import run
from tests.export.test_ctc import checked


def stack(on: dict[int, list[int]], length: int) -> np.ndarray:
    """Each object in a row of its own, on the frames that are given."""
    labels = np.zeros((length, len(on), 3), np.uint16)
    for row, (i, frames) in enumerate(on.items()):
        labels[frames, row] = i
    return labels


def test_a_division_is_written_and_comes_back(tmp_path: Path) -> None:
    labels = stack({3: [0, 1, 2], 4: [3, 4, 5], 8: [4, 5], 9: [6, 7], 5: [0, 7]}, 8)
    parents = {4: 3, 8: 3, 9: 8}
    assert export_masklets(tmp_path / "01_RES", labels, parents=parents) == ()
    masks, tracks = checked(tmp_path / "01_RES")
    assert tracks == {
        3: (0, 2, 0), 4: (3, 5, 3), 5: (0, 0, 0), 8: (4, 5, 3), 9: (6, 7, 8), 10: (7, 7, 5),
    }  # fmt: skip
    np.testing.assert_array_equal(masks > 0, labels > 0)
    np.testing.assert_array_equal(np.asarray(open_masklets(tmp_path / "01_RES").data), labels)
    assert open_parents(tmp_path / "01_RES") == parents


def test_the_daughters_of_a_mother_that_was_away(tmp_path: Path) -> None:
    labels = stack({3: [0, 1, 4], 6: [5, 6], 7: [5, 6]}, 7)
    export_masklets(tmp_path / "res", labels, parents={6: 3, 7: 3})
    _, tracks = checked(tmp_path / "res")
    assert tracks == {3: (0, 1, 0), 8: (4, 4, 3), 6: (5, 6, 8), 7: (5, 6, 8)}
    np.testing.assert_array_equal(np.asarray(open_masklets(tmp_path / "res").data), labels)
    assert open_parents(tmp_path / "res") == {6: 3, 7: 3}


def test_a_mother_beside_her_daughters_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    labels = stack({3: list(range(8)), 4: [3, 4, 5], 5: [6, 7]}, 8)  # two buds
    (remark,) = export_masklets(tmp_path / "res", labels, parents={4: 3, 5: 3})
    assert "object 3 has masks beside its daughters, from frame 3 on" in remark
    assert "track 6, 7" in remark
    masks, tracks = checked(tmp_path / "res")
    assert tracks == {
        3: (0, 2, 0), 4: (3, 5, 3), 6: (3, 5, 3), 5: (6, 7, 6), 7: (6, 7, 6),
    }  # fmt: skip
    np.testing.assert_array_equal(masks > 0, labels > 0)
    assert open_parents(tmp_path / "res") == {4: 3, 6: 3, 5: 6, 7: 6}


def test_a_mother_that_cannot_be_is_left_out_and_said(tmp_path: Path) -> None:
    labels = stack({3: [2, 3], 4: [2, 3], 5: [3]}, 4)
    remarks = export_masklets(tmp_path / "res", labels, parents={4: 3, 5: 9, 8: 3})
    assert [r.split(" is ")[0] for r in remarks] == ["object 4", "object 5"]
    assert "without its mother 3, which has no mask before frame 2" in remarks[0]
    _, tracks = checked(tmp_path / "res")
    assert {i: parent for i, (_, _, parent) in tracks.items()} == {3: 0, 4: 0, 5: 0}


def test_a_lone_daughter_after_a_gap_is_said(tmp_path: Path) -> None:
    labels = stack({3: [0, 1], 4: [4, 5]}, 6)
    (remark,) = export_masklets(tmp_path / "res", labels, parents={4: 3})
    assert "object 4 is the only daughter of 3 and begins after a gap" in remark
    joined = np.where(labels == 4, 3, labels)
    np.testing.assert_array_equal(np.asarray(open_masklets(tmp_path / "res").data), joined)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 31), min_size=1, max_size=9),
    st.dictionaries(st.integers(1, 5), st.integers(1, 6), max_size=5),
    st.sampled_from([0, 65529]),
)
def test_any_lineage_is_written_by_the_rules_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, present: list[int], said: dict[int, int], shift: int
) -> None:
    labels = np.zeros((len(present), 1, 5), np.uint32)
    for frame, bits in enumerate(present):
        labels[frame].flat = [(k + 1 + shift) * (bits >> k & 1) for k in range(5)]
    parents = {a + shift: b + shift for a, b in said.items()}
    folder = tmp_path_factory.mktemp("ctc") / "res"
    remarks = export_masklets(folder, labels, "ctc", parents=parents)
    masks, _ = checked(folder)
    np.testing.assert_array_equal(masks > 0, labels > 0)
    if remarks:
        return
    back, lineage = np.asarray(open_masklets(folder).data), open_parents(folder)
    # The same objects, whatever their ids, with the same mothers.
    pairs = set(zip(labels.ravel().tolist(), back.ravel().tolist(), strict=True)) - {(0, 0)}
    names = dict(pairs)
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    assert lineage == {names[a]: names[b] for a, b in parents.items() if a in names}


def test_a_real_lineage_comes_back(dev_data: Path, tmp_path: Path) -> None:
    folder = dev_data / "hela_nuclei"
    labels, truth = read_labels(folder / "masks.tif"), read_tracks(folder / "tracks.txt")
    parents = {t.id: t.parent for t in truth if t.parent}
    remarks = export_masklets(tmp_path / "res", labels, parents=parents)
    masks, tracks = checked(tmp_path / "res")
    # Daughters whose sister is outside of the crop, and who have no mask at first.
    alone = {82: 79, 314: 307}
    assert [r.split(" begins")[0] for r in remarks] == [
        f"object {i} is the only daughter of {m} and" for i, m in alone.items()
    ]
    joined = labels.copy()
    for i, mother in alone.items():
        joined[labels == i] = mother
    np.testing.assert_array_equal(np.asarray(open_masklets(tmp_path / "res").data), joined)
    rest = {i: alone.get(m, m) for i, m in parents.items() if i not in alone}
    assert open_parents(tmp_path / "res") == rest
    # The metric of the challenge counts every division as found.
    lines = [Track(i, *rest) for i, rest in tracks.items()]
    overlaps = [overlap(m, m) for m in masks]
    assert tra_score(overlaps, lines, lines) == 1.0
    orphans = [Track(t.id, t.first, t.last, 0) for t in lines]
    assert tra_score(overlaps, lines, orphans) < 1.0


def test_the_truth_of_the_challenge_has_its_mothers(formats_data: Path) -> None:
    folder = formats_data / "ctc_hela_head" / "01_GT" / "TRA"
    lines = [line.split() for line in (folder / "man_track.txt").read_text().splitlines()]
    expected = {int(i): int(parent) for i, _, _, parent in lines if parent != "0"}
    lineage = open_parents(folder)
    assert lineage == expected
    assert len(lineage) > 150


def test_parents_that_make_no_sense_are_not_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "mask000.tif", np.ones((2, 2), np.uint16))
    (tmp_path / "res_track.txt").write_text("1 0 4 2\n2 3 4 1\n3 2 4 3\n4 2 4 77\n")
    assert open_parents(tmp_path) == {2: 1}
    tifffile.imwrite(tmp_path / "one.tif", np.ones((2, 2), np.uint16))
    assert open_parents(tmp_path / "one.tif") == {}
    with pytest.raises(InputError, match="no_such does not exist; check the path"):
        open_parents(tmp_path / "no_such")


def test_napari_takes_the_graph() -> None:
    labels = stack({3: [0, 1], 4: [2, 3], 8: [2, 3]}, 4)
    tracks = tracks_of(labels)
    graph = graph_of(tracks, {4: 3, 8: 3, 9: 8, 4000: 3})  # 9 has no masks
    assert graph_of(tracks.tolist(), {4: 3}) == {4: [3]}
    assert graph_of([], {4: 3}) == {}
    layer = Tracks(tracks, graph=graph)
    assert layer.graph == {4: [3], 8: [3]}
    # Lines from the mother's last place to each daughter's first.
    ends = layer._manager.graph_vertices[:, 0]
    assert ends.tolist() == [2, 1, 2, 1]


def test_measurements_say_the_mother(tmp_path: Path) -> None:
    labels = stack({3: [0, 1], 4: [2]}, 3)
    export_masklets(tmp_path / "a.csv", labels, parents={4: 3})
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:3] == ["object_id", "frame", "parent"]
    assert [(r["object_id"], r["parent"]) for r in rows] == [("3", "0"), ("3", "0"), ("4", "3")]
    export_masklets(tmp_path / "b.csv", labels)  # not known
    assert "parent" not in (tmp_path / "b.csv").read_text()


def test_conversion_keeps_what_the_folder_says(tmp_path: Path) -> None:
    labels = stack({3: [0, 1, 2], 4: [2], 5: [2]}, 3)
    export_masklets(tmp_path / "a", labels, parents={4: 3, 5: 3})
    result = run("export", tmp_path / "a", "--output", tmp_path / "b")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    names = ("res_track.txt", "mask002.tif")
    assert all(
        (tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names
    )
    flat = run("export", tmp_path / "a", "--output", tmp_path / "a.tif")
    assert "1 division is not in it, only in a Cell Tracking Challenge folder" in flat.stderr
    assert run("export", tmp_path / "a", "--output", tmp_path / "a.csv").exit_code == 0
    with (tmp_path / "a.csv").open(newline="") as file:
        assert {r["object_id"]: r["parent"] for r in csv.DictReader(file)} == {
            "3": "0", "4": "3", "5": "3", "6": "3",
        }  # fmt: skip
    # A folder of others in which a mother goes on beside her daughter.
    (tmp_path / "b" / "res_track.txt").write_text("3 0 2 0\n4 2 2 3\n5 2 2 3\n6 2 2 0\n")
    for frame in (0, 1, 2):
        tifffile.imwrite(tmp_path / "b" / f"mask{frame:03d}.tif", labels[frame])
    result = run("export", tmp_path / "b", "--output", tmp_path / "c")
    assert "object 3 has masks beside its daughters" in result.stderr


def test_a_layer_is_saved_with_its_lineage(tmp_path: Path) -> None:
    labels = stack({3: [0, 1, 2], 4: [2]}, 3)
    layer = Labels(labels, metadata={PARENTS_KEY: {4: 3}})
    data, meta, _ = layer.as_layer_data_tuple()
    with pytest.warns(UserWarning, match="object 3 has masks beside"):
        (path,) = write_ctc(str(tmp_path / "cells.ctc"), data, meta)
    assert open_parents(path) == {4: 3, 5: 3}
