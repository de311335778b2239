"""A session without a network: it thresholds, and follows what it was shown by overlap."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import ndimage

from napari_sam2.evaluation.sequences import Sequence

MODEL = SimpleNamespace(config=SimpleNamespace(name="threshold"), device="cpu")


class ThresholdSession:
    """Answers every prompt with the bright region under its middle."""

    def __init__(self, model: Any, images: np.ndarray) -> None:
        self.model = model
        self.regions = [ndimage.label(image > 100)[0] for image in images]
        self.masks: dict[int, tuple[int, np.ndarray]] = {}
        self.calls: list[tuple[str, int, int]] = []

    def add_points(self, object_id: int, frame: int, points: Any, positive: Any) -> Any:
        self.calls.append(("points", object_id, frame))
        if not positive[0]:
            return self._answer(object_id, frame, self.masks[object_id][1])
        y, x = points[0]
        return self._answer(object_id, frame, self._region(frame, y, x))

    def add_box(self, object_id: int, frame: int, box: Any) -> Any:
        self.calls.append(("box", object_id, frame))
        y, x = np.mean(box, axis=0).astype(int)
        return self._answer(object_id, frame, self._region(frame, y, x))

    def add_mask(self, object_id: int, frame: int, mask: Any) -> Any:
        self.calls.append(("mask", object_id, frame))
        return self._answer(object_id, frame, mask)

    def propagate(
        self, direction: str = "both", start: int | None = None, stop: int | None = None
    ) -> Iterator[Any]:
        count = len(self.regions)
        seed = next(iter(self.masks.values()))[0]
        ways = {"forward": [range(seed, count)], "backward": [range(seed, -1, -1)]}
        for way in ways.get(direction) or [*ways["forward"], *ways["backward"]]:
            last = {i: mask for i, (_, mask) in self.masks.items()}
            for frame in way:
                if not (start or 0) <= frame < (count if stop is None else stop):
                    continue
                labels = np.zeros(self.regions[frame].shape, np.uint16)
                for i, mask in last.items():
                    under = self.regions[frame][mask]
                    best = np.bincount(under[under > 0]).argmax() if under.any() else -1
                    last[i] = self.regions[frame] == best
                    labels[last[i]] = i
                yield SimpleNamespace(frame=frame, labels=labels, quality={})

    def _region(self, frame: int, y: float, x: float) -> np.ndarray:
        regions = self.regions[frame]
        found = regions[int(y), int(x)]
        return (regions == found) & (found > 0)

    def _answer(self, object_id: int, frame: int, mask: np.ndarray) -> Any:
        self.masks[object_id] = (frame, mask)
        return SimpleNamespace(mask=mask)


class FadingSession:
    """Knows the truth, and forgets.

    A frame is answered with the upper half of the object (IoU 0.5) until its second click, then
    with all of it. An object is followed rightly for `reach` frames on both sides of a clicked
    frame, and as its upper half beyond.
    """

    def __init__(self, labels: np.ndarray, reach: int) -> None:
        self.labels, self.reach = labels, reach
        self.clicks: list[tuple[int, int, int, int, bool]] = []  # object, frame, y, x, positive
        self.propagations: list[tuple[str, int | None, int | None]] = []

    def __call__(self, model: Any, images: np.ndarray) -> FadingSession:
        return self

    def add_points(self, object_id: int, frame: int, points: Any, positive: Any) -> Any:
        ((y, x),) = points
        self.clicks.append((object_id, frame, y, x, *positive))
        return SimpleNamespace(mask=self._mask(object_id, frame))

    def propagate(
        self, direction: str = "both", start: int | None = None, stop: int | None = None
    ) -> Iterator[Any]:
        self.propagations.append((direction, start, stop))
        frames = range(start or 0, len(self.labels) if stop is None else stop)
        for frame in reversed(frames) if direction == "backward" else frames:
            yield self.result(frame)

    def result(self, frame: int) -> Any:
        labels = np.zeros(self.labels.shape[1:], np.uint16)
        for i in {click[0] for click in self.clicks}:
            labels[self._mask(i, frame)] = i
        return SimpleNamespace(frame=frame, labels=labels)

    def _mask(self, object_id: int, frame: int) -> np.ndarray:
        truth = self.labels[frame] == object_id
        frames = [click[1] for click in self.clicks if click[0] == object_id]
        near = min(abs(frame - t) for t in frames) <= self.reach
        if frames.count(frame) > 1 or (near and frame not in frames) or not truth.any():
            return truth
        return upper_half(truth)


def upper_half(mask: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(mask.any(axis=1))
    return mask & (np.arange(len(mask)) < rows.mean())[:, None]


def moving_squares(frames: int = 8, z_stack: bool = False) -> Sequence:
    """Four bright squares of 6 to 12 px that move by 1 px a frame; the last leaves after frame 4.

    As a z-stack, the first half of the slices holds only the first square.
    """
    labels = np.zeros((frames, 60, 80), np.uint16)
    for t in range(frames):
        for i in range(1, 5):
            size = 4 + 2 * i
            if not (i == 4 and t > 4) and not (z_stack and i > 1 and t < frames // 2):
                labels[t, 12 * i - 10 : 12 * i - 10 + size, 5 + t : 5 + t + size] = i
        labels[t, 0:8, 70:78] = 9  # touches the border
        labels[t, 30:33, 70:73] = 10  # tiny
    images = np.where(labels > 0, 200, 50).astype(np.uint8)
    return Sequence("moving_squares", images, labels, z_stack)
