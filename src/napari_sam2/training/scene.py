"""Everything that one clip shows: its cells, what is around them, and how they are seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sam2.training.motion import Population
from napari_sam2.training.rendering import Look
from napari_sam2.training.shapes import Canvas, draw_cell
from napari_sam2.training.tissue import Tissue
from napari_sam2.training.traits import Traits

Rng = np.random.Generator
Size = tuple[int, int]


@dataclass
class Scene:
    """Everything that one clip shows, stepped from frame to frame.

    Parameters
    ----------
    rng : of everything random.
    shape : (height, width).
    cast : the cells that are labelled.
    make_look : from the traits of the cells; called when all frames are drawn.
    on_top : later cells cover earlier ones, instead of sharing the overlap.
    noise : factor on the camera's noise.
    around : cells behind the cast that are only rendered.
    shake : pixels that everything jumps by between frames, as badly aligned sections do.
    shots : canvases so far: of what is around, else of the cast.
    """

    rng: Rng
    shape: Size
    cast: Population | Tissue
    make_look: Callable[[Scene, Traits], Look]
    on_top: bool = False
    noise: float = 1.0
    around: Tissue | None = None
    shake: float = 0.0
    shots: list[Canvas] = field(default_factory=list)

    @property
    def parents(self) -> dict[int, int]:
        """Number of a cell -> number of the cell that it came from."""
        return self.cast.parents

    def step(self) -> None:
        """Advance by one frame."""
        jump = self.rng.normal(0, self.shake, 2)
        for part in (self.cast, self.around):
            if part is not None:
                part.step()
                part.centre = part.centre + jump

    def masks(self, reach: float) -> NDArray[np.int32]:
        """Return which cell is where on this frame, if cells were longer by `reach` along z."""
        canvas = Canvas.empty(self.shape)
        if isinstance(self.cast, Population):
            for pose in self.cast.poses(reach):
                draw_cell(canvas, pose, self.on_top)
        return canvas.cells

    def draw(self) -> Canvas:
        """Return the canvas of this frame."""
        canvas = Canvas.empty(self.shape)
        if isinstance(self.cast, Tissue):
            self.cast.draw(canvas)
        else:
            for pose in self.cast.poses():
                draw_cell(canvas, pose, self.on_top)
        backdrop = canvas
        if self.around is not None:
            backdrop = Canvas.empty(self.shape)
            self.around.draw(backdrop)
        self.shots.append(backdrop)
        return canvas

    def names(self) -> NDArray[np.int32]:
        """Label of each cell number: itself, or 0 for background and ghosts."""
        names = np.arange(len(self.cast.ghost) + 1, dtype=np.int32)
        names[1:][self.cast.ghost] = 0
        return names

    def traits(self, of: Population | Tissue) -> Traits:
        """Draw the properties of the cells."""
        ghost = np.concatenate([[False], of.ghost])
        return Traits(self.rng, of.habits.drift, ghost, of.parents)

    def look(self) -> Look:
        """Make the look, when all cells that will ever live are known."""
        return self.make_look(self, self.traits(self.cast))
