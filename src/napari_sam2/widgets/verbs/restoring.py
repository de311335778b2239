"""Bringing back what was done to an image before: from kept results, else step by step. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.results_file import NoResults
from napari_sam2.widgets.ids import check_ids
from napari_sam2.widgets.layers.slice_step import lay_out
from napari_sam2.widgets.layers.sources import STEP_KEY, Part
from napari_sam2.widgets.notes import Notes
from napari_sam2.widgets.session.record import Record
from napari_sam2.widgets.session.runs import Run, summary
from napari_sam2.widgets.session.saving import Place, SavedSession
from napari_sam2.widgets.verbs.acting import act_long

if TYPE_CHECKING:
    from napari.layers import Image, Layer

    from napari_sam2.widgets.layers.prompt_layers import PromptLayers
    from napari_sam2.widgets.workbench import Workbench


_CUT_SHORT = " The file of the earlier session stays as it was."


@dataclass(frozen=True, eq=False)
class _Left:
    """An image that was left, where its session is, and the layers that it had.

    Those that were removed since are not kept in memory.
    """

    image: ref[Image]
    place: Place
    layers: tuple[ref[Layer], ...]


class Restoring:
    """Knows of earlier sessions of the current image, and brings them back.

    Parameters
    ----------
    bench
        Opens a session for the image.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._wanted: SavedSession | None = None
        self._left: list[_Left] = []
        self.found: SavedSession | None = None
        """An earlier session of the image that can be restored."""
        bench.controller.opened.connect(self._on_opened)
        bench.controller.found.connect(self._on_found)

    def restore(self, path: Path | None = None) -> None:
        """Bring back what was done to this image before.

        Parameters
        ----------
        path
            A session file; None for the one that was found.
        """
        bench, layers = self._bench, self._bench.require_layers()
        if layers is None:
            return
        if layers.prompts or bench.controller.run is not None:
            bench.status.emit(
                "Restoring needs a fresh start: More > Start over on this image.", "error"
            )
            return
        try:
            found = self.found if path is None else SavedSession.read(path)
            if found is not None:
                check_ids(found.content.object_ids, f"{found.path.name} has")
        except InputError as error:
            bench.controller.tell(error)
            return
        if found is None:
            bench.status.emit("There is no earlier session of this image.", "info")
            return
        assert bench.image is not None
        assert bench.source is not None
        other = bench.source.part_for(found.content.image, layers.geometry)
        if other is None:
            bench.starting.open_session(found)
        else:  # it was made with another channel or plane
            bench.starting.start(bench.image, *other, found)

    def restart(self) -> None:
        """Start over on the same channels and axis, in the plane on screen.

        What was done stays as layers.
        """
        bench = self._bench
        if bench.image is None or bench.source is None or bench.layers is None:
            bench.say_what_to_do()
            return
        left = bench.layers.layers
        axis = -1 if bench.source.channel_axis is None else bench.source.channel_axis
        part = Part(axis, bench.source.channel, bench.source.layers)
        bench.starting.start(bench.image, bench.layers.geometry.axis, part)
        self._forget(left[0])

    def expect(self, saved: SavedSession | None) -> None:
        """Take note that a session is being opened, for a saved one or afresh."""
        self.found, self._wanted = None, saved

    def leave(self, image: Image, place: Place, layers: PromptLayers) -> None:
        """Note the layers of an image that is left, and where its session is saved.

        When the image is chosen again, they give way to what is restored, unless they were changed
        meanwhile.
        """
        self._left.append(_Left(ref(image), place, tuple(ref(one) for one in layers.layers)))
        for event in (layers.labels.events.paint, layers.labels.events.data):
            event.connect(self._on_changed)

    def _on_changed(self, event: Any) -> None:
        self._forget(event.source)

    def _forget(self, layer: Layer) -> None:
        """Let the layers of a session that was left stay, of which this is one."""
        self._left = [left for left in self._left if ref(layer) not in left.layers]

    def _was_left(self, found: SavedSession) -> bool:
        """Whether a session was left in this window, at what is worked on now."""
        bench = self._bench
        known = [left for left in self._left if left.place.path == found.path]
        if not any(left.image() is bench.image for left in known):
            return False
        if bench.layers is None or bench.layers.prompts:
            return False
        assert bench.source is not None
        return bench.source.part_for(found.content.image, bench.layers.geometry) is None

    def _replace(self, path: Path) -> None:
        """Let the layers of the image take the place of those that it was left with."""
        viewer, layers = self._bench.viewer, self._bench.layers
        old = [left for left in self._left if left.place.path == path]
        self._left = [left for left in self._left if left not in old]
        for left in old:
            before = (one() for one in left.layers)
            for layer, new in zip(before, layers.layers if layers else (), strict=False):
                if layer is not None and layer in viewer.layers:
                    viewer.layers.remove(layer)
                    new.name = layer.name

    def _on_found(self, found: SavedSession) -> None:
        self.found = found
        if self._was_left(found):
            self.restore()
            return
        self._bench.status.emit(
            f"You worked on this image before ({found.text}). 'Restore' brings that back.", "info"
        )
        self._bench.changed.emit()

    def _on_opened(self) -> None:
        saved, self._wanted = self._wanted, None
        bench = self._bench
        if bench.image is not None and bench.controller.keeper is not None:
            bench.controller.keeper.slice_step = bench.image.metadata.get(STEP_KEY)
        if saved is not None and bench.layers is not None:
            bench.take_notes(Notes.from_json(saved.content.notes))
            if saved.content.slice_step is not None:
                # Not saved: the file still holds what is about to be brought back.
                lay_out(bench, saved.content.slice_step)
            self._bring_back(saved)
        elif bench.layers is not None and bench.layers.prompts:
            bench.status.emit(self._ready(), "done")
        else:
            bench.say_what_to_do()

    def _ready(self) -> str:
        """Say what a session that was opened anew has of what was done before."""
        bench, count = self._bench, self._bench.controller.left_behind
        text = f"Ready: {bench.model} has your prompts."
        if not count:
            return text
        objects = "1 imported object" if count == 1 else f"{count} imported objects"
        return (
            f"{text} Of {objects} it knows only the first frame. Their other masks stay until you "
            "propagate; lock the objects that you want to keep."
        )

    def _bring_back(self, saved: SavedSession) -> None:
        bench, controller, content = self._bench, self._bench.controller, saved.content
        record, keeper = controller.record, controller.keeper
        assert bench.layers is not None
        assert record is not None
        assert keeper is not None
        layers_of, reason, whole = bench.layers.state_of, "", False

        def work(record: Record, run: Run) -> None:
            nonlocal whole
            run.follow = False
            keeper.begin_restoring(saved)
            try:
                bring(record, run)
            finally:
                keeper.end_restoring(whole)

        def bring(record: Record, run: Run) -> None:
            nonlocal reason, whole
            try:
                frames = keeper.open(content)
            except NoResults as error:
                reason, run.total = str(error), content.cost()
                steps = (record.run(step, layers_of=layers_of) for step in content.steps)
                whole = all(run.consume(results) for results in steps)
                return
            whole, run.total = True, len(frames)
            for result in record.resume(frames, layers_of):
                run.note(result.frame)  # to the end, even if cancelled: the session is there

        def said(run: Run) -> str:
            return _said(run, reason) + ("" if whole else _CUT_SHORT)

        text = "Restoring what was done …"

        def after(_ended: bool) -> None:
            bench.show_layers(record.layers)
            if whole:
                self._replace(saved.path)

        if act_long(bench, work, text, said, after):
            bench.following.leave_from_here()


def _said(run: Run, reason: str) -> str:
    """Say how it ended; `reason`: why it had to be computed again, if it had to."""
    if reason:
        return f"{reason[0].upper()}{reason[1:]}; they were computed again. {summary(run)}"
    frames = "1 frame" if run.done == 1 else f"{run.done} frames"
    return f"Restored as it was: masks on {frames}. What was done before cannot be undone."
