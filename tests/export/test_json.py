"""COCO and SA-V JSON, read by a plain decoder that knows nothing of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_sam2.export.formats import export_masklets, open_masklets
from napari_sam2.export.labels import read_labels
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.objects.estimates import Quality

FORMATS = ("coco", "sa-v")
SCALE = {"Z": 2.0, "Y": 0.5, "X": 0.25}


def decoded(rle: dict[str, Any]) -> np.ndarray:
    """Decode compressed RLE bit by bit, from the definition of the format."""
    counts: list[int] = []
    bits: list[int] = []
    for character in rle["counts"]:
        code = ord(character) - 48
        bits += [code >> k & 1 for k in range(5)]
        if not code & 32:
            value = sum(bit << k for k, bit in enumerate(bits)) - (bits[-1] << len(bits))
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            bits = []
    height, width = rle["size"]
    pixels = [k % 2 for k, count in enumerate(counts) for _ in range(count)]
    assert len(pixels) == height * width
    return np.array(pixels, bool).reshape(width, height).T


@pytest.fixture
def labels() -> np.ndarray:
    rng = np.random.default_rng(3)
    labels = np.zeros((5, 17, 23), np.uint16)
    labels[:, 2:6, 3:9] = 4
    labels[1:4, 8:14, 10:20] = rng.choice([0, 300], (3, 6, 10))  # ragged, with a gap around
    labels[[0, 2, 4], 15, 0] = 7
    labels[3] = 0
    return labels


@pytest.mark.parametrize("name", FORMATS)
def test_round_trip_with_axes_scale_and_unit(name: str, labels: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.json"
    export_masklets(path, labels, name, axes="ZYX", scale=SCALE, unit="µm")
    stack = open_masklets(path)
    np.testing.assert_array_equal(np.asarray(stack.data), labels)
    assert stack.data.dtype == np.asarray(stack.data).dtype == np.uint16
    assert stack.data.chunksize == (1, 17, 23)
    assert (stack.axes, stack.scale, stack.unit) == ("ZYX", SCALE, "micrometer")
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]
    export_masklets(path, labels[0], name, axes="YX", overwrite=True)
    np.testing.assert_array_equal(np.asarray(open_masklets(path).data), labels[:1])


@pytest.mark.parametrize("name", FORMATS)
def test_ids_beyond_16_bits_and_no_objects(name: str, tmp_path: Path) -> None:
    labels = np.zeros((2, 3, 4), np.uint32)
    export_masklets(tmp_path / "none.json", labels, name)
    assert not np.asarray(open_masklets(tmp_path / "none.json").data).any()
    labels[1] = 2**32 - 1
    export_masklets(tmp_path / "high.json", labels, name)
    np.testing.assert_array_equal(np.asarray(open_masklets(tmp_path / "high.json").data), labels)


def test_coco_is_what_others_expect(labels: np.ndarray, tmp_path: Path) -> None:
    sure = Quality(iou=0.9, object_score=0.0, stability=0.8)
    export_masklets(tmp_path / "a.json", labels, quality={4: {2: sure}})
    content = json.loads((tmp_path / "a.json").read_text())
    images = {image["id"]: image for image in content["images"]}
    assert [(i["width"], i["height"]) for i in images.values()] == [(23, 17)] * 5
    assert len({i["file_name"] for i in images.values()}) == 5
    annotations = content["annotations"]
    assert len({a["id"] for a in annotations}) == len(annotations)
    assert {a["category_id"] for a in annotations} == {c["id"] for c in content["categories"]}
    painted = np.zeros_like(labels)
    for one in annotations:
        mask = decoded(one["segmentation"])
        y, x = np.nonzero(mask)
        assert one["area"] == mask.sum() > 0
        assert one["iscrowd"] == 0
        assert one["bbox"] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        frame = images[one["image_id"]]["frame_index"]
        painted[frame][mask] = one["track_id"]
        assert ("score" in one) == (frame == 2 and one["track_id"] == 4)
        if "score" in one:
            assert (one["score"], one["stability_score"]) == (0.45, 0.8)
            assert one["interpolated"] is False
    np.testing.assert_array_equal(painted, labels)


def test_sa_v_is_what_the_dataset_describes(labels: np.ndarray, tmp_path: Path) -> None:
    export_masklets(tmp_path / "vid.json", labels, "sa-v", scale={"T": 2.0})
    content = json.loads((tmp_path / "vid.json").read_text())
    assert content["video_id"] == "vid"
    assert content["video_duration"] == 10.0
    assert (content["video_height"], content["video_width"]) == (17, 23)
    assert content["video_resolution"] == 17 * 23
    assert content["video_frame_count"] == len(content["masklet"]) == 5
    ids = content["masklet_id"]
    assert ids == [4, 7, 300]
    lists = {k: v for k, v in content.items() if k.startswith("masklet_") and k != "masklet_num"}
    assert {len(values) for values in lists.values()} == {3}
    masks = np.array([[decoded(rle) for rle in frame] for frame in content["masklet"]])
    np.testing.assert_array_equal((masks * np.array(ids)[:, None, None]).sum(1), labels)
    areas = masks.sum((2, 3))
    seen = areas > 0
    mean = areas.sum(0) / seen.sum(0)
    np.testing.assert_allclose(content["masklet_size_abs"], mean)
    np.testing.assert_allclose(content["masklet_size_rel"], mean / (17 * 23))
    assert content["masklet_first_appeared_frame"] == seen.argmax(0).tolist()
    changes = [int(np.diff(s[s.argmax() :].astype(int)).astype(bool).sum()) for s in seen.T]
    assert content["masklet_visibility_changes"] == changes
    assert content["masklet_size_bucket"] == ["small"] * 3
    assert content["masklet_num"] == 3


def test_sa_v_sorts_objects_by_their_size(tmp_path: Path) -> None:
    labels = np.zeros((3, 100, 160), np.uint8)
    labels[:, :96, :96] = 1
    labels[:2, :32, 100:132] = 2
    labels[:2, 40:71, 100:133] = 3  # a pixel less
    export_masklets(tmp_path / "a.json", labels, "sa-v")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["masklet_size_bucket"] == ["large", "medium", "small"]
    assert content["masklet_visibility_changes"] == [0, 1, 1]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("sequence", ["hela_nuclei", "ovule_membrane_z"])
def test_real_labels_come_back(name: str, sequence: str, dev_data: Path, tmp_path: Path) -> None:
    labels = read_labels(dev_data / sequence / "masks.tif")[:12]
    export_masklets(tmp_path / "a.json", labels, name)
    np.testing.assert_array_equal(np.asarray(open_masklets(tmp_path / "a.json").data), labels)


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def image(number: int, **more: object) -> dict[str, object]:
    return {"id": number, "width": 6, "height": 4, "file_name": "x", **more}


def test_coco_of_others(tmp_path: Path) -> None:
    """Plain counts, polygons, no track ids, images in any order, masks on top of each other."""
    polygons = [[2, 1, 5, 1, 5, 3, 2, 3], [0, 3, 1, 3, 1, 4, 0, 4]]
    annotations = [
        {"id": 5, "image_id": 70, "segmentation": {"size": [4, 6], "counts": [4, 2, 18]}},
        {"id": 6, "image_id": 70, "segmentation": polygons},
        {"id": 7, "image_id": 9, "segmentation": {"size": [4, 6], "counts": [5, 1, 18]}},
        {"track_id": 8, "image_id": 9, "segmentation": {"size": [4, 6], "counts": [0, 24]}},
    ]
    content = {"images": [image(9), image(70)], "annotations": annotations}
    labels = np.zeros((2, 4, 6), np.uint16)
    labels[0] = 8
    labels[0, 1, 1] = 7  # the smaller one is on top
    labels[1, :2, 1] = 5
    labels[1, 1:3, 2:5] = 6
    labels[1, 3, 0] = 6
    read = open_masklets(write(tmp_path / "a.json", content))
    np.testing.assert_array_equal(np.asarray(read.data), labels)
    content["images"] = [image(9, frame_index=3), image(70, frame_index=1)]
    read = open_masklets(write(tmp_path / "a.json", content))
    np.testing.assert_array_equal(np.asarray(read.data), labels[::-1])
    content["images"] = [image(9, frame_index=3), image(70)]  # not said of all
    read = open_masklets(write(tmp_path / "a.json", content))
    np.testing.assert_array_equal(np.asarray(read.data), labels)


def test_sa_v_counts_from_zero_and_leaves_out_what_is_absent(tmp_path: Path) -> None:
    rle = {"size": [4, 6], "counts": "42b0"}
    content = {
        "video_height": 4.0, "video_width": 6.0, "video_frame_count": 8.0,
        "masklet_id": [0, 1], "masklet": [[rle, None], [None, rle]],
    }  # fmt: skip
    read = np.asarray(open_masklets(write(tmp_path / "a.json", content)).data)
    assert [np.unique(frame).tolist() for frame in read] == [[0, 1], [0, 2]]


ONE = {"id": 1, "image_id": 1, "segmentation": {"size": [4, 6], "counts": "<<"}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "holds no JSON object"),
        ({"info": {}}, "neither annotations"),
        ({"version": 1, "objects": []}, "is a session or a file of prompts"),
        ({"annotations": []}, "is no COCO file: KeyError 'images'"),
        ({"annotations": [ONE], "images": [image(2)]}, "is no COCO file: KeyError 1"),
        ({"annotations": [3], "images": [image(1)]}, "is no COCO file"),
        ({"annotations": [], "images": []}, "has no frames"),
        ({"annotations": [], "images": [image(1), image(2, width=9)]}, "images of 2 sizes"),
        ({"annotations": [ONE | {"track_id": -4}], "images": [image(1)]}, "object ids must be"),
        ({"masklet": [[]]}, "is no SA-V file"),
        ({"masklet": [[None]], "masklet_id": [], "video_height": 2, "video_width": 2}, "no SA-V"),
    ],
)
def test_unusable_files_say_why(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        open_masklets(write(tmp_path / "a.json", content))


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [4, 6], "counts": "<;"},
        {"size": [4, 6], "counts": "<p"},
        {"size": [4, 5], "counts": [20]},
        {"size": [6, 4], "counts": [24]},
        {"size": [4, 6]},
        {"size": [4, 6], "counts": [[1]]},
        [[1, 2, 3]],
        7,
    ],
)
def test_a_damaged_mask_is_found_before_anything_is_written(
    segmentation: object, tmp_path: Path
) -> None:
    content = {"images": [image(1)], "annotations": [ONE | {"segmentation": segmentation}]}
    stack = open_masklets(write(tmp_path / "a.json", content))
    with pytest.raises(InputError, match=r"a\.json, frame 0: .*; it may be damaged"):
        export_masklets(tmp_path / "a.tif", stack.data)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_no_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match="check that it is JSON"):
        open_masklets(tmp_path / "a.json")
