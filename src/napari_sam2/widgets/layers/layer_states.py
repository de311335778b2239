"""All that stands in the prompt layers, to come back to on undo or when a session is opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Points, Shapes

from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.widgets.layers.layer_adapters import StackGeometry

Key = tuple[int, int]
BOX = "rectangle"


@dataclass(frozen=True)
class LayerState:
    """What stands in the points and shapes, in napari's data coordinates, and what was painted.

    Parameters
    ----------
    points
        (K, ndim).
    point_features, shape_features
        Columns of the layers' tables by name.
    shapes, shape_types
        Vertices (V, ndim) and kind of each shape.
    painted
        By object and frame, masks that were painted.
    absent
        Object and frame where the object was said not to be.
    """

    points: npt.NDArray[Any]
    point_features: dict[str, npt.NDArray[Any]]
    shapes: list[npt.NDArray[Any]]
    shape_types: list[str]
    shape_features: dict[str, npt.NDArray[Any]]
    painted: Mapping[Key, ThinMask]
    absent: frozenset[Key] = frozenset()

    @classmethod
    def read(
        cls,
        points: Points,
        shapes: Shapes,
        painted: Mapping[Key, ThinMask],
        absent: Iterable[Key],
    ) -> LayerState:
        """Copy what stands in the layers."""
        return cls(
            np.array(points.data),
            _columns(points),
            [np.array(data) for data in shapes.data[: finished(shapes)]],
            list(shapes.shape_type[: finished(shapes)]),
            {name: values[: finished(shapes)] for name, values in _columns(shapes).items()},
            dict(painted),
            frozenset(absent),
        )

    @classmethod
    def of(cls, prompts: Prompts, geometry: StackGeometry) -> LayerState:
        """Return what would stand in the layers for these prompts; touches no layer."""
        flat = [(i, t, p) for i, some in prompts.items() for t, p in some.items()]
        clicks = [
            (i, positive, geometry.to_data(t, y, x))
            for i, t, p in flat
            for (y, x), positive in zip(p.points, p.positive, strict=True)
        ]
        around = np.array([[-0.5], [0.5]])  # pixels; lines run around those of a box
        boxes = [(i, t, p.box + around) for i, t, p in flat if p.box is not None]
        return cls(
            np.array([place for *_, place in clicks]),
            {
                "object": np.array([i for i, *_ in clicks], int),
                "positive": np.array([positive for _, positive, _ in clicks], bool),
            },
            [
                np.array(
                    [geometry.to_data(t, *yx) for yx in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))]
                )
                for _, t, ((y0, x0), (y1, x1)) in boxes
            ],
            [BOX] * len(boxes),
            {"object": np.array([i for i, *_ in boxes], int)},
            {(i, t): p.thin for i, t, p in flat if p.thin is not None},
            frozenset((i, t) for i, t, p in flat if p.absent),
        )

    def write(self, points: Points, shapes: Shapes) -> None:
        """Put it into the layers in the place of what stands there; what is there already stays."""
        there = LayerState.read(points, shapes, {}, ())
        rest = []
        for layer, mine, theirs in (
            (points, self._point_names(), there._point_names()),
            (shapes, self._shape_names(), there._shape_names()),
        ):
            kept, gone = 0, []
            for n, name in enumerate(theirs):
                same = kept < len(mine) and name == mine[kept]
                kept += same
                if not same:
                    gone.append(n)
            gone += range(len(theirs), len(layer.data))  # what is being drawn
            layer.selected_data = set()
            if gone:
                layer.remove(gone)
            rest.append(kept)
        self._without(*rest).append(points, shapes)

    def _point_names(self) -> list[tuple[Any, ...]]:
        """Return what tells one point from another."""
        columns = [values.tolist() for values in self.point_features.values()]
        return [*zip((place.tobytes() for place in self.points), *columns, strict=True)]

    def _shape_names(self) -> list[tuple[Any, ...]]:
        """Return what tells one shape from another."""
        columns = [values.tolist() for values in self.shape_features.values()]
        # In napari's precision.
        corners = (np.asarray(shape, np.float32).tobytes() for shape in self.shapes)
        return [*zip(corners, self.shape_types, *columns, strict=True)]

    def _without(self, points: int, shapes: int) -> LayerState:
        """Return it without so many of its first points and shapes."""
        return replace(
            self,
            points=self.points[points:],
            point_features={name: v[points:] for name, v in self.point_features.items()},
            shapes=self.shapes[shapes:],
            shape_types=self.shape_types[shapes:],
            shape_features={name: v[shapes:] for name, v in self.shape_features.items()},
        )

    def append(self, points: Points, shapes: Shapes) -> None:
        """Put it into the layers beside what stands there."""
        if len(self.points):
            points.add(self.points)
            _set_last(points, self.point_features)
        if self.shapes:
            shapes.add(self.shapes, shape_type=self.shape_types)
            _set_last(shapes, self.shape_features)
        for layer in (points, shapes):  # napari selects what it adds, and Backspace deletes that
            layer.selected_data = set()


def finished(layer: Points | Shapes) -> int:
    """Return how many items there are without one that is being drawn, which is the last."""
    return len(layer.data) - int(getattr(layer, "_is_creating", False))


def news(
    before: Mapping[Key, Prompt], now: Mapping[Key, Prompt], here: Mapping[Key, Prompt]
) -> dict[Key, Prompt | None]:
    """Return what there shall be in place of `here` for what was done between two times.

    Where only points were added, they come to those that are there; None: nothing any more.
    """
    found: dict[Key, Prompt | None] = {key: None for key in before if key not in now}
    for key, prompt in now.items():
        old = before.get(key, Prompt())
        if key in before and prompt == old:
            continue
        points, positive = prompt.points[len(old.points) :], prompt.positive[len(old.points) :]
        there = here.get(key, Prompt())
        only_points = len(points) and prompt == old.add_points(points, positive)
        added = only_points and not there.absent
        found[key] = there.add_points(points, positive) if added else prompt
    return found


def _set_last(layer: Points | Shapes, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Set the features of the items that were added last."""
    table = {name: layer.features[name].to_numpy(copy=True) for name in columns}
    for name, values in columns.items():
        table[name][len(table[name]) - len(values) :] = values
    layer.features = table


def _columns(layer: Points | Shapes) -> dict[str, npt.NDArray[Any]]:
    return {str(name): layer.features[name].to_numpy(copy=True) for name in layer.features}
