"""Cell shapes on a canvas: where every cell is, how deep inside it a pixel lies.

A shape is star-convex: a table gives its radius for each direction. Stretching (aspect) and
bending the coordinates first makes rods, worms and spindles of the same tables. Each cell is
computed only on the small patch that it covers. Space-filling tissue is a Voronoi diagram whose
distances are stretched and warped.

The canvas keeps, for every pixel, what the renderers need: which cell, how far inside (relative
and in pixels), and coordinates that move and turn with the cell, for its texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
DIRECTIONS = 256
MODES = 12
MARGIN = 9  # px outside of a cell for which the distance to its edge is known

_ANGLES = np.linspace(-np.pi, np.pi, DIRECTIONS, endpoint=False)
_BASIS = np.concatenate(
    [f(k * _ANGLES)[None] for k in range(2, MODES + 2) for f in (np.cos, np.sin)]
).astype(np.float32)


@dataclass(frozen=True)
class Canvas:
    """What is where on one frame; all arrays (H, W).

    Parameters
    ----------
    cells : int32, number of the cell at a pixel, 0 for none.
    relative : float32, 0 at the centre of the cell, 1 at its edge, more outside.
    depth : float32, pixels to the edge, positive inside, at least -MARGIN.
    local_y, local_x : float32, pixel coordinates in the cell's own, moving frame.
    """

    cells: NDArray[np.int32]
    relative: Array
    depth: Array
    local_y: Array
    local_x: Array

    @classmethod
    def empty(cls, shape: tuple[int, int]) -> Canvas:
        """Return a canvas without cells."""
        return cls(
            np.zeros(shape, np.int32),
            np.full(shape, 4, np.float32),
            np.full(shape, -MARGIN, np.float32),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.float32),
        )


@dataclass(frozen=True)
class Pose:
    """Shape and place of one cell on one frame: pixels and radians.

    `radius` is that of the disc of the same area, `table` (DIRECTIONS,) has quadratic mean 1.
    """

    number: int
    y: float
    x: float
    angle: float
    radius: float
    aspect: float
    bend: float
    twist: float
    table: Array


def outline_tables(coefficients: Array, base: Array) -> Array:
    """Radius over direction, (N, DIRECTIONS), from modes (N, 2 * MODES) on a log base (N, ...).

    The exponential keeps radii positive, whatever the amplitudes; the area stays that of a disc.
    """
    tables = np.exp(coefficients @ _BASIS + base)
    return np.asarray(tables / np.sqrt((tables**2).mean(1, keepdims=True)), np.float32)


def superellipse(power: float) -> Array:
    """Log radius (DIRECTIONS,) of |x|^p + |y|^p = 1: 2 is a circle, more is boxy, less pointed."""
    c, s = np.abs(np.cos(_ANGLES)), np.abs(np.sin(_ANGLES))
    return np.asarray(-np.log(c**power + s**power) / power, np.float32)


def corners(rng: np.random.Generator, count: int, height: float, width: float) -> Array:
    """Log radius (DIRECTIONS,) with `count` pointed corners, and hollow sides between them.

    Parameters
    ----------
    rng : of directions and heights.
    count : number of corners.
    height : log of how far a corner sticks out, on average.
    width : of a corner in radians.
    """
    turns = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * (2 * np.pi / count)
    away = np.abs(np.angle(np.exp(1j * (_ANGLES[None] - turns[:, None] - rng.uniform(0, 7)))))
    heights = height * rng.uniform(0.4, 1.5, (count, 1))
    return np.asarray((heights * np.exp(-away / width)).sum(0), np.float32)


def draw_cell(canvas: Canvas, pose: Pose, on_top: bool) -> None:
    """Draw one cell.

    Parameters
    ----------
    canvas : changed in place.
    pose : the cell.
    on_top : cover what is there; otherwise cells that meet share the overlap, which makes a
        boundary between them as between touching cells.
    """
    half_long = pose.radius * np.sqrt(pose.aspect)
    half_short = pose.radius / np.sqrt(pose.aspect)
    window = _window(canvas, pose, half_long, half_short)
    if window is None:
        return
    rows, columns = window
    cos, sin = np.float32(np.cos(pose.angle)), np.float32(np.sin(pose.angle))
    dy = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(pose.y)
    dx = np.arange(columns.start, columns.stop, dtype=np.float32)[None] - np.float32(pose.x)
    along, across = cos * dx + sin * dy, cos * dy - sin * dx
    a = along / np.float32(half_long)
    b = across / np.float32(half_short)
    if pose.bend or pose.twist:
        bow = (a * a - np.float32(0.4)) * np.float32(pose.bend * pose.aspect)
        b = b + bow + (a * a - np.float32(0.6)) * a * np.float32(pose.twist * pose.aspect)
    turn = np.arctan2(b, a) * np.float32(DIRECTIONS / (2 * np.pi)) + np.float32(DIRECTIONS / 2)
    reach = pose.table[turn.astype(np.int32) % DIRECTIONS]
    relative = np.asarray(np.hypot(a, b) / reach, np.float32)
    depth = _edge_distance(relative)

    here = canvas.relative[rows, columns]
    wins = relative < here
    if on_top:
        wins &= (here >= 1) | (relative < 1)
        wins |= relative < 1
    np.copyto(here, relative, where=wins)
    np.copyto(canvas.depth[rows, columns], depth, where=wins)
    np.copyto(canvas.local_y[rows, columns], across, where=wins)
    np.copyto(canvas.local_x[rows, columns], along, where=wins)
    np.copyto(canvas.cells[rows, columns], np.int32(pose.number), where=wins & (relative < 1))


def _window(
    canvas: Canvas, pose: Pose, half_long: float, half_short: float
) -> tuple[slice, slice] | None:
    """Rows and columns that a cell can touch, or None."""
    most = float(pose.table.max())
    long = half_long * most
    bow = abs(pose.bend) * max(0.4, most**2 - 0.4) + abs(pose.twist) * most * abs(most**2 - 0.6)
    short = half_short * most + bow * half_long
    cos, sin = abs(np.cos(pose.angle)), abs(np.sin(pose.angle))
    reach_y = long * sin + short * cos + MARGIN
    reach_x = long * cos + short * sin + MARGIN
    height, width = canvas.cells.shape
    y0, y1 = max(0, int(pose.y - reach_y)), min(height, int(pose.y + reach_y) + 2)
    x0, x1 = max(0, int(pose.x - reach_x)), min(width, int(pose.x + reach_x) + 2)
    if y1 - y0 < 2 or x1 - x0 < 2:
        return None
    return slice(y0, y1), slice(x0, x1)


def _edge_distance(relative: Array) -> Array:
    """Pixels to the edge, first order: what is missing to 1 over the slope."""
    slope_y = np.empty_like(relative)
    slope_x = np.empty_like(relative)
    np.subtract(relative[1:], relative[:-1], out=slope_y[1:])
    slope_y[0] = slope_y[1]
    np.subtract(relative[:, 1:], relative[:, :-1], out=slope_x[:, 1:])
    slope_x[:, 0] = slope_x[:, 1]
    slope = np.hypot(slope_y, slope_x)
    np.maximum(slope, np.float32(0.008), out=slope)
    return np.asarray(np.maximum((1 - relative) / slope, -MARGIN), np.float32)


def draw_tissue(canvas: Canvas, poses: list[Pose], spacing: float, warp: Array, z: Array) -> None:
    """Fill the canvas with cells that share walls.

    Parameters
    ----------
    canvas : changed in place.
    poses : the sites; `radius` weighs a site, `angle` and `aspect` stretch its distances.
    spacing : pixels between sites, for how far a site is looked for.
    warp : (2, H, W) pixels that coordinates are moved by, so that walls bend.
    z : (N,) distance of each site from the plane of the frame, in pixels.
    """
    height, width = canvas.cells.shape
    pad = int(np.abs(warp).max()) + 1
    shape = height + 2 * pad, width + 2 * pad
    first = np.full(shape, 1e9, np.float32)  # squared distances to the nearest two sites
    second = np.full(shape, 1e9, np.float32)
    cells = np.zeros(shape, np.int32)
    for pose, dz in zip(poses, z, strict=True):
        _claim(first, second, cells, pose, (spacing / (2 * pose.radius)) ** 2, float(dz), pad)
    y = np.arange(height, dtype=np.float32)[:, None] + warp[0]
    x = np.arange(width, dtype=np.float32)[None] + warp[1]
    spot = ((y + pad + 0.5).astype(np.int32), (x + pad + 0.5).astype(np.int32))
    np.copyto(canvas.cells, cells[spot])
    near, far = np.sqrt(first[spot]), np.sqrt(second[spot])
    np.copyto(canvas.relative, near / np.maximum(far, np.float32(1e-3)))
    np.copyto(canvas.depth, (far - near) * np.float32(0.5))
    _tissue_coordinates(canvas, poses, y, x)


def _claim(
    first: Array,
    second: Array,
    cells: NDArray[np.int32],
    pose: Pose,
    weight: float,
    dz: float,
    pad: int,
) -> None:
    """Enter one site into the two smallest squared distances and their owner."""
    # Two neighbours are never farther than this on the lattices of `tissue`.
    reach = 3.8 * pose.radius
    if abs(dz) >= reach:
        return
    reach = np.sqrt(reach**2 - dz**2)
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    long, short = 1 / pose.aspect, pose.aspect
    reach_y = reach * np.hypot(sin / np.sqrt(long), cos / np.sqrt(short))
    reach_x = reach * np.hypot(cos / np.sqrt(long), sin / np.sqrt(short))
    cy, cx = pose.y + pad, pose.x + pad
    y0, y1 = max(0, int(cy - reach_y)), min(first.shape[0], int(cy + reach_y) + 1)
    x0, x1 = max(0, int(cx - reach_x)), min(first.shape[1], int(cx + reach_x) + 1)
    if y1 <= y0 or x1 <= x0:
        return
    part = slice(y0, y1), slice(x0, x1)
    dy = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(cy)
    dx = np.arange(x0, x1, dtype=np.float32)[None] - np.float32(cx)
    mixed = np.float32(2 * weight * cos * sin * (long - short))
    distance = (mixed * dy) * dx
    distance += np.float32(weight * (sin * sin * long + cos * cos * short)) * dy * dy
    distance += np.float32(weight * (cos * cos * long + sin * sin * short)) * dx * dx
    distance += np.float32(weight * dz**2)
    best, next_best = first[part], second[part]
    np.copyto(cells[part], np.int32(pose.number), where=distance < best)
    np.minimum(next_best, np.maximum(best, distance), out=next_best)
    np.minimum(best, distance, out=best)


def _tissue_coordinates(canvas: Canvas, poses: list[Pose], y: Array, x: Array) -> None:
    table = np.zeros((4, max((p.number for p in poses), default=0) + 1), np.float32)
    for pose in poses:
        table[:, pose.number] = pose.y, pose.x, np.cos(pose.angle), np.sin(pose.angle)
    site_y, site_x, cos, sin = table[:, canvas.cells]
    dy, dx = y - site_y, x - site_x
    np.copyto(canvas.local_y, cos * dy - sin * dx)
    np.copyto(canvas.local_x, cos * dx + sin * dy)
