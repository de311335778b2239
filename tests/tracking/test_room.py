"""Where memory runs out: smaller batches, fewer encodings, then the CPU, said out loud."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.network.room import Room, out_of_memory, tokens_at_once
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.windows import Window
from tests.tracking.toy import moving_disk, toy_model


def full() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (full(), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("MPS backend out of memory (allocated 9 GB)"), True),
        (RuntimeError("Out of memory allocating 9 GB"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_are_about_memory(error, answer):
    assert out_of_memory(error) == answer


def test_batches_are_halved_and_the_result_is_the_same():
    def run(most: int | None):
        frames = Frames(moving_disk(4), contrast=(0, 255))
        session = TrackingSession(toy_model(), frames)
        for i in range(5):
            session.add_box(i + 1, 0, [[18, 8 + i], [42, 32 + i]])
        engine, seen = session._engine, []
        track_batch = engine._track_batch

        def limited(frame, looks):
            if most is not None and len(looks) > most:
                raise full()
            seen.append(len(looks))
            return track_batch(frame, looks)

        engine._track_batch = limited
        for _ in session.propagate("forward"):
            pass
        estimates = [session._objects[i + 1].estimates[t] for i in range(5) for t in range(4)]
        return [(e.window, e.logits()) for e in estimates], seen

    expected, whole = run(None)
    with pytest.warns(RuntimeWarning, match="on cpu: going on with fewer objects") as said:
        found, parts = run(2)
    assert len(said) == 1
    assert max(whole) == 5
    assert max(parts) == 2
    # Not labels: who owns a pixel that two random masks claim alike is a matter of rounding.
    for (window, logits), (other, again) in zip(expected, found, strict=True):
        assert window == other
        torch.testing.assert_close(logits, again, atol=1e-3, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:out of memory")
def test_every_item_of_a_batch_is_computed_in_its_order():
    room = Room(SimpleNamespace(device=torch.device("cpu")), SimpleNamespace(), 5 * 64)
    seen = []

    def squares(items):
        if len(items) > 2:
            raise full()
        seen.append(list(items))
        return [item**2 for item in items]

    window = Window(0, 0, 8, 8, (8, 8))
    assert list(room.in_batches(range(12), window, squares)) == [k**2 for k in range(12)]
    assert [k for some in seen for k in some] == list(range(12))
    assert room.batch_tokens < 5 * 64
    seen.clear()
    list(room.in_batches(range(3), Window(0, 0, 64, 64, (64, 64)), squares))
    assert seen == [[0], [1], [2]]  # one is always tried


class Machine:
    """A model on a card that has room for nothing, with a host that has."""

    def __init__(self, room_on_host: bool = True) -> None:
        self.device = torch.device("cuda")
        self.room_on_host = room_on_host
        self.forgotten = 0

    def to(self, device):
        self.device = torch.device(device)

    def forget(self):
        self.forgotten += 1

    def compute(self):
        if self.device.type == "cuda" or not self.room_on_host:
            raise full()
        return "done"


def test_in_the_end_the_cpu_takes_over_and_that_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    machine = Machine()
    with pytest.warns(RuntimeWarning, match="going on with the CPU"):
        assert Room(machine, machine, 64).attempt(machine.compute) == "done"
    assert machine.device.type == "cpu"
    assert machine.forgotten == 2


def test_jumps_are_then_looked_for_on_the_cpu_too(monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    session = TrackingSession(toy_model(), Frames(moving_disk(4), contrast=(0, 255)))
    engine, machine, seen = session._engine, Machine(), []
    engine.model, engine.room = machine, Room(machine, machine, 64)
    engine.jumps.device = machine.device  # as it was when the session was opened
    small = engine.frames.small

    def limited(index, step, device):
        seen.append(device.type)
        machine.compute()
        return small(index, step, torch.device("cpu"))

    engine.frames.small = limited
    with pytest.warns(RuntimeWarning, match="going on with the CPU"):
        assert engine.jump(1, reverse=False) == (1, (0.0, 3.0))
    assert seen[0] == "cuda"
    seen.clear()
    engine.jump(3, reverse=False)
    engine.takes_along(1, (0, 40), False, (20, 10, 40, 30))
    assert set(seen) == {"cpu"}


def test_what_the_cpu_has_no_room_for_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    machine = Machine(room_on_host=False)
    with pytest.warns(RuntimeWarning), pytest.raises(torch.OutOfMemoryError):
        Room(machine, machine, 64).attempt(machine.compute)


def test_other_errors_pass_at_once():
    calls = []

    def compute():
        calls.append(1)
        raise ValueError("no")

    room = Room(SimpleNamespace(device=torch.device("cpu")), SimpleNamespace(), 64)
    with pytest.raises(ValueError, match="no"):
        room.attempt(compute)
    assert calls == [1]


@pytest.mark.parametrize(
    ("free", "tokens"), [(1 << 20, 4096), (2 << 30, 8192), (8 << 30, 32768), (80 << 30, 65536)]
)
def test_batches_follow_the_free_memory_of_a_gpu(monkeypatch, free, tokens):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 << 30))
    assert tokens_at_once(torch.device("cuda")) == tokens
    assert tokens_at_once(torch.device("cpu")) == 4096


@pytest.mark.filterwarnings("ignore:out of memory")
def test_once_a_size_fits_it_is_kept():
    room = Room(SimpleNamespace(device=torch.device("cpu")), SimpleNamespace(), 160 * 64)
    failures = []

    def compute(items):
        if len(items) > 80:
            failures.append(len(items))
            raise full()
        return list(items)

    found = list(room.in_batches(range(1600), Window(0, 0, 8, 8, (8, 8)), compute))
    assert found == list(range(1600))
    assert failures == [160]
    assert room.batch_tokens == 80 * 64
