"""Training batches: clips made by worker processes, seeded by their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_sam2.training.static import StaticImages
from napari_sam2.training.synthetic import Clip, make_clip

_MIN_AREA = 40  # px; less is not an object that anybody would click


@dataclass(frozen=True)
class BatchConfig:
    """How batches are made.

    Parameters
    ----------
    seed : of everything random.
    pixels : pixels a batch of single frames holds; the number of images follows from it.
    sizes, weights : sides of the crops and how often each is used.
    objects : most objects per image.
    clip_length : fewest and most frames of a clip.
    real : folders of licensed static images to mix in.
    real_share : part of the images that comes from them.
    """

    seed: int = 0
    pixels: int = 8 * 128 * 128
    sizes: tuple[int, ...] = (128, 192, 256)
    weights: tuple[float, ...] = (0.6, 0.25, 0.15)
    objects: int = 8
    clip_length: tuple[int, int] = (3, 6)
    real: tuple[str, ...] = ()
    real_share: float = 0.35


@dataclass(frozen=True)
class Batch:
    """Clips and the objects to follow in them.

    Parameters
    ----------
    images : (B, T, S, S) float32, 0 to 1.
    labels : (B, T, S, S) int32.
    owner : (N,) which clip each object is in.
    ids : (N,) its id there.
    """

    images: Tensor
    labels: Tensor
    owner: Tensor
    ids: Tensor

    def masks(self, frame: int) -> Tensor:
        """Masks (N, S, S), bool, of all objects on one frame."""
        return self.labels[self.owner, frame] == self.ids[:, None, None]


@cache
def _folders(paths: tuple[str, ...]) -> list[StaticImages]:
    return [StaticImages(Path(path)) for path in paths]


def _one_clip(config: BatchConfig, rng: np.random.Generator, frames: int, size: int) -> Clip:
    if config.real and rng.random() < config.real_share:
        folders = _folders(config.real)
        weights = np.sqrt([len(f) for f in folders])
        folder = folders[rng.choice(len(folders), p=weights / weights.sum())]
        return folder.clip(rng, frames, (size, size))
    return make_clip(int(rng.integers(2**31)), frames, (size, size))


def _pick_objects(clip: Clip, rng: np.random.Generator, most: int) -> list[int]:
    ids, areas = np.unique(clip.labels[0], return_counts=True)
    fit = ids[(ids > 0) & (areas >= _MIN_AREA)]
    return [int(i) for i in rng.permutation(fit)[:most]]


def make_batch(config: BatchConfig, number: int, clips: bool) -> Batch:
    """Make batch `number`: single frames, or clips."""
    rng = np.random.default_rng([config.seed, number, int(clips)])
    size = int(rng.choice(config.sizes, p=config.weights))
    frames = int(rng.integers(config.clip_length[0], config.clip_length[1] + 1)) if clips else 1
    # A frame of a clip costs more than a single frame: memory is attended to and encoded.
    count = max(1, round(config.pixels / (size * size) / (1 if frames == 1 else frames * 0.5)))
    images, labels, owner, ids = [], [], [], []
    while len(images) < count:
        clip = _one_clip(config, rng, frames, size)
        picked = _pick_objects(clip, rng, config.objects if frames == 1 else config.objects // 2)
        if not picked:
            continue
        owner += [len(images)] * len(picked)
        ids += picked
        step = -1 if frames > 1 and rng.random() < 0.5 and _same_ids(clip, picked) else 1
        images.append(clip.images[::step])
        labels.append(clip.labels[::step])
    return Batch(
        images=torch.from_numpy(np.stack(images).astype(np.float32)),
        labels=torch.from_numpy(np.stack(labels).astype(np.int32)),
        owner=torch.tensor(owner),
        ids=torch.tensor(ids),
    )


def _same_ids(clip: Clip, ids: list[int]) -> bool:
    """Whether the picked objects could be prompted on the last frame, too."""
    counts = np.bincount(clip.labels[-1].ravel(), minlength=max(ids) + 1)
    return bool((counts[ids] >= _MIN_AREA).all())


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
    yield from DataLoader(
        _Steps(config, plan),
        batch_size=1,
        sampler=range(start, len(plan)),
        num_workers=workers,
        collate_fn=_unpack,
        prefetch_factor=4 if workers else None,
        **options,
    )
