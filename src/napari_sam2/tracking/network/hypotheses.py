"""What clicks on an object of unknown size may mean, level by level; the last ones are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.windows import Geometry, Window

_MOST = 24  # kept


@dataclass(frozen=True)
class Hypotheses:
    """What clicks on one object may mean, on one level.

    Parameters
    ----------
    window : where it was looked for.
    logits : (4, 4 h, 4 w), mask 0 and the three ambiguous ones, whether the object is held for
        present or not.
    iou : (4,) predicted IoU.
    object_score : (1,) logit of the object being in the frame.
    pointers : (4, C) object pointers.
    """

    window: Window
    logits: Tensor
    iou: Tensor
    object_score: Tensor
    pointers: Tensor


class KeptHypotheses:
    """The last ones of a stack: each correction looks again at what the first click meant."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[object, ...], Hypotheses] = OrderedDict()

    def of(
        self,
        frame: int,
        prompt: Prompt,
        geometries: Sequence[Geometry],
        ask: Callable[[Sequence[Geometry]], Mapping[Geometry, Hypotheses]],
    ) -> list[Hypotheses]:
        """Return those of clicks on some levels.

        Parameters
        ----------
        frame, prompt : the clicks.
        geometries : the levels.
        ask : returns those of the levels that are not known.
        """
        key = (frame, prompt.points.tobytes(), prompt.positive.tobytes())
        known = {g: self._kept[key, g] for g in geometries if (key, g) in self._kept}
        known |= ask([g for g in geometries if g not in known])
        self._kept.update({(key, g): one for g, one in known.items()})
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        return [known[geometry] for geometry in geometries]
