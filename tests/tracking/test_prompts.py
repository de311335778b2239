from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam2.tracking.errors import InputError, OutputError
from napari_sam2.tracking.prompts import (
    Prompt,
    load_prompts,
    save_prompts,
    seeds_from_labels,
    seeds_from_points,
)

SHAPE = (11, 13)


def test_prompt_copies_freezes_and_sorts() -> None:
    points = np.array([[1.0, 2.0]])
    prompt = Prompt(points=points, positive=[True], box=[[8, 9], [2, 3]], mask=np.eye(4))
    points[:] = 0
    np.testing.assert_array_equal(prompt.points, [[1, 2]])
    np.testing.assert_array_equal(prompt.box, [[2, 3], [8, 9]])
    assert prompt.mask.dtype == bool
    for array in (prompt.points, prompt.positive, prompt.box, prompt.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(AttributeError):
        prompt.box = None


@pytest.mark.parametrize(
    ("said", "only"),
    [
        ({"mask": np.eye(3)}, True),
        ({"mask": np.eye(3), "box": [[0, 0], [2, 2]]}, False),
        ({"mask": np.eye(3), "points": [[1, 1]], "positive": [True]}, False),
        ({"box": [[0, 0], [2, 2]]}, False),
        ({"absent": True}, False),
    ],
)
def test_a_mask_alone(said: dict[str, Any], only: bool) -> None:
    assert Prompt(**said).only_mask is only


def test_prompt_grows_and_merges() -> None:
    first = Prompt().add_points([[1, 1]], [True]).with_box([[0, 0], [5, 5]])
    second = Prompt(points=[[2, 2], [3, 3]], positive=[False, True], mask=np.ones(SHAPE))
    both = first.merged(second)
    np.testing.assert_array_equal(both.points, [[1, 1], [2, 2], [3, 3]])
    np.testing.assert_array_equal(both.positive, [True, False, True])
    np.testing.assert_array_equal(both.box, first.box)
    assert both.mask.all()
    assert both.merged(Prompt(box=[[1, 1], [2, 2]])).box.max() == 2
    assert both != first
    assert both == first.merged(second)
    assert both.with_mask(None).with_box(None).mask is None
    assert Prompt([[1, 2], [3, 4]]) == Prompt([[1, 2], [3, 4]], [True, True])
    assert Prompt([1, 2]) == Prompt([[1, 2]], [True])
    assert Prompt([1, 2], False) == Prompt([[1, 2]], [False])
    assert Prompt().is_empty
    assert not first.is_empty


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": [[1, 2, 3]], "positive": [True]}, "pairs"),
        ({"points": [[1, 2]], "positive": []}, "differ in length, 1 and 0; give True"),
        ({"points": [1, 2, 3, 4]}, r"\[\[y, x\], ...\], not an array of shape \(4,\)"),
        ({"points": [[1, np.nan]], "positive": [True]}, "finite"),
        ({"points": [["a", "b"]], "positive": [True]}, "numbers"),
        ({"box": [1, 2, 3, 4]}, "a box is"),
        ({"box": [[0, 0], [np.inf, 1]]}, "finite"),
        ({"mask": np.ones((1, 2, 3))}, "two axes"),
    ],
)
def test_malformed_prompts(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Prompt(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "the prompt is empty"),
        ({"points": [[11, 2]], "positive": [True]}, r"point \(11, 2\) lies outside"),
        ({"points": [[-1, 2]], "positive": [False]}, "outside the frame of 11 x 13"),
        ({"box": [[3, 3], [3, 8]]}, "no area"),
        ({"box": [[20, 3], [30, 8]]}, "outside the frame"),
        ({"mask": np.zeros(SHAPE)}, "mask is empty"),
        ({"mask": np.ones((5, 5))}, "shape"),
    ],
)
def test_prompts_that_do_not_fit_the_frame(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"object 3 on frame 7: .*{message}"):
        Prompt(**arguments).validate(SHAPE, object_id=3, frame=7)


def test_good_prompts_pass_and_boxes_are_clipped() -> None:
    corner = Prompt(points=[[-0.5, 12.5], [10.4, 0]], positive=[True, False])
    assert corner.validate(SHAPE) is corner
    clipped = Prompt(box=[[-5, -5], [100, 4]]).validate(SHAPE)
    np.testing.assert_array_equal(clipped.box, [[-0.5, -0.5], [10.5, 4]])


def test_seeds_from_labels() -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[1:3, 1:3], labels[5:, 5:] = 70000, 2
    seeds = seeds_from_labels(labels, 4)
    assert list(seeds) == [2, 70000]
    np.testing.assert_array_equal(seeds[70000][4].mask, labels == 70000)
    assert list(seeds_from_labels(labels > 0, 0)) == [1]
    for bad, message in [
        (np.zeros(SHAPE, int), "no labels"),
        (np.ones((2, 3, 3), int), "one frame"),
        (np.ones(SHAPE), "integers"),
        (np.full(SHAPE, -1), "0 or more"),
    ]:
        with pytest.raises(InputError, match=message):
            seeds_from_labels(bad, 0)


coordinates = st.floats(-0.5, 10.5, allow_nan=False)
points = st.lists(st.tuples(coordinates, coordinates, st.booleans()), max_size=4)
boxes = st.none() | st.tuples(st.floats(0, 4), st.floats(0, 4), st.floats(5, 10), st.floats(5, 10))
masks = st.none() | hnp.arrays(bool, SHAPE).filter(np.any)


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    clicks, box, mask = draw(points), draw(boxes), draw(masks)
    if not clicks and box is None and mask is None:
        clicks = [(1.0, 2.0, True)]
    return Prompt(
        points=[c[:2] for c in clicks],
        positive=[c[2] for c in clicks],
        box=None if box is None else [box[:2], box[2:]],
        mask=mask,
    )


@settings(max_examples=40, deadline=None)
@given(
    objects=st.dictionaries(
        st.integers(1, 2**31),
        st.dictionaries(st.integers(0, 99), prompts(), min_size=1, max_size=2),
        min_size=1,
        max_size=3,
    ),
    axis=st.integers(-3, 3),
)
def test_files_round_trip(objects: dict[int, dict[int, Prompt]], axis: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "new" / "prompts.json"
        save_prompts(path, objects, axis=axis, extra={"model": "micro"})
        loaded = load_prompts(path, SHAPE, 100)
        assert loaded.axis == axis
        assert loaded.objects == objects
        assert loaded.extra == {"model": "micro"}
        assert not list(path.parent.glob("*.partial"))


def test_the_file_of_the_documentation(tmp_path: Path) -> None:
    text = """{"version": 1, "axis": 0, "objects": [
      {"id": 1, "prompts": [{"frame": 0, "points": [[120.0, 88.0]], "positive": [true]}]},
      {"id": 2, "prompts": [{"frame": 5, "box": [[40, 30], [80, 75]]}]}]}"""
    (tmp_path / "p.json").write_text(text)
    file = load_prompts(tmp_path / "p.json")
    np.testing.assert_array_equal(file.objects[1][0].points, [[120, 88]])
    np.testing.assert_array_equal(file.objects[2][5].box, [[40, 30], [80, 75]])
    with pytest.raises(InputError, match=r"p\.json: object 1 on frame 0: the point"):
        load_prompts(tmp_path / "p.json", shape=(100, 100))
    with pytest.raises(InputError, match="object 2 on frame 5: the stack has frames 0 to 4"):
        load_prompts(tmp_path / "p.json", length=5)


def entry(**keys: Any) -> dict[str, Any]:
    return {"version": 1, "objects": [{"id": 1, "prompts": [{"frame": 0, **keys}]}]}


CLICK = {"points": [[1, 1]], "positive": [True]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"version": 1,\n "objects": [}', "line 2"),
        ([], "no prompts file"),
        ({"objects": []}, "version"),
        ({"version": 2}, "version 2, but this program reads version 1"),
        ({"version": 1}, 'the file lacks "objects"'),
        ({"version": 1, "objects": {}}, "must be a list"),
        ({"version": 1, "objects": []}, "no prompts"),
        ({"version": 1, "objects": [{"id": 1, "prompts": []}]}, "no prompts"),
        ({"version": 1, "objects": [{"prompts": []}]}, 'lacks "id"'),
        ({"version": 1, "objects": [{"id": 0, "prompts": []}]}, "ids start at 1"),
        ({"version": 1, "objects": [{"id": "a", "prompts": []}]}, "whole number, not 'a'"),
        ({"version": 1, "objects": [{"id": 1, "prompts": []}] * 2}, "object 1 is listed twice"),
        ({"version": 1, "objects": [{"id": 1}]}, 'object 1 lacks "prompts"'),
        ({"version": 1, "objects": [{"id": 1, "prompts": [CLICK]}]}, 'object 1 lacks "frame"'),
        ({**entry(**CLICK), "axis": 0.5}, "axis must be a whole number"),
        (entry(), "object 1 on frame 0: the prompt is empty"),
        (entry(frame=-1, **CLICK), "frames start at 0"),
        (entry(points=[[1, 1]]), 'lacks "positive"'),
        (entry(points=[[1, 1]], positive=[1]), "true and false"),
        (entry(points=[[1]], positive=[True]), "object 1 on frame 0: points must be"),
        (entry(box=[[1, 2]]), "a box is"),
        (entry(boxx=[[1, 2], [3, 4]], **CLICK), 'object 1 on frame 0: "boxx" is no part'),
        (entry(mask=3), "name of a TIFF"),
        (entry(mask="none.tif"), "none.tif is missing"),
        (entry(mask="bad.tif"), "cannot read the mask bad.tif"),
    ],
)
def test_bad_files(content: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(b"no tiff")
    path = tmp_path / "p.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputError, match=message) as caught:
        load_prompts(path)
    assert "p.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none\.json"):
        load_prompts(tmp_path / "none.json")
    (tmp_path / "p.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        load_prompts(tmp_path / "p.bin")
    with pytest.raises(OutputError, match="choose another place"):
        save_prompts(tmp_path / "p.bin" / "p.json", {1: {0: Prompt(box=[[0, 0], [1, 1]])}})


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.just(2)), elements=st.floats(0, 1e4)),
    st.integers(1, 1000),
)
def test_each_point_becomes_an_object_of_its_own(points, first_id) -> None:
    seeds = seeds_from_points(points, 3, first_id)
    assert [*seeds] == [*range(first_id, first_id + len(points))]
    for point, by_frame in zip(points, seeds.values(), strict=True):
        assert by_frame == {3: Prompt(points=[point], positive=[True])}


@pytest.mark.parametrize(
    ("points", "first_id", "words"),
    [
        ([], 1, "there are no points"),
        (np.zeros((0, 2)), 1, "there are no points"),
        (5, 1, "pairs"),
        ([1.0, 2.0, 3.0, 4.0], 1, "pairs"),
        ([[1, 2, 3]], 1, "pairs"),
        ([[np.nan, 2]], 1, "finite"),
        ([["a", "b"]], 1, "numbers"),
        ([[1, 2]], 0, "ids start at 1"),
    ],
)
def test_unusable_points_are_refused(points, first_id, words) -> None:
    with pytest.raises(InputError, match=words):
        seeds_from_points(points, 0, first_id)
