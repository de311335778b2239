"""What scripts do to a session, with numbers of any kind and loops of any order."""

from __future__ import annotations

import multiprocessing
import sys

import numpy as np
import pytest

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.keeping import KeptSession
from napari_sam2.tracking.kept.session_file import SessionFile, load_session
from napari_sam2.tracking.kept.steps import LockObject, Propagate, SetPrompt
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.dividing import DIVIDES, centres, dividing_cell
from tests.tracking.toy import moving_disk, toy_model

LENGTH = 10
DISK = (30, 20)


@pytest.fixture
def session(micro) -> TrackingSession:
    return TrackingSession(micro, Frames(moving_disk(LENGTH)))


def current(session: TrackingSession) -> np.ndarray:
    return np.stack([session.result(t).labels for t in range(len(session.frames))])


def test_the_loop_of_the_readme_leaves_nothing_stale(session) -> None:
    masklets = np.zeros((LENGTH, 64, 96), np.uint16)
    session.add_points(1, 0, [DISK], [True])
    for result in session.propagate():
        masklets[result.frame] = result.labels
    session.add_points(1, 4, [[30, 32], [30, 45]], [True, False])
    total, frames = session.total_repaired(), []
    for result in session.repair():
        masklets[result.frame] = result.labels
        frames.append(result.frame)
    assert frames == [4, 1, 2, 3, *range(5, LENGTH)]
    assert len(frames) == total
    np.testing.assert_array_equal(masklets, current(session))
    session.end_object(1, 7)
    for result in session.repair():
        masklets[result.frame] = result.labels
    np.testing.assert_array_equal(masklets, current(session))
    assert not masklets[7].any()
    assert session.total_repaired() == 0
    assert list(session.repair()) == []


def test_the_loop_of_a_division_leaves_nothing_stale(micro) -> None:
    images, _ = dividing_cell()
    session = TrackingSession(micro, Frames(images))
    masklets = np.zeros(images.shape, np.uint16)
    session.add_points(1, 0, [centres(0)[0]], [True])
    for result in session.propagate():
        masklets[result.frame] = result.labels
    for daughter, centre in zip(session.divide(1, DIVIDES), centres(DIVIDES), strict=True):
        session.add_points(daughter, DIVIDES, [centre], [True])
    for result in session.repair():
        masklets[result.frame] = result.labels
    np.testing.assert_array_equal(masklets, current(session))
    assert set(np.unique(masklets[DIVIDES])) == {0, 2, 3}


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_following_again_from_the_same_prompts_is_the_same(attention) -> None:
    model = toy_model()
    policy = TrackingPolicy(attention=attention)
    session = TrackingSession(model, Frames(moving_disk(LENGTH)), policy)
    session.add_box(1, 4, [[18, 20], [42, 44]])
    session.add_box(2, 6, [[10, 30], [40, 60]])
    runs = []
    for _ in range(3):
        for _result in session.propagate():
            pass
        kept = [session.snapshot()[i].estimates[t].kept for i in (1, 2) for t in range(LENGTH)]
        runs.append([*current(session), *kept])
    for again in runs[1:]:
        for a, b in zip(runs[0], again, strict=True):
            np.testing.assert_array_equal(a, b)


def test_numbers_of_numpy_are_numbers(session, tmp_path) -> None:
    history = History(session)
    history.do(SetPrompt(np.uint8(255), np.int64(0), Prompt([DISK], [True])))
    history.do(Propagate("forward", stop=np.int64(3)))
    history.do(LockObject(np.uint8(255), np.bool_(True)))
    assert [type(i) for i in session.object_ids] == [int]
    KeptSession(tmp_path / "a.ns2.json").save(history, SessionFile.of(history, "micro"))
    assert load_session(tmp_path / "a.ns2.json").steps[0].object_id == 255
    session.add_prompts({np.uint8(254): {np.uint8(1): Prompt([[30, 23]], [True])}})
    assert session.divide(254, 2) == (256, 257)


def test_a_prompt_that_is_taken_back_within_the_loop(session) -> None:
    session.add_points(1, 0, [DISK], [True])
    session.add_points(2, 0, [[5, 80]], [True])
    frames = []
    for result in session.propagate("forward"):
        frames.append(result.frame)
        if result.frame == 3:
            session.clear_prompt(2, 0)
    assert frames == list(range(LENGTH))
    assert session.result(LENGTH - 1).labels.max() == 1


def test_an_object_that_is_named_twice_is_followed_once(session) -> None:
    session.add_points(1, 0, [DISK], [True])
    assert len(list(session.propagate(object_ids=[1, 1]))) == LENGTH


def test_nothing_is_added_if_one_prompt_cannot_be_used(session) -> None:
    good, bad, gone = Prompt([DISK], [True]), Prompt([[5, 5]], [False]), Prompt(absent=True)
    with pytest.raises(InputError, match="object 2 on frame 1: what is not the object"):
        session.add_prompts({1: {0: good}, 2: {1: bad, 4: good}})
    assert session.object_ids == []
    session.add_prompts({1: {0: good}})
    session.add_prompts({1: {3: bad}})  # of one that is known it says something
    before = session.result(0).labels
    with pytest.raises(InputError, match="no prompt on another frame"):
        session.add_prompts({1: {2: gone, 3: gone, 0: gone}, 2: {1: good}})
    assert {i: sorted(known) for i, known in session.prompts.items()} == {1: [0, 3]}
    np.testing.assert_array_equal(session.result(0).labels, before)


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (lambda s: s.add_mask(1, 0, np.full((64, 96), -3.2)), "logits > 0"),
        (lambda s: s.add_mask(1, 0, np.full((64, 96), np.nan)), "logits > 0"),
        (lambda s: s.add_mask(1, 0, np.arange(64 * 96).reshape(64, 96)), "labels == 1"),
        (lambda s: s.add_points(1, 0, [DISK], [-1]), "True and False only"),
        (lambda s: s.add_points(1, 0, [DISK], ["False"]), "True and False only"),
        (lambda s: s.add_points(1, 0, [[1, 2], [3]], [True, True]), "points must be numbers"),
        (lambda s: s.add_points(1, 0, "here", [True]), "points must be numbers"),
        (lambda s: s.add_box(1, 0, [[1, 2], [3]]), "box must be numbers"),
    ],
)
def test_what_is_no_prompt_is_refused(session, add, words) -> None:
    with pytest.raises(InputError, match=words):
        add(session)
    assert session.object_ids == []


def test_ones_and_zeros_are_true_and_false(session) -> None:
    mask = np.zeros((64, 96))
    mask[20:40, 10:30] = 1
    assert session.add_mask(1, 0, mask).mask.sum() == 400
    assert session.add_mask(2, 1, 255 * mask.astype(np.uint8)).mask.sum() == 400
    session.add_points(1, 2, [[30, 26]], [1])
    assert session.prompts[1][2].positive.tolist() == [True]


def _look_through(stack: np.ndarray, queue) -> None:
    frames = Frames(stack, contrast=(0, 255))
    for t in range(len(frames)):
        frames.expect(t)  # by the thread that reads ahead
        frames.image(t)
    queue.put(len(frames))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_reads_frames() -> None:
    stack = moving_disk(4)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    _look_through(stack, queue)
    assert queue.get(timeout=60) == 4
    child = context.Process(target=_look_through, args=(stack, queue), daemon=True)
    child.start()
    try:
        assert queue.get(timeout=60) == 4
    finally:
        child.kill()


def test_a_prompt_that_is_refused_leaves_the_one_before(session) -> None:
    session.add_points(1, 0, [DISK], [True])
    before = session.result(0).labels
    with pytest.raises(InputError, match="no prompt on another frame"):
        session.set_prompt(1, 0, Prompt(absent=True))
    assert session.prompts[1][0].points.tolist() == [list(DISK)]
    np.testing.assert_array_equal(session.result(0).labels, before)


def test_a_session_file_knows_the_ids_that_were_found(session, tmp_path) -> None:
    history = History(session)
    history.do(SetPrompt(65535, 0, Prompt([DISK], [True])))
    session.add_points(65536, 1, [[5, 80]], [True])  # as a look for new cells does
    KeptSession(tmp_path / "a.ns2.json").save(history, SessionFile.of(history, "micro"))
    assert load_session(tmp_path / "a.ns2.json").object_ids == [65535, 65536]


def test_points_are_on_the_object_unless_it_is_said(session, micro) -> None:
    other = TrackingSession(micro, session.frames)
    said = session.add_points(1, 0, [DISK], [True])
    np.testing.assert_array_equal(other.add_points(1, 0, DISK).mask, said.mask)
    assert other.prompts == session.prompts
    np.testing.assert_array_equal(
        other.preview(2, 1, [DISK]).mask, session.preview(2, 1, DISK).mask
    )


def test_a_frame_that_is_not_there_is_said_as_in_the_window(session) -> None:
    with pytest.raises(InputError, match=f"frame 99 does not exist; .* 0 to {LENGTH - 1}$"):
        session.result(99)


def test_what_is_printed_is_a_short_line(session) -> None:
    """A console shows what a call returns: no arrays, and not one number for each pixel."""
    preview = session.add_points(1, 0, [DISK], [True])
    *_, found = session.segment_everything(1, diameter=20)
    mask = Prompt(mask=preview.mask)
    pixels = int(preview.mask.sum())
    for shown, words in [
        (session, f"micro, Frames({LENGTH} x 64 x 96"),
        (session, "objects: 1"),
        (preview, f"object 1 on frame 0: {pixels} px, Quality(iou="),
        (session.result(0), "frame 0: 64 x 96 uint16 labels, objects: 1"),
        (found, f"cells: {len(found.cells)}"),
        (mask, f"Prompt(mask of {pixels} px)"),
        (Prompt([DISK], [True]), "Prompt(points=[[30.0, 20.0]], positive=[True])"),
        (Prompt(box=[[5, 6], [1, 2]]), "Prompt(box=[[1.0, 2.0], [5.0, 6.0]])"),
        (Prompt(absent=True), "Prompt(absent)"),
        (found.prompts(1), "px)}"),
        (session.view(1, 0), "View(corner="),
    ]:
        assert words in repr(shown)
        assert len(repr(shown)) < 200 + 100 * isinstance(shown, dict)
        assert "\n" not in repr(shown)


def test_results_are_compared_without_an_error(session) -> None:
    preview = session.add_points(1, 0, [DISK], [True])
    for one, other in [
        (preview, session.add_points(1, 0, [DISK], [True], replace=True)),
        (session.result(0), session.result(0)),
        (session.traces()[1], session.traces()[1]),
        (session.workload(), session.workload()),
    ]:
        assert one == one
        assert one != other
        assert len({one, other}) == 2
