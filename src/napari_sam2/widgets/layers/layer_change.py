"""What a user did to the prompt layers, and what they shall show instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from napari_sam2.tracking.prompt import Prompts
from napari_sam2.widgets.layers.painting import Stroke


@dataclass(frozen=True)
class LayerChange:
    """What a user did to the prompt layers.

    Parameters
    ----------
    group
        Changes with the same number were made together and are undone together.
    after
        The layers afterwards, in a form that only they understand.
    strokes
        What was painted, by frame, one after another.
    """

    group: int
    after: Any
    strokes: Mapping[int, Sequence[Stroke]] = field(default_factory=dict)

    def cut_strokes(self) -> dict[int, list[Stroke]]:
        """Return the strokes with no more of the labels than they changed, to be kept for long."""
        return {frame: [s.cut() for s in some] for frame, some in self.strokes.items()}

    def then(self, newer: LayerChange) -> LayerChange:
        """Return what this and a newer change, made before this one was heard, did together."""
        strokes = {
            frame: (*self.strokes.get(frame, ()), *newer.strokes.get(frame, ()))
            for frame in self.strokes.keys() | newer.strokes.keys()
        }
        return replace(newer, strokes=strokes)


@dataclass(frozen=True)
class Standing:
    """What the prompt layers shall show.

    Parameters
    ----------
    state
        As it was noted, in a form that only they understand; None: as they are.
    prompts
        What the session knows; it counts where both differ.
    """

    state: Any
    prompts: Prompts
