"""All cells of a frame without a click: what is found, what is left out, what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from skimage.measure import label

from napari_sam2.evaluation.metrics import jaccard
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.everything import Found
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.weights import load_model


def discs(centres: list[tuple[int, int]], radius: int = 9, size: int = 128) -> np.ndarray:
    """Bright discs on noise, uint8 (2, Y, X)."""
    y, x = np.mgrid[:size, :size]
    stack = np.random.default_rng(0).integers(20, 50, (2, size, size)).astype(np.uint8)
    for cy, cx in centres:
        stack[:, (y - cy) ** 2 + (x - cx) ** 2 <= radius**2] += 120
    return stack


CENTRES = [(25, 30), (30, 90), (70, 60), (95, 25), (100, 100)]


@pytest.fixture(scope="module")
def model():
    return load_model("micro", device="cpu")


@pytest.fixture
def session(model) -> TrackingSession:
    return TrackingSession(model, Frames(discs(CENTRES), contrast=(0, 255)))


def last(items) -> Found:
    *_, found = items
    return found


def hits(found: Found, truth: list[np.ndarray]) -> tuple[float, float]:
    """Recall and precision at an IoU of 0.5."""
    table = np.array([[jaccard(cell.mask, mask) for cell in found.cells] for mask in truth])
    return float((table.max(axis=1) > 0.5).mean()), float((table.max(axis=0) > 0.5).mean())


def test_every_disc_is_found_once_and_the_session_stays_as_it_is(session):
    found = last(session.segment_everything(1))
    truth = label(discs(CENTRES)[1] > 100)
    assert hits(found, [truth == i for i in range(1, 6)]) == (1.0, 1.0)
    assert found.done == found.total
    qualities = [cell.quality for cell in found.cells]
    assert qualities == sorted(qualities, reverse=True)
    assert sum(cell.mask for cell in found.cells).max() == 1  # no pixel twice
    assert session.object_ids == []
    prompts = found.prompts(1, first_id=4)
    assert sorted(prompts) == [4, 5, 6, 7, 8]
    session.add_prompts(prompts)
    assert set(np.unique(session.result(1).labels)) == {0, 4, 5, 6, 7, 8}


def test_what_is_taken_is_left_out(session):
    taken = label(discs(CENTRES)[0] > 100)
    taken[taken > 3] = 0
    found = last(session.segment_everything(0, taken=taken))
    assert len(found.cells) == 2
    assert not any((cell.mask & (taken > 0)).any() for cell in found.cells)


def test_a_known_size_and_a_limit(session):
    assert len(last(session.segment_everything(0, diameter=18)).cells) == 5
    assert len(last(session.segment_everything(0, most=2)).cells) == 2


def test_it_can_be_left_at_any_time(session):
    steps = session.segment_everything(0)
    first = next(steps)
    assert first.done <= first.total
    steps.close()
    assert session.object_ids == []


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_nothing_is_found_where_nothing_is(model, attention):
    noise = Frames(discs([]), contrast=(0, 255))
    session = TrackingSession(model, noise, TrackingPolicy(attention=attention))
    assert len(last(session.segment_everything(0)).cells) <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"frame": 2}, "frame 2 does not exist"),
        ({"frame": 0, "diameter": 0}, "diameter"),
        ({"frame": 0, "least_quality": 2}, "from 0 to 1"),
        ({"frame": 0, "most": 0}, "1 or more"),
        ({"frame": 0, "taken": np.zeros((3, 3))}, "shape"),
    ],
)
def test_unusable_arguments_are_refused(session, arguments, words):
    with pytest.raises(InputError, match=words):
        last(session.segment_everything(**arguments))


@pytest.mark.parametrize("name", ["hela_nuclei", "stardist_nuclei_z", "simulated_nuclei"])
def test_real_nuclei_are_found(model, dev_data, name):
    images = tifffile.imread(dev_data / name / "images.tif")
    truth = tifffile.imread(dev_data / name / "masks.tif")
    frame = int(np.argmax([len(np.unique(t)) for t in truth])) if name.endswith("_z") else 0
    ids = [i for i in np.unique(truth[frame]) if i and (truth[frame] == i).sum() >= 30]
    session = TrackingSession(model, Frames(images))
    recall, precision = hits(
        last(session.segment_everything(frame)), [truth[frame] == i for i in ids]
    )
    assert recall >= 0.75
    assert precision >= 0.85
