"""Objects are found again where the picture jumped, and nothing else is taken for a jump."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.network import engine
from napari_sam2.tracking.network.looks import recollection
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.stack.jumps import STILL, Jumps, Shift, shift_between
from napari_sam2.tracking.windows import Window
from napari_sam2.training.samples import sample_timelapse, sample_zstack
from tests.tracking.toy import moving_disk, toy_model

HOST = torch.device("cpu")
JUMP, AT, BACK, LENGTH = (44, -52), 4, 8, 11
GRID = (20, 24)


def bumped(stack: np.ndarray) -> np.ndarray:
    """Look at a stack through a smaller frame, which is elsewhere from AT until before BACK."""
    y, x = JUMP
    height, width = stack.shape[1] - abs(y), stack.shape[2] - abs(x)
    here, there = (max(y, 0), max(x, 0)), (max(-y, 0), max(-x, 0))
    corners = [there if AT <= t < BACK else here for t in range(len(stack))]
    return np.stack(
        [s[r : r + height, c : c + width] for s, (r, c) in zip(stack, corners, strict=True)]
    )


def found(stack: np.ndarray, *, reverse: bool = False) -> dict[int, Shift]:
    """Jumps by the frame that they led to."""
    jumps = Jumps(Frames(stack, contrast=(0, float(stack.max()) or 1.0)), HOST)
    order = range(len(stack) - 1, -1, -1) if reverse else range(len(stack))
    looks = [jumps.look(t, reverse) for t in order]
    return {later: jump for later, jump in looks if jump != STILL}


@pytest.fixture(scope="module")
def timelapse() -> tuple[np.ndarray, np.ndarray]:
    return sample_timelapse(LENGTH)


@pytest.mark.parametrize("reverse", [False, True])
def test_jumps_are_found_and_measured(timelapse, reverse):
    jumps = found(bumped(timelapse[0]), reverse=reverse)
    assert jumps.keys() == {AT, BACK}
    assert np.abs(np.subtract(jumps[AT], JUMP)).max() <= 2
    assert np.abs(np.add(jumps[BACK], JUMP)).max() <= 2
    assert shift_between(jumps, 0, AT - 1) == shift_between(jumps, AT, BACK - 1) == (0, 0)
    assert shift_between(jumps, 1, AT) == shift_between(jumps, AT - 1, BACK - 1) == jumps[AT]
    assert shift_between(jumps, AT, AT - 1) == tuple(-n for n in jumps[AT])
    assert np.abs(shift_between(jumps, 0, LENGTH - 1)).max() <= 2


@pytest.mark.parametrize("stack", [sample_timelapse(LENGTH)[0], sample_zstack(LENGTH)[0]])
def test_what_only_moves_does_not_jump(stack):
    assert not found(stack)


@pytest.mark.parametrize(("part", "jumps"), [(0.25, 1), (-0.25, 1), (0.4, 0), (-0.4, 0)])
def test_what_jumps_too_far_to_be_sure_is_left_alone(timelapse, part, jumps):
    first = timelapse[0][0]
    second = np.roll(first, int(part * first.shape[0]), axis=0)
    assert len(found(np.stack([first, second]))) == jumps


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (1, 1), (7, 5)])
def test_odd_and_blank_frames_do_not_jump(shape):
    noise = np.random.default_rng(0).integers(0, 255, (3, *shape), np.uint8)
    noise[1] = 0
    assert not found(noise)


def test_colours_count(timelapse):
    stack = bumped(timelapse[0])
    colours = np.zeros((*stack.shape, 3), stack.dtype)
    colours[..., 1] = stack
    jumps = found((colours / 256).astype(np.uint8))
    assert np.abs(np.subtract(jumps[AT], JUMP)).max() <= 2


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def scores(session: TrackingSession, labels: np.ndarray, ids: list[int]) -> np.ndarray:
    """Mean IoU by frame."""
    of = [
        [overlap(session.result(t).labels == i, labels[t] == i) for i in ids] for t in range(LENGTH)
    ]
    return np.mean(of, axis=1)


@pytest.fixture(scope="module")
def clip(timelapse) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Images, labels, and objects that are whole all the time."""
    images, labels = (bumped(part) for part in timelapse)
    edge = np.ones(labels.shape[1:], bool)
    edge[3:-3, 3:-3] = False
    gone = {i for plane in labels for i in np.unique(plane[edge])}
    ids = [
        int(i)
        for i in np.unique(labels[0])
        if i not in gone and all((p == i).any() for p in labels)
    ]
    assert len(ids) >= 3
    return images, labels, ids


@pytest.mark.parametrize("start", [0, LENGTH - 1])
def test_objects_are_followed_through_jumps(micro, clip, start):
    images, labels, ids = clip
    session = TrackingSession(micro, Frames(images))
    for i in ids:
        session.add_mask(i, start, labels[start] == i)
    for _ in session.propagate("both"):
        pass
    assert scores(session, labels, ids).min() > 0.75
    before = [session.result(t).labels for t in range(LENGTH)]
    # A correction is followed through the jump, too.
    session.add_mask(ids[0], 5, labels[5] == ids[0])
    for _ in session.repair():
        pass
    assert scores(session, labels, ids[:1]).min() > 0.75
    for t in range(LENGTH):
        others = np.isin(before[t], ids[1:])
        np.testing.assert_array_equal(session.result(t).labels[others], before[t][others])


def two_discs(*paths: Callable[[int], tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """A bright disc and a dimmer one on an empty ground; paths give their centres by frame."""
    y, x = np.mgrid[:128, :192]
    labels = np.zeros((12, 128, 192), np.uint8)
    for t in range(len(labels)):
        for i, path in enumerate(paths, start=1):
            row, column = path(t)
            labels[t][(y - row) ** 2 + (x - column) ** 2 < 81] = i
    noise = np.random.default_rng(0).normal(30, 5, labels.shape)
    return (np.array([0, 170, 90])[labels] + noise).clip(0, 255).astype(np.uint8), labels


@pytest.mark.parametrize(
    ("bright", "dim"),
    [
        pytest.param(lambda t: (52, 60 + 6 * t), lambda t: (76, 130 - 6 * t), id="they pass"),
        pytest.param(lambda t: (56, 60 + 6 * t), lambda t: (72, 130 - 6 * t), id="they touch"),
        pytest.param(lambda t: (40, 30 + 12 * t), lambda t: (90, 130), id="one is still"),
    ],
)
def test_a_bright_cell_that_moves_takes_no_other_along(micro, bright, dim):
    images, labels = two_discs(bright, dim)
    assert found(images)  # it passes for the whole picture
    session = TrackingSession(micro, Frames(images))
    for i in (1, 2):
        session.add_mask(i, 0, labels[0] == i)
    for result in session.propagate("forward"):
        for i in (1, 2):
            assert overlap(result.labels == i, labels[result.frame] == i) > 0.8, (i, result.frame)


@pytest.fixture
def jumping(monkeypatch) -> TrackingSession:
    """The picture seems to jump to frame 4; whether objects do is said by `takes_along`."""
    session = TrackingSession(toy_model(), Frames(moving_disk(8)))
    monkeypatch.setattr(Jumps, "takes_along", lambda *_: True)

    def look(frame: int, reverse: bool) -> tuple[int, Shift]:
        later = frame + 1 if reverse else frame
        return later, (32.0, 0.0) if later == 4 else STILL

    monkeypatch.setattr(session._engine.jumps, "look", look)
    return session


def everything(session: TrackingSession) -> list[bytes]:
    known = session._objects[1].estimates
    return [known[t].kept.tobytes() for t in known]


def test_nothing_is_said_of_jumps_to_where_an_object_begins(jumping):
    jumping.add_box(1, 4, [[20, 10], [40, 30]])
    list(jumping.propagate("forward"))
    assert jumping._objects[1].bank.jumps == {}


@pytest.mark.parametrize("start", [3, 4, 5])
def test_what_is_still_after_all_does_not_jump(jumping, monkeypatch, start):
    jumping.add_box(1, start, [[20, 10], [40, 30]])
    list(jumping.propagate("both"))
    assert jumping._objects[1].bank.jumps == {4: (32.0, 0.0)}
    monkeypatch.setattr(Jumps, "takes_along", lambda *_: False)
    jumping.add_mask(1, 6, np.arange(64)[:, None] + np.zeros(96) > 40)
    list(jumping.repair() if start == 3 else jumping.propagate("both"))
    assert jumping._objects[1].bank.jumps == {}


@pytest.mark.parametrize("direction", ["forward", "both", "backward"])
def test_prompts_beyond_a_jump_give_the_same_masks_again(jumping, direction):
    """The first time it is not known yet that the later prompt lies beyond one."""
    jumping.add_box(1, 1, [[20, 10], [40, 30]])
    jumping.add_box(1, 6, [[20, 10], [40, 30]])
    list(jumping.propagate(direction))
    before = everything(jumping)
    list(jumping.propagate(direction))
    assert everything(jumping) == before


def test_memories_move_with_the_picture(monkeypatch):
    """Along the axis of the jump, and only along that."""
    session = TrackingSession(toy_model(), Frames(moving_disk(4)))
    session.add_box(1, 0, [[20, 10], [40, 30]])
    jumped = {1: (32.0, 0.0)}
    monkeypatch.setattr(
        session._engine.jumps, "look", lambda frame, reverse: (frame, jumped.get(frame, STILL))
    )
    monkeypatch.setattr(Jumps, "takes_along", lambda *_: True)
    moves = []

    def noted(looks, hidden, device, moved):
        moves.append(moved(looks[0], 0))
        return recollection(looks, hidden, device, moved)

    monkeypatch.setattr(engine, "recollection", noted)
    for _ in session.propagate("forward"):
        pass
    assert len(moves) == 3
    assert all(rows > 0 and columns == 0 for rows, columns in moves)


def test_whole_frames_are_as_published(micro, clip, monkeypatch):
    images, labels, ids = clip
    monkeypatch.setattr(Jumps, "look", None)  # it is not looked
    policy = TrackingPolicy(attention="exact")
    session = TrackingSession(micro, Frames(images), policy)
    session.add_mask(ids[0], 0, labels[0] == ids[0])
    for _ in session.propagate():
        pass


@given(st.integers(-90, 90), st.integers(-90, 90), st.integers(0, 12), st.integers(0, 14))
def test_a_mask_moves_with_the_picture(rows, columns, row, column):
    window = Window(row, column, 8, 10, GRID)
    logits = np.full((32, 40), -9.0, np.float32)
    logits[5:17, 8:30] = np.random.default_rng(0).uniform(1, 5, (12, 22))
    estimate = Estimate.of(window, torch.from_numpy(logits), Quality(0.9, 5.0, 0.9))
    moved = estimate.shifted(rows, columns)

    def on_frame(one: Estimate) -> np.ndarray:
        whole = np.zeros((4 * GRID[0], 4 * GRID[1]), bool)
        whole[one.window.slices(4)] = one.logits().numpy() > 0
        return whole

    expected = np.zeros_like(on_frame(estimate))
    y, x = np.nonzero(on_frame(estimate))
    y, x = y + rows, x + columns
    inside = (y >= 0) & (y < expected.shape[0]) & (x >= 0) & (x < expected.shape[1])
    expected[y[inside], x[inside]] = True
    np.testing.assert_array_equal(on_frame(moved), expected)
    assert 0 <= moved.window.row <= GRID[0] - 8
    assert 0 <= moved.window.column <= GRID[1] - 10
