"""What is done for many objects is done for all at once, and comes out as for each alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from napari_sam2.model.config import MICRO
from napari_sam2.model.positions import TokenGrid
from napari_sam2.model.values import Memory
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.masks.resampling import Patch, moved, patches_to_data, to_data
from napari_sam2.tracking.memory_bank import MemoryBank, Remembered, Selection
from napari_sam2.tracking.network.looks import Look, alike, last_masks
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.windows import Window, levels
from tests.tracking.toy import a_session, moving_disk, toy_model

FRAMES, RADIUS = 6, 9


class Count(TorchDispatchMode):
    """How many operations torch is asked for."""

    calls = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.calls += 1
        return function(*args, **(kwargs or {}))


def calls_of_a_frame(objects: int) -> int:
    """Operations to follow disks that stand still to the last frame."""
    y, x = np.mgrid[:128, :640]
    centres = [(32 + 64 * (i % 2), 30 + 60 * (i // 2)) for i in range(20)]
    masks = [(y - a) ** 2 + (x - b) ** 2 < RADIUS**2 for a, b in centres]
    image = (30 + 180 * np.any(masks, axis=0)).astype(np.uint8)
    session = TrackingSession(toy_model(), Frames(np.stack([image] * FRAMES), contrast=(0, 255)))
    session.add_prompts({i: {0: Prompt(mask=m)} for i, m in enumerate(masks[:objects], start=1)})
    results = session.propagate("forward")
    for _ in range(FRAMES - 1):
        next(results)
    with Count() as count:
        next(results)
    return count.calls


def test_a_frame_asks_hardly_more_of_torch_for_more_objects():
    few, many = calls_of_a_frame(4), calls_of_a_frame(20)
    # Copies of the memory, the pointer and the mask, each with its slice.
    assert many - few <= 16 * 8


def estimates(seed: int, geometry, count: int) -> list[Estimate]:
    """Random masks in random windows, some at the window's rim, some empty."""
    rng = np.random.default_rng(seed)
    rows, columns = geometry.tokens
    found = []
    for _ in range(count):
        h, w = int(rng.integers(1, min(rows, 6) + 1)), int(rng.integers(1, min(columns, 6) + 1))
        window = Window(
            int(rng.integers(0, rows - h + 1)), int(rng.integers(0, columns - w + 1)), h, w,
            (rows, columns),
        )  # fmt: skip
        logits = torch.full((4 * h, 4 * w), -6.0)
        y, x = int(rng.integers(0, 4 * h)), int(rng.integers(0, 4 * w))
        part = logits[y : y + int(rng.integers(0, 9)), x : x + int(rng.integers(0, 9))]
        part[:] = torch.from_numpy(rng.normal(1, 4, part.shape))
        found.append(Estimate.of(window, logits, Quality(0.8, 2.0, 0.9)))
    return found


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(20, 400), st.integers(20, 400), st.integers(0, 8))
def test_patches_are_resampled_as_their_windows(seed, y, x, k):
    found = levels(MICRO, (y, x), "windowed")
    geometry = found[min(k, len(found) - 1)]
    some = [e for e in estimates(seed, geometry, 5) if e.kept.size]
    if not some:
        return
    laid = patches_to_data(geometry, [Patch(e.window, e.corner, e.kept) for e in some])
    for estimate, (place, values) in zip(some, laid, strict=True):
        wanted = np.full((y, x), -np.inf, np.float32)
        if not estimate.window.is_whole:
            whole_place, whole_values = to_data(geometry, estimate.window, estimate.logits())
            wanted[whole_place] = whole_values
            np.testing.assert_allclose(values, wanted[place], atol=2e-3)
            wanted[place] = -np.inf
            assert (wanted < 0).all()  # nothing of the mask lies elsewhere


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_masks_seen_last_are_laid_into_windows_as_each_alone(seed):
    rng = np.random.default_rng(seed)
    coarse, fine = levels(MICRO, (200, 300), "windowed")[-2:]
    last = [*estimates(seed, fine, 4), *estimates(seed, coarse, 2)]
    rows, columns = fine.tokens
    windows = [
        Window(int(rng.integers(0, rows - 4)), int(rng.integers(0, columns - 4)), 4, 4, fine.tokens)
        for _ in last
    ]
    bank, nothing = MemoryBank(7, 16), Selection((), (), 1)
    looks = [Look(bank, w, nothing, e) for w, e in zip(windows, last, strict=True)]
    for laid, window, estimate in zip(last_masks(looks), windows, last, strict=True):
        assert torch.equal(laid, moved(estimate.logits(), estimate.window, window))


def test_magnifications_asked_together_answer_as_each_alone():
    stack = moving_disk(1, (150, 230))
    prompt = Prompt(points=np.array([[30.0, 20.0], [60.0, 90.0]]), positive=np.array([True, False]))

    def asked(*groups):
        engine = TrackingSession(toy_model(), Frames(stack, contrast=(0, 255)))._engine
        levels = [*engine.levels.values()]
        with torch.inference_mode():
            return [
                one
                for some in groups or [[i] for i in range(len(levels))]
                for one in engine.hypotheses(0, prompt, [levels[i] for i in some])
            ]

    alone = asked()
    # The coarse ones have smaller windows; one is known already.
    together = asked([2], range(len(alone)))[1:]
    assert len({(one.window.height, one.window.width) for one in alone}) > 1
    for one, other in zip(together, alone, strict=True):
        assert one.window == other.window
        torch.testing.assert_close(one.logits, other.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.iou, other.iou, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.object_score, other.object_score, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.pointers, other.pointers, rtol=1e-4, atol=1e-4)


def test_boxes_asked_together_are_answered_as_each_alone():
    """Whatever the sizes of their windows."""
    engine = a_session(toy_model())._engine
    boxes = [
        np.array(box, float) for box in ([[20, 10], [40, 30]], [[2, 2], [60, 90]], [[5, 5]] * 2)
    ]
    windows = [engine.prompt_window(Prompt(box=box), None, None) for box in boxes]
    assert len({(w.height, w.width) for w in windows}) > 1
    for window, box, (logits, iou) in zip(
        windows, boxes, engine.boxed(0, windows, boxes), strict=True
    ):
        alone = engine.answer(0, window, Prompt(box=box), None, None)
        torch.testing.assert_close(logits, alone.best_logits[0], rtol=1e-4, atol=1e-4)
        assert iou == pytest.approx(float(alone.best_iou), abs=1e-4)


def remembering(side: int) -> MemoryBank:
    """A bank with one memory, that of a window with a side of so many tokens."""
    bank = MemoryBank(7, 16)
    memory = Memory(torch.zeros(1, 8, side, side), TokenGrid(side, side))
    bank.remember(0, Remembered(memory, torch.zeros(1, 32)), conditioning=True)
    return bank


def test_only_windows_and_memories_of_one_size_and_level_share_a_batch():
    fine, coarse = Window(0, 0, 12, 12, (32, 32)), Window(0, 0, 12, 12, (16, 16))
    pairs = [(12, fine), (8, fine), (12, coarse), (12, fine)]
    banks = [(remembering(side), window) for side, window in pairs]
    looks = [Look(bank, window, bank.select(1, False, 5)) for bank, window in banks]
    assert alike(looks) == [[0, 3], [1], [2]]
