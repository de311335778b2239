"""In a volume over time: what is done while another plane is on screen than objects are in."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import SMALL, blobs

PLANE, OTHER = 2, 3


@pytest.fixture
def volume(open_desk):
    """An object, clicked on frame 0 of plane 2; the slider is at plane 3 of frame 2."""
    data = np.stack([blobs()] * 5, axis=1)
    desk = open_desk(data, axis_labels=("t", "z", "y", "x"))
    desk.point(0, *SMALL)
    desk.done()
    assert desk.layers.geometry.fixed == {1: PLANE}
    look(desk, 2, OTHER)
    return desk


def look(desk, frame: int, plane: int) -> None:
    desk.viewer.dims.set_current_step((0, 1), (frame, plane))


def stroke(desk, frame: int, plane: int) -> None:
    """Paint over the object with the brush, as the mouse would."""
    labels = desk.layers.labels
    labels.brush_size = 10
    labels.paint((frame, plane, SMALL[0], SMALL[1] + 6), 1)
    desk.done()


def test_strokes_are_taken_back_and_said(volume):
    before = {t: dict(some) for t, some in volume.prompts.items()}
    shown = volume.layers.labels.data.copy()
    for frame in (2, 0):
        stroke(volume, frame, OTHER)
        assert "plane at index 2 of axis 1" in volume.status
        assert volume.prompts == before
        np.testing.assert_array_equal(volume.layers.labels.data, shown)
    volume.widget.undo()  # the click, and nothing that is not seen
    volume.done()
    assert not volume.prompts


def test_of_a_stroke_through_planes_the_one_that_is_followed_counts(volume):
    volume.layers.labels.n_edit_dimensions = 4
    stroke(volume, 0, OTHER)
    data = volume.layers.labels.data
    assert data[0, PLANE].any()
    assert volume.prompts[1][0].painted is not None
    data = data.copy()
    data[:, PLANE] = 0
    assert not data.any()


@pytest.mark.parametrize("what", ["end", "accept", "find", "split", "divide"])
def test_what_is_about_the_frame_on_screen_is_refused(volume, what):
    widget, before = volume.widget, volume.layers.labels.data.copy()
    look(volume, 0, OTHER)
    bench = widget.workbench
    {
        "end": bench.prompting.end_here,
        "accept": widget.panels.review.accept,
        "find": lambda: bench.seeding.find_all(20.0),
        "split": widget.panels.editor.split,
        "divide": bench.dividing.divide,
    }[what]()
    volume.done()
    assert "plane at index 2 of axis 1" in volume.status
    assert list(volume.prompts) == [1]
    assert list(volume.prompts[1]) == [0]
    np.testing.assert_array_equal(volume.layers.labels.data, before)


def test_going_to_a_frame_goes_to_the_plane(volume):
    volume.widget.panels.review.go_to(1, 0)
    assert volume.viewer.dims.current_step[:2] == (0, PLANE)
