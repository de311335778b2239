"""Many objects at once: all cells of a frame, or from layers that other tools made. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Points

from napari_sam2.layer_data import PARENTS_KEY
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.steps import AdoptMasks
from napari_sam2.tracking.masks.mask_text import GivenMasks, masks_text
from napari_sam2.tracking.objects.lineage import possible
from napari_sam2.tracking.prompt import Prompts
from napari_sam2.tracking.prompts import seeds_from_labels, seeds_from_points
from napari_sam2.tracking.stack.reading import as_read
from napari_sam2.widgets.ids import HIGHEST, free_ids
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.session.record import Record
from napari_sam2.widgets.session.runs import Cancelled, Run
from napari_sam2.widgets.verbs.acting import act_long
from napari_sam2.widgets.words import COMMAND

if TYPE_CHECKING:
    from napari_sam2.tracking.finding.everything import Found
    from napari_sam2.widgets.workbench import Workbench


class Seeding:
    """Makes many objects on the frame on screen, as one step.

    Parameters
    ----------
    bench
        Has the layers and the session.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def find_all(self, diameter: float | None = None) -> None:
        """Find all cells of the frame on screen that have no object yet; each becomes one.

        Parameters
        ----------
        diameter
            Of a typical cell in pixels; None: found out from the frame.
        """
        bench, layers = self._bench, self._bench.require_plane()
        if layers is None or bench.writer is None:
            return
        layers.read()
        frame = bench.frame_on_screen
        taken = bench.writer.read(frame)
        last: list[Found] = []
        stopped = False

        def work(record: Record, run: Run) -> None:
            nonlocal stopped
            run.follow = False
            session, before = record.history.session, None
            found = session.segment_everything(frame, taken=taken, diameter=diameter)
            with closing(found):
                for now in found:
                    before = _show_search(run, now, before)
                    last[:] = [now]
                    if run.cancelled.is_set():
                        stopped = True
                        return

        def said(run: Run) -> str:
            return "The search was cancelled." if run.cancelled.is_set() else "Found."

        def after(ended: bool) -> None:
            if last and (ended or (stopped and last[0].cells)):
                self._add_found(last[0], frame, ended)

        bench.controller.start(
            work, "Looking for all cells of this frame …", said=said, after=after
        )

    def _add_found(self, found: Found, frame: int, ended: bool) -> None:
        bench = self._bench
        first = bench.free_ids(max(len(found.cells), 1))
        if not found.cells:
            bench.status.emit("No other cells were found on this frame.", "info")
        elif first is not None:
            count = len(found.cells)
            cells = "1 cell was" if count == 1 else f"{count} cells were"
            text = f"Cancelled. {cells} found until then; {COMMAND}+Z takes that back."
            bench.prompting.add(found.prompts(frame, first), "" if ended else text)

    @property
    def sources(self) -> list[Any]:
        """Layers that hold labels or points of other tools."""
        bench = self._bench
        ours = () if bench.layers is None else bench.layers.layers
        return [
            layer
            for layer in bench.viewer.layers
            if isinstance(layer, Labels | Points) and layer not in ours
        ]

    def add_layer(self, layer: Any) -> None:
        """Make an object of each label, or point, of a layer on the frame on screen."""
        bench, layers = self._bench, self._bench.require_plane()
        if layers is None:
            return
        frame, geometry = bench.frame_on_screen, layers.geometry
        try:
            bench.prompting.add(seeds_from(layer, layers.labels, geometry, frame, bench.used_ids))
        except InputError as error:
            bench.controller.tell(error)

    def add_rois(self, path: Path) -> None:
        """Make objects of regions of ImageJ, on their slices; without one, on that on screen."""
        from napari_sam2.export.rois import read_rois

        bench, layers = self._bench, self._bench.require_layers()
        if layers is None or bench.source is None:
            return
        geometry, source = layers.geometry, bench.source
        try:
            found = read_rois(
                path,
                geometry.frame_shape,
                geometry.length,
                along=source.frame_axis(geometry),
                frame=bench.frame_on_screen,
                planes=source.file_planes(geometry),
            )
            first = bench.free_ids(len(found))
            if first is not None:
                bench.prompting.add(dict(enumerate(found.values(), start=first)))
        except InputError as error:
            bench.controller.tell(error)

    def adopt(self, layer: Any, parents: Mapping[int, int] | None = None) -> None:
        """Make the labels of a layer on all frames masklets, to be reviewed and corrected.

        Parameters
        ----------
        parents
            The mother's label by the daughter's; by default what the layer knows of it.
        """
        bench, layers = self._bench, self._bench.require_layers()
        if layers is None:
            return
        layers.read()
        record = bench.controller.require_record()
        if record is None:
            return
        bench.tools.take_ours()
        geometry, layers_of = layers.geometry, layers.state_of
        shift = max(bench.used_ids, default=0)
        mothers = layer.metadata.get(PARENTS_KEY, {}) if parents is None else parents
        imported: list[bool] = []

        def work(record: Record, run: Run) -> None:
            run.follow = False

            def progress(frame: int) -> None:
                run.done, run.total = frame, 2 * geometry.length  # each is read, and taken in
                if run.cancelled.is_set():
                    raise Cancelled

            masks = masks_from(layer, geometry, shift, progress)
            shifted = {i + shift: mother + shift for i, mother in mothers.items()}
            step = AdoptMasks(masks, possible(shifted, {i: min(some) for i, some in masks.items()}))
            run.done, run.total = geometry.length, geometry.length + step.cost
            imported.append(run.consume(record.run(step, layers_of=layers_of)))

        def said(run: Run) -> str:
            if imported != [True]:
                return "The import was cancelled; nothing was changed."
            return "Imported. J goes to frames to check; a click corrects, H repairs around it."

        act_long(bench, work, "Importing …", said, lambda _: bench.show_layers(record.layers))


def _show_search(run: Run, now: Found, before: tuple[int, int] | None) -> tuple[int, int]:
    """Let a run show how far a search is; returns the look, and the clicks before it."""
    if before is None or before[0] != now.look:
        before = now.look, 0 if before is None else run.done + before[1]
    run.done, run.total = now.done - before[1], now.total - before[1]
    cells = f" · {len(now.cells)} cells so far" if now.cells else ""
    run.label = f"look {now.look}: {run.done} of {run.total}{cells}"
    return before


def seeds_from(
    layer: Any, over: Any, geometry: StackGeometry, frame: int, taken: Collection[int]
) -> Prompts:
    """Make an object of each label, or of each point, of a layer on a frame.

    Parameters
    ----------
    layer
        A Labels layer of the image's size, of one frame or of all; or a Points layer.
    over
        A layer that lies over the image and has its axes without channels.
    geometry
        Which of its axes are what.
    frame
        Where the seeds are.
    taken
        Ids in use; if a label is among them, or too large, all get other numbers.

    Raises
    ------
    InputError
        If there is nothing to use on that frame, or the layer does not fit.
    """
    if isinstance(layer, Labels):
        return _renumbered(_labels_on(layer, geometry, frame), taken)
    if isinstance(layer, Points):
        return _points_on(layer, over, geometry, frame, taken)
    raise InputError(f"'{layer.name}' is neither a Labels nor a Points layer; choose another")


def masks_from(
    layer: Any, geometry: StackGeometry, shift: int, progress: Callable[[int], None]
) -> dict[int, GivenMasks]:
    """Return the masks of each label of a layer on all frames, as `mask_text` writes them.

    Parameters
    ----------
    layer
        A Labels layer of the image's shape without channels, or of its frames.
    geometry
        Which of its axes are what.
    shift
        Added to every id.
    progress
        Called with each frame before it is read.

    Raises
    ------
    InputError
        If the layer does not fit, or an id is too large for the masklets.
    """
    check_shape(layer.name, _data_of(layer).shape, geometry)

    def planes() -> Iterator[npt.NDArray[Any]]:
        for frame in range(geometry.length):
            progress(frame)
            plane = plane_of(_data_of(layer), geometry, frame)
            if int(plane.max(initial=0)) + shift > HIGHEST:
                first = f" beside object {shift}" if shift else ""
                raise InputError(
                    f"'{layer.name}' has ids above {HIGHEST - shift}, for which there is no room"
                    f"{first}; renumber them, or import them first of all"
                )
            yield plane

    masks = {label + shift: some for label, some in masks_text(planes()).items()}
    if not masks:
        raise InputError(f"'{layer.name}' has no labels; there is nothing to import")
    return masks


def _data_of(layer: Labels) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def check_shape(name: str, shape: tuple[int, ...], geometry: StackGeometry) -> None:
    """Refuse labels that are neither the image's without channels, nor of its frames alone.

    Raises
    ------
    InputError
        If the shape is another one.
    """
    frames = (geometry.length, *geometry.frame_shape)
    if tuple(shape) not in (geometry.shape, geometry.flat_shape, frames):
        raise InputError(
            f"'{name}' has the shape {tuple(shape)}, but the image {geometry.shape}; "
            "choose labels of the same image"
        )


def plane_of(data: Any, geometry: StackGeometry, frame: int) -> npt.NDArray[Any]:
    """Return the labels (Y, X) of a frame, of an array that `check_shape` lets pass."""
    place: Any = frame
    if tuple(data.shape) == geometry.shape:
        place = geometry.index(frame)
    elif tuple(data.shape) == geometry.flat_shape:
        place = replace(geometry, fixed=dict.fromkeys(geometry.fixed, 0)).index(frame)
    return as_read(data[place])


def _labels_on(layer: Labels, geometry: StackGeometry, frame: int) -> Prompts:
    data = _data_of(layer)
    if tuple(data.shape) == geometry.frame_shape:
        plane = np.asarray(data)
    else:
        check_shape(layer.name, data.shape, geometry)
        plane = plane_of(data, geometry, frame)
    if not plane.any():
        raise InputError(f"'{layer.name}' has no labels on frame {frame}; go to another frame")
    return seeds_from_labels(plane, frame)


def _renumbered(prompts: Prompts, taken: Collection[int]) -> Prompts:
    if not set(prompts) & set(taken) and max(prompts) <= HIGHEST:
        return prompts
    shift = max(taken, default=0)
    if max(prompts) + shift <= HIGHEST:
        return {i + shift: by_frame for i, by_frame in prompts.items()}
    return dict(enumerate(prompts.values(), start=free_ids(taken, len(prompts))))


def _points_on(
    layer: Points, over: Any, geometry: StackGeometry, frame: int, taken: Collection[int]
) -> Prompts:
    world = [layer.data_to_world(point)[-over.ndim :] for point in layer.data]
    places = np.array([over.world_to_data(place) for place in world]).reshape(-1, over.ndim)
    missing = max(over.ndim - layer.ndim, 0)  # napari shows such points on every frame
    places[:, :missing] = geometry.to_data(frame, 0, 0)[:missing]
    here = [place for place in places if geometry.complaint(place) is None]
    chosen = [place for place in here if int(geometry.frames_of(place)[0]) == frame]
    if not chosen:
        raise InputError(f"'{layer.name}' has no points on frame {frame}; go to another frame")
    first = free_ids(taken, len(chosen))
    return seeds_from_points(geometry.yx(np.array(chosen)), frame, first)
