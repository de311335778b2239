"""Synthetic microscopy with exact truth: what the small model is trained on.

`make_clip` draws a time-lapse or z-stack of cells that never existed. In the manner of AnyStar and
SynthSeg nearly everything is random: shape, size, motion, contrast, texture, noise. A model that
has learned from this does not depend on one microscope. Three steps, each in a module of its own:

1. `motion` and `tissue` decide where the cells are on every frame, how they deform, divide, die;
2. `shapes` draws them on a canvas: which cell is where, how deep inside is a pixel;
3. `rendering` turns the canvas into the picture of one kind of microscope, `camera` adds uneven
   light, blur and noise.

A kind of clip (`KINDS`) joins habits of cells with looks; `kinds` says which.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sam2.training.camera import Camera, Depth, faded, hazy
from napari_sam2.training.kinds import KINDS
from napari_sam2.training.motion import Population
from napari_sam2.training.scene import Scene
from napari_sam2.training.shapes import Canvas

__all__ = ["KINDS", "Clip", "make_clip"]

_LEAST_AREA = 100  # px of the largest object on the first frame


@dataclass(frozen=True)
class Clip:
    """Images with their truth.

    Parameters
    ----------
    images : (T, H, W) float32, 0 to 1.
    labels : (T, H, W) int32; an object keeps its id over the frames, 0 is background.
    kind : what it shows.
    parents : id -> id of the cell that it came from, for divisions and buds.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int32]
    kind: str
    parents: dict[int, int] = field(default_factory=dict)


def make_clip(
    seed: int,
    frames: int = 1,
    size: tuple[int, int] = (128, 128),
    kind: str | None = None,
    z_stack: bool | None = None,
) -> Clip:
    """Draw a clip; the same arguments give the same clip.

    Parameters
    ----------
    seed : of everything random.
    frames : number of frames or planes.
    size : (height, width) in pixels.
    kind : one of `KINDS`; drawn by weight if None.
    z_stack : planes of a volume instead of moments in time; drawn if None.

    Returns
    -------
    Clip
        With at least one object of some size on the first frame.

    Raises
    ------
    ValueError
        The kind is unknown, or frames or size are not positive.

    References
    ----------
    Dey et al., AnyStar (WACV 2024); Billot et al., SynthSeg (Medical Image Analysis 2023).
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; known are {', '.join(KINDS)}")
    if frames < 1 or min(size) < 1:
        raise ValueError(f"a clip needs frames and pixels, not {frames} of {size}")
    rng = np.random.default_rng(seed)
    if kind is None:
        weights = np.array([k.weight for k in KINDS.values()])
        kind = str(rng.choice(list(KINDS), p=weights / weights.sum()))
    recipe = KINDS[kind]
    if z_stack is None:
        z_stack = bool(rng.random() < recipe.z_share)
    while True:  # a clip without any cell to click teaches nothing
        scene = recipe.make(rng, size, z_stack)
        canvas = scene.draw()
        areas = np.bincount(scene.names()[canvas.cells].ravel())[1:]
        if areas.max(initial=0) >= min(_LEAST_AREA, size[0] * size[1] // 4):
            return _film(rng, scene, canvas, frames, kind)


def _film(rng: np.random.Generator, scene: Scene, first: Canvas, frames: int, kind: str) -> Clip:
    z_step = scene.cast.habits.z_step if KINDS[kind].haze else 0.0
    depth = Depth.drawn(rng) if z_step else Depth(0, 1)
    longer = depth.reach > 1 and isinstance(scene.cast, Population)
    canvases, masks = [first], [scene.masks(depth.reach) if longer else first.cells]
    for _ in range(1, frames):
        scene.step()
        canvases.append(scene.draw())
        masks.append(scene.masks(depth.reach) if longer else canvases[-1].cells)
    names = scene.names()
    look = scene.look()
    pictures = np.stack([look(canvas, t) for t, canvas in enumerate(canvases)])
    if z_step:
        if kind == "nuclei":
            pictures = faded(rng, pictures, np.stack([canvas.cells for canvas in canvases]))
        pictures = hazy(depth, pictures, z_step)
    labels = np.stack([names[cells] for cells in masks])
    images = Camera(rng, scene.shape, scene.noise).expose(pictures.astype(np.float32, copy=False))
    parents = {k: v for k, v in scene.parents.items() if names[k]}
    return Clip(images, labels, kind, parents)
