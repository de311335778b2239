from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_sam2.evaluation.pictures import (
    BOTH,
    CLICK,
    FOUND,
    GAP,
    PALETTE,
    PANEL,
    TRUE,
    Picture,
    example,
    worst_objects,
)
from napari_sam2.evaluation.protocols import Propagation, propagate
from napari_sam2.evaluation.sequences import Task, prepare
from napari_sam2.tracking.errors import OutputError

from .fakes import MODEL, ThresholdSession, moving_squares


def followed(task: Task) -> Propagation:
    return propagate(MODEL, task, "mask", ThresholdSession)


def panels(picture: Picture) -> list[np.ndarray]:
    """The three panels, and nothing but white between them."""
    assert picture.pixels.shape == (PANEL, 3 * PANEL + 2 * GAP)
    starts = [n * (PANEL + GAP) for n in range(3)]
    for start in starts[1:]:
        assert (picture.pixels[:, start - GAP : start] == BOTH).all()
    return [picture.pixels[:, start : start + PANEL] for start in starts]


def test_outlines_agree_where_the_model_is_right() -> None:
    task = prepare(moving_squares())
    picture = example("cells", task, followed(task), followed(task))
    assert (picture.name, picture.score) == ("cells", 1)
    # The fourth square leaves after frame 4; the last frame still shows three of four.
    assert picture.caption == (
        "cells: J 1.00 from the clicks, 1.00 from the true masks; seed frame and 7 frames after it"
    )
    for panel in panels(picture):
        assert (panel == BOTH).any()
        assert not np.isin(panel, (TRUE, FOUND)).any()
    assert [bool((panel == CLICK).any()) for panel in panels(picture)] == [True, False, False]


def test_truth_and_answer_can_be_told_apart() -> None:
    task = prepare(moving_squares(), max_objects=1)
    right = followed(task)
    shifted = replace(right, labels={t: np.roll(x, 2, axis=0) for t, x in right.labels.items()})
    seed, clicked, drawn = panels(example("cells", task, shifted, right))
    for panel in (seed, clicked):
        assert (panel == TRUE).any()
        assert (panel == FOUND).any()
    assert not np.isin(drawn, (TRUE, FOUND)).any()
    # Two of six rows further down, by the same number of pixels in the picture.
    top = [np.nonzero((seed == kind) | (seed == BOTH))[0].min() for kind in (TRUE, FOUND)]
    side = 7 * 2 * np.sqrt(36 / np.pi)
    assert top[1] - top[0] == pytest.approx(2 * PANEL / round(side), abs=1)


def test_the_worst_objects_come_first_on_their_worst_frames() -> None:
    task = prepare(moving_squares())
    found = followed(task)
    scores = {i: dict(some) for i, some in found.scores.items()}
    scores[3] = dict.fromkeys(range(1, 8), 0.5) | {5: 0.1, 6: 0.1}
    scores[1][2] = 0.3
    pictures = worst_objects("cells", task, replace(found, scores=scores), found, most=2)
    assert [picture.name for picture in pictures] == ["cells-3", "cells-1"]
    assert pictures[0].score == pytest.approx((5 * 0.5 + 0.2) / 7)
    assert pictures[0].caption == (
        "cells, object 3: J 0.39 from the click, 1.00 from the true mask; "
        "seed frame and 5 frames after it"
    )
    assert pictures[1].caption.endswith("2 frames after it")


def test_slices_before_the_seed() -> None:
    task = prepare(moving_squares(z_stack=True), 4)
    found = followed(task)
    scores = {1: {t: 0.2 if t == task.seed - 1 else 1.0 for t in found.scores[1]}}
    (picture,) = worst_objects("cells_z", task, replace(found, scores=scores), found)
    assert picture.caption.endswith("1 slice before it")


def test_a_small_file_of_few_colours(tmp_path: Path) -> None:
    noisy = moving_squares()
    rng = np.random.default_rng(0)
    noisy.images[:] = np.clip(noisy.images + rng.normal(0, 20, noisy.images.shape), 0, 255)
    task = prepare(noisy)
    picture = example("cells", task, followed(task), followed(task))
    path = picture.save(tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "cells.png"
    assert path.stat().st_size < 70_000
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), picture.pixels)
        colours = np.asarray(image.convert("RGB"))
    assert np.array_equal(colours, np.array(PALETTE)[picture.pixels])


def test_a_flat_image_and_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    sequence = moving_squares()
    task = prepare(sequence)
    found = followed(task)
    flat = replace(task, images=np.full_like(task.images, 7))
    picture = example("flat", flat, found, found)
    assert (picture.pixels == BOTH).any()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"flat\.png"):
        picture.save(tmp_path / "file")
