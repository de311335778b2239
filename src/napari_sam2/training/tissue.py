"""Space-filling tissue over time or z: sites of a Voronoi diagram that move, divide and vanish."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_sam2.training.shapes import DIRECTIONS, Array, Canvas, Pose, draw_tissue
from napari_sam2.training.textures import crop, tile

_DISC = np.ones(DIRECTIONS, np.float32)


@dataclass(frozen=True)
class TissueHabits:
    """How a tissue looks and behaves; lengths in pixels, times in frames.

    Parameters
    ----------
    spacing : between neighbouring cells, about twice their radius.
    disorder : 0 is a hexagonal lattice, 1 about random.
    stretch : largest elongation of a cell.
    sizes : relative variation of cell sizes.
    warp, warp_scale : how far walls bend, and over which length (2, 4, 8, 16 or 32).
    drift : movement of the tissue per frame.
    jitter : movement of a cell per frame over the spacing.
    growth : widening of the tissue per frame.
    division : chance per cell and frame.
    gaps : part of the cells that is not labelled (holes, other tissue).
    z_step : planes advance by this much per frame over the spacing; 0 is a time-lapse.
    """

    spacing: float = 30
    disorder: float = 0.6
    stretch: float = 1.5
    sizes: float = 0.15
    warp: float = 1.5
    warp_scale: float = 8
    drift: tuple[float, float] = (0, 0)
    jitter: float = 0.01
    growth: float = 0.0
    division: float = 0.0
    gaps: float = 0.0
    z_step: float = 0.0


@dataclass
class Tissue:
    """Sites of one clip; every array has one row per cell.

    Parameters
    ----------
    rng : of everything random.
    habits : how the tissue looks and behaves.
    shape : (height, width) of the frame.
    """

    rng: np.random.Generator
    habits: TissueHabits
    shape: tuple[int, int]
    parents: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        h, rng = self.habits, self.rng
        around = 1.6 * h.spacing
        rows = np.arange(-around, self.shape[0] + around, h.spacing * 0.87)
        columns = np.arange(-around, self.shape[1] + around, h.spacing)
        y, x = np.meshgrid(rows, columns, indexing="ij")
        x = x + (np.arange(len(rows)) % 2)[:, None] * h.spacing / 2
        sites = np.stack([y.ravel(), x.ravel()], 1) + rng.uniform(0, h.spacing, 2)
        layers = [sites]
        heights = [np.zeros(len(sites))]
        if h.z_step:  # one layer above and below each, shifted
            for side in (-1, 1, 2):
                layers.append(sites + h.spacing * 0.5 * np.array([side % 2, 0.6]))
                heights.append(np.full(len(sites), side * 0.85))
        self.centre = np.concatenate(layers)
        n = len(self.centre)
        self.centre = self.centre + rng.uniform(-0.5, 0.5, (n, 2)) * h.disorder * h.spacing
        self.height = np.concatenate(heights)
        if h.z_step:
            self.height = self.height + rng.uniform(-0.5, 0.5, n) * h.disorder
        self.weight = np.exp(rng.normal(0, h.sizes, n))
        shared = rng.uniform(0, np.pi)
        spread = rng.choice([0.3, 2.0])
        self.angle = shared + rng.normal(0, spread, n)
        self.stretch = np.exp(rng.uniform(0, np.log(h.stretch), n))
        self.ghost = rng.random(n) < h.gaps
        self.alive = np.ones(n, bool)
        self.origin = rng.uniform(0, 512, (2, 2))
        self.time = 0
        self.velocity = rng.normal(0, 1, (n, 2))

    def draw(self, canvas: Canvas) -> None:
        """Draw the cells of this frame."""
        h = self.habits
        here = self._near()
        z = (self.height - self.time * h.z_step)[here] * h.spacing
        poses = [
            Pose(
                i + 1, self.centre[i, 0], self.centre[i, 1], self.angle[i],
                0.5 * h.spacing * self.weight[i], self.stretch[i], 0, 0, _DISC,
            )
            for i in here
        ]  # fmt: skip
        draw_tissue(canvas, poses, h.spacing, self._warp(), np.asarray(z, np.float32))

    def _near(self) -> list[int]:
        """Rows of living cells that this plane can cut."""
        away = np.abs(self.height - self.time * self.habits.z_step)
        return [int(i) for i in np.flatnonzero(self.alive & (away < 1.3))]

    def _warp(self) -> Array:
        h = self.habits
        noise = tile("smooth", h.warp_scale)
        shift = self.time * np.array(h.drift)
        slide = self.time * (2.0 if h.z_step else 0.3)
        parts = [crop(noise, self.shape, *(self.origin[k] - shift + slide)) for k in (0, 1)]
        return np.stack(parts) * np.float32(h.warp)

    def step(self) -> None:
        """Advance by one frame."""
        h, rng = self.habits, self.rng
        self.time += 1
        middle = np.array(self.shape) / 2
        self.centre = middle + (self.centre - middle) * (1 + h.growth) + np.array(h.drift)
        self.velocity = 0.8 * self.velocity + 0.6 * rng.normal(0, 1, self.velocity.shape)
        self.centre = self.centre + self.velocity * h.jitter * h.spacing
        if h.z_step:
            return
        for i in np.flatnonzero(
            self.alive & ~self.ghost & (rng.random(len(self.alive)) < h.division)
        ):
            self._divide(int(i))

    def _divide(self, i: int) -> None:
        self.alive[i] = False
        angle = self.rng.uniform(0, np.pi)
        axis = np.array([np.sin(angle), np.cos(angle)])
        for side in (-1, 1):
            for name in ("centre", "height", "weight", "angle", "stretch", "ghost", "velocity"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, array[i : i + 1]]))
            self.alive = np.append(self.alive, True)
            k = len(self.alive) - 1
            self.centre[k] += side * 0.22 * self.habits.spacing * axis
            self.parents[k + 1] = i + 1
