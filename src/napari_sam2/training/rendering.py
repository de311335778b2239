"""From canvas to picture: how each kind of microscope shows the cells.

A look is made once per clip (it draws its parameters then) and called once per frame with the
canvas of that frame; it returns a picture of any range, without the camera's blur and noise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_sam2.training.shapes import Array, Canvas
from napari_sam2.training.textures import tile
from napari_sam2.training.traits import Traits, cover, f32, nucleus, ridge, walls

Look = Callable[[Canvas, int], Array]


def fluorescence(traits: Traits, radius: float, noisy_tissue: bool = False) -> Look:
    """Bright stained bodies on dark ground, dim ones beside bright ones."""
    rng = traits.rng
    bright = traits.values(1, rng.choice([0.15, 0.4, 0.9]))
    bright[traits.ghost] *= 0.25
    bright[0] = 0
    dome, rim = rng.choice([0.0, 0.3, 0.8]), rng.choice([0, 0, 0, 0.6, 1.5])
    amount = rng.choice([0.05, 0.2, 0.45])
    grain = tile("smooth", float(rng.choice([1, 2, 4]))) * f32(0.7) + tile("cloud", 1.4) * f32(0.5)
    spots = tile("spots", float(rng.choice([2, 3])))
    nucleoli = rng.choice([0, 0, 0.6, -1.5])
    softness = rng.choice([1.0, 2.0, 4.0]) if radius > 10 else 1.0
    haze = rng.choice([0, 0.15, 0.5])
    haze_width = rng.uniform(3, 9)
    ground = 10 ** rng.uniform(-2.5, -0.5) if not noisy_tissue else rng.uniform(0.1, 0.5)
    cloud = tile("cloud", float(rng.choice([1.0, 1.8])))
    cloud_amount = rng.choice([0.05, 0.4])
    blobs, blob_amount = tile("smooth", float(rng.choice([8, 16]))), rng.choice([0, 0, 0.3])
    vein, vein_amount = tile("cells", 16), rng.choice([0, 0, 0, 0.5])

    def look(canvas: Canvas, t: int) -> Array:
        shape = canvas.cells.shape
        body = bright[canvas.cells]
        inside = np.minimum(canvas.relative, 1)
        if dome:
            body = body * (1 - f32(dome) * inside * inside)
        if rim:
            body = body * (f32(0.5) + f32(rim) * inside**5)
        body = body * np.maximum(f32(0.1), 1 + f32(amount) * traits.inside(canvas, grain))
        if nucleoli:
            body = body * np.maximum(f32(0.15), 1 - f32(nucleoli) * traits.inside(canvas, spots))
        body = body * np.clip(canvas.depth / f32(softness) + f32(0.5), 0, 1)
        if haze:
            body = body + f32(haze) * gaussian_filter(body, haze_width, truncate=2.5)
        out = body + f32(ground) * (1 + f32(cloud_amount) * traits.behind(cloud, shape, t, 0))
        if blob_amount:
            out = out + f32(blob_amount) * np.maximum(0, traits.behind(blobs, shape, t, 1) - 1)
        if vein_amount:
            out = out + f32(vein_amount) * traits.behind(vein, shape, t, 2)
        return np.asarray(out, np.float32)

    return look


def phase_contrast(traits: Traits, radius: float) -> Look:
    """Grey ground, thick parts dark with a bright halo, flat cells about as grey as the ground."""
    rng = traits.rng
    flat = traits.values(rng.choice([0.02, 0.15, 0.4, 0.9]), 0.4)
    lump = traits.values(rng.choice([0, 0.3, 0.8]), 0.5) * rng.choice([-1, 1, 1])
    place = np.asarray(rng.normal(0, 0.15 * radius, (2, traits.count)), np.float32)
    size = traits.values(rng.uniform(0.3, 0.6) * radius, 0.2)
    rounded = rng.random(traits.count) < rng.choice([0, 0.15])  # as before a division
    lump[rounded], size[rounded] = rng.uniform(1, 2.5), radius
    edge = rng.uniform(1, 5)
    halo, halo_width = rng.uniform(0.6, 1.1), np.clip(radius * rng.uniform(0.15, 0.5), 2, 9)
    dark_rim, dark_at = rng.choice([0, 0.4, 1.0]), rng.uniform(0, 1.5)
    light_rim, light_at = rng.choice([0, 0.3, 0.8]), rng.uniform(-2.5, -0.5)
    dark_width, light_width = rng.uniform(0.9, 2.2), rng.uniform(1, 3)
    if not dark_rim and not light_rim and flat.mean() < 0.3:
        dark_rim = 0.4  # something has to tell the cell from the ground
    broken, brokenness = tile("smooth", float(rng.choice([4, 8]))), rng.uniform(0, 0.9)
    grain = tile("smooth", float(rng.choice([1, 2]))) * f32(0.5) + tile("cloud", 1.2) * f32(0.5)
    amount = rng.uniform(0.03, 0.3)
    dots, dot_amount = tile("spots", float(rng.choice([1, 1.5, 2]))), rng.choice([-1, 0, 1, 2])
    ground = tile("cloud", float(rng.choice([0.8, 1.6])))
    ground_amount = 10 ** rng.uniform(-2.3, -1)
    debris, debris_amount = tile("spots", float(rng.choice([1.5, 3]))), rng.choice([0, 0.3, 0.8])
    fibres, fibre_amount = tile("cells", 32), rng.choice([0, 0, 0, 0.25])
    sign = -1.0 if rng.random() < 0.85 else 1.0

    def look(canvas: Canvas, t: int) -> Array:
        shape = canvas.cells.shape
        within = cover(canvas, edge)
        middle = np.maximum(0, 1 - canvas.relative * canvas.relative)
        body = flat[canvas.cells] * within
        body = body + lump[canvas.cells] * nucleus(canvas, place, size) * within
        texture = f32(amount) * traits.inside(canvas, grain)
        if dot_amount:  # vesicles lie around the nucleus
            texture = texture + f32(dot_amount) * traits.inside(canvas, dots) * middle
        body = body + texture * within
        if debris_amount:
            body = body + f32(debris_amount) * traits.behind(debris, shape, t, 3)
        if fibre_amount:
            body = body + f32(fibre_amount) * traits.behind(fibres, shape, t, 4)
        out = f32(sign) * (body - f32(halo) * gaussian_filter(body, halo_width, truncate=2.5))
        lines = np.clip(1 + f32(brokenness) * traits.inside(canvas, broken), 0, 2)
        if dark_rim:
            out = out - f32(dark_rim) * lines * ridge(canvas, dark_at, dark_width)
        if light_rim:
            out = out + f32(light_rim) * lines * ridge(canvas, light_at, light_width)
        return np.asarray(out + f32(ground_amount) * traits.behind(ground, shape, t, 0), np.float32)

    return look


def colony_phase(traits: Traits, radius: float) -> Look:
    """Round cells that touch: bright lines between them, dark rings within, grey inside."""
    rng = traits.rng
    line, line_at = rng.uniform(0.3, 1.5), rng.uniform(-1.5, 0.3)
    ring, ring_at = rng.uniform(0, 0.6), rng.uniform(1.5, 3.5)
    width = np.clip(radius * rng.uniform(0.08, 0.16), 0.8, 2.5)
    fill = traits.values(1, 0.3) * rng.uniform(-0.4, 0.4)
    grain = tile("smooth", 2) * f32(rng.uniform(0.02, 0.2))
    vacuole = traits.values(rng.choice([0, 0.15, 0.4]), 0.6) * rng.choice([-1, 1, 1])
    place = np.asarray(rng.normal(0, 0.2 * radius, (2, traits.count)), np.float32)
    size = traits.values(0.5 * radius, 0.25)
    pockets, pocket_width = rng.choice([0, 1, 2.5]), np.clip(0.3 * radius, 2, 5)
    glow, glow_width = rng.uniform(0, 0.6), rng.uniform(2, 6)
    ground, ground_amount = tile("cloud", 1.4), 10 ** rng.uniform(-2.3, -1)
    sign = 1.0 if rng.random() < 0.85 else -1.0

    def look(canvas: Canvas, t: int) -> Array:
        within = cover(canvas, 2)
        edge = f32(line) * ridge(canvas, line_at, width)
        if pockets:  # light gathers where several cells leave a gap
            near = gaussian_filter(within, pocket_width, truncate=2)
            edge = edge + f32(pockets) * np.maximum(0, near - f32(0.35)) * (1 - within)
        out = edge - f32(ring) * ridge(canvas, ring_at, width)
        out = out + within * (fill[canvas.cells] + traits.inside(canvas, grain))
        disc = np.minimum(1, 3 * nucleus(canvas, place, size)) * (canvas.depth > f32(2))
        out = out + vacuole[canvas.cells] * disc
        if glow:
            out = out + f32(glow) * gaussian_filter(edge, glow_width, truncate=2.5)
        behind = traits.behind(ground, canvas.cells.shape, t, 0)
        return np.asarray(f32(sign) * out + f32(ground_amount) * behind, np.float32)

    return look


def relief(traits: Traits, radius: float) -> Look:
    """Differential interference contrast: lit from one side."""
    rng = traits.rng
    height = traits.values(1, 0.3)
    angle = rng.uniform(0, 2 * np.pi)
    dy, dx = f32(np.sin(angle)), f32(np.cos(angle))
    grain = tile("cloud", 1.4) * f32(rng.uniform(0.02, 0.3))
    steep = rng.uniform(2, 8)
    ground, ground_amount = tile("cloud", 1.6), 10 ** rng.uniform(-2, -0.8)
    place = np.asarray(rng.normal(0, 0.2 * radius, (2, traits.count)), np.float32)
    size = traits.values(0.4 * radius, 0.2)
    bump = rng.choice([0, 0.4])

    def look(canvas: Canvas, t: int) -> Array:
        rise = np.sqrt(np.clip(canvas.depth / f32(steep), 0, 1)) * height[canvas.cells]
        rise = rise + traits.inside(canvas, grain) * cover(canvas)
        if bump:
            rise = rise + f32(bump) * nucleus(canvas, place, size)
        rise = gaussian_filter(rise, 0.8, truncate=3)
        slope = dy * np.gradient(rise, axis=0) + dx * np.gradient(rise, axis=1)
        behind = traits.behind(ground, canvas.cells.shape, t, 0)
        return np.asarray(slope + f32(ground_amount) * behind, np.float32)

    return look


def membranes(traits: Traits, spacing: float) -> Look:
    """Stained walls between cells that fill the frame; cytoplasm dark to nearly as bright."""
    rng = traits.rng
    width = float(np.clip(spacing * rng.uniform(0.02, 0.1), 0.7, 4.5))
    oblique = rng.choice([0, 0.6, 1.0])  # walls that lean look wide
    fill = np.minimum(traits.values(rng.choice([0.03, 0.15, 0.4]), 0.7), f32(0.9))
    by_size = rng.random() < 0.4
    uneven, uneven_amount = tile("smooth", 16), rng.uniform(0, 0.5)
    grain, amount = tile("cloud", 1.4), rng.uniform(0, 0.4)
    shade = rng.choice([0, 0.4])
    spot, spot_amount = rng.uniform(0.06, 0.25) * spacing, rng.choice([0, 0, 0.4, 0.8])
    place = np.asarray(rng.normal(0, 0.12 * spacing, (2, traits.count)), np.float32)
    size = traits.values(spot, 0.3)
    has = rng.random(traits.count) < 0.5
    haze, haze_width = rng.choice([0, 0.5, 1.0]), 3 * width
    dark = rng.random() < 0.12
    brightness = fill.copy()

    def look(canvas: Canvas, t: int) -> Array:
        if t == 0 and by_size:  # small cells are dense, large ones are mostly vacuole
            area = np.bincount(canvas.cells.ravel(), minlength=len(fill)) + 9
            brightness[:] = np.minimum(0.9, fill * np.clip(0.25 * spacing**2 / area, 0.2, 4))
        wall = walls(canvas, width)
        if oblique:
            leaning = np.exp(-np.maximum(0, canvas.depth) / f32(1.5 * width))
            wall = np.maximum(wall, f32(oblique) * leaning)
        wall = wall * np.maximum(
            f32(0.3), 1 + f32(uneven_amount) * traits.behind(uneven, wall.shape, t, 0)
        )
        inner = brightness[canvas.cells] * (1 + f32(amount) * traits.inside(canvas, grain))
        if shade:
            inner = inner * (1 - f32(shade) * (1 - canvas.relative))
        if spot_amount:
            inner = inner + f32(spot_amount) * nucleus(canvas, place, size) * has[canvas.cells]
        out = np.maximum(wall, inner) + f32(0.3) * inner
        if haze:
            out = out + f32(haze) * gaussian_filter(out, haze_width, truncate=2.5)
        return np.asarray(-out if dark else out, np.float32)

    return look


def electrons(
    traits: Traits, neurites: Callable[[int], Canvas], outer: Traits, organelles: bool
) -> Look:
    """Electron micrograph: dark membranes, speckled grey inside, dark striped organelles.

    `neurites` gives the canvas of the surrounding cells on a frame, `outer` their traits.
    """
    rng = traits.rng
    width, strength = rng.uniform(0.8, 1.8), rng.uniform(0.5, 1)
    fill = outer.values(1, 0.1)
    fine, speckles = tile("smooth", 0.8), tile("spots", 1.5)
    fine_amount, speckle_amount = rng.uniform(0.02, 0.12), rng.uniform(0.1, 0.6)
    shade = traits.values(rng.uniform(0.45, 0.8), 0.12)
    stripes = tile("stripes", float(rng.choice([1.5, 2, 3])))
    stripe_amount = rng.uniform(0.05, 0.25)
    texture, texture_amount = tile("smooth", 1.5), rng.uniform(0.02, 0.12)
    rim, rim_width = rng.uniform(0.2, 0.6), rng.uniform(0.9, 1.8)

    def look(canvas: Canvas, t: int) -> Array:
        around = neurites(t)
        out = fill[around.cells] - f32(speckle_amount) * outer.inside(around, speckles)
        wall = np.minimum(1, walls(around, width))
        if organelles:
            inside = cover(canvas, 1.5)
            body = shade[canvas.cells] + f32(stripe_amount) * traits.inside(canvas, stripes)
            body = body + f32(texture_amount) * traits.inside(canvas, texture)
            gap = np.clip(-canvas.depth / 2, 0, 1)
            out = out * (1 - f32(strength) * wall * gap)
            out = out * (1 - inside) + body * inside
            out = out - f32(rim) * ridge(canvas, 0.5, rim_width)
        else:
            out = out * (1 - f32(strength) * wall)
        return np.asarray(
            out + f32(fine_amount) * outer.behind(fine, out.shape, 7 * t, 0), np.float32
        )

    return look


def interference(traits: Traits, radius: float) -> Look:
    """Interference reflection: fringes of equal height under a cell on an even ground."""
    rng = traits.rng
    fringes = rng.uniform(2, 9)
    shade = traits.values(rng.uniform(0.3, 0.7), 0.15)
    bumps, bump_amount = tile("smooth", float(rng.choice([8, 16]))), rng.uniform(0.2, 0.8)
    contrast = rng.uniform(0.1, 0.4)
    grain, amount = tile("smooth", 2), rng.uniform(0.02, 0.12)
    patch, patch_amount = tile("smooth", 8), rng.uniform(0, 0.3)

    def look(canvas: Canvas, t: int) -> Array:
        inside = cover(canvas, 2)
        height = canvas.relative + f32(bump_amount) * traits.inside(canvas, bumps)
        body = shade[canvas.cells] + f32(contrast) * np.cos(f32(2 * np.pi * fringes) * height)
        body = body + f32(amount) * traits.inside(canvas, grain)
        body = body + f32(patch_amount) * np.maximum(0, traits.inside(canvas, patch))
        return np.asarray(1 - inside + body * inside, np.float32)

    return look


def anything(traits: Traits, radius: float) -> Look:
    """Random grey values inside, outside and at edges: no microscope, but all contrasts."""
    rng = traits.rng
    fill = np.asarray(rng.normal(rng.normal(0, 0.6), rng.uniform(0, 0.5), traits.count), np.float32)
    fill[0] = 0
    kinds = [tile("smooth", float(s)) for s in (1, 2, 4, 8)] + [tile("cloud", 1.4)]
    inner, outer = kinds[rng.integers(5)], kinds[rng.integers(5)]
    inner_amount, outer_amount = rng.uniform(0, 0.4, 2)
    rim, rim_at, rim_width = rng.normal(0, 0.8), rng.uniform(-2, 3), rng.uniform(1, 3)
    dome = rng.normal(0, 0.5)

    def look(canvas: Canvas, t: int) -> Array:
        inside = cover(canvas, 1.5)
        body = fill[canvas.cells] + f32(dome) * (1 - np.minimum(1, canvas.relative) ** 2)
        body = body + f32(inner_amount) * traits.inside(canvas, inner)
        ground = f32(outer_amount) * traits.behind(outer, inside.shape, t, 0)
        out = body * inside + ground * (1 - inside) + f32(rim) * ridge(canvas, rim_at, rim_width)
        return np.asarray(out, np.float32)

    return look
