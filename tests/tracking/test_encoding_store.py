"""Encodings on disk: found again, bounded, and never believed when broken or another's."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.network.encoding_store import EncodingStore
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.session import TrackingSession
from tests.tracking.toy import toy_model


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 255, (4, 60, 80), np.uint8)


def maps(value=1.0):
    return tuple(torch.full((1, 2, n, n), value) for n in (2, 4, 8))


def track(model, stack, folder):
    policy = TrackingPolicy(attention="exact", encodings=folder)
    session = TrackingSession(model, Frames(stack, contrast=(0, 255)), policy)
    session.add_points(1, 0, [[30, 40]], [True])
    return np.stack([result.labels for result in session.propagate()])


def counted(model, monkeypatch):
    made = []
    encode = model.encode_image
    monkeypatch.setattr(model, "encode_image", lambda x: made.append(len(x)) or encode(x))
    return made


def test_a_stack_that_is_opened_again_is_not_encoded_again(stack, tmp_path, monkeypatch):
    model = toy_model()
    made = counted(model, monkeypatch)
    first = track(model, stack, tmp_path / "new")
    assert sum(made) == 4
    again = track(model, stack, tmp_path / "new")
    assert sum(made) == 4
    np.testing.assert_array_equal(first, again)


def test_other_frames_and_other_weights_are_encoded(stack, tmp_path, monkeypatch):
    model = toy_model()
    track(model, stack, tmp_path)
    made = counted(model, monkeypatch)
    changed = stack.copy()
    changed[2] = 255 - changed[2]
    track(model, changed, tmp_path)
    assert sum(made) == 1
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    track(model, stack, tmp_path)
    assert sum(made) == 5


def test_a_broken_file_is_made_again(stack, tmp_path, monkeypatch):
    model = toy_model()
    first = track(model, stack, tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    made = counted(model, monkeypatch)
    np.testing.assert_array_equal(track(model, stack, tmp_path), first)
    assert sum(made) == 4


def test_the_oldest_go_when_the_folder_is_full(tmp_path):
    store = EncodingStore(tmp_path, toy_model(), most=2_000)
    paths = [store.path(torch.full((1, 3, 32, 32), float(k))) for k in range(5)]
    for age, path in enumerate(paths):
        store.keep(path, maps())
        os.utime(path, (age, age))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2_000
    assert paths[-1].exists()
    assert not paths[0].exists()


def test_a_disk_that_takes_nothing_is_said_once_and_changes_no_result(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    store = EncodingStore(blocked / "folder", toy_model())
    with pytest.warns(UserWarning, match="no longer kept"):
        store.keep(store.path(torch.zeros(1, 3, 32, 32)), maps())
    kept = store.keep(store.path(torch.ones(1, 3, 32, 32)), maps(0.1))
    assert float(kept[0].max()) == pytest.approx(0.1, abs=1e-4)


def test_values_that_half_precision_cannot_hold_are_not_kept(tmp_path):
    store = EncodingStore(tmp_path, toy_model())
    path = store.path(torch.zeros(1, 3, 32, 32))
    assert float(store.keep(path, maps(1e6))[0].max()) == 1e6
    assert not path.exists()


def test_a_store_that_is_only_read_is_used(tmp_path, monkeypatch):
    store = EncodingStore(tmp_path, toy_model())
    path = store.path(torch.zeros(1, 3, 32, 32))
    store.keep(path, maps())

    def refuse(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    found = store.load(path)
    assert found is not None
    assert torch.equal(found[0], maps()[0])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_others_may_read_what_is_kept(tmp_path):
    store = EncodingStore(tmp_path, toy_model())
    path = store.path(torch.zeros(1, 3, 32, 32))
    before = os.umask(0o022)
    try:
        store.keep(path, maps())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert [*tmp_path.iterdir()] == [path]


def test_what_was_used_last_stays_when_the_folder_is_full(tmp_path):
    store = EncodingStore(tmp_path, toy_model(), most=1_500)  # two files
    old, new, newest = (store.path(torch.full((1, 3, 32, 32), float(k))) for k in range(3))
    for age, path in enumerate((old, new)):
        store.keep(path, maps())
        os.utime(path, (age, age))
    assert store.load(old) is not None
    store.keep(newest, maps())
    assert old.exists()
    assert not new.exists()


def test_what_another_job_removes_meanwhile_is_passed_over(tmp_path):
    store = EncodingStore(tmp_path, toy_model())
    try:
        (tmp_path / f"{'0' * 32}.safetensors").symlink_to(tmp_path / "nowhere")
    except OSError:
        pytest.skip("no permission to make links")
    path = store.path(torch.zeros(1, 3, 32, 32))
    store.keep(path, maps())
    assert path.exists()


def test_parts_that_nobody_completes_go(tmp_path):
    old, new = (tmp_path / f"{'0' * 32}-{letter * 32}.part" for letter in "ab")
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    store = EncodingStore(tmp_path, toy_model())
    store.keep(store.path(torch.zeros(1, 3, 32, 32)), maps())
    assert not old.exists()
    assert new.exists()


def test_files_of_the_user_stay(tmp_path):
    names = ("my_unet.safetensors", "movie.mkv.part", "00.safetensors", f"{'0' * 32}.part")
    own = [tmp_path / name for name in names]
    for file in own:
        file.write_bytes(b"x" * 3_000)
        os.utime(file, (0, 0))
    store = EncodingStore(tmp_path, toy_model(), most=2_000)
    for k in range(5):
        store.keep(store.path(torch.full((1, 3, 32, 32), float(k))), maps())
    assert all(file.exists() for file in own)
    kept = {*tmp_path.iterdir()} - {*own}  # theirs do not count for the room, either
    assert 0 < sum(file.stat().st_size for file in kept) <= 2_000


def test_the_folder_is_not_looked_through_for_every_frame(tmp_path, monkeypatch):
    looks, glob = [], Path.glob
    monkeypatch.setattr(Path, "glob", lambda *args: looks.append(1) or glob(*args))
    store = EncodingStore(tmp_path, toy_model(), most=40_000)  # some sixty files
    for k in range(50):
        store.keep(store.path(torch.full((1, 3, 32, 32), float(k))), maps())
    assert len(looks) < 20
    for k in range(50, 100):
        store.keep(store.path(torch.full((1, 3, 32, 32), float(k))), maps())
    assert len(looks) < 100
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 40_000


def test_a_disk_that_gets_full_keeps_no_part_of_a_file(tmp_path, monkeypatch):
    def full(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    store = EncodingStore(tmp_path, toy_model())
    with pytest.warns(UserWarning, match="No space left"):
        store.keep(store.path(torch.zeros(1, 3, 32, 32)), maps())
    assert not [*tmp_path.iterdir()]


def test_frames_of_other_shapes_are_told_apart(tmp_path):
    store = EncodingStore(tmp_path, toy_model())
    assert store.path(torch.zeros(1, 3, 32, 64)) != store.path(torch.zeros(1, 3, 64, 32))
