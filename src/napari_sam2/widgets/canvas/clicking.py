"""Clicks on masklets in 2D that are no prompts: they choose an object. No Qt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.widgets.words import OPTION

if TYPE_CHECKING:
    from napari_sam2.widgets.workbench import Workbench

DRAG = 5  # px; hands tremble
CHOOSES = f"A right click, or {OPTION}+click, chooses it"
_LEFT, _RIGHT = 1, 2


class Clicking:
    """Chooses the object under the mouse by a right click, or one with Alt held.

    Parameters
    ----------
    bench
        Has the layers.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._viewer = bench.viewer
        self._viewer.mouse_drag_callbacks.append(self._on_press)

    def close(self) -> None:
        """Let go of the viewer."""
        self._viewer.mouse_drag_callbacks.remove(self._on_press)

    def object_at(self, position: Any) -> int:
        """Return the object whose masklet is at a place on screen, in the viewer's coordinates.

        0 where there is none, or it is hidden.
        """
        layers, dims = self._bench.layers, self._viewer.dims
        if layers is None or not layers.labels.visible or len(position) != dims.ndim:
            return 0
        world = [position[d] if d in dims.displayed else p for d, p in enumerate(dims.point)]
        value = layers.labels.get_value(world, world=True)
        found = 0 if value is None else int(value)
        return 0 if found in self._bench.notes.hidden else found

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        bench = self._bench
        if bench.layers is None or bench.space.on or bench.layers.shapes._is_creating:
            return
        ours = event.button == _RIGHT or (event.button == _LEFT and "Alt" in event.modifiers)
        tool = bench.tools.current if ours else None
        if tool is not None:  # napari would make a point of any click
            self._viewer.layers.selection.active.mode = "pan_zoom"
        start = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        still = np.linalg.norm(np.array(event.pos) - start) < DRAG
        if tool is not None:
            bench.tools.use(tool)
        if ours and still:
            self._choose(self.object_at(event.position))
        elif still and event.button == _LEFT and self._reaches_nobody():
            self._tell_why()

    def _choose(self, object_id: int) -> None:
        bench = self._bench
        if not object_id:
            bench.status.emit("There is no masklet to choose.", "info")
            return
        bench.set_object(object_id)
        bench.status.emit(f"{bench.notes.name(object_id)} is chosen: click to correct it.", "info")

    def _reaches_nobody(self) -> bool:
        """Whether a click does nothing but move the view, though there is something to click on."""
        active = self._viewer.layers.selection.active
        return self._bench.tools.current is None and (
            active is None or str(getattr(active, "mode", "pan_zoom")) == "pan_zoom"
        )

    def _tell_why(self) -> None:
        active = self._viewer.layers.selection.active
        name = "No layer" if active is None else f"The layer '{active.name}'"
        self._bench.status.emit(
            f"{name} is selected in napari, so clicks only move the view: press Point to prompt. "
            f"{CHOOSES} whose masklet is there.",
            "info",
        )
