"""A population of cells over time: placed, moving, deforming, dividing, dying; or cut in z.

`Population` holds one row per cell that ever lived and steps all of them at once. Numbers start at
1 and are never used again, so that a number is an identity over the whole clip.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sam2.training.shapes import (
    MODES,
    Array,
    Pose,
    corners,
    outline_tables,
    superellipse,
)

_DEPTH = 4.2  # radii, of a volume of cells
_ORDERS = np.repeat(np.arange(2, MODES + 2), 2)


@dataclass(frozen=True)
class Habits:
    """How the cells of a clip look and behave; lengths in pixels, times in frames.

    Parameters
    ----------
    radius, spread : of the disc of the same area; relative variation between cells.
    count : cells to place, ghosts not counted.
    packing : least distance of centres over the sum of radii; below 1 cells overlap.
    colony : grow clusters of touching cells instead of spreading over the frame.
    aspect : least and largest elongation.
    power : superellipse exponents, 2 round, more boxy, less pointed.
    corners, corner_height : pointed corners of an outline, fewest and most, and how far they reach.
    roughness, roll_off : amplitude of outline modes, and how fast it falls with their order.
    bend : largest bend of elongated cells.
    speed, persistence : step per frame over the radius; 0 to 1, how straight paths are.
    drift : movement of the whole field per frame.
    turning : radians per frame.
    wobble : change of the outline per frame, 0 to 1.
    division, death, budding : chance of each per cell and frame.
    ghosts : part of the cells that is not labelled (debris, dead or out-of-focus cells).
    z_step : planes advance by this much per frame over the radius; 0 is a time-lapse.
    profile : exponent of the outline along z; 2 is a sphere, more ends more bluntly.
    volume : cells of a z-stack lie above and below each other, instead of in one loose layer.
    """

    radius: float = 14
    spread: float = 0.2
    count: int = 12
    packing: float = 1.0
    colony: bool = False
    aspect: tuple[float, float] = (1, 1.6)
    power: tuple[float, float] = (2, 2)
    corners: tuple[int, int] = (0, 0)
    corner_height: float = 0.0
    roughness: float = 0.08
    roll_off: float = 1.5
    bend: float = 0.0
    speed: float = 0.1
    persistence: float = 0.7
    drift: tuple[float, float] = (0, 0)
    turning: float = 0.05
    wobble: float = 0.15
    division: float = 0.0
    death: float = 0.0
    budding: float = 0.0
    ghosts: float = 0.0
    z_step: float = 0.0
    profile: float = 2.0
    volume: bool = False


@dataclass
class Population:
    """Cells of one clip; every array has one row per cell.

    Parameters
    ----------
    rng : of everything random.
    habits : how the cells behave.
    shape : (height, width) of the frame; cells also live a little outside of it.
    """

    rng: np.random.Generator
    habits: Habits
    shape: tuple[int, int]
    parents: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        h, rng = self.habits, self.rng
        centres, radius, height = self._place()
        n = len(centres)
        self.centre = centres
        self.radius = radius
        self.target = radius.copy()
        self.alive = np.ones(n, bool)
        self.ghost = rng.random(n) < h.ghosts
        if n and self.ghost.all():
            self.ghost[int(np.argmin(((centres - np.array(self.shape) / 2) ** 2).sum(1)))] = False
        shared = rng.uniform(0, np.pi) if rng.random() < 0.4 else None
        self.angle = rng.uniform(0, 2 * np.pi, n)
        if shared is not None:  # aligned cells, as in confluent layers
            self.angle = shared + rng.normal(0, 0.25, n)
        low, high = np.log(h.aspect[0]), np.log(h.aspect[1])
        self.aspect = np.exp(rng.uniform(low, high, n))
        self.bend = rng.uniform(-h.bend, h.bend, n)
        self.twist = rng.uniform(-h.bend, h.bend, n) * 0.5
        self.velocity = rng.normal(0, 1, (n, 2))
        self.height = height
        self.modes = self._random_modes(n)
        self.base = np.array([self._base() for _ in range(n)], np.float32)
        self.time = 0
        self.tilt = rng.normal(0, 0.25, (n, 2)) if h.z_step else np.zeros((n, 2))

    def _base(self) -> Array:
        h, rng = self.habits, self.rng
        base = superellipse(rng.uniform(*h.power))
        if h.corners[1]:
            count = int(rng.integers(h.corners[0], h.corners[1] + 1))
            base = base + corners(rng, count, h.corner_height, rng.uniform(0.15, 0.5))
        return base

    def _random_modes(self, n: int) -> Array:
        fall = (_ORDERS / 2.0) ** -self.habits.roll_off
        modes = self.rng.normal(0, 1, (n, 2 * MODES)) * fall * self.habits.roughness
        return np.asarray(modes, np.float32)

    def _place(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Centres (N, 2), radii (N,) and heights (N,): spread out, or each beside an earlier one.

        Heights are over the first plane, in mean radii. Cells that fill a volume keep their
        distance in all three directions, and so lie above and below each other; others do so
        within the plane.
        """
        h, rng = self.habits, self.rng
        size = np.array(self.shape, float)
        margin = min(h.radius, 0.3 * size.min())
        wider = 1.0 if h.colony else np.prod((size + 2 * margin) / size)
        deeper = _DEPTH / 2 if h.volume else 1.0
        total = max(1, round(h.count * wider * deeper / (1 - h.ghosts)))
        radii = h.radius * np.exp(rng.normal(0, h.spread, total))
        heights = self._heights(total)
        centres = np.zeros((0, 2))
        kept: list[int] = []
        seeds = 1 + int(rng.integers(0, 3))
        for i, radius in enumerate(radii):
            if not kept:  # one cell is surely in view
                spots = size * rng.uniform(0.25, 0.75, (1, 2))
            elif h.colony and len(kept) >= seeds:
                spots = self._beside(centres, radii[kept], radius)
            else:
                spots = rng.uniform(-margin, size + margin, (12, 2))
            if kept:
                offset = spots[:, None] - centres[None]
                above = (heights[i] - heights[kept]) * h.radius * h.volume
                apart = np.sqrt((offset**2).sum(-1) + above**2) / (radii[kept] + radius)
                spots = spots[apart.min(1) >= h.packing * 0.97]
            if len(spots):
                centres = np.concatenate([centres, spots[:1]])
                kept.append(i)
        return centres, radii[kept], heights[kept]

    def _heights(self, total: int) -> NDArray[np.float64]:
        rng = self.rng
        if not self.habits.z_step:
            return np.asarray(rng.uniform(-1, 1, total))
        if self.habits.volume:
            heights = rng.uniform(-0.9, _DEPTH - 0.9, total)
        else:
            heights = rng.uniform(-0.8, 0.8, total)
            later = rng.random(total) < 0.35  # comes into view on the way
            heights[later] += rng.uniform(0, 3, int(later.sum()))
        heights[0] = rng.uniform(-0.5, 0.5)
        return np.asarray(heights)

    def _beside(
        self, centres: NDArray[np.float64], radii: NDArray[np.float64], radius: float
    ) -> NDArray[np.float64]:
        """Places (N, 2) that touch a cell, those near the middle of the colony first."""
        rng, tries = self.rng, 30
        others = rng.integers(len(centres), size=tries)
        angles = rng.uniform(0, 2 * np.pi, tries)
        gaps = (radii[others] + radius) * self.habits.packing
        spots = centres[others] + gaps[:, None] * np.stack([np.sin(angles), np.cos(angles)], 1)
        return np.asarray(spots[np.argsort(np.hypot(*(spots - centres[0]).T))])

    def poses(self, reach: float = 1.0) -> list[Pose]:
        """Where all living cells are on this frame; `reach` stretches them along z."""
        tables = outline_tables(self.modes, self.base)
        centre, radius = self.centre, self.radius
        if self.habits.z_step:
            z = self.time * self.habits.z_step - self.height
            power = self.habits.profile
            radius = radius * np.maximum(0, 1 - np.abs(z / reach) ** power) ** (1 / power)
            centre = centre + self.tilt * (z * self.radius)[:, None]
        return [
            Pose(
                int(i) + 1,
                centre[i, 0],
                centre[i, 1],
                self.angle[i],
                radius[i],
                self.aspect[i],
                self.bend[i],
                self.twist[i],
                tables[i],
            )
            for i in np.flatnonzero(self.alive & (radius > 1.2))
        ]

    def step(self) -> None:
        """Advance by one frame."""
        h, rng = self.habits, self.rng
        n = len(self.centre)
        self.time += 1
        keep = 1 - h.wobble
        fresh = self._random_modes(n)
        self.modes = np.asarray(keep * self.modes + np.sqrt(1 - keep**2) * fresh, np.float32)
        self.centre = self.centre + np.array(h.drift)
        if h.z_step:
            return
        self.velocity = h.persistence * self.velocity + np.sqrt(1 - h.persistence**2) * rng.normal(
            0, 1, (n, 2)
        )
        self.centre = self.centre + self.velocity * (h.speed * self.radius)[:, None]
        self.angle = self.angle + rng.normal(0, 1, n) * h.turning
        self.bend = np.clip(self.bend + rng.normal(0, 0.15, n) * h.bend, -h.bend, h.bend)
        self.aspect = np.clip(self.aspect * np.exp(rng.normal(0, 0.06, n) * (h.wobble * 4)), 1, 9)
        self.radius = self.radius + 0.25 * (self.target - self.radius)
        self._push_apart()
        chance = rng.random((3, n))
        events = self.alive & ~self.ghost
        for i in np.flatnonzero(events & (chance[0] < h.division)):
            self._divide(int(i))
        for i in np.flatnonzero(events & (chance[1] < h.budding)):
            self._bud(int(i))
        dying = events & (chance[2] < h.death)
        self.alive[: len(dying)] &= ~dying

    def _push_apart(self) -> None:
        """Move cells that overlap more than they may half of the way apart."""
        n = len(self.centre)
        if n < 2:
            return
        offset = self.centre[:, None] - self.centre[None]
        distance = np.hypot(offset[..., 0], offset[..., 1]) + 1e-6
        least = (self.radius[:, None] + self.radius[None]) * self.habits.packing * 0.95
        both = self.alive[:, None] & self.alive[None] & ~np.eye(n, dtype=bool)
        push = np.where(both, np.maximum(0, least - distance), 0) * 0.25
        moved = (offset / distance[..., None] * push[..., None]).sum(1)
        most = 0.3 * self.radius
        length = np.hypot(*moved.T) + 1e-6
        self.centre = self.centre + moved * np.minimum(1, most / length)[:, None]

    def _divide(self, i: int) -> None:
        """Replace a cell by two new ones, side by side along its axis."""
        self.alive[i] = False
        axis = np.array([np.sin(self.angle[i]), np.cos(self.angle[i])])
        for side in (-1, 1):
            k = self._copy(i)
            self.parents[k + 1] = i + 1
            self.radius[k] = self.radius[i] * 0.72
            self.target[k] = self.target[i] * self.rng.uniform(0.78, 1)
            self.aspect[k] = max(1, self.aspect[i] * 0.7)
            shift = self.radius[i] * 0.62 * np.sqrt(self.aspect[i])
            self.centre[k] = self.centre[i] + side * shift * axis
            self.velocity[k] = side * axis * 0.8
            self.bend[k] = self.bend[i] * 0.4

    def _bud(self, i: int) -> None:
        """Grow a small new cell at the edge of one that stays."""
        k = self._copy(i)
        self.parents[k + 1] = i + 1
        angle = self.rng.uniform(0, 2 * np.pi)
        self.radius[k] = self.radius[i] * 0.4
        self.target[k] = self.target[i] * self.rng.uniform(0.6, 0.95)
        away = np.array([np.sin(angle), np.cos(angle)])
        self.centre[k] = self.centre[i] + away * (self.radius[i] + self.radius[k])

    def _copy(self, i: int) -> int:
        """Append a copy of a cell and return its row."""
        for name in (
            *("centre", "radius", "target", "ghost", "angle", "aspect", "bend", "twist"),
            *("velocity", "height", "modes", "base"),
        ):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, array[i : i + 1]]))
        self.alive = np.append(self.alive, True)
        k = len(self.alive) - 1
        self.modes[k] = self._random_modes(1)[0]
        return k
