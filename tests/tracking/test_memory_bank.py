from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam2.model.positions import TokenGrid
from napari_sam2.model.values import Memory
from napari_sam2.tracking.memory_bank import MemoryBank, Remembered
from tests.steps import steps


def item() -> Remembered:
    return Remembered(Memory(torch.zeros(1, 2, 1, 1), TokenGrid(1, 1)), torch.zeros(1, 4))


def bank(conditioning, tracked) -> MemoryBank:
    made = MemoryBank(num_memories=7, max_pointers=16)
    for t in tracked:
        made.remember(t, item(), conditioning=False)
    for t in conditioning:
        made.remember(t, item(), conditioning=True)
    return made


def test_forward_sees_the_conditioning_frame_and_the_last_six():
    chosen = bank([0], range(1, 20)).select(20, reverse=False, num_frames=100)
    assert chosen.memories == ((0, 6), (14, 5), (15, 4), (16, 3), (17, 2), (18, 1), (19, 0))
    assert chosen.pointers == ((0, 20.0), *((20 - d, float(d)) for d in range(1, 16)))
    assert chosen.horizon == 15


def test_backward_mirrors_forward_and_ignores_pointers_of_the_future():
    chosen = bank([30, 2], range(21, 30)).select(20, reverse=True, num_frames=100)
    assert chosen.memories[:2] == ((30, 6), (2, 6))
    assert [t for t, _ in chosen.memories[2:]] == [26, 25, 24, 23, 22, 21]
    assert (30, 10.0) in chosen.pointers
    assert all(t != 2 for t, _ in chosen.pointers)


def test_short_stacks_offer_fewer_pointers():
    chosen = bank([0], range(1, 8)).select(7, reverse=False, num_frames=4)
    assert chosen.horizon == 3
    assert [t for t, _ in chosen.pointers] == [0, 6, 5, 4]
    assert [bank([0], []).select(n - 1, False, n).horizon for n in (1, 2, 3)] == [1, 1, 2]


def test_a_prompt_on_a_tracked_frame_takes_its_place():
    made = bank([5], range(1, 9))
    assert 5 not in made.tracked
    assert (5, 6) in made.select(9, reverse=False, num_frames=20).memories


def test_eviction_keeps_all_that_the_next_frames_can_ask_for():
    made, whole = bank([0], []), bank([0], [])
    for t in range(1, 200):
        assert made.select(t, False, 500) == whole.select(t, False, 500)
        for each in (made, whole):
            each.remember(t, item(), conditioning=False)
        made.evict(t)
    assert len(made.tracked) <= 2 * 16 + 1
    assert sum(i.memory is not None for i in made.tracked.values()) <= 2 * 7 + 1
    # A new start from the conditioning frame, backward, asks for the frames right after it.
    assert made.select(0, True, 500) == whole.select(0, True, 500)


@given(
    st.sets(st.integers(0, 120), max_size=8),
    st.dictionaries(st.integers(0, 120), st.booleans()),
    st.integers(0, 120),
)
def test_eviction_goes_by_the_nearest_frame_that_is_asked_from(conditioning, tracked, frame):
    made = bank(conditioning, tracked)
    for t in tracked.keys() & made.tracked.keys():
        if not tracked[t]:
            made.remember(t, Remembered(None, made[t].pointer), conditioning=False)
    expected = {}
    for t, one in made.tracked.items():
        distance = min(abs(t - anchor) for anchor in (frame, *conditioning))
        if distance <= 16:
            expected[t] = (one.memory if distance <= 7 else None, one.pointer)
    made.evict(frame)
    assert made.tracked.keys() == expected.keys()
    for t, (memory, pointer) in expected.items():  # the same ones
        assert made.tracked[t].memory is memory
        assert made.tracked[t].pointer is pointer
    assert set(made.conditioning) == conditioning


def test_eviction_among_many_prompted_frames_costs_as_many_times_more():
    def evicting(prompted: int) -> int:
        some = range(0, 40 * prompted, 40)
        made = bank(some, (t + d for t in some for d in range(1, 17)))
        return steps(lambda: made.evict(40 * prompted))

    assert evicting(80) < 3 * evicting(40)  # if every frame met every other, 4 times


def test_a_copy_does_not_know_what_is_remembered_later():
    made = bank([0], [1])
    other = made.copy()
    made.remember(2, item(), conditioning=False)
    made.remember(3, item(), conditioning=True)
    made.jumps[2] = (1.0, 1.0)
    assert list(other.tracked) == [1]
    assert list(other.conditioning) == [0]
    assert not other.jumps
