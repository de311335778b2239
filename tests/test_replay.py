"""`napari-sam2 track --session`: what was done to a stack is done again, to the pixel."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import Result

from napari_sam2.export.formats import export_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.model.checkpoint import save_model
from napari_sam2.model.sam2 import SAM2
from napari_sam2.replay import image_of
from napari_sam2.stacks import open_stack
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.lineage_steps import Divide
from napari_sam2.tracking.kept.session_file import (
    ImageIdentity,
    SessionFile,
    load_session,
    save_session,
)
from napari_sam2.tracking.kept.steps import Propagate, Repair, SetPrompt, SplitObject
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.tracking.stack.fingerprints import model_fingerprint
from napari_sam2.weights import load_model
from tests.commands import random_model, refused, run
from tests.tracking.dividing import DIVIDES, centres, dividing_cell
from tests.tracking.toy import moving_disk

LENGTH = 8


@pytest.fixture
def worked(shared_micro: SAM2, sharing: None, tmp_path: Path) -> np.ndarray:
    """A stack, and a session on it with the embedded model; returns its labels (T, Y, X)."""
    tifffile.imwrite(tmp_path / "stack.tif", moving_disk(LENGTH), metadata={"axes": "TYX"})
    frames = open_stack(tmp_path / "stack.tif", "TYX").frames()
    history = History(TrackingSession(shared_micro, frames))
    history.do(SetPrompt(3, 2, Prompt([[30, 26]], [True])))
    results = history.run(Propagate("both"))
    for _ in range(6):
        next(results)
    results.close()
    history.do(SetPrompt(3, 5, Prompt([[30, 35], [30, 60]], [True, False])))
    history.do(Repair())
    content = SessionFile(
        ImageIdentity.of(frames, str(tmp_path / "stack.tif")),
        "micro",
        model_fingerprint(shared_micro).hex(),
        tuple(history.steps),
    )
    save_session(tmp_path / "stack.ns2.json", content, history.session.prompts)
    return np.stack([history.session.result(t).labels for t in range(LENGTH)])


def again(folder: Path, *args: object) -> Result:
    given = ("--session", folder / "stack.ns2.json", "--output", folder / "out.tif")
    return run("track", *given, *args)


def test_the_labels_are_the_same(worked: np.ndarray, tmp_path: Path) -> None:
    assert (worked == 3).any(axis=(1, 2)).sum() >= 6
    result = again(tmp_path, "--axes", "TYX")
    assert result.exit_code == 0, result.output
    np.testing.assert_array_equal(read_labels(tmp_path / "out.tif"), worked)
    refused(again(tmp_path, "--axes", "TYX"), "exists already")


def test_frames_are_looked_at_as_they_were(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", moving_disk(3), metadata={"axes": "TYX"})
    model = load_model("micro", device="cpu")
    frames = open_stack(tmp_path / "stack.tif", "TYX").frames()
    labels = {}
    for attention in ("windowed", "exact"):
        history = History(TrackingSession(model, frames, TrackingPolicy(attention=attention)))
        history.do(SetPrompt(3, 0, Prompt([[30, 20]], [True])))
        history.do(Propagate("forward"))
        content = SessionFile.of(history, "micro", str(tmp_path / "stack.tif"))
        save_session(tmp_path / "stack.ns2.json", content, history.session.prompts)
        result = again(tmp_path, "--axes", "TYX", "--overwrite")
        assert result.exit_code == 0, result.output
        labels[attention] = read_labels(tmp_path / "out.tif")
        done = np.stack([history.session.result(t).labels for t in range(3)])
        np.testing.assert_array_equal(labels[attention], done)
    assert (labels["windowed"] != labels["exact"]).any()


def test_an_image_that_moved_is_found_or_asked_for(worked: np.ndarray, tmp_path: Path) -> None:
    content = load_session(tmp_path / "stack.ns2.json")
    image = dataclasses.replace(content.image, path="/elsewhere/stack.tif")
    moved = dataclasses.replace(content, image=image)
    save_session(tmp_path / "stack.ns2.json", moved, {})
    assert again(tmp_path, "--axes", "TYX").exit_code == 0
    (tmp_path / "stack.tif").rename(tmp_path / "other.tif")
    refused(again(tmp_path, "--overwrite"), "give the image, too")
    given = (tmp_path / "other.tif", "--axes", "TYX", "--overwrite")
    assert again(tmp_path, *given).exit_code == 0


def test_weights_that_moved_are_found_or_asked_for(
    worked: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run in one folder is done again from another."""
    save_model(load_model("micro", device="cpu"), tmp_path / "own.safetensors", recipe={})
    monkeypatch.chdir(tmp_path)
    given = ("stack.tif", "--prompts", "stack.ns2.json", "--model", "own.safetensors")
    kept = ("--save-session", "kept/own.ns2.json", "--output", "kept/first.tif", "--axes", "TYX")
    first = run("track", *given, *kept)
    assert first.exit_code == 0, first.output
    session = tmp_path / "kept" / "own.ns2.json"
    weights = tmp_path / "own.safetensors"
    assert load_session(session).model == str(weights)
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    args = ("track", "--session", session, "--axes", "TYX", "--output")
    assert run(*args, "1.tif").exit_code == 0
    beside = weights.rename(session.with_name(weights.name))
    assert run(*args, "2.tif", "--save-session", "2.ns2.json").exit_code == 0
    assert load_session(Path("2.ns2.json")).model == str(beside)
    weights = beside.rename("renamed.safetensors")
    refused(run(*args, "3.tif"), f"not at {tmp_path / 'own.safetensors'}; give the weights, too")
    found = run(*args, "3.tif", "--model", weights)
    assert found.exit_code == 0, found.output
    labels = read_labels(session.with_name("first.tif"))
    np.testing.assert_array_equal(read_labels(Path("3.tif")), labels)
    refused(
        run(*args, "4.tif", "--model", random_model(Path("other.safetensors"))), "not the weights"
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--zoom", 2, "--attention", "exact"),
        ("--contrast", 0, 1),
        ("--close-gaps", 0),
        ("--start", 0, "--stop", 2, "--direction", "both"),
        ("--prompt-frame", 0),
        ("--find-every", 2, "--diameter", 20),
    ],
)
def test_options_that_do_not_count_are_refused(
    worked: np.ndarray, tmp_path: Path, options: tuple[object, ...]
) -> None:
    """Also where what is given is the default: who gives it thinks that it counts."""
    names = [str(o) for o in options if str(o).startswith("--")]
    refused(again(tmp_path, "--axes", "TYX", *options), *names, "the file says how")
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.filterwarnings("default:micro looks through windows")
def test_encodings_of_a_session_are_kept(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", moving_disk(2), metadata={"axes": "TYX"})
    frames = open_stack(tmp_path / "stack.tif", "TYX").frames()
    for attention, kept in (("windowed", 0), ("exact", 2)):
        policy = TrackingPolicy(attention=attention)
        history = History(TrackingSession(load_model("micro", "cpu"), frames, policy))
        history.do(SetPrompt(3, 0, Prompt([[30, 20]], [True])))
        history.do(Propagate("forward"))
        content = SessionFile.of(history, "micro", str(tmp_path / "stack.tif"), "TYX")
        save_session(tmp_path / "stack.ns2.json", content, {})
        result = again(tmp_path, "--encodings", tmp_path / "kept", "--overwrite")
        assert result.exit_code == 0, result.output
        assert len([*(tmp_path / "kept").glob("*")]) == kept
        assert ("note: micro looks through windows" in result.stderr) == (not kept)


def test_what_does_not_belong_together_is_refused(worked: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "other.tif", moving_disk(LENGTH)[::-1].copy())
    refused(again(tmp_path, tmp_path / "other.tif", "--axes", "TYX"), "other pixels")
    refused(again(tmp_path, "--prompts", tmp_path / "stack.ns2.json"), "not several")
    content = load_session(tmp_path / "stack.ns2.json")
    model = load_model("micro", device="cpu")
    model.mask_decoder.iou_token.weight.data.add_(1)
    save_model(model, tmp_path / "changed.safetensors", recipe={})
    other = dataclasses.replace(content, model=str(tmp_path / "changed.safetensors"))
    save_session(tmp_path / "stack.ns2.json", other, {})
    refused(again(tmp_path, "--axes", "TYX"), "not the weights")
    assert not (tmp_path / "out.tif").exists()


def test_the_lineage_is_the_same_in_a_folder(tmp_path: Path) -> None:
    images, _ = dividing_cell(9)
    tifffile.imwrite(tmp_path / "stack.tif", images, metadata={"axes": "TYX"})
    frames = open_stack(tmp_path / "stack.tif", "TYX").frames()
    history = History(TrackingSession(load_model("micro", device="cpu"), frames))
    history.do(SetPrompt(1, 0, Prompt([centres(0)[0]], [True])))
    history.do(Propagate("both"))
    history.do(Divide(1, DIVIDES, (2, 3)))
    for i, centre in zip((2, 3), centres(DIVIDES), strict=True):
        history.do(SetPrompt(i, DIVIDES, Prompt([centre], [True])))
    history.do(Repair())
    content = SessionFile.of(history, "micro", str(tmp_path / "stack.tif"), "TYX")
    save_session(tmp_path / "stack.ns2.json", content, history.session.prompts)
    session = history.session
    labels = np.stack([session.result(t).labels for t in range(9)])
    assert export_masklets(tmp_path / "live", labels, parents=session.parents) == ()
    assert (tmp_path / "live" / "res_track.txt").read_text() == "1 0 5 0\n2 6 8 1\n3 6 8 1\n"
    given = ("--session", tmp_path / "stack.ns2.json", "--output", tmp_path / "01_RES")
    result = run("track", *given)
    assert result.exit_code == 0, result.output
    written = {p.name: p.read_bytes() for p in (tmp_path / "01_RES").iterdir()}
    assert written == {p.name: p.read_bytes() for p in (tmp_path / "live").iterdir()}
    flat = again(tmp_path)
    assert flat.exit_code == 0
    assert "1 division is not in it, only in a Cell Tracking Challenge folder" in flat.stderr


def test_a_big_endian_tiff_is_the_image_that_napari_showed(tmp_path: Path) -> None:
    data = moving_disk(3).astype(np.uint16) * 10
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, data, imagej=True, byteorder=">", metadata={"axes": "TYX"})
    frames = Frames(tifffile.imread(path).astype("<u2"))
    history = History(TrackingSession(load_model("micro", device="cpu"), frames))
    history.do(SetPrompt(3, 0, Prompt([[30, 20]], [True])))
    content = SessionFile.of(history, "micro", str(path), "TYX")
    save_session(tmp_path / "stack.ns2.json", content, history.session.prompts)
    result = again(tmp_path)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "place", [r"C:\data\stack.tif", r"\\server\share\stack.tif", "D:/stack.tif"]
)
def test_an_image_of_another_system_is_found_beside(place: str, tmp_path: Path) -> None:
    image = ImageIdentity(place, "", (1, 8, 8), (0, 1))
    content = SessionFile(image, "micro", "", ())
    with pytest.raises(InputError, match="give the image, too"):
        image_of(content, tmp_path / "a.ns2.json")
    (tmp_path / "stack.tif").touch()
    assert image_of(content, tmp_path / "a.ns2.json") == tmp_path / "stack.tif"


def test_ids_of_parts_and_daughters_fit_into_the_labels() -> None:
    image = ImageIdentity("", "", (1, 8, 8), (0, 1))
    steps = (
        SetPrompt(65535, 0, Prompt([[3, 3]], [True])),
        SplitObject(65535, 3, 65536),
        Divide(65535, 2, (70000, 70001)),
    )
    assert SessionFile(image, "micro", "", steps).object_ids == [65535, 65536, 70000, 70001]
