"""Training batches: clips made by worker processes, seeded by their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt
from skimage.segmentation import expand_labels, find_boundaries
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_sam2.training.annotators import first_prompts
from napari_sam2.training.magnifying import Magnification, magnified
from napari_sam2.training.static import StaticImages
from napari_sam2.training.synthetic import Clip, make_clip

# What is said first of the objects of a batch, and how often.
_IMAGE_PROMPTS = {"click": 0.6, "box": 0.25, "clicks": 0.15}
_CLIP_PROMPTS = {"mask": 0.6, "click": 0.2, "box": 0.2}


@dataclass(frozen=True)
class BatchConfig:
    """How batches are made.

    Parameters
    ----------
    seed : of everything random.
    pixels : pixels a batch of single frames holds; the number of images follows from it.
    times : makes batches larger, for a GPU.
    sizes, weights : sides of the crops and how often each is used.
    objects : most objects per image.
    zoom_spread : every crop is magnified around one of its objects by about what suits that
        (log-normal), as a session's levels do; small cells are blurred then, as they are in use.
    searched : part of the single frames whose magnification is off, as in a search.
    search_octaves : by how much it is, from too little to too much.
    clip_length : fewest and most frames of a clip.
    outline : in each clip all outlines are moved outward by a part of the radius between these
        two; annotators differ, and what is meant has to be read off the prompt and remembered.
    real : folders of licensed static images to mix in.
    real_share : part of the clips that comes from them.
    real_zooms : least and largest magnification of theirs.
    views : how often a clip is used in a batch, turned and relit each time; making clips costs
        as much as learning from them.
    """

    seed: int = 0
    pixels: int = 10 * 128 * 128
    times: int = 1
    sizes: tuple[int, ...] = (128, 192, 256)
    weights: tuple[float, ...] = (0.4, 0.4, 0.2)
    objects: int = 8
    zoom_spread: float = 0.3
    searched: float = 0.45
    search_octaves: tuple[float, float] = (-3.0, 2.25)
    clip_length: tuple[int, int] = (4, 8)
    outline: tuple[float, float] = (-0.1, 0.2)
    real: tuple[str, ...] = ()
    real_share: float = 0.4
    real_zooms: tuple[float, float] = (0.5, 2.5)
    views: int = 2


@dataclass(frozen=True)
class Batch:
    """Clips and the objects to follow in them.

    Parameters
    ----------
    images : (B, T, S, S) float32, 0 to 1.
    labels : (B, T, S, S) int32.
    owner : (N,) which clip each object is in.
    ids : (N,) its id there.
    kind : what is said of them on the first frame: "click", "clicks", "box" or "mask".
    points : (N, K, 2) prompts in pixels, x first; none for "mask".
    signs : (N, K) what they are.
    """

    images: Tensor
    labels: Tensor
    owner: Tensor
    ids: Tensor
    kind: str
    points: Tensor
    signs: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the same on a device."""
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        return Batch(**moved)

    def masks(self, frame: int) -> Tensor:
        """Masks (N, S, S), bool, of all objects on one frame."""
        return self.labels[self.owner, frame] == self.ids[:, None, None]


@cache
def _folders(paths: tuple[str, ...], zooms: tuple[float, float]) -> list[StaticImages]:
    return [StaticImages(Path(path), zooms) for path in paths]


def _one_clip(config: BatchConfig, rng: np.random.Generator, frames: int, size: int) -> Clip:
    if config.real and rng.random() < config.real_share:
        folders = _folders(config.real, config.real_zooms)
        weights = np.sqrt([len(f) for f in folders])
        folder = folders[rng.choice(len(folders), p=weights / weights.sum())]
        return folder.clip(rng, frames, (size, size))
    return make_clip(int(rng.integers(2**31)), frames, (size, size))


def _pick_objects(clip: Clip, rng: np.random.Generator, most: int, smallest: int) -> list[int]:
    """Choose objects of the first frame; every other time first those that change in size.

    Ends are rare, and the hardest to learn.
    """
    ids, areas = np.unique(clip.labels[0], return_counts=True)
    fit = (ids > 0) & (areas >= smallest)
    ids, areas = ids[fit], areas[fit]
    order = rng.permutation(len(ids))
    if len(clip.labels) > 1 and rng.random() < 0.5:
        last = np.bincount(clip.labels[-1].ravel(), minlength=int(clip.labels.max()) + 1)[ids]
        change = np.abs(np.log((last + 1.0) / areas))
        order = order[np.argsort(change[order] < np.log(1.8), kind="stable")]
    return [int(ids[i]) for i in order[:most]]


def make_batch(config: BatchConfig, number: int, clips: bool) -> Batch:
    """Make batch `number`: single frames, or clips."""
    rng = np.random.default_rng([config.seed, number, int(clips)])
    size = int(rng.choice(config.sizes, p=config.weights))
    frames = int(rng.integers(config.clip_length[0], config.clip_length[1] + 1)) if clips else 1
    # A frame of a clip costs more than a single frame: memory is attended to and encoded.
    pixels = config.times * config.pixels
    count = max(1, round(pixels / (size * size) / (1 if frames == 1 else frames * 0.5)))
    images: list[npt.NDArray[np.float32]] = []
    labels: list[npt.NDArray[np.int32]] = []
    owner: list[int] = []
    ids: list[int] = []
    most = config.objects if frames == 1 else config.objects // 2
    while len(images) < count:
        magnification = _magnification(rng, config, clips)
        made = _one_clip(config, rng, frames, magnification.source(size))
        for _ in range(min(config.views, count - len(images))):
            clip = _view(magnified(made, rng, magnification, size), rng)
            if clips:
                clip = _redrawn(clip, rng.uniform(*config.outline))
            picked = _pick_objects(clip, rng, most, magnification.smallest)
            if picked:
                owner += [len(images)] * len(picked)
                ids += picked
                images.append(clip.images)
                labels.append(clip.labels)
    kinds = _CLIP_PROMPTS if clips else _IMAGE_PROMPTS
    kind = str(rng.choice([*kinds], p=[*kinds.values()]))
    points, signs = torch.zeros(len(ids), 0, 2), torch.zeros(len(ids), 0, dtype=torch.long)
    if kind != "mask":
        masks = (labels[i][0] == id_ for i, id_ in zip(owner, ids, strict=True))
        points, signs = first_prompts(masks, rng, kind)
    return Batch(
        images=torch.from_numpy(np.stack(images).astype(np.float32)),
        labels=torch.from_numpy(np.stack(labels).astype(np.int32)),
        owner=torch.tensor(owner),
        ids=torch.tensor(ids),
        kind=kind,
        points=points,
        signs=signs,
    )


def _magnification(rng: np.random.Generator, config: BatchConfig, clips: bool) -> Magnification:
    if not clips and rng.random() < config.searched:
        return Magnification(float(2 ** rng.uniform(*config.search_octaves)), searched=True)
    return Magnification(float(np.exp(rng.normal(0, config.zoom_spread))))


def _redrawn(clip: Clip, outward: float) -> Clip:
    """Move all outlines of a clip outward (or inward) by a part of the median radius."""
    areas = np.bincount(clip.labels[0].ravel())[1:]
    if not areas.any():
        return clip
    pixels = outward * float(np.sqrt(np.median(areas[areas > 0]) / np.pi))
    labels = [_grown(plane, pixels) if pixels > 0 else _shrunk(plane, -pixels)
              for plane in clip.labels]  # fmt: skip
    return Clip(clip.images, np.stack(labels), clip.kind)


def _grown(labels: npt.NDArray[np.int32], pixels: float) -> npt.NDArray[np.int32]:
    grown: npt.NDArray[np.int32] = expand_labels(labels, pixels)
    return grown


def _shrunk(labels: npt.NDArray[np.int32], pixels: float) -> npt.NDArray[np.int32]:
    depth = distance_transform_edt(~find_boundaries(labels, mode="outer"))
    return np.where(depth > pixels, labels, 0).astype(np.int32)


def _view(clip: Clip, rng: np.random.Generator) -> Clip:
    """Turn, mirror, relight and perhaps reverse a clip."""
    images, labels = clip.images, clip.labels
    if rng.random() < 0.5:
        images, labels = images[::-1], labels[::-1]
    if rng.random() < 0.5:
        images, labels = images[:, ::-1], labels[:, ::-1]
    turns = int(rng.integers(4))
    images, labels = np.rot90(images, turns, (1, 2)), np.rot90(labels, turns, (1, 2))
    if rng.random() < 0.5:
        low, high = rng.uniform(-0.15, 0.2), rng.uniform(0.75, 1.3)
        images = np.clip((images - low) / (high - low), 0, 1) ** np.exp(rng.normal(0, 0.3))
    return Clip(np.ascontiguousarray(images, np.float32), np.ascontiguousarray(labels), clip.kind)


class _Steps(Dataset[Batch]):
    def __init__(self, config: BatchConfig, plan: list[bool]) -> None:
        self.config = config
        self.plan = plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> Batch:
        return make_batch(self.config, index, self.plan[index])


def _unpack(items: list[Batch]) -> Batch:
    return items[0]


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)


def batches(config: BatchConfig, plan: list[bool], start: int, workers: int) -> Iterator[Batch]:
    """Yield the batches of a plan (True: clips) from step `start` on, in order.

    The same seed and step give the same batch, whatever the number of workers.
    """
    options: dict[str, Any] = {"worker_init_fn": _start_worker} if workers else {}
    try:
        yield from DataLoader(
            _Steps(config, plan),
            batch_size=1,
            sampler=range(start, len(plan)),
            num_workers=workers,
            collate_fn=_unpack,
            prefetch_factor=4 if workers else None,
            **options,
        )
    finally:
        _folders.cache_clear()  # decoded images
