"""Kinds of clips: which habits of cells go with which look, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from napari_sam2.training import rendering
from napari_sam2.training.motion import Habits, Population
from napari_sam2.training.rendering import Look
from napari_sam2.training.scene import Rng, Scene, Size
from napari_sam2.training.tissue import Tissue, TissueHabits
from napari_sam2.training.traits import Traits


@dataclass(frozen=True)
class Kind:
    """A kind of clip: how often it is drawn, how often as z-stack, and how it is made.

    Light microscopes also see what lies above and below the plane in focus (`haze`).
    """

    weight: float
    z_share: float
    make: Callable[[Rng, Size, bool], Scene]
    haze: bool = False


def _log(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _count(rng: Rng, size: Size, radius: float, most: int = 40) -> int:
    """Cells for a random part of the frame, 1 to `most`."""
    fit = size[0] * size[1] / (np.pi * radius**2)
    return int(np.clip(fit * _log(rng, 0.12, 0.9), 1, most))


def _drift(rng: Rng, radius: float) -> tuple[float, float]:
    if rng.random() < 0.5:
        return 0.0, 0.0
    y, x = rng.normal(0, 0.08 * radius, 2)
    return float(np.clip(y, -4, 4)), float(np.clip(x, -4, 4))


def _z(rng: Rng, z_stack: bool) -> float:
    return _log(rng, 0.06, 0.45) if z_stack else 0.0


def _blobs(rng: Rng, size: Size, z_stack: bool, low: float = 5.5, high: float = 60) -> Habits:
    """Nuclei and other round bodies."""
    radius = _log(rng, low, high)
    volume = z_stack and rng.random() < 0.6
    return Habits(
        radius=radius,
        spread=rng.uniform(0.05, 0.35),
        count=_count(rng, size, radius),
        packing=rng.choice([0.75, 0.9, 1.05, 1.3]),
        colony=rng.random() < 0.25 and not volume,
        aspect=(1, rng.uniform(1.1, 2.2)),
        power=(2, rng.choice([2, 3])),
        roughness=rng.choice([0.02, 0.05, 0.12]),
        roll_off=rng.choice([1.5, 2.2]),
        bend=rng.choice([0, 0.1]),
        speed=_log(rng, 0.01, 0.35),
        drift=_drift(rng, radius),
        wobble=rng.uniform(0.02, 0.2),
        division=rng.choice([0, 0.05, 0.12]),
        death=rng.choice([0, 0.02, 0.06]),
        ghosts=rng.choice([0, 0, 0.2]),
        z_step=_z(rng, z_stack),
        profile=rng.uniform(1.7, 3.5) if z_stack else 2.0,
        volume=volume,
    )


def _adherent(rng: Rng, size: Size, z_stack: bool) -> Habits:
    """Flat cells with corners and tails that change shape."""
    radius = _log(rng, 9, 60)
    pointed = rng.random() < 0.6
    return Habits(
        radius=radius,
        spread=rng.uniform(0.1, 0.35),
        count=_count(rng, size, radius, 30),
        packing=rng.choice([0.6, 0.75, 0.9, 1.2]),
        colony=rng.random() < 0.35,
        aspect=(1, rng.choice([1.6, 3, 5])),
        power=(rng.choice([1.3, 2]), 2.5),
        corners=(2, 5) if pointed else (0, 0),
        corner_height=rng.uniform(0.3, 1.0),
        roughness=rng.uniform(0.03, 0.12) if pointed else rng.uniform(0.05, 0.3),
        roll_off=rng.uniform(0.7, 1.8),
        bend=rng.choice([0, 0.2, 0.4]),
        speed=_log(rng, 0.01, 0.25),
        drift=_drift(rng, radius),
        wobble=rng.uniform(0.02, 0.25),
        division=rng.choice([0, 0.03]),
        ghosts=rng.choice([0, 0, 0.15]),
        z_step=_z(rng, z_stack),
    )


def _rods(rng: Rng, size: Size, z_stack: bool) -> Habits:
    """Bacteria and worms."""
    radius = _log(rng, 7, 25)
    return Habits(
        radius=radius,
        spread=rng.uniform(0.1, 0.3),
        count=_count(rng, size, radius),
        packing=rng.choice([0.55, 0.7, 0.9]),
        colony=rng.random() < 0.6,
        aspect=(rng.uniform(1.5, 2.5), rng.uniform(2.6, 7)),
        power=(2.3, 3.8),
        roughness=rng.choice([0.01, 0.04]),
        bend=rng.choice([0.0, 0.1, 0.4]),
        speed=_log(rng, 0.01, 0.2),
        drift=_drift(rng, radius),
        turning=rng.uniform(0.01, 0.1),
        wobble=rng.uniform(0.01, 0.1),
        division=rng.choice([0, 0.08, 0.15]),
        z_step=_z(rng, z_stack),
    )


def _packed(rng: Rng, size: Size, z_stack: bool) -> Habits:
    """Colonies of round cells that touch, with buds."""
    radius = _log(rng, 7, 22)
    return Habits(
        radius=radius,
        spread=rng.uniform(0.1, 0.25),
        count=int(np.clip(size[0] * size[1] / (np.pi * radius**2) * _log(rng, 0.3, 1), 2, 40)),
        packing=rng.uniform(0.85, 1.0),
        colony=True,
        aspect=(1, rng.uniform(1.1, 1.5)),
        roughness=rng.uniform(0.01, 0.06),
        speed=_log(rng, 0.005, 0.06),
        drift=_drift(rng, radius),
        wobble=0.03,
        budding=rng.choice([0, 0.06, 0.12]),
        z_step=_z(rng, z_stack),
    )


def _tissue(rng: Rng, size: Size, z_stack: bool, low: float = 16, high: float = 90) -> TissueHabits:
    spacing = _log(rng, low, high)
    return TissueHabits(
        spacing=spacing,
        disorder=rng.uniform(0.3, 1.2),
        stretch=rng.uniform(1.1, 2.5),
        sizes=rng.uniform(0.02, 0.25),
        warp=spacing * rng.uniform(0, 0.06),
        warp_scale=float(rng.choice([8, 16])),
        drift=_drift(rng, spacing / 3),
        jitter=_log(rng, 0.003, 0.03),
        growth=rng.choice([0, 0.01]),
        division=rng.choice([0, 0.04]),
        gaps=rng.choice([0, 0, 0.15]),
        z_step=_z(rng, z_stack) * 0.7,
    )


def _mean_radius(scene: Scene) -> float:
    cast = scene.cast
    return cast.habits.spacing if isinstance(cast, Tissue) else cast.habits.radius


def _cells(
    habits: Callable[[Rng, Size, bool], Habits],
    looks: dict[Callable[[Traits, float], Look], float],
    noise: float = 1.0,
) -> Callable[[Rng, Size, bool], Scene]:
    """Maker of scenes with single cells and one of some looks, by weight."""

    def make(rng: Rng, size: Size, z_stack: bool) -> Scene:
        cast = Population(rng, habits(rng, size, z_stack), size)
        weights = np.array(list(looks.values()))
        look = list(looks)[int(rng.choice(len(looks), p=weights / weights.sum()))]
        return Scene(
            rng,
            size,
            cast,
            lambda scene, traits: look(traits, _mean_radius(scene)),
            on_top=bool(rng.random() < 0.5) and not cast.habits.colony,
            noise=noise
            * (4.0 if rng.random() < (0.2 if z_stack else 0.12) else _log(rng, 0.5, 1.5)),
        )

    return make


def _walls(rng: Rng, size: Size, z_stack: bool) -> Scene:
    cast = Tissue(rng, _tissue(rng, size, z_stack), size)
    look = rendering.anything if rng.random() < 0.12 else rendering.membranes
    return Scene(rng, size, cast, lambda scene, traits: look(traits, _mean_radius(scene)))


def _organelles(rng: Rng, size: Size, z_stack: bool) -> Scene:
    habits = replace(
        _blobs(rng, size, z_stack, 8, 45),
        packing=rng.choice([1.05, 1.4]),
        roughness=rng.uniform(0.02, 0.12),
        roll_off=2.0,
        ghosts=0.0,
        aspect=(1, 2.8),
        division=0.0,
        z_step=_log(rng, 0.06, 0.5) if z_stack else 0.0,
        volume=False,
    )
    cast = Population(rng, habits, size)
    around = Tissue(rng, _neurites(rng, size, z_stack, habits.radius * 2.2), size)

    def make_look(scene: Scene, traits: Traits) -> Look:
        outer = scene.traits(around)
        return rendering.electrons(traits, lambda t: scene.shots[t], outer, True)

    shake = rng.choice([0, 1, 2.5])
    return Scene(rng, size, cast, make_look, around=around, noise=0.7, shake=shake)


def _neurites(rng: Rng, size: Size, z_stack: bool, low: float) -> TissueHabits:
    spacing = _log(rng, low, low * 2.5)
    return TissueHabits(
        spacing=spacing,
        disorder=1.2,
        stretch=rng.uniform(1.5, 3.5),
        sizes=rng.uniform(0.1, 0.35),
        warp=rng.uniform(1.5, 6),
        warp_scale=float(rng.choice([8, 16])),
        jitter=0.01,
        z_step=_z(rng, z_stack) * 0.5,
    )


def _neurite_sections(rng: Rng, size: Size, z_stack: bool) -> Scene:
    cast = Tissue(rng, _neurites(rng, size, z_stack, 24), size)

    def make_look(scene: Scene, traits: Traits) -> Look:
        # The cast is its own surroundings: membranes between the labelled cells.
        return rendering.electrons(traits, lambda t: scene.shots[t], traits, False)

    return Scene(rng, size, cast, make_look, noise=0.7)


def _one_big(rng: Rng, size: Size, z_stack: bool) -> Habits:
    radius = min(_log(rng, 20, 60), 0.4 * min(size))
    return Habits(
        radius=radius,
        count=int(rng.choice([1, 1, 1, 2, 3])),
        aspect=(1, 2.2),
        roughness=rng.uniform(0.08, 0.25),
        roll_off=rng.uniform(0.7, 1.5),
        bend=0.15,
        speed=_log(rng, 0.01, 0.15),
        wobble=rng.uniform(0.05, 0.3),
        z_step=_z(rng, z_stack),
    )


_PHASE: dict[Callable[[Traits, float], Look], float] = {rendering.phase_contrast: 1.0}

KINDS: dict[str, Kind] = {
    "nuclei": Kind(0.3, 0.6, _cells(_blobs, {rendering.fluorescence: 1.0}), haze=True),
    "adherent": Kind(0.2, 0.0, _cells(_adherent, _PHASE, 0.4)),
    "colony": Kind(
        0.12, 0.2, _cells(_packed, {rendering.colony_phase: 0.8, rendering.phase_contrast: 0.2})
    ),
    "rods": Kind(
        0.06,
        0.2,
        _cells(
            _rods,
            {
                rendering.phase_contrast: 0.4,
                rendering.fluorescence: 0.3,
                rendering.colony_phase: 0.3,
            },
        ),
    ),
    "small_phase": Kind(0.06, 0.0, _cells(lambda r, s, z: _blobs(r, s, z, 7, 20), _PHASE, 0.5)),
    "relief": Kind(0.06, 0.3, _cells(_blobs, {rendering.relief: 1.0})),
    "tissue": Kind(0.12, 0.5, _walls, haze=True),
    "organelles": Kind(0.09, 0.7, _organelles),
    "neurites": Kind(0.03, 0.6, _neurite_sections),
    "interference": Kind(0.03, 0.0, _cells(_one_big, {rendering.interference: 1.0})),
    "anything": Kind(0.08, 0.5, _cells(_blobs, {rendering.anything: 1.0}), haze=True),
}
