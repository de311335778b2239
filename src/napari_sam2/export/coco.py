"""Masklets to and from COCO JSON: one image per frame, one annotation per object and frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_sam2.export.masks_json import NOTE, Mask, as_stack, calibration
from napari_sam2.export.rle import Region, regions
from napari_sam2.export.source import LabelSource, Qualities
from napari_sam2.stacks import Stack
from napari_sam2.tracking.errors import InputError

_CATEGORY = {"id": 1, "name": "object", "supercategory": "object"}


def write_coco(path: Path, source: LabelSource) -> None:
    """Write the annotations as the frames are read.

    `track_id` is the object's id. Quality comes as `score`, `predicted_iou`, `object_score` and
    `stability_score`.
    """
    height, width = source.frame_shape
    images = [
        {
            "id": frame + 1,
            "frame_index": frame,
            "file_name": f"{source.name}_{frame:04d}.png",
            "width": width,
            "height": height,
        }
        for frame in range(len(source))
    ]
    head = {
        "info": {"description": NOTE, **calibration(source)},
        "images": images,
        "categories": [_CATEGORY],
    }
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        number = 0
        for frame, plane in enumerate(source.planes()):
            for region in regions(plane):
                number += 1
                file.write(",\n" if number > 1 else "\n")
                file.write(json.dumps(_annotation(number, frame, region, source.quality)))
        file.write("\n]}\n")


def _annotation(number: int, frame: int, region: Region, quality: Qualities) -> dict[str, Any]:
    annotation: dict[str, Any] = {
        "id": number,
        "image_id": frame + 1,
        "category_id": _CATEGORY["id"],
        "track_id": region.id,
        "segmentation": region.rle(),
        "bbox": list(region.box()),
        "area": int(region.flat.size),
        "iscrowd": 0,
    }
    sure = quality.get(region.id, {}).get(frame)
    if sure is not None:
        annotation |= {
            "score": sure.score,
            "predicted_iou": sure.iou,
            "object_score": sure.object_score,
            "stability_score": sure.stability,
            "interpolated": sure.interpolated,
        }
    return annotation


def read_coco(path: Path, content: dict[str, Any]) -> Stack:
    """Open COCO JSON of any origin as labels (T, Y, X), lazily.

    Frames are ordered by `frame_index`, or as the file lists its images. An annotation without a
    `track_id` is an object of its own. Polygons are drawn.

    Parameters
    ----------
    path
        The file, for messages.
    content
        What is in it.

    Raises
    ------
    InputError
        If it is no COCO file, or its images differ in size.
    """
    try:
        images = content["images"]
        if all("frame_index" in image for image in images):
            images = sorted(images, key=lambda image: image["frame_index"])
        sizes = {(int(image["height"]), int(image["width"])) for image in images}
        place = {image["id"]: frame for frame, image in enumerate(images)}
        frames: list[list[Mask]] = [[] for _ in images]
        for one in content["annotations"]:
            number = one["track_id"] if "track_id" in one else one["id"]
            mask = Mask(int(number), one["segmentation"])
            frames[place[one["image_id"]]].append(mask)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path.name} is no COCO file: {type(error).__name__} {error}; it needs images and "
            "annotations with segmentation"
        ) from error
    if len(sizes) > 1:
        raise InputError(f"{path.name} has images of {len(sizes)} sizes; give those of one stack")
    shape = sizes.pop() if sizes else (0, 0)
    return as_stack(path, frames, shape, content.get("info"))
