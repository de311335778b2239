"""Real nuclei that divide: they are in the list to check, and their daughters are found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import tifffile

from napari_sam2 import Frames, TrackingSession, load_model
from napari_sam2.evaluation.metrics import jaccard
from napari_sam2.export.ctc import Track, read_tracks
from napari_sam2.widgets.notes import Notes
from napari_sam2.widgets.session.overview import Overview


@dataclass
class Followed:
    """Mothers of HeLa nuclei, each followed from her mask some frames before she divides."""

    session: TrackingSession
    truth: np.ndarray
    mothers: list[Track]
    daughters: dict[int, list[int]]


@pytest.fixture(scope="module")
def followed(dev_data) -> Followed:
    folder = dev_data / "hela_nuclei"
    images = tifffile.imread(folder / "images.tif")
    truth = tifffile.imread(folder / "masks.tif")
    tracks = read_tracks(folder / "tracks.txt")
    daughters: dict[int, list[int]] = {}
    for track in tracks:
        daughters.setdefault(track.parent, []).append(track.id)
    session = TrackingSession(load_model("micro", device="cpu"), Frames(images))
    mothers = []
    for track in tracks:
        start = max(track.first, track.last - 5)
        seed = truth[start] == track.id
        long = start < track.last - 1 and track.last < len(images) - 1
        if len(daughters.get(track.id, ())) == 2 and long and seed.any():
            session.add_mask(track.id, start, seed)
            mothers.append(track)
    assert len(mothers) == 14
    for mother in mothers:
        stop = min(mother.last + 5, len(images))
        for _ in session.propagate("forward", object_ids=[mother.id], stop=stop):
            pass
    return Followed(session, truth, mothers, daughters)


def test_divisions_are_in_the_list_to_check(followed):
    """A mitotic nucleus rounds up, and its daughters are small: the mother's area falls."""
    length = len(followed.truth)
    found = Overview(length, followed.session.traces(), {}, Notes())
    near = [
        any(found.doubt_at(m.id, t) for t in range(m.last - 1, min(m.last + 4, length)))
        for m in followed.mothers
    ]
    assert sum(near) >= 11
    assert len(found.order) <= 16  # and little else


def test_daughters_are_found(followed):
    right = []
    for mother in followed.mothers:
        frame = mother.last + 1
        pair = followed.session.find_daughters(mother.id, frame)
        if pair is None:
            continue
        a, b = (prompt.mask for prompt in pair)
        assert not (a & b).any()
        one, other = (followed.truth[frame] == i for i in followed.daughters[mother.id])
        straight = min(jaccard(a, one), jaccard(b, other))
        right.append(max(straight, min(jaccard(a, other), jaccard(b, one))))
    assert sum(iou >= 0.5 for iou in right) >= 9
    assert sum(iou < 0.3 for iou in right) == 0
