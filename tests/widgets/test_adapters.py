"""Axes, coordinates, the array of results, jobs: no window."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from napari.layers._source import layer_source

from napari_sam2.layer_data import stem_of
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.layers import layer_adapters as adapters
from napari_sam2.widgets.layers import results
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.layers.layer_reading import box_within
from napari_sam2.widgets.layers.layer_states import LayerState
from napari_sam2.widgets.layers.sources import Source
from napari_sam2.widgets.session.worker import Worker
from napari_sam2.widgets.words import in_words


@pytest.mark.parametrize(
    ("shape", "labels", "axis"),
    [
        ((4, 8, 8), None, 0),
        ((4, 3, 8, 8), ("z", "t", "y", "x"), 1),
        ((4, 1, 8, 8), ("z", "t", "y", "x"), 0),
        ((1, 5, 8, 8), None, 1),
        ((8, 8), None, None),
        ((8, 8, 6), ("y", "x", "Z"), 2),
    ],
)
def test_guess_axis(shape, labels, axis):
    layer = Image(np.zeros(shape, np.uint8), rgb=False, axis_labels=labels)
    assert adapters.guess_axis(layer) == axis


@pytest.mark.parametrize(("axes", "axis"), [("ZTYX", 1), ("TZYX", 0), ("ZCYX", 0)])
def test_guess_axis_from_the_tiff(tmp_path, axes, axis):
    path = tmp_path / "stack.ome.tif"
    data = np.zeros((3, 4, 16, 16), np.uint8)
    tifffile.imwrite(path, data, metadata={"axes": axes}, ome=True)
    with layer_source(path=str(path)):
        layer = Image(data, rgb=False)
    assert adapters.guess_axis(layer) == axis


def test_geometry_goes_there_and_back():
    geometry = StackGeometry.of((3, 20, 30, 40), 2, (1, 0, 0, 0))
    assert (geometry.axis, geometry.fixed, geometry.plane) == (2, {0: 1}, (1, 3))
    assert (geometry.length, geometry.frame_shape) == (30, (20, 40))
    data = geometry.to_data(7, 2.5, 9)
    assert data.tolist() == [1, 2.5, 7, 9]
    assert geometry.frames_of(data).tolist() == [7]
    assert geometry.yx(data).tolist() == [[2.5, 9]]
    array = np.arange(3 * 20 * 30 * 40).reshape(3, 20, 30, 40)
    assert np.array_equal(array[geometry.index(7)], array[1, :, 7, :])
    stack, axis, channels = Source(Image(array, rgb=False)).array(geometry)
    assert channels is None
    assert np.array_equal(np.take(stack, 7, axis), array[1, :, 7, :])


@pytest.mark.parametrize(
    ("coords", "words"),
    [
        ([[1, 5, 5, 5]], None),
        ([[0, 5, 5, 5]], "tracks in the plane"),
        ([[1, 9, 5, 5]], "does not exist"),
        ([[1, 5, 5, -0.6]], "outside"),
        ([[1, 5, 5, -3], [1, 5, 5, 3]], None),
        ([[1, 5, 5, 5], [1, 6, 5, 5]], "one frame"),
    ],
)
def test_complaints(coords, words):
    geometry = StackGeometry.of((2, 8, 20, 20), 1, (1, 0, 0, 0))
    complaint = geometry.complaint(coords)
    assert complaint is None if words is None else words in complaint


def test_extra_axes_of_lazy_arrays_are_not_read():
    zarr = pytest.importorskip("zarr")
    array = zarr.zeros((2, 6, 8, 8), chunks=(1, 1, 8, 8), dtype="u1")
    array[1, 3] = 7
    layer = Image(array, rgb=False)
    geometry = StackGeometry.of(adapters.image_shape(layer), 1, (1, 0, 0, 0))
    stack, _, _ = Source(layer).array(geometry)
    assert not isinstance(stack, np.ndarray)
    assert np.asarray(stack[3]).max() == 7


def test_new_layers_take_the_place_of_the_image():
    image = Image(
        np.zeros((3, 8, 8)),
        scale=(2, 0.5, 0.5),
        translate=(1, 2, 3),
        rotate=20,
        shear=[0.1, 0, 0],
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
    )
    labels = Labels(np.zeros((3, 8, 8), np.uint16), **adapters.copied_transform(image))
    for name in ("scale", "translate", "rotate", "shear"):
        np.testing.assert_allclose(getattr(labels, name), getattr(image, name))
    assert labels.units == image.units
    assert labels.axis_labels == image.axis_labels
    np.testing.assert_allclose(labels.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))


def test_results_larger_than_memory_go_to_disk(monkeypatch):
    monkeypatch.setattr(results, "_MEMORY_SHARE", 0.0)
    geometry = StackGeometry.of((3, 8, 10), 0, (0, 0, 0))
    array, folder = results.new_result(geometry)
    assert folder is not None
    assert folder.is_dir()
    layer = Labels(array)
    results.delete_with(layer, folder)
    writer = results.ResultWriter(array, geometry)
    labels = np.zeros((8, 10), np.uint16)
    labels[2, 3] = 5
    writer.write(1, labels, [5])
    assert array[1, 2, 3] == 5
    writer.erase([5])
    assert array[1, 2, 3] == 0


def test_without_room_on_the_disk_no_folder_stays(monkeypatch, tmp_path):
    monkeypatch.setattr(results, "_MEMORY_SHARE", 0.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("zarr.create_array", lambda *_args, **_kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        results.new_result(StackGeometry.of((3, 8, 10), 0, (0, 0, 0)))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("exp1.5_t01.ome.tif", "exp1.5_t01"),
        ("2024.01.02_cells.TIFF", "2024.01.02_cells"),
        ("cells.ome.zarr", "cells"),
        ("01_RES", "01_RES"),
        ("exp1.5", "exp1.5"),
        (".tif", ".tif"),
    ],
)
def test_names_keep_their_dots(name, stem):
    assert stem_of(name) == stem


def test_many_objects_are_erased_or_renamed_in_one_reading(monkeypatch):
    geometry = StackGeometry.of((3, 4, 4), 0, (0, 0, 0))
    array = np.zeros((3, 4, 4), np.uint16)
    array[:, :3] = np.array([5, 6, 7])[:, None]
    before = array.copy()
    writer, reads = results.ResultWriter(array, geometry), []
    index = StackGeometry.index

    def looked_at(self, frame, place=None):
        if place is None:
            reads.append(frame)
        return index(self, frame, place)

    monkeypatch.setattr(StackGeometry, "index", looked_at)
    kept = writer.begin({})
    writer.relabel([5, 6], 300, 1)
    writer.erase([5, 7])
    assert reads == [1, 2, 0, 1, 1, 2, 2]  # again where more of a frame is to be kept
    assert array[:, :, 0].tolist() == [[0, 6, 0, 0], [300, 300, 0, 0], [300, 300, 0, 0]]
    assert writer.object_ids == {300}
    writer.swap(kept)
    np.testing.assert_array_equal(array, before)


def test_masks_of_unknown_objects_stay():
    geometry = StackGeometry.of((3, 4, 4), 0, (0, 0, 0))
    array = np.zeros((3, 4, 4), np.uint16)
    array[1] = 9
    array[1, 0] = 5
    writer = results.ResultWriter(array, geometry)
    labels = np.zeros((4, 4), np.uint16)
    labels[3] = 5
    writer.write(1, labels, [5])
    assert array[1].tolist() == [[0] * 4, [9] * 4, [9] * 4, [5] * 4]


def test_parts_are_written_and_come_back():
    geometry = StackGeometry.of((2, 6, 8), 0, (0, 0, 0))
    array = np.zeros((2, 6, 8), np.uint16)
    array[:, 1:4, 1:4] = 5
    array[:, 5] = 9
    array[:, 0, 0] = 5  # of an earlier session
    before = array.copy()
    writer = results.ResultWriter(array, geometry)
    kept = writer.begin({})
    labels = np.zeros((4, 4), np.uint16)
    labels[2:, 2:] = 6
    writer.write(1, labels, [5, 6], (slice(1, 5), slice(1, 5)))
    assert array[1, 1:5, 1:5].tolist() == labels.tolist()
    assert array[1, 0, 0] == 5
    assert (array[1, 5] == 9).all()
    np.testing.assert_array_equal(array[0], before[0])
    assert kept[1].shape == (4, 4)
    writer.erase([5])  # beside the part that was written
    after = array.copy()
    assert not (after == 5).any()
    for now in (before, after, before):
        writer.swap(kept)
        np.testing.assert_array_equal(array, now)


def test_an_array_that_changes_nothing_is_not_written_to():
    class Closed:
        shape = (1, 4, 4)

        def __getitem__(self, index):
            return np.full(self.shape, 3, np.uint16)[index]

    writer = results.ResultWriter(Closed(), StackGeometry.of((1, 4, 4), 0, (0, 0, 0)))
    writer.write(0, np.full((4, 4), 3, np.uint16), [3])


def run_now(function):
    function()


def test_worker_keeps_one_thread_and_the_newest_job():
    worker = Worker(run_now)
    gate, seen, threads = threading.Event(), [], set()

    def job(name):
        threads.add(threading.current_thread().name)
        gate.wait(5)
        seen.append(name)
        return name

    answers: list[str] = []
    for name in "abc":
        worker.submit(lambda n=name: job(n), done=answers.append, key="same")
        time.sleep(0.02)
    worker.submit(lambda: job("other"), done=answers.append)
    gate.set()
    deadline = time.monotonic() + 5
    while worker.busy and time.monotonic() < deadline:
        time.sleep(0.01)
    assert seen == ["a", "c", "other"]  # b was never run
    assert answers == ["c", "other"]  # a came too late
    assert len(threads) == 1
    worker.close()
    worker.submit(lambda: job("late"))
    assert "late" not in seen


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_keeps_the_garbage_collection_from_what_exists(fails):
    frozen = []

    def job():
        frozen.append(gc.get_freeze_count())
        if fails:
            raise ValueError

    worker, over = Worker(run_now), threading.Event()
    worker.submit(job, done=lambda _: over.set(), failed=lambda _: over.set())
    assert over.wait(5)
    assert frozen[0] > 10_000
    assert gc.get_freeze_count() == 0  # what is deleted afterwards is freed again
    worker.close()


def test_a_job_of_another_worker_does_not_end_that():
    frozen, began, resume = [], threading.Event(), threading.Event()

    def long_job():
        began.set()
        resume.wait(5)
        frozen.append(gc.get_freeze_count())

    long, short, over = Worker(run_now), Worker(run_now), threading.Event()
    long.submit(long_job, done=lambda _: over.set())
    assert began.wait(5)
    short.submit(lambda: None, done=lambda _: resume.set())
    assert over.wait(10)
    assert frozen[0] > 10_000
    assert gc.get_freeze_count() == 0
    long.close()
    short.close()


def test_of_a_job_that_was_ended_nothing_is_kept():
    class Large:
        """What a job had at hand."""

    held, over = [], threading.Event()

    def job():
        large = Large()
        held.append(weakref.ref(large))
        raise ValueError

    worker = Worker(run_now)
    gc.disable()  # as good as, where one job follows another
    try:
        worker.submit(job, failed=lambda _: over.set())
        assert over.wait(5)
        deadline = time.monotonic() + 5
        while held[0]() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert held[0]() is None
    finally:
        gc.enable()
        worker.close()


def test_errors_in_words():
    assert in_words(InputError("no such file; check it")) == "No such file; check it."
    assert in_words(MemoryError()).startswith("Out of memory")
    assert in_words(RuntimeError("CUDA out of memory")).startswith("Out of memory")
    assert in_words(FileNotFoundError(2, "No such file", "a.tif")) == "No such file: a.tif."
    assert "ZeroDivisionError" in in_words(ZeroDivisionError("x"))


def test_lines_of_a_box_run_around_its_pixels():
    np.testing.assert_array_equal(box_within(np.array([[9.5, 3.5], [20.5, 4.5]])),
                                  [[10, 3.75], [20, 4.25]])  # fmt: skip
    geometry = StackGeometry((3, 40, 60), 0, {})
    for box in ([[10, 20], [10.25, 21]], [[0, 0], [39, 59]]):
        state = LayerState.of({1: {2: Prompt(box=box)}}, geometry)
        (shape,) = state.shapes
        np.testing.assert_array_equal(shape.min(axis=0), [2, box[0][0] - 0.5, box[0][1] - 0.5])
        corners = geometry.yx(shape)
        back = box_within(np.array([corners.min(axis=0), corners.max(axis=0)]))
        np.testing.assert_array_equal(back, box)
