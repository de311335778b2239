"""Undo, redo, and a session that is written down and done again."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import blake2b
from itertools import islice

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept import history as history_module
from napari_sam2.tracking.kept import session_text
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.session_file import (
    ImageIdentity,
    SessionFile,
    load_session,
    save_session,
)
from napari_sam2.tracking.kept.session_text import SessionText
from napari_sam2.tracking.kept.steps import (
    AddPrompts,
    Propagate,
    RemoveObject,
    Repair,
    SetPrompt,
    Step,
)
from napari_sam2.tracking.kept.steps_json import step_as_json
from napari_sam2.tracking.masks.mask_text import mask_of, mask_text
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.prompts import load_prompts
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.toy import a_session, moving_disk

FRAMES = 10


def start(model, attention="windowed") -> History:
    return History(a_session(model, attention, moving_disk(FRAMES)))


def box(frame: int, dy: float = 0.0) -> Prompt:
    return Prompt(box=np.array([[18 + dy, 8 + 3 * frame], [42 + dy, 32 + 3 * frame]]))


def click(*places: tuple[float, float, bool]) -> Prompt:
    return Prompt([p[:2] for p in places], [p[2] for p in places])


def everything(session: TrackingSession) -> list[object]:
    """All that a user can see of a session."""
    results = [session.result(t) for t in range(FRAMES)]
    return [
        [r.labels.tobytes() for r in results],
        [r.quality for r in results],
        session.prompts,
        session.stale_frames(),
    ]


MASK = np.zeros((64, 96), bool)
MASK[20:40, 30:50] = True

STEPS: list[Step] = [
    SetPrompt(1, 0, box(0)),
    SetPrompt(2, 4, click((30, 32, True))),
    SetPrompt(2, 4, click((30, 32, True), (10, 60, False))),
    Propagate("both"),
    SetPrompt(1, 5, click((30, 35, True))),
    Repair(),
    SetPrompt(3, 7, Prompt(mask=MASK)),
    Propagate("forward", frames=3),
    SetPrompt(1, 5, None),
    Propagate("backward", start=1, stop=6, object_ids=(1,)),
    RemoveObject(2),
    AddPrompts({4: {2: box(2, 3), 6: box(6, 3)}}),
    Repair(object_ids=(1,)),
    Propagate("both"),
]


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_every_step_can_be_undone_and_done_again(model, attention):
    history = start(model, attention)
    states = [everything(history.session)]
    for step in STEPS:
        history.do(step)
        states.append(everything(history.session))
    assert history.undo() is not None
    for state, step in zip(states[-2:0:-1], STEPS[-2::-1], strict=True):
        assert everything(history.session) == state
        done = history.undo()
        assert done is not None
        assert done.step == step
    assert everything(history.session) == states[0]
    assert history.undo() is None
    for state, step in zip(states[1:], STEPS, strict=True):
        done = history.redo()
        assert done is not None
        assert done.step == step
        assert everything(history.session) == state
    assert history.redo() is None
    assert history.steps == STEPS


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(moves=st.lists(st.sampled_from(["do", "undo", "redo"]), min_size=8, max_size=30))
def test_after_any_undoing_the_steps_that_count_give_the_same(model, moves):
    history = start(model)
    waiting = iter(STEPS)
    for move in moves:
        if move != "do":
            getattr(history, move)()
            continue
        step = next(waiting, None)
        if step is None:
            break
        try:
            history.do(step)
        except InputError:  # the object was undone
            continue
    again = start(model)
    for step in history.steps:
        again.do(step)
    assert everything(again.session) == everything(history.session)


def test_a_propagation_ended_early_is_one_step_that_says_how_far(model):
    history = start(model)
    history.do(SetPrompt(1, 0, box(0)))
    before = everything(history.session)
    results = history.run(Propagate("forward"))
    assert [r.frame for r in islice(results, 4)] == [0, 1, 2, 3]
    results.close()
    assert history.steps[-1] == Propagate("forward", object_ids=(1,), frames=4)
    after = everything(history.session)
    history.undo()
    assert everything(history.session) == before
    history.redo()
    assert everything(history.session) == after
    again = start(model)
    for step in history.steps:
        again.do(step)
    assert everything(again.session) == after


def test_what_fails_leaves_no_step(model):
    history = start(model)
    with pytest.raises(InputError):
        history.do(SetPrompt(1, 99, box(0)))
    with pytest.raises(InputError):
        history.do(Propagate("both"))
    history.do(SetPrompt(1, 0, box(0)))
    before = everything(history.session)
    with pytest.raises(InputError):
        history.do(Propagate("both", object_ids=(1, 7)))
    results = history.run(Propagate("both"))
    results.close()
    assert history.steps == [SetPrompt(1, 0, box(0))]
    assert everything(history.session) == before


def test_a_new_step_ends_what_could_be_done_again(model):
    history = start(model)
    history.do(SetPrompt(1, 0, box(0)))
    history.undo()
    history.do(SetPrompt(2, 0, box(0)))
    assert history.redo() is None
    assert history.steps == [SetPrompt(2, 0, box(0))]


def test_the_oldest_steps_cannot_be_undone_but_still_count(model, monkeypatch):
    monkeypatch.setattr(history_module, "_MOST_STEPS", 3)
    history = start(model)
    for step in STEPS:
        history.do(step)
    undone = 0
    while history.undo():
        undone += 1
    assert undone == 3
    assert history.steps == STEPS[:-3]
    monkeypatch.setattr(history_module, "_MOST_BYTES", 1)
    history.do(STEPS[-3])
    history.do(STEPS[-2])
    assert history.undo() is not None
    assert history.undo() is None


def test_what_snapshots_take_beside_memories_counts(model, monkeypatch):
    history = start(model)
    history.do(SetPrompt(1, 0, box(0)))
    history.do(Propagate("forward"))
    for frame in range(2, 6):
        history.do(SetPrompt(1, frame, None))
    memories = history_module._bytes([history._past[-1]])
    monkeypatch.setattr(history_module, "_ENTRY_BYTES", 1 << 20)
    lists = history_module._bytes([history._past[-1]]) - memories
    assert lists > 2 * FRAMES << 19  # estimates, and how each frame was passed
    monkeypatch.setattr(history_module, "_MOST_BYTES", 3 * lists)
    history.do(SetPrompt(1, 7, None))
    assert len(history._past) < 4


def test_a_repair_keeps_only_what_it_changes(model):
    history = start(model)
    history.do(AddPrompts({i: {0: box(0, i)} for i in range(1, 4)}))
    history.do(Propagate("forward"))
    before = everything(history.session)
    history.do(SetPrompt(2, 4, click((30, 32, True))))
    stale = everything(history.session)
    history.do(Repair())
    assert set(history.last.before) == {2}
    history.undo()
    assert everything(history.session) == stale
    history.undo()
    assert everything(history.session) == before


def identity(history: History, path: str = "") -> SessionFile:
    return SessionFile(
        ImageIdentity.of(history.session.frames, path, "TZCYX", 1, {"Z": 3}),
        "toy",
        "00",
        tuple(history.steps),
        "windowed",
        None,
        {1: {"name": "mother", "locked": True}},
        slice_step=2.5,
    )


def test_a_session_file_is_read_as_it_was_written_and_replays(model, tmp_path):
    history = start(model)
    for step in STEPS:
        history.do(step)
    written = identity(history, "stack.tif")
    save_session(tmp_path / "a.ns2.json", written, history.session.prompts)
    read = load_session(tmp_path / "a.ns2.json")
    assert read == written
    again = start(model)
    frames = {}
    for step in read.steps:
        frames |= {result.frame: result.labels for result in again.do(step)}
    assert everything(again.session) == everything(history.session)
    for frame in range(FRAMES):  # what is written frame by frame is what stands at the end
        expected = history.session.result(frame).labels
        np.testing.assert_array_equal(frames.get(frame, np.zeros_like(expected)), expected)
    prompts = load_prompts(tmp_path / "a.ns2.json", (64, 96), FRAMES)
    assert prompts.objects == history.session.prompts


def test_all_that_decides_about_the_masks_is_in_the_state(model, tmp_path):
    history = start(model)
    history.do(STEPS[0])
    file = identity(history)
    others = [
        replace(file, fingerprint="01"),
        replace(file, zoom=2.0),
        replace(file, attention="exact"),
        replace(file, steps=tuple(STEPS[:2])),
        replace(file, image=replace(file.image, fingerprint="02")),
    ]
    states = [save_session(tmp_path / "a.ns2.json", one, {}) for one in (file, *others)]
    assert len(set(states)) == len(states)
    assert save_session(tmp_path / "b.ns2.json", replace(file, notes={}), {}) == states[0]


def test_what_was_written_before_is_not_made_again(model, tmp_path, monkeypatch):
    history, text, made = start(model), SessionText(), []
    one, other = tmp_path / "a.ns2.json", tmp_path / "b.ns2.json"

    def counted(step):
        made.append(step)
        return step_as_json(step)

    def saved() -> list[Step]:
        """Save both ways; returns the steps that the first had to make."""
        made.clear()
        prompts = history.session.prompts
        state = save_session(one, identity(history), prompts, text)
        new = [*made]
        assert state == save_session(other, identity(history), prompts)
        assert one.read_bytes() == other.read_bytes()
        assert load_session(one).state == state
        return new

    monkeypatch.setattr(session_text, "step_as_json", counted)
    for step in STEPS[:8]:
        history.do(step)
        assert saved() == [history.steps[-1]]
    assert saved() == []
    for _ in range(3):
        history.undo()
    assert saved() == []
    history.redo()
    history.do(SetPrompt(1, 5, None))
    assert saved() == history.steps[-2:]


def test_the_digest_is_that_of_earlier_versions(model, tmp_path):
    history = start(model)
    for step in STEPS[:2]:
        history.do(step)
    path = tmp_path / "a.ns2.json"
    for steps in ((), tuple(STEPS[:2])):
        state = save_session(path, replace(identity(history), steps=steps), {})
        content = json.loads(path.read_text())
        image = {k: v for k, v in content["image"].items() if k not in ("path", "axes")}
        parts = [image, content["model"]["fingerprint"], content["settings"], content["steps"]]
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        assert state == blake2b(text.encode(), digest_size=16).hexdigest()


def test_masks_of_prompts_are_not_packed_again(model, tmp_path, monkeypatch):
    history, text, packed = start(model), SessionText(), []
    monkeypatch.setattr(session_text, "mask_text", lambda mask: packed.append(1) or mask_text(mask))
    for i in range(1, 4):
        history.do(SetPrompt(i, 0, Prompt(mask=MASK)))
        packed.clear()
        save_session(tmp_path / "a.ns2.json", identity(history), history.session.prompts, text)
        assert len(packed) == 1
    history.do(SetPrompt(2, 0, None))
    save_session(tmp_path / "a.ns2.json", identity(history), history.session.prompts, text)
    prompts = load_prompts(tmp_path / "a.ns2.json", (64, 96), FRAMES)
    assert prompts.objects == history.session.prompts


def test_ids_of_all_objects_that_there_ever_are(model):
    file = replace(identity(start(model)), steps=tuple(STEPS))
    assert file.object_ids == [1, 2, 3, 4]


def test_another_image_is_told_from_the_one_that_was_saved(model):
    history = start(model)
    image = ImageIdentity.of(history.session.frames)
    stack = moving_disk(FRAMES)
    image.check(Frames(stack, contrast=(0, 100)))
    stack[FRAMES // 2, 5, 5] += 1
    with pytest.raises(InputError, match="other pixels"):
        image.check(Frames(stack))
    with pytest.raises(InputError, match="10 frames of 64 x 96 pixels"):
        image.check(Frames(stack[1:]))
    with pytest.raises(InputError, match="not the weights"):
        identity(history).check_model(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 99}, "update napari-sam2"),
        ({"steps": [{"do": "dance"}]}, "unknown kind 'dance'"),
        ({"steps": ["prompt"]}, "unknown kind"),
        ({"steps": [{"do": "prompt", "object": 1}]}, "step 1 .* damaged"),
        ({"steps": [{"do": "propagate", "start": "x"}]}, "no whole number"),
        ({"steps": [{"do": "propagate", "speed": 3}]}, "damaged"),
        ({"steps": [{"do": "prompt", "object": 1, "frame": 0, "prompt": {}}]}, "empty"),
        ({"image": {}}, "damaged"),
        ({"model": 3}, "damaged"),
        ({"notes": {"x": {}}}, "damaged"),
        ({"notes": {"1": {"accepted": None}}}, "damaged"),
    ],
)
def test_damaged_files_are_refused_in_words(model, tmp_path, change, words):
    path = tmp_path / "a.ns2.json"
    save_session(path, identity(start(model)), {})
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=words):
        load_session(path)


def test_a_prompts_file_is_no_session(tmp_path):
    (tmp_path / "p.json").write_text('{"version": 1, "objects": []}')
    with pytest.raises(InputError, match="is no session file"):
        load_session(tmp_path / "p.json")
    with pytest.raises(InputError, match="check the path"):
        load_session(tmp_path / "missing.ns2.json")


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_masks_survive_as_text(height, width, seed, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    text = json.loads(json.dumps(mask_text(mask)))
    np.testing.assert_array_equal(mask_of(text).whole(), mask)


@pytest.mark.parametrize(
    "change", [{"bits": "@@"}, {"bits": "AAAA"}, {"corner": [50, 0]}, {"size": [9, 9]}, {"size": 3}]
)
def test_damaged_masks_are_refused(change):
    with pytest.raises(InputError, match="cannot be read"):
        mask_of(mask_text(MASK) | change)
