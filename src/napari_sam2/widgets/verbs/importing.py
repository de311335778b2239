"""Masklets of other programs, from files into the window. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.layer_data import PARENTS_KEY, stem_of
from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.layers.arrays import laid_out
from napari_sam2.widgets.layers.layer_adapters import StackGeometry, copied_transform, has_names
from napari_sam2.widgets.session.record import Record
from napari_sam2.widgets.session.runs import Run
from napari_sam2.widgets.verbs.seeding import check_shape

if TYPE_CHECKING:
    from napari_sam2.stacks import Stack
    from napari_sam2.widgets.workbench import Workbench

_NO_NAMES = "ABDEFGHIJKLMNOPRUVW"  # letters that stand for nothing among the axes of a file


def import_masklets(bench: Workbench, path: Path) -> None:
    """Open labels of any format beside the image and make them masklets; returns at once."""
    layers, source = bench.require_layers(), bench.source
    if layers is None or source is None:
        return
    geometry = layers.geometry
    letters = source.letters(geometry) if has_names(source.image) else []
    opened: list[tuple[Stack, dict[int, int]]] = []

    def work(record: Record, run: Run) -> None:
        from napari_sam2.export.formats import open_parents

        run.follow = False
        stack = _opened(path, geometry, letters)
        check_shape(path.name, stack.data.shape, geometry)
        opened.append((stack, open_parents(path)))

    def after(ended: bool) -> None:
        if ended:
            bench.seeding.adopt(_beside(bench, *opened[0], stem_of(path.name)))

    bench.controller.start(work, f"Opening {path.name} …", said=lambda _: "Opened.", after=after)


def _opened(path: Path, geometry: StackGeometry, letters: Sequence[str]) -> Stack:
    """Open the frames that a file holds; of one with all axes of the image, those of its plane.

    Which axis is which is told by the names, where both have them, otherwise by the order.

    Parameters
    ----------
    letters
        Of the axes of the image, as `Source.letters`; none where nothing tells them.

    Raises
    ------
    InputError
        If it cannot be read, or has other axes.
    """
    # They come with scikit-image and torch, which the window does not wait for.
    from napari_sam2.export.formats import masklet_axes, open_masklets
    from napari_sam2.stacks import open_all

    axes = masklet_axes(path)
    if len(axes) <= 3 and "C" not in axes:  # frames or colours, of which there is no plane
        return open_masklets(path)
    whole = open_all(path, None if "Q" in axes else axes)
    shape = geometry.shape
    long = [a for a, n in enumerate(shape) if n > 1 or a in geometry.plane]
    named = {letters[a]: shape[a] for a in long} if letters else {}
    if named == dict(zip(whole.axes, whole.data.shape, strict=True)):
        names, axes = list(letters), whole.axes
    elif whole.data.shape == tuple(shape[a] for a in long):
        names = _counted(geometry)
        axes = "".join(names[a] for a in long)
    else:
        raise InputError(
            f"'{path.name}' has the shape {whole.data.shape}, but the image {shape}; choose labels "
            f"of the same image, or of its frames alone: {(geometry.length, *geometry.frame_shape)}"
        )
    planes = {names[a]: step for a, step in geometry.fixed.items() if a in long}
    return open_masklets(path, axes, planes)


def _counted(geometry: StackGeometry) -> list[str]:
    """Return a letter for each axis of an image that does not name them."""
    names = list(_NO_NAMES[: len(geometry.shape)])
    names[geometry.plane[0]], names[geometry.plane[1]] = "Y", "X"
    if geometry.axis is not None:
        names[geometry.axis] = "T"
    return names


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
