from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_sam2.evaluation.protocols import (
    Propagation,
    classical_propagation,
    clicks_needed,
    copy_first_propagation,
    first_frame_scores,
    propagate,
)
from napari_sam2.evaluation.sequences import (
    choose_objects,
    load_sequence,
    prepare,
    sequence_folders,
)
from napari_sam2.export.ctc import Track
from napari_sam2.tracking.errors import InputError

from .fakes import MODEL, ThresholdSession, moving_squares


class Recorder:
    """Makes sessions, and keeps them to be looked at."""

    def __call__(self, model, images):
        self.session = ThresholdSession(model, images)
        return self.session


def test_choose_objects_takes_whole_ones_of_all_sizes() -> None:
    labels = moving_squares().labels[0]
    assert choose_objects(labels) == (1, 2, 3, 4)  # not the one at the border, not the tiny one
    assert choose_objects(labels, max_objects=2) == (1, 4)


def test_prepare_a_time_lapse() -> None:
    task = prepare(moving_squares(), frames=3)
    assert (task.seed, task.direction, len(task.images)) == (0, "forward", 4)
    assert len(prepare(moving_squares(), frames=None).images) == 8


@pytest.mark.parametrize(("frames", "first"), [(2, 3), (4, 2), (6, 1), (7, 0), (20, 0), (None, 0)])
def test_prepare_a_z_stack_from_its_fullest_slice(frames: int | None, first: int) -> None:
    sequence = moving_squares(z_stack=True)  # slice 4 is the first with four whole objects
    task = prepare(sequence, frames)
    assert task.seed + first == 4
    assert task.direction == "both"
    assert len(task.images) == (8 if frames in (20, None) else frames + 1)
    assert np.array_equal(task.images[task.seed], sequence.images[4])


def test_prepare_needs_a_whole_object() -> None:
    empty = replace(moving_squares(), labels=np.zeros((8, 60, 80), int))
    with pytest.raises(InputError, match="no object is whole"):
        prepare(empty)


def test_tracks_end_an_object() -> None:
    sequence = replace(moving_squares(), tracks=(Track(2, 0, 3, 0),))
    task = prepare(sequence)
    assert sorted(copy_first_propagation(task).scores[2]) == [1, 2, 3]
    assert (sequence.labels[4] == 2).any()  # the sequence itself stays as it was
    late = replace(sequence, z_stack=True, tracks=(Track(1, 3, 7, 0),))
    assert not (prepare(late, frames=None).labels[:3] == 1).any()


@pytest.mark.parametrize("prompt", ["click", "box", "3-clicks"])
def test_first_frame_of_a_perfect_model(prompt: str) -> None:
    scores = first_frame_scores(MODEL, prepare(moving_squares()), prompt, ThresholdSession)
    assert scores == dict.fromkeys(range(1, 5), 1)


def test_three_clicks_correct_the_answer() -> None:
    task = prepare(moving_squares())
    bigger = replace(task, labels=np.where(task.labels == 1, 0, task.labels), objects=(2,))
    joined = bigger.images.copy()
    joined[0, 10:40, 5:20] = 200  # object 2 and what is around it are one bright region
    recorder = Recorder()
    scores = first_frame_scores(MODEL, replace(bigger, images=joined), "3-clicks", recorder)
    assert recorder.session.calls == [("points", 2, 0)] * 3
    assert 0 < scores[2] < 0.5


def test_one_click_is_enough_where_it_is_right() -> None:
    recorder = Recorder()
    first_frame_scores(MODEL, prepare(moving_squares(), max_objects=1), "3-clicks", recorder)
    assert recorder.session.calls == [("points", 1, 0)]


@pytest.mark.parametrize("prompt", ["mask", "click"])
@pytest.mark.parametrize("z_stack", [False, True])
def test_propagation_of_a_perfect_model(prompt: str, z_stack: bool) -> None:
    task = prepare(moving_squares(z_stack=z_stack))
    found = propagate(MODEL, task, prompt, ThresholdSession)
    assert found.j == found.f == found.j_and_f == 1
    assert sorted(found.labels) == list(range(8))


def test_propagation_counts_frames_of_the_truth_only() -> None:
    task = prepare(moving_squares())
    result = propagate(MODEL, task, make_session=ThresholdSession)
    assert sorted(result.scores[1]) == [1, 2, 3, 4, 5, 6, 7]  # without the seed frame
    assert sorted(result.scores[4]) == [1, 2, 3, 4]  # the object leaves
    assert result.seconds_per_frame > 0


def test_propagation_skips_gaps_of_the_truth() -> None:
    sequence = moving_squares()
    sequence.labels[3][sequence.labels[3] == 1] = 0
    assert 3 not in propagate(MODEL, prepare(sequence), "mask", ThresholdSession).scores[1]


def test_an_object_that_was_lost_scores_nothing() -> None:
    sequence = moving_squares()
    sequence.images[4:] = 50
    scores = propagate(MODEL, prepare(sequence), "mask", ThresholdSession).scores[1]
    assert scores[3] == 1
    assert scores[4] == scores[7] == 0


def test_j_is_the_mean_of_the_objects_means() -> None:
    assert Propagation({1: {1: 1.0, 2: 0.0}, 2: {1: 1.0}, 3: {}}).j == pytest.approx(0.75)
    assert np.isnan(Propagation({1: {}}).j)


def test_copy_first() -> None:
    task = prepare(moving_squares(), frames=2, max_objects=1)  # a square of 6 px, 1 px a frame
    scores = copy_first_propagation(task).scores
    assert scores == {1: {1: pytest.approx(5 / 7), 2: pytest.approx(4 / 8)}}


def test_classical_beats_copying_where_things_are_bright() -> None:
    task = prepare(moving_squares())
    assert classical_propagation(task).j > copy_first_propagation(task).j + 0.1


def test_of_an_unknown_kind_the_better_threshold_counts() -> None:
    task = prepare(moving_squares())
    both = [classical_propagation(task, phase=phase).j for phase in (False, True)]
    assert classical_propagation(task, phase=None).j == max(both) > min(both)


def write_sequence(folder: Path, tracks: bool = False) -> None:
    folder.mkdir()
    sequence = moving_squares()
    tifffile.imwrite(folder / "images.tif", sequence.images)
    tifffile.imwrite(folder / "masks.tif", sequence.labels)
    if tracks:
        (folder / "tracks.txt").write_text("4 0 4 0\n")


def test_load_sequence(tmp_path: Path) -> None:
    write_sequence(tmp_path / "cells", tracks=True)
    write_sequence(tmp_path / "cells_z")
    assert [f.name for f in sequence_folders(tmp_path)] == ["cells", "cells_z"]
    lapse, stack = (load_sequence(f) for f in sequence_folders(tmp_path))
    assert (lapse.name, lapse.z_stack, lapse.tracks) == ("cells", False, (Track(4, 0, 4, 0),))
    assert (stack.z_stack, stack.tracks) == (True, ())
    assert np.array_equal(lapse.labels, moving_squares().labels)


def test_load_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no sequence"):
        sequence_folders(tmp_path)
    write_sequence(tmp_path / "cells")
    tifffile.imwrite(tmp_path / "cells" / "masks.tif", np.zeros((2, 60, 80), np.uint8))
    with pytest.raises(InputError, match="must be of one shape"):
        load_sequence(tmp_path / "cells")
    (tmp_path / "cells" / "images.tif").unlink()
    with pytest.raises(InputError, match=r"no images\.tif"):
        load_sequence(tmp_path / "cells")


def test_baselines_on_a_real_sequence(dev_data: Path) -> None:
    task = prepare(load_sequence(dev_data / "hela_nuclei"))
    assert len(task.objects) == 12
    assert len(task.images) == 21
    copied, classical = copy_first_propagation(task).j, classical_propagation(task).j
    assert 0.45 < copied < 0.65
    assert classical > 0.75


class Stubborn(ThresholdSession):
    """Shows nothing until the third click, and for one object never anything."""

    def add_points(self, object_id: int, frame: int, points: Any, positive: Any) -> Any:
        answer = super().add_points(object_id, frame, points, positive)
        count = sum(call[1] == object_id for call in self.calls)
        if count < 3 or object_id == 2:
            answer.mask = np.zeros_like(answer.mask)
        return answer


def test_clicks_are_counted_up_to_a_cap() -> None:
    task = prepare(moving_squares(), 5)
    assert set(clicks_needed(MODEL, task, make_session=ThresholdSession).values()) == {1}
    counts = clicks_needed(MODEL, task, cap=6, make_session=Stubborn)
    assert counts.pop(2) == 6
    assert set(counts.values()) == {3}
