"""Where a run writes, and what it never writes over."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from roifile import ROI_TYPE, ImagejRoi, roiwrite

from napari_sam2 import batch, demo
from napari_sam2.batch import TrackJob
from napari_sam2.cli.track import _doubts
from napari_sam2.export.formats import export_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.stacks import open_stack
from napari_sam2.target import Outcome, Target
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.session_file import (
    ImageIdentity,
    SessionFile,
    load_session,
    save_session,
)
from napari_sam2.tracking.kept.steps import SetPrompt
from napari_sam2.tracking.masklets import Masklets
from napari_sam2.tracking.objects.examined import ToCheck
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.results import FrameResult
from napari_sam2.tracking.session import TrackingSession
from tests.commands import opened, run
from tests.tracking.toy import moving_disk, toy_model

LENGTH = 6
BOX = {"frame": 2, "box": [[18, 8], [42, 42]]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stack as TIFF, as zarr and as a folder; prompts for an object."""
    images = moving_disk(LENGTH)
    tifffile.imwrite(tmp_path / "stack.tif", images, metadata={"axes": "TYX"})
    (tmp_path / "images").mkdir()
    for frame, image in enumerate(images):
        tifffile.imwrite(tmp_path / "images" / f"t{frame}.tif", image)
    raw = zarr.create_group(store=str(tmp_path / "raw.zarr"))
    raw.create_array("0", data=images, dimension_names=["t", "y", "x"])
    content = {"version": 1, "axis": 0, "objects": [{"id": 1, "prompts": [BOX]}]}
    (tmp_path / "prompts.json").write_text(json.dumps(content))
    return tmp_path


def test_prompts_drawn_in_fiji(folder: Path) -> None:
    """On their slice, or on `--prompt-frame`."""
    box = ImagejRoi(roitype=ROI_TYPE.RECT, top=18, left=8, bottom=43, right=43)
    for position in (3, 0):
        box.position = position
        roiwrite(folder / "RoiSet.zip", [box], name=["untitled"], mode="w")
        job = TrackJob.open(
            folder / "stack.tif",
            folder / "RoiSet.zip",
            folder / "a.tif",
            axes="TYX",
            prompt_frame=4,
        )
        (frame,) = job.prompts[1]
        assert frame == (2 if position else 4)
        np.testing.assert_array_equal(job.prompts[1][frame].box, BOX["box"])
    with pytest.raises(InputError, match="prompt frame 6 does not exist"):
        TrackJob.open(
            folder / "stack.tif",
            folder / "RoiSet.zip",
            folder / "a.tif",
            axes="TYX",
            prompt_frame=6,
        )
    output = folder / "RoiSet.zip"
    with pytest.raises(InputError):
        TrackJob.open(folder / "stack.tif", output, output, axes="TYX", overwrite=True)


@pytest.mark.parametrize(
    ("axis", "select", "along"),
    [(1, {"Z": 0}, "T, which is axis 0"), (7, {"Z": 0}, "T, which is axis 0"), (2, {"T": 0}, "Z")],
)
def test_prompts_for_another_axis_are_refused(
    folder: Path, axis: int, select: dict[str, int], along: str
) -> None:
    """Their frames would be those of time for one, and of depth for the other."""
    images = np.stack([moving_disk(LENGTH)] * 4, axis=1)
    tifffile.imwrite(folder / "volume.tif", images, metadata={"axes": "TZYX"}, ome=True)
    objects = [{"id": 1, "prompts": [{**BOX, "frame": 1}]}]
    for given in (axis, 0, 0 if "Z" in select else 1):
        content = {"version": 1, "axis": given, "objects": objects}
        (folder / "volume.json").write_text(json.dumps(content))
        files = folder / "volume.tif", folder / "volume.json", folder / "a.tif"
        if given != axis:
            assert TrackJob.open(*files, select=select).prompts
            continue
        with pytest.raises(InputError, match=f"along axis {axis} .* followed along {along}"):
            TrackJob.open(*files, select=select)


def bytes_of(path: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in [path, *path.rglob("*")] if p.is_file()}


@pytest.mark.parametrize(
    ("stack", "output", "words"),
    [
        ("stack.tif", "stack.tif", "is what is read"),
        ("stack.tif", "link.tif", "is what is read"),
        ("stack.tif", "hard.tif", "is what is read"),
        ("link.tif", "stack.tif", "is what is read"),
        ("stack.tif", "images/../stack.tif", "is what is read"),
        ("raw.zarr", "raw.zarr", "is what is read"),
        ("raw.zarr/0", "raw.zarr", "holds 0, which is read"),
        ("images", "images", "is what is read"),
        ("images", "images/t3.tif", "is a part of"),
        ("images", "seeds.tif", "is what is read"),
    ],
)
def test_what_is_read_is_never_written_over(
    folder: Path, stack: str, output: str, words: str
) -> None:
    (folder / "link.tif").symlink_to(folder / "stack.tif")
    os.link(folder / "stack.tif", folder / "hard.tif")
    tifffile.imwrite(folder / "seeds.tif", np.ones((64, 96), np.uint8))
    before = bytes_of(folder)
    given = ("--prompts", folder / "seeds.tif", "--axes", "TYX", "--overwrite")
    for more in ((), ("--overwrite",)):
        result = run("track", folder / stack, *given, "--output", folder / output, *more)
        assert result.exit_code == 2, result.output
        assert words in result.stderr
        assert "--overwrite" not in result.stderr
    assert bytes_of(folder) == before


def test_the_masks_of_a_prompts_file_are_read_too(folder: Path) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[20:40, 10:30] = 1
    tifffile.imwrite(folder / "cell.tif", mask)
    content = json.loads((folder / "prompts.json").read_text())
    content["objects"].append({"id": 3, "prompts": [{"frame": 1, "mask": "cell.tif"}]})
    (folder / "prompts.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="is what is read"):
        opened(folder, "cell.tif", overwrite=True)


def test_neither_the_session_nor_its_image_is_written_over(folder: Path) -> None:
    frames = open_stack(folder / "stack.tif", "TYX").frames()
    image = ImageIdentity.of(frames, str(folder / "stack.tif"), "TYX")
    steps = (SetPrompt(3, 2, Prompt([[30, 26]], [True])),)
    save_session(folder / "a.ns2.json", SessionFile(image, "micro", "", steps), {})
    given = ("--session", folder / "a.ns2.json", "--overwrite", "--output")
    (folder / "link.tif").symlink_to(folder / "a.ns2.json")
    before = bytes_of(folder)
    for name in ("stack.tif", "link.tif"):
        result = run("track", *given, folder / name)
        assert result.exit_code == 2, result.output
        assert "is what is read" in result.stderr
    assert bytes_of(folder) == before


def test_export_and_demo_keep_what_they_read(folder: Path) -> None:
    labels = np.ones((2, 8, 8), np.uint16)
    for name in ("labels.tif", "labels.zarr", "labels"):
        export_masklets(folder / name, labels)
        before = bytes_of(folder / name)
        result = run("export", folder / name, "--output", folder / name, "--overwrite")
        assert result.exit_code == 2, result.output
        assert "is what is read" in result.stderr
        assert bytes_of(folder / name) == before
    (folder / "labels.tif").rename(folder / "masklets.tif")
    with pytest.raises(InputError, match="is what is read"):
        demo.run(folder / "masklets.tif", folder, gui=False)


def test_an_image_in_zarr_is_no_label_image(folder: Path) -> None:
    before = bytes_of(folder / "raw.zarr")
    Masklets((2, 3, 3), store=folder / "bare.zarr")
    for name in ("raw.zarr", "bare.zarr"):
        with pytest.raises(InputError, match="something else than labels"):
            opened(folder, name, overwrite=True)
        with pytest.raises(InputError, match="something else than labels"):
            export_masklets(folder / name, np.ones((2, 3, 3), np.uint8), overwrite=True)
    assert bytes_of(folder / "raw.zarr") == before
    export_masklets(folder / "labels.zarr", np.ones((2, 3, 3), np.uint8))
    opened(folder, "labels.zarr", overwrite=True)
    old = zarr.create_group(
        store=str(folder / "old.zarr"),
        zarr_format=2,
        attributes={"image-label": {}, "multiscales": []},
    )
    old.create_array("0", data=np.ones((2, 3, 3), np.uint8))
    opened(folder, "old.zarr", overwrite=True)


def stopped(job: TrackJob, after: int, meanwhile: Callable[[], object] | None = None) -> Outcome:
    """Run until so many frames are done."""

    def report(done: int, total: int) -> None:
        if done == after:
            if meanwhile is not None:
                meanwhile()
            else:
                raise KeyboardInterrupt

    return batch.track(job, toy_model(), report=report)


@pytest.mark.parametrize("other", ["par.zarr", "par", "par.tif"])
def test_two_runs_at_once_do_not_share_a_folder(folder: Path, other: str) -> None:
    outcomes = []

    def second() -> None:
        job = opened(folder, other, start=0, stop=2)
        outcomes.append(batch.track(job, toy_model()))
        if other == "par.tif":
            (folder / "par.tif").rename(folder / "second.tif")

    outcomes.append(stopped(opened(folder, "par.tif"), 3, second))
    assert [outcome.failure for outcome in outcomes] == [None, None]
    mine = read_labels(folder / "par.tif")
    assert mine.any(axis=(1, 2)).all()
    theirs = read_labels(folder / ("second.tif" if other == "par.tif" else other))
    assert theirs[:2].any(axis=(1, 2)).all()
    assert not theirs[2:].any()
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(("start", "stop"), [(LENGTH, None), (None, 0), (-1, None), (3, 3)])
def test_ranges_without_a_frame_are_refused_before_any_work(folder: Path, start, stop) -> None:
    with pytest.raises(InputError, match=r"outside the stack|must be below"):
        opened(folder, "a.tif", start=start, stop=stop)


def test_the_frames_of_a_killed_run_outlive_the_next_one(folder: Path) -> None:
    left = Masklets((LENGTH, 4, 4), store=folder / ".out.tif.unfinished.zarr")
    left[0] = np.ones((4, 4), np.uint16)
    assert batch.track(opened(folder, "out.tif"), toy_model()).failure is None
    assert Masklets.open(folder / ".out.tif.unfinished.zarr")[0].all()
    assert len(list(folder.glob(".*"))) == 1


@pytest.mark.parametrize(
    ("name", "partial"),
    [
        ("full.tif", "full.partial.tif"),
        ("full.zarr", "full.partial.zarr"),
        ("full", "full_partial"),
    ],
)
def test_what_stops_half_way_replaces_nothing(folder: Path, name: str, partial: str) -> None:
    assert stopped(opened(folder, name), 2).output == folder / name  # there was nothing
    batch.track(opened(folder, name, overwrite=True), toy_model())
    before = bytes_of(folder / name)
    outcome = stopped(opened(folder, name, overwrite=True), 2)
    assert isinstance(outcome.failure, KeyboardInterrupt)
    assert outcome.output == folder / partial
    assert f"2 of 6 frames are kept in {folder / partial}" in outcome.kept
    assert bytes_of(folder / name) == before
    assert read_labels(folder / partial).any(axis=(1, 2)).sum() == 2
    again = stopped(opened(folder, name, overwrite=True), 3).output
    assert again.name == partial.replace("partial", "partial-2")
    assert read_labels(folder / partial).any(axis=(1, 2)).sum() == 2


def test_the_terminal_says_that_the_old_result_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping(batch.TrackingSession):
        def propagate(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
            results = super().propagate(*args, **kwargs)
            yield next(results)
            raise KeyboardInterrupt

    monkeypatch.setattr(batch, "TrackingSession", Stopping)
    (folder / "full.tif").write_bytes(b"old")
    given = ("--prompts", folder / "prompts.json", "--output", folder / "full.tif", "--overwrite")
    result = run("track", folder / "stack.tif", *given, "--device", "cpu")
    assert result.exit_code == 130, result.output
    assert "stopped; 1 of 6 frames are kept in" in result.stderr
    assert f"full.partial.tif; {folder / 'full.tif'} is as it was" in result.stderr
    assert (folder / "full.tif").read_bytes() == b"old"


def test_a_name_that_was_taken_meanwhile_loses_nothing(folder: Path) -> None:
    def take() -> None:
        (folder / "out.tif").write_bytes(b"of another run")

    with pytest.raises(InputError, match=r"exists already.*\.out\.tif\.unfinished\.zarr"):
        stopped(opened(folder, "out.tif"), 4, take)
    assert (folder / "out.tif").read_bytes() == b"of another run"
    assert Masklets.open(folder / ".out.tif.unfinished.zarr")[0].any()


def test_what_should_be_looked_at_is_said(folder: Path) -> None:
    job = opened(folder, "out.tif")
    outcome = batch.track(job, toy_model())
    session = TrackingSession(toy_model(), job.frames)
    session.add_prompts(job.prompts)
    for _ in session.propagate():
        pass
    assert list(outcome.to_check) == session.frames_to_check()
    seven = [ToCheck(i, 0, 4, i + 1, 1.0 / i, "41 % sure") for i in range(1, 8)]
    assert _doubts(seven[:1]) == "1 to check: object 1 on frame 2 (41 % sure)"
    assert _doubts(seven).endswith("object 5 on frame 6 (41 % sure), and 2 more")


def test_frames_and_objects_are_counted_once(folder: Path) -> None:
    content = json.loads((folder / "prompts.json").read_text())
    other = {"frame": 4, "box": [[40, 60], [60, 90]]}
    content["objects"].append({"id": 2, "prompts": [other]})
    (folder / "prompts.json").write_text(json.dumps(content))
    outcome = batch.track(opened(folder, "out.tif"), toy_model())
    assert outcome.done > LENGTH
    assert (outcome.frames, outcome.length, outcome.objects) == (LENGTH, LENGTH, 2)
    given = ("--prompts", folder / "prompts.json", "--output", folder / "a.tif", "--device", "cpu")
    result = run("track", folder / "stack.tif", *given)
    assert result.stdout.strip() == f"{folder / 'a.tif'}: 2 objects over {LENGTH} frames"
    gone = [FrameResult(t, np.full((64, 96), t % 2 * 7, np.uint16), {}) for t in (0, 1, 1)]
    target = Target(opened(folder, "c.tif").stack, folder / "c.tif")
    changed = [FrameResult(1, np.full((64, 96), 9, np.uint16), {})]
    outcome = target.collect(iter(gone), np.uint16, 3, changes=changed)
    assert (outcome.done, outcome.frames, outcome.objects) == (3, 2, 1)
    outcome = batch.track(opened(folder, "d.tif"), toy_model())
    half = stopped(opened(folder, "b.tif"), outcome.done - 1)
    assert f"({outcome.done - 1} of {outcome.total} passes over a frame were made)" in half.kept


@pytest.mark.parametrize("way", [("--direction", "backward", "--start", 3), ("--stop", 2)])
def test_a_run_without_a_frame_is_refused(folder: Path, way: tuple[object, ...]) -> None:
    content = json.loads((folder / "prompts.json").read_text())
    frame = 2 if way[0] == "--direction" else 4
    for one in content["objects"]:
        one["prompts"][0]["frame"] = frame
    (folder / "prompts.json").write_text(json.dumps(content))
    given = ("--prompts", folder / "prompts.json", "--output", folder / "a.tif", "--device", "cpu")
    direction = () if "--direction" in way else ("--direction", "forward")
    result = run("track", folder / "stack.tif", *given, *way, *direction)
    assert result.exit_code == 2, result.output
    assert "no frame of those that are asked for lies" in result.stderr
    assert not list(folder.glob("*a.tif*"))


def test_how_new_cells_are_found_is_as_asked_for(folder: Path) -> None:
    given = {"direction": "forward", "start": 1, "stop": 5, "find_every": 2, "diameter": 20.0}
    for axes in ("TYX", "ZYX"):
        session = folder / f"{axes}.ns2.json"
        job = opened(folder, f"{axes}.tif", axes=axes, session=session, **given)
        assert batch.track(job, toy_model()).failure is None
        step = load_session(session).steps[-1]
        assert step == PropagateAndFind(
            *("forward", 1, 5),
            every=2,
            diameter=20.0,
            last_id=65535,  # the highest that the labels hold
            dividing=axes == "TYX",
        )
