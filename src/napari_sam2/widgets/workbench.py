"""One image in the viewer, its prompt layers and its session. No Qt widgets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.tracking.session_file import load_session
from napari_sam2.tracking.steps import Step
from napari_sam2.widgets import layer_adapters as adapters
from napari_sam2.widgets import results, seen
from napari_sam2.widgets.colours import ObjectColours
from napari_sam2.widgets.controller import Controller
from napari_sam2.widgets.exporting import Export
from napari_sam2.widgets.keys import KeyBindings
from napari_sam2.widgets.opening import SessionRequest
from napari_sam2.widgets.overview import Notes
from napari_sam2.widgets.prompt_layers import PromptLayers
from napari_sam2.widgets.record import LayerChange
from napari_sam2.widgets.runs import Direction, Wish
from napari_sam2.widgets.saving import Found
from napari_sam2.widgets.seeding import masks_from, seeds_from
from napari_sam2.widgets.sources import Part, Source

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

_FIRST = "Open an image first: drag a stack into napari, or File > Open Sample > napari-sam2."
_NEXT = (
    "Click on a cell. Q switches to points on what is not the cell, N starts the next cell, "
    "G follows all cells through the stack."
)


class Workbench:
    """Joins the viewer, the layers that prompts are made in, and the controller.

    Parameters
    ----------
    viewer
        The viewer.
    controller
        Answers prompts and propagates.
    defer
        Runs a function once the event at hand is over.
    keys
        Bound on every layer that is made.
    """

    status = Signal(str, str)
    """A sentence for the user and its kind: info, busy, done or error."""
    changed = Signal()
    """Something that a form shows has changed."""

    def __init__(
        self,
        viewer: ViewerModel,
        controller: Controller,
        defer: Callable[[Callable[[], None]], None],
        keys: KeyBindings,
    ) -> None:
        self.viewer = viewer
        self.controller = controller
        self.image: Image | None = None
        self.source: Source | None = None
        """What the model sees of the image."""
        self.layers: PromptLayers | None = None
        self.colours: ObjectColours | None = None
        self.notes = Notes()
        self.object_id = 1
        self.positive = True
        self.follow = True
        self.model, self.device = "micro", "auto"
        self.frame_range: tuple[int | None, int | None] = (None, None)
        """First frame to follow objects to, and the one after the last; None: the ends."""
        self._defer = defer
        self._keys = keys
        self._origin = 0
        self._followed: int | None = None
        self._writer: results.ResultWriter | None = None
        self._restoring: Found | None = None
        self.found: Found | None = None
        """An earlier session of the image that can be restored."""
        controller.notes = lambda: self.notes.as_json()
        controller.status.connect(self.status.emit)
        controller.changed.connect(self._on_controller)
        controller.opened.connect(self._on_opened)
        controller.preview_shown.connect(self._on_preview)
        controller.run_ended.connect(self._on_run_ended)
        controller.layers_changed.connect(self._on_layers_changed)
        controller.found.connect(self._on_found)
        viewer.layers.events.removed.connect(self._on_layer_removed)

    @property
    def images(self) -> list[Image]:
        """Images that can be worked on."""
        from napari.layers import Image

        layers = self.viewer.layers
        return [la for la in layers if isinstance(la, Image) and la.name != seen.NAME]

    @property
    def source_path(self) -> str:
        """The file that the image was read from; "" where there is none."""
        return "" if self.image is None else adapters.source_path(self.image)

    def say_what_to_do(self) -> None:
        """Tell a newcomer the next step."""
        text = _FIRST
        if self.layers is not None:
            text = _NEXT
        elif self.images:
            text = "Choose the image to work on."
        self.status.emit(text, "info")

    # --- opening and closing -------------------------------------------------------------

    def start(
        self,
        image: Image,
        axis: int | None,
        part: Part | None = None,
        saved: Found | None = None,
    ) -> InputError | None:
        """Make the prompt layers for a part of `image` and open a session; see `open_session`.

        What cannot be used is said and returned; all stays as it was then.
        """
        part = part or Part()
        try:
            source = Source.of(self.viewer, image, part)
            axis = source.guess_axis() if axis is None else axis
            geometry = source.geometry(self.viewer, axis, part)
            result, folder = results.new_result(geometry)
        except InputError as error:
            self.controller.tell(error)
            return error
        except (MemoryError, OSError) as error:
            refused = InputError(f"there is no room for the masklets: {error}")
            self.controller.tell(refused)
            return refused
        self._leave()
        self.image, self.source = image, source
        self._writer = results.ResultWriter(result, geometry)
        self.layers = PromptLayers(source.transform, geometry, result, self._defer)
        self.colours = ObjectColours(self.layers.labels)
        self._note(Notes())
        if folder is not None:
            results.delete_with(self.layers.labels, folder)
        for layer in self.layers.layers:
            self.viewer.add_layer(layer)
        self._keys.bind(*self.layers.layers)
        self.layers.changed.connect(self._on_prompt)
        self.layers.rejected.connect(lambda text: self.status.emit(text, "error"))
        self.layers.object_picked.connect(self.set_object)
        self.object_id = 1
        self.frame_range = (None, None)
        self.layers.set_current(self.object_id, self.positive)
        self.use_tool("point")
        adapters.show_planes(self.viewer, self.layers.labels, geometry)
        self.open_session(saved)
        return None

    def _note(self, notes: Notes) -> None:
        """Take these notes on objects from now on."""
        self.notes = notes
        if self._writer is not None:
            self._writer.locked = notes.locked

    def open_sample(self) -> None:
        """Open nuclei that move and divide."""
        from napari_sam2.sample_data import timelapse

        for data, settings, _kind in timelapse():
            self.viewer.add_image(data, **settings)

    def choose_model(self, model: str, device: str) -> None:
        """Use another model or device from now on, with the same prompts."""
        working = self.controller.ready or self.controller.opening
        if working and (model, device) == (self.model, self.device):
            return
        self.model, self.device = model, device
        if self.layers is not None:
            self.open_session()

    def open_session(self, saved: Found | None = None) -> None:
        """Open a session for the image, with the model chosen.

        Parameters
        ----------
        saved
            What to do again in it, with the model that it was made with.
        """
        if self.source is None or self.layers is None or self._writer is None:
            return
        self.found, self._restoring = None, saved
        content = None if saved is None else saved.content
        if content is not None:
            self.model = content.model
        geometry = self.layers.geometry
        data, axis, channel_axis = self.source.array(geometry)
        request = SessionRequest(
            data=data,
            axis=axis,
            channel_axis=channel_axis,
            channel=self.source.channel,
            model=self.model,
            device=self.device,
            path=self.source_path,
            axes=self.source.file_axes(geometry),
            file_channel=self.source.file_channel(),
            select=self.source.file_planes(geometry),
            attention=None if content is None else content.attention,
            zoom=None if content is None else content.zoom,
        )
        layers = self.layers
        self.controller.open(request, self._writer, layers.prompts, layers.state(), saved)

    def restore(self, path: Path | None = None) -> None:
        """Do again what was done to this image before.

        Parameters
        ----------
        path
            A session file; None for the one that was found.
        """
        if self.layers is None:
            self.say_what_to_do()
            return
        if self.layers.prompts or self.controller.run is not None:
            self.status.emit("Restoring needs a fresh start; choose the image again.", "error")
            return
        try:
            found = self.found if path is None else Found(path, load_session(path))
        except InputError as error:
            self.controller.tell(error)
            return
        if found is None:
            self.status.emit("There is no earlier session of this image.", "info")
            return
        assert self.image is not None
        assert self.source is not None
        other = self.source.part_for(found.content.image, self.layers.geometry)
        if other is None:
            self.open_session(found)
        else:  # it was made with another channel or plane
            self.start(self.image, *other, found)

    def _on_found(self, found: Found) -> None:
        self.found = found
        self.status.emit(
            f"You worked on this image before ({found.text}). 'Restore' brings that back.", "info"
        )
        self.changed.emit()

    def _leave(self) -> None:
        """Let go of the layers; those that hold nothing are removed."""
        self.controller.close()
        layers, self.layers, self.image, self.source = self.layers, None, None, None
        if layers is None:
            return
        layers.changed.disconnect()
        if not layers.prompts and not self._has_results:
            for layer in layers.layers:
                if layer in self.viewer.layers:
                    self.viewer.layers.remove(layer)
        self._writer = None

    def close(self) -> None:
        """Stop all work and let go of the viewer; the layers stay."""
        self.controller.close()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self._keys.unbind()

    def _on_layer_removed(self, event: Any) -> None:
        layer: Any = event.value
        if self.layers is None:
            return
        if self.image is not None and layer is self.image:
            text = f"The image '{layer.name}' was removed; its masklets stay. Choose another image."
        elif layer in self.layers.layers:
            text = f"The layer '{layer.name}' was removed. Choose the image again to go on."
        else:
            return
        self._writer_done()
        self.status.emit(text, "info")
        self.changed.emit()

    def _writer_done(self) -> None:
        self.controller.close()
        self.layers = self.image = self.source = self._writer = None

    # --- objects and tools ---------------------------------------------------------------

    @property
    def used_ids(self) -> set[int]:
        """Objects that have prompts or masks."""
        ids = set(self.layers.object_ids) if self.layers else set()
        return ids | (self._writer.object_ids if self._writer else set())

    @property
    def _has_results(self) -> bool:
        return self._writer is not None and bool(self._writer.object_ids)

    def new_object(self) -> None:
        """Start another object, or stay with the current one if it is still new."""
        if self.layers is None:
            self.say_what_to_do()
            return
        self.layers.read()
        used = self.used_ids
        if self.object_id in used:
            self.set_object(max(used) + 1)
        if self.tool is None:
            self.use_tool("point")
        self.status.emit(f"Object {self.object_id} is new: click on a cell.", "info")

    def set_object(self, object_id: int) -> None:
        """Make `object_id` the one that prompts are for."""
        if object_id != self.object_id:
            self.object_id = object_id
            self._apply_current()

    def say(self, object_id: int, frame: int, prompt: Prompt, text: str = "") -> None:
        """Say all that is said of an object on a frame, as if it was clicked, drawn or painted.

        Raises
        ------
        InputError
            If the prompt cannot be used.
        """
        if self.layers is None:
            self.say_what_to_do()
            return
        self._check(object_id, frame, prompt)
        change = self.layers.put({object_id: {frame: prompt}})
        self.controller.set_prompt(object_id, frame, prompt, change=change, text=text)

    def add_prompts(self, prompts: Prompts) -> None:
        """Say what is said of many objects; one step to undo.

        Raises
        ------
        InputError
            If a prompt cannot be used; none is added then.
        """
        if self.layers is None:
            self.say_what_to_do()
            return
        if self.controller.run is not None or not self.controller.ready:
            self.status.emit("Wait until the work at hand is done.", "error")
            return
        for object_id, by_frame in prompts.items():
            for frame, prompt in by_frame.items():
                self._check(object_id, frame, prompt)
        self.controller.add_prompts(prompts, self.layers.put(prompts))

    def _check(self, object_id: int, frame: int, prompt: Prompt) -> None:
        assert self.layers is not None
        if not 0 <= frame < self.layers.geometry.length:
            last = self.layers.geometry.length - 1
            raise InputError(f"frame {frame} does not exist; there are frames 0 to {last}")
        prompt.validate(self.layers.geometry.frame_shape, object_id=object_id, frame=frame)

    def end_here(self) -> None:
        """Say that the current object is not on the frame on screen: it ends here."""
        if self.layers is None:
            self.say_what_to_do()
        else:
            self.say(self.object_id, self.frame_on_screen, Prompt(absent=True))

    def approve(self, object_id: int | None = None, frame: int | None = None) -> None:
        """Say that the mask on a frame is right: it becomes a prompt, which nothing overwrites.

        Parameters
        ----------
        object_id, frame
            By default the current object on the frame on screen.
        """
        if self.layers is None or self._writer is None:
            self.say_what_to_do()
            return
        object_id = self.object_id if object_id is None else object_id
        frame = self.frame_on_screen if frame is None else frame
        mask = self._writer.read(frame) == object_id
        if not mask.any():
            self.status.emit(f"Object {object_id} has no mask on frame {frame}.", "info")
            return
        text = f"{self.notes.name(object_id)}, frame {frame} is accepted."
        self.say(object_id, frame, Prompt(mask=mask), text + " J goes to the next frame to check.")

    def unsay(self, object_id: int, frame: int) -> None:
        """Take back all that was said of an object on a frame."""
        if self.layers is not None:
            change = self.layers.forget(object_id, frame)
            self.controller.set_prompt(object_id, frame, None, change=change)

    def set_positive(self, positive: bool) -> None:
        """Choose whether points say 'this is it' or 'this is not it'."""
        if positive != self.positive:
            self.positive = positive
            self._apply_current()

    def _apply_current(self) -> None:
        if self.layers is not None:
            self.layers.set_current(self.object_id, self.positive)
        self.changed.emit()

    def delete_object(self, object_id: int | None = None) -> None:
        """Delete an object, by default the current one: its prompts and its masks on all frames."""
        object_id = self.object_id if object_id is None else object_id
        if self.layers is None:
            self.say_what_to_do()
        elif self.controller.run is not None:
            self.status.emit("Cancel the propagation first.", "error")
        else:
            change = self.layers.remove_object(object_id)
            self.notes.forget(object_id)
            self.controller.remove_object(object_id, change)

    def edit(
        self, step: Step, relabel: tuple[int, int, int] | None, done: Callable[[], None]
    ) -> None:
        """Merge, split or lock objects, then call `done`; see `Controller.edit`."""
        if self.layers is None:
            self.say_what_to_do()
            return
        self.layers.read()
        self.controller.edit(step, self.layers.state_of, relabel, done)

    def undo(self) -> None:
        """Take back what was done last: a prompt, a stroke, a deletion, a propagation."""
        self._turn(self.controller.undo)

    def redo(self) -> None:
        """Do again what was undone last."""
        self._turn(self.controller.redo)

    def _turn(self, turn: Callable[[], None]) -> None:
        if self.layers is None:
            self.say_what_to_do()
            return
        self.layers.read()
        turn()

    def _on_layers_changed(self, state: Any) -> None:
        if self.layers is None:
            return
        if state is not None:
            self.layers.restore(state)
        session = self.controller.session
        if session is not None:  # undo may have changed what is locked
            self.notes.locked.difference_update(session.object_ids)
            self.notes.locked.update(session.locked)
        self.layers.show_labels()

    def remove_last_point(self) -> None:
        """Take back the newest point."""
        if self.layers is None or not self.layers.remove_last_point():
            self.status.emit("There is no point to take back.", "info")

    def _tools(self) -> dict[str, tuple[Any, str]]:
        assert self.layers is not None
        return {
            "point": (self.layers.points, "add"),
            "box": (self.layers.shapes, "add_rectangle"),
            "polygon": (self.layers.shapes, "add_polygon"),
            "brush": (self.layers.labels, "paint"),
        }

    def use_tool(self, name: str) -> None:
        """Take up a tool: point, box, polygon or brush."""
        if self.layers is None:
            self.say_what_to_do()
            self.changed.emit()
            return
        layer, mode = self._tools()[name]
        if not layer.editable:
            self.status.emit("Painting has to wait until the propagation ends.", "info")
        else:
            layer.visible = True
            self.viewer.layers.selection.active = layer
            layer.mode = mode
            self.layers.apply_current()
        self.changed.emit()

    @property
    def tool(self) -> str | None:
        """The tool in use, if it is one of ours."""
        if self.layers is None:
            return None
        active = self.viewer.layers.selection.active
        for name, (layer, mode) in self._tools().items():
            if layer is active and str(layer.mode) == mode:
                return name
        return None

    # --- work ----------------------------------------------------------------------------

    def _on_opened(self) -> None:
        saved, self._restoring = self._restoring, None
        if saved is not None and self.layers is not None:
            self._origin = self._followed = self.frame_on_screen
            self._note(Notes.from_json(saved.content.notes))
            self.controller.restore(saved.content, self.layers.state_of)
            return
        if self.layers is not None and self.layers.prompts:
            self.status.emit(f"Ready: {self.model} has your prompts.", "done")
        else:
            self.say_what_to_do()

    def _on_prompt(
        self, object_id: int, frame: int, prompt: Any, drawn: bool, change: LayerChange
    ) -> None:
        self.controller.set_prompt(object_id, frame, prompt, drawn, change)

    def _on_preview(self, object_id: int, frame: int) -> None:
        if self.layers is not None:
            self.layers.show_labels()

    def export(self, path: Path, format: str | None = None) -> None:
        """Write the masklets to a file of another program; returns at once."""
        if self.layers is None or self.source is None or self._writer is None:
            self.say_what_to_do()
            return
        self.controller.export(
            Export(
                path,
                format,
                self.source,
                self.layers.geometry,
                self._writer,
                self.layers.labels.data.dtype,
            )
        )

    def segment_everything(self) -> None:
        """Find all cells of the frame on screen that have no object yet; each becomes one."""
        if self.layers is None or self._writer is None:
            self.say_what_to_do()
            return
        frame = self.frame_on_screen

        def found(cells: Any) -> None:
            if not cells.cells:
                self.status.emit("No other cells were found on this frame.", "info")
                return
            first = max(self.used_ids, default=0) + 1
            self.add_prompts(cells.prompts(frame, first))

        self.layers.read()
        self.controller.find_all(frame, self._writer.read(frame), found)

    def show_view(self) -> None:
        """Show what the network gets to see of the current object on the frame on screen."""
        layers, image = self.layers, self.image
        if layers is None or image is None:
            self.say_what_to_do()
            return
        frame = self.frame_on_screen

        def show(view: Any) -> None:
            seen.show_view(self.viewer, image, layers.labels, layers.geometry, frame, view)
            self.viewer.layers.selection.active = layers.points
            self.status.emit(
                f"{self.notes.name(self.object_id)}, frame {frame}: the network sees this, at "
                f"{view.zoom[0]:.2f} of its pixels for one of yours.",
                "done",
            )

        self.controller.view(self.object_id, frame, show)

    def add_seeds(self, layer: Any) -> None:
        """Make an object of each label, or point, of a layer on the frame on screen."""
        if self.layers is None:
            self.say_what_to_do()
            return
        frame = self.frame_on_screen
        try:
            prompts = seeds_from(
                layer, self.layers.labels, self.layers.geometry, frame, self.used_ids
            )
            self.add_prompts(prompts)
        except InputError as error:
            self.controller.tell(error)

    def adopt(self, layer: Any) -> None:
        """Make the labels of a layer on all frames masklets, to be reviewed and corrected."""
        if self.layers is None:
            self.say_what_to_do()
            return
        self.layers.read()
        geometry, shift = self.layers.geometry, max(self.used_ids, default=0)
        self.controller.adopt(lambda: masks_from(layer, geometry, shift), self.layers.state_of)

    @property
    def seed_layers(self) -> list[Any]:
        """Layers that hold labels or points of other tools."""
        from napari.layers import Labels, Points

        ours = () if self.layers is None else self.layers.layers
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Labels | Points) and layer not in ours
        ]

    def propagate(self, direction: Direction, object_ids: tuple[int, ...] | None = None) -> None:
        """Follow objects, by default all, over the chosen frames; returns at once."""
        if self.layers is None:
            self.say_what_to_do()
            return
        self.layers.read()
        self._origin = self._followed = self.frame_on_screen
        self.controller.propagate(Wish(direction, object_ids, *self.frame_range))

    def _on_controller(self) -> None:
        if self.layers is not None:
            self.layers.set_editable(self.controller.run is None)
        self.changed.emit()

    @property
    def frame_on_screen(self) -> int:
        """The frame that the viewer shows."""
        assert self.layers is not None
        return adapters.frame_on_screen(self.viewer, self.layers.labels, self.layers.geometry)

    def show_frame(self, frame: int) -> None:
        """Show a frame in the viewer."""
        if self.layers is not None:
            adapters.show_frame(self.viewer, self.layers.labels, self.layers.geometry, frame)

    def refresh(self) -> None:
        """Show what a propagation wrote since the last time, if it is on screen."""
        if self.layers is None or self.image is None:
            return
        run = self.controller.run
        written = set() if run is None else run.take_written()
        here = self.frame_on_screen
        if (
            run is not None
            and run.follow
            and self.follow
            and run.newest is not None
            and here == self._followed
        ):
            self._followed = run.newest
            if here != run.newest:  # moving the slider draws the labels anew
                self.show_frame(run.newest)
                return
        if here in written:
            self.layers.show_labels(thumbnail=False)

    def _on_run_ended(self) -> None:
        if self.layers is None or self.image is None:
            return
        if self.follow and self.frame_on_screen == self._followed:  # back to the prompts
            self.show_frame(self._origin)
        self.layers.show_labels()
