"""How large objects are shown: as a session follows them, or as it sees them while it searches.

A click says nothing of the object's size. So a session asks at many magnifications, from where the
object is a speck to where it is cut off on all sides, and the predicted IoU has to tell which of
the answers is good. It can only do so if it has seen bad ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from napari_sam2.tracking.windows import suitable_zoom
from napari_sam2.training.synthetic import Clip

_MIN_AREA = 80  # px; smaller ones are followed on a finer level
_SPECK = 24  # px; the least that shows at stride 4
_MOST_ZOOM = 5.0
_WIDEST = 512  # px; side of what is shrunk


@dataclass(frozen=True)
class Magnification:
    """By what factor a view is magnified more than suits an object in it.

    Parameters
    ----------
    error : the factor.
    searched : whether this is a view of a search, where anything may happen.
    """

    error: float
    searched: bool = False

    @property
    def smallest(self) -> int:
        """Least area, in pixels of the view, of objects that are asked for."""
        return _SPECK if self.searched else _MIN_AREA

    def source(self, size: int) -> int:
        """Side of the clip that a view with sides of `size` is taken from."""
        if not self.searched:
            return size
        return max(size, min(math.ceil(size / self.error), _WIDEST))

    def zoom(self, radius: float, size: int, side: int) -> float:
        """Return view pixels per pixel of a clip with sides of `side`.

        Parameters
        ----------
        radius : of the object, in pixels of the clip.
        size : side of the view.
        """
        # What is followed fits into the view with room around it.
        most = min((1.0 if self.searched else 0.3) * size / radius, _MOST_ZOOM)
        least = size / side
        return float(np.clip(suitable_zoom(radius) * self.error, least, max(least, most)))


def magnified(clip: Clip, rng: np.random.Generator, by: Magnification, size: int) -> Clip:
    """Cut a view with sides of `size` around an object of the first frame."""
    ids, areas = np.unique(clip.labels[0], return_counts=True)
    fit = np.flatnonzero((ids > 0) & (areas >= min(_MIN_AREA, areas[ids > 0].max(initial=0))))
    side = clip.labels.shape[-1]
    cut, middle = size, np.array([side, side]) / 2
    if len(fit):
        chosen = int(rng.choice(fit))
        cut = round(size / by.zoom(math.sqrt(areas[chosen] / np.pi), size, side))
        ys, xs = np.nonzero(clip.labels[0] == ids[chosen])
        middle = np.array([ys.mean(), xs.mean()]) + rng.uniform(-0.2, 0.2, 2) * cut
    y, x = np.rint(middle - cut / 2).astype(int).clip(0, side - cut)
    images, labels = (
        torch.from_numpy(stack[:, y : y + cut, x : x + cut].astype(np.float32))[None]
        for stack in (clip.images, clip.labels)
    )
    shape = (size, size)
    images = F.interpolate(images, shape, mode="bilinear", antialias=cut > size)
    labels = F.interpolate(labels, shape, mode="nearest-exact")
    return Clip(images[0].numpy(), labels[0].numpy().astype(np.int32), clip.kind)
