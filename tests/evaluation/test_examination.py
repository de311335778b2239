from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_sam2.cli import Protocol
from napari_sam2.evaluation.examination import (
    PROTOCOLS,
    Extent,
    by_protocols,
    for_each,
    mean_numbers,
)
from napari_sam2.evaluation.sequences import Task, prepare, sequence_folders
from napari_sam2.export.ctc import Track
from napari_sam2.tracking.errors import InputError

from .fakes import MODEL, FadingSession, ThresholdSession, moving_squares


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for name in ("a", "b_z", "c"):
        (tmp_path / name).mkdir()
        sequence = moving_squares()
        tifffile.imwrite(tmp_path / name / "images.tif", sequence.images)
        tifffile.imwrite(tmp_path / name / "masks.tif", sequence.labels)
    return sequence_folders(tmp_path)


def counting() -> tuple[list[tuple[int, int]], Callable[[int, int], None]]:
    seen: list[tuple[int, int]] = []
    return seen, lambda done, total: seen.append((done, total))


def test_the_extent_is_kept(folders: list[Path]) -> None:
    seen, progress = counting()
    outcome = for_each(
        folders,
        Extent(frames=3, objects=2),
        lambda name, task: (name, len(task.images), task.objects, task.direction),
        progress,
    )
    assert outcome.done == [
        ("a", 4, (1, 4), "forward"),
        ("b_z", 4, (1, 4), "both"),
        ("c", 4, (1, 4), "forward"),
    ]
    assert (outcome.failures, outcome.stopped) == ({}, False)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_one_that_fails_does_not_stop_the_others(folders: list[Path]) -> None:
    tifffile.imwrite(folders[1] / "masks.tif", np.zeros((8, 60, 80), np.uint8))

    def examine(name: str, task: Task) -> str:
        if name == "c":
            raise MemoryError
        return name

    outcome = for_each(folders, Extent(), examine)
    assert outcome.done == ["a"]
    assert list(outcome.failures) == ["b_z", "c"]
    assert "no object is whole" in str(outcome.failures["b_z"])
    assert isinstance(outcome.failures["c"], MemoryError)


def test_ctrl_c_keeps_what_was_done(folders: list[Path]) -> None:
    def examine(name: str, task: Task) -> str:
        if name == "b_z":
            raise KeyboardInterrupt
        return name

    outcome = for_each(folders, Extent(), examine)
    assert (outcome.done, outcome.failures, outcome.stopped) == (["a"], {}, True)


def test_the_chosen_folders_are_looked_at(folders: list[Path]) -> None:
    (folders[2] / "images.tif").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"images\.tif cannot be read as TIFF"):
        sequence_folders(folders[0].parent)
    assert sequence_folders(folders[0].parent, ["a", "b_z"]) == folders[:2]


def test_names_and_patterns(folders: list[Path]) -> None:
    def names(*only: str) -> list[str]:
        return [folder.name for folder in sequence_folders(folders[0].parent, only)]

    assert names("c", "a") == ["a", "c"]
    assert names("*_z") == ["b_z"]
    assert names("[ab]*", "a") == ["a", "b_z"]
    with pytest.raises(InputError, match="is called d\\*; there are a, b_z, c"):
        names("a", "d*")


def test_the_command_line_knows_all_protocols() -> None:
    assert {one.value for one in Protocol} == set(PROTOCOLS)


def test_numbers_of_a_perfect_model() -> None:
    task = prepare(moving_squares())
    examine = by_protocols(MODEL, [*PROTOCOLS, "click"], Extent(rounds=3), ThresholdSession)
    found = examine("cells", task)
    assert (found.sequence, found.objects, found.frames) == ("cells", 4, 7)
    assert found.numbers == {
        "click": {"IoU": 1},
        "3-clicks": {"IoU": 1},
        "box": {"IoU": 1},
        "mask": {"J": 1, "F": 1, "J&F": 1, "ends": 1},
        "noc": {"NoC@85": 1},
        "offline": {"J&F 1": 1, "J&F 2": 1, "J&F 3": 1},
        "online": {"J": 1, "F": 1, "J&F": 1, "frames clicked": 1},
    }


def test_seg_and_tra_where_the_truth_has_tracks() -> None:
    sequence = replace(moving_squares(), tracks=(Track(4, 0, 4, 0),))
    examine = by_protocols(MODEL, ["mask"], Extent(), ThresholdSession)
    numbers = examine("cells", prepare(sequence)).numbers["mask"]
    assert numbers == {"J": 1, "F": 1, "J&F": 1, "SEG": 1, "TRA": 1, "ends": 1}


def test_rounds_that_change_nothing_keep_the_last_score() -> None:
    task = prepare(moving_squares(), None, max_objects=1)

    def make(model: Any, images: np.ndarray) -> FadingSession:
        return FadingSession(task.labels, reach=3)

    found = by_protocols(MODEL, ["offline", "online"], Extent(rounds=4), make)("cells", task)
    scores = list(found.numbers["offline"].values())
    assert scores[0] < 1
    assert scores[1:] == [1, 1, 1]
    assert found.numbers["online"]["frames clicked"] == 2


def test_means_are_over_the_sequences_that_have_a_number() -> None:
    assert mean_numbers([{"J": 0.5, "SEG": 0.2}, {"J": 1.0}]) == {"J": 0.75, "SEG": 0.2}
