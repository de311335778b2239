"""Masklets of other programs, from files into the window. No Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.layer_data import PARENTS_KEY
from napari_sam2.widgets.arrays import laid_out
from napari_sam2.widgets.layer_adapters import copied_transform
from napari_sam2.widgets.record import Record
from napari_sam2.widgets.runs import Run
from napari_sam2.widgets.seeding import check_shape

if TYPE_CHECKING:
    from napari_sam2.stacks import Stack
    from napari_sam2.widgets.workbench import Workbench


def import_masklets(bench: Workbench, path: Path) -> None:
    """Open labels of any format beside the image and make them masklets; returns at once."""
    layers = bench.require_layers()
    if layers is None:
        return
    geometry = layers.geometry
    opened: list[tuple[Stack, dict[int, int]]] = []

    def work(record: Record, run: Run) -> None:
        # Its readers come with scikit-image, which the window does not wait for.
        from napari_sam2.export.formats import open_masklets, open_parents

        run.follow = False
        stack = open_masklets(path)
        check_shape(path.name, stack.data.shape, geometry)
        opened.append((stack, open_parents(path)))

    def after(ended: bool) -> None:
        if ended:
            bench.seeding.adopt(_beside(bench, *opened[0], path.name.split(".")[0]))

    bench.controller.start(work, f"Opening {path.name} …", said=lambda _: "Opened.", after=after)


def _beside(bench: Workbench, stack: Stack, parents: dict[int, int], name: str) -> Any:
    """Add a Labels layer over the image, below ours and hidden: the masklets will show the same."""
    from napari.layers import Labels

    assert bench.layers is not None
    ours, geometry, layers = bench.layers.labels, bench.layers.geometry, bench.viewer.layers
    settings = copied_transform(ours)
    plane = ours.data_to_world(geometry.to_data(0, 0, 0))
    settings["translate"] = np.asarray(ours.affine.inverse(plane))
    settings["metadata"] = {PARENTS_KEY: parents}
    layer = Labels(laid_out(stack.data, geometry), name=name, visible=False, **settings)
    active = layers.selection.active
    layers.insert(layers.index(ours), layer)
    layers.selection.active = active
    return layer
