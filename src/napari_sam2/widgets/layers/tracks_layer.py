"""The way of every object as napari's Tracks layer, with lines from mothers to daughters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_sam2.widgets.layers.layer_adapters import StackGeometry, copied_transform

if TYPE_CHECKING:
    from napari_sam2.tracking.results import Trace
    from napari_sam2.widgets.workbench import Workbench

NAME = "tracks of masklets"


def show_tracks(bench: Workbench) -> None:
    """Add the layer, in the place of an older one: what is known now, it does not follow."""
    layers, viewer, controller = bench.layers, bench.viewer, bench.controller
    if layers is None:
        bench.say_what_to_do()
        return
    record = controller.require_record()
    if record is None:
        return
    if layers.geometry.axis != 0:  # napari takes the first axis for time
        bench.status.emit("Tracks can be shown where frames are along the first axis.", "info")
        return
    session = record.history.session

    def show(found: tuple[dict[int, Trace], dict[int, int]]) -> None:
        tracks = tracks_from(found[0], layers.geometry)
        if not len(tracks):
            bench.status.emit("There are no masks yet, so no tracks.", "info")
            return
        from napari_sam2.export.tables import graph_of  # here, as it loads scikit-image

        graph = graph_of(tracks, found[1])
        if NAME in viewer.layers:
            viewer.layers.remove(NAME)
        active = viewer.layers.selection.active
        viewer.add_tracks(tracks, graph=graph, name=NAME, **copied_transform(layers.labels))
        viewer.layers.selection.active = active
        count = len(np.unique(tracks[:, 0]))
        bench.status.emit(f"{count} tracks are shown, {len(graph)} with their mother.", "done")

    controller.submit(lambda: (session.traces(), dict(session.parents)), show, key=NAME)


def tracks_from(traces: Mapping[int, Trace], geometry: StackGeometry) -> npt.NDArray[np.float64]:
    """Return (N, 1 + ndim): id and place in the layer's data, by id and frame."""
    found = [np.empty((0, 1 + len(geometry.shape)))]
    for i, trace in sorted(traces.items()):
        there = trace.area > 0
        places = [
            (i, *geometry.to_data(t, y, x))
            for t, (y, x) in zip(trace.frames[there], trace.centre[there], strict=True)
        ]
        found += [np.array(places)] if places else []
    return np.concatenate(found)
