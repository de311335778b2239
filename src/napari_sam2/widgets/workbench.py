"""One image in the viewer, its prompt layers and its session. No Qt widgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets import ids, results, seen
from napari_sam2.widgets import layer_adapters as adapters
from napari_sam2.widgets.clicking import Clicking
from napari_sam2.widgets.colours import ObjectColours
from napari_sam2.widgets.controller import Controller
from napari_sam2.widgets.dividing import Dividing
from napari_sam2.widgets.following import Following
from napari_sam2.widgets.keys import KeyBindings
from napari_sam2.widgets.new_pixels import NewPixels
from napari_sam2.widgets.notes import Notes
from napari_sam2.widgets.opening import SessionRequest
from napari_sam2.widgets.prompt_layers import PromptLayers
from napari_sam2.widgets.prompting import Prompting
from napari_sam2.widgets.restoring import Restoring
from napari_sam2.widgets.saving import Found
from napari_sam2.widgets.seeding import Seeding
from napari_sam2.widgets.sources import Part, Source
from napari_sam2.widgets.space import Space
from napari_sam2.widgets.tools import Tools
from napari_sam2.widgets.undoing import Undoing

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam2.model.config import Attention
    from napari_sam2.widgets.record import Standing

_FIRST = "Open an image first: drag a stack into napari, or File > Open Sample > SAM 2 masklets."
_NEXT = (
    "Click on a cell. Q switches to points on what is not the cell, N starts the next cell, "
    "G follows all cells through the stack."
)


class Workbench:
    """What is worked on: the image, its layers, the current object and tool, the session.

    What is done with them is in its parts, one for each verb: `tools`, `prompting`,
    `seeding`, `dividing`, `following`, `undoing`, `restoring`, and `space` for the view in 3D.

    Parameters
    ----------
    viewer
        The viewer.
    controller
        Opens sessions and runs what is done with them.
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
        self.model, self.device = "micro", "auto"
        self.attention: Attention | None = None
        """How the model looks at frames; None: as it was made to."""
        self._defer = defer
        self._keys = keys
        self.writer: results.ResultWriter | None = None
        """Where the masks of the objects are, while there is an image."""
        controller.notes = lambda: self.notes.as_json()
        controller.status.connect(self.status.emit)
        controller.changed.connect(self._on_controller)
        self.tools = Tools(self)
        self.space = Space(self)
        self.prompting = Prompting(self)
        self.seeding = Seeding(self)
        self.dividing = Dividing(self)
        self.following = Following(self)
        self.undoing = Undoing(self)
        self.new_pixels = NewPixels(self, defer)
        self.clicking = Clicking(self)
        self.restoring = Restoring(self)
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
            text = self.new_pixels.take_news() or _NEXT
        elif self.images:
            text = "Choose the image to work on."
        self.status.emit(text, "info")

    def require_layers(self) -> PromptLayers | None:
        """Return the prompt layers; where there are none, tell the user what to do."""
        if self.layers is None:
            self.say_what_to_do()
        return self.layers

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
        self.new_pixels.watch(source.layers or (image,))
        self.writer = results.ResultWriter(result, geometry)
        self.layers = PromptLayers(source.transform, geometry, result, self._defer)
        self.colours = ObjectColours(self.layers.labels)
        self.take_notes(Notes())
        if folder is not None:
            results.delete_with(self.layers.labels, folder)
        for layer in self.layers.layers:
            self.viewer.add_layer(layer)
        self._keys.bind(*self.layers.layers)
        self.layers.changed.connect(self.prompting.answer)
        self.layers.rejected.connect(lambda text: self.status.emit(text, "error"))
        self.layers.object_picked.connect(self.set_object)
        self.object_id = 1
        self.following.frame_range = (None, None)
        self.layers.set_current(self.object_id, self.positive)
        self.tools.use("point")
        adapters.show_planes(self.viewer, self.layers.labels, geometry)
        source.show_channel(self.viewer)
        self.open_session(saved)
        return None

    def take_notes(self, notes: Notes) -> None:
        """Take these notes on objects from now on."""
        self.notes = notes
        if self.writer is not None:
            self.writer.locked = notes.locked

    def open_sample(self) -> None:
        """Open nuclei that move and divide."""
        from napari_sam2.sample_data import timelapse

        for data, settings, _kind in timelapse():
            self.viewer.add_image(data, **settings)

    def choose_model(self, model: str, device: str) -> None:
        """Use another model or device from now on, with the same prompts."""
        working = self.controller.record is not None or self.controller.opening
        if working and (model, device) == (self.model, self.device):
            return
        if model != self.model and model == "micro":
            self.attention = None  # it leaves no choice
        self.model, self.device = model, device
        if self.layers is not None:
            self.open_session()

    def choose_attention(self, attention: Attention | None) -> None:
        """Look at frames in another way from now on, with the same prompts."""
        if attention != self.attention:
            self.attention = attention
            if self.layers is not None:
                self.open_session()

    @property
    def leaves_attention(self) -> bool:
        """Whether the model was made for whole frames, so that windows are a choice."""
        session = self.controller.session
        if session is None:
            return self.model != "micro"
        return bool(session.model.config.attention == "exact")

    def open_session(self, saved: Found | None = None) -> None:
        """Open a session for the image, with the model chosen.

        Parameters
        ----------
        saved
            What to do again in it, with the model that it was made with.
        """
        if self.source is None or self.layers is None or self.writer is None:
            return
        self.layers.release(all_of_it=True)  # nobody is told any more how the work at hand went
        self.restoring.expect(saved)
        content = None if saved is None else saved.content
        if content is not None:
            self.model, self.attention = content.model, content.attention
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
            attention=self.attention,
            zoom=None if content is None else content.zoom,
        )
        layers = self.layers
        self.controller.open(request, self.writer, layers.prompts, layers.state(), saved)

    def _leave(self) -> None:
        """Let go of the layers; those that hold nothing are removed."""
        keeper = self.controller.keeper
        self.controller.close()
        self.new_pixels.leave()
        layers, image = self.layers, self.image
        self.layers = self.image = self.source = None
        if layers is None:
            return
        layers.be_silent()
        empty = not layers.prompts and not self._has_results
        for layer in layers.layers:
            layer.visible = False  # it would lie over what is worked on next
            if empty and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        if not empty and keeper is not None and image is not None:
            self.restoring.leave(image, keeper, layers)
        self.writer = None

    def close(self) -> None:
        """Stop all work and let go of the viewer; the layers stay."""
        self.controller.close()
        self.new_pixels.leave()
        self.space.close()
        self.clicking.close()
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self._keys.unbind()

    def _on_layer_removed(self, event: Any) -> None:
        layer: Any = event.value
        if self.layers is None:
            return
        if self.image is not None and layer is self.image:
            text = f"The image '{layer.name}' was removed; its masklets stay. Choose another image."
        elif layer in self.layers.layers:
            text = f"The layer '{layer.name}' was removed. "
            text += "Choose the image again to go on." if self.images else _FIRST
        else:
            return
        self.drop_image()
        self.status.emit(text, "info")
        self.changed.emit()

    def drop_image(self) -> None:
        """Work on no image any more; the layers stay."""
        self.controller.close()
        self.new_pixels.leave()
        if self.layers is not None:
            self.layers.be_silent()
        self.layers = self.image = self.source = self.writer = None

    # --- objects -------------------------------------------------------------------------

    @property
    def used_ids(self) -> set[int]:
        """Objects that have prompts or masks, or are daughters that wait for them."""
        used = set(self.layers.object_ids) if self.layers else set()
        used |= set(self.dividing.waiting)
        return used | (self.writer.object_ids if self.writer else set())

    @property
    def _has_results(self) -> bool:
        return self.writer is not None and bool(self.writer.object_ids)

    def free_ids(self, count: int = 1) -> int | None:
        """Return the first of some free ids in a row; where there are none, tell the user."""
        try:
            return ids.free_ids(self.used_ids, count)
        except InputError as error:
            self.controller.tell(error)
            return None

    def new_object(self) -> None:
        """Start another object, or stay with the current one if it is still new."""
        layers = self.require_layers()
        if layers is None:
            return
        layers.read()
        daughter = self.dividing.next_daughter()
        if daughter is not None:
            self.set_object(daughter)
        elif self.object_id in self.used_ids:
            if self.following.finding:
                text = "Cells are being found, and get the next numbers; press N when that is over."
                self.status.emit(text, "info")
                return
            free = self.free_ids()
            if free is None:
                return
            self.set_object(free)
        self.tools.take_ours()
        self.set_positive(True)  # what is not the object says nothing of a new one
        what = "a cell" if daughter is None else "the other daughter"
        where = " in 2D" if self.space.on else ""
        self.status.emit(f"Object {self.object_id} is new: click on {what}{where}.", "info")

    def set_object(self, object_id: int) -> None:
        """Make `object_id` the one that prompts are for."""
        if object_id != self.object_id:
            self.object_id = object_id
            self._apply_current()

    def set_positive(self, positive: bool) -> None:
        """Choose whether points say 'this is it' or 'this is not it'."""
        if positive != self.positive:
            self.positive = positive
            self._apply_current()

    def _apply_current(self) -> None:
        if self.layers is not None:
            self.layers.set_current(self.object_id, self.positive)
        self.changed.emit()

    # --- on screen -----------------------------------------------------------------------

    def _on_controller(self) -> None:
        if self.layers is not None:
            self.layers.set_editable(self.controller.run is None)
        self.changed.emit()

    def show_labels(self) -> None:
        """Show what was written into the labels."""
        if self.layers is not None:
            self.layers.show_labels()

    def show_layers(self, standing: Standing) -> None:
        """Bring the prompt layers, and what is locked, into the state that the session is in."""
        if self.layers is None:
            return
        if standing.state is not None:
            self.layers.restore(standing.state, standing.prompts)
        self.note_locked()
        self.layers.show_labels()

    def note_locked(self) -> None:
        """Note what is locked in the session; masks of an earlier one stay as they were noted."""
        session = self.controller.session
        if session is not None:
            self.notes.locked.difference_update(session.object_ids)
            self.notes.locked.update(session.locked)

    @property
    def frame_on_screen(self) -> int:
        """The frame that the viewer shows; in 3D, the one that is outlined."""
        assert self.layers is not None
        if self.space.frame is not None:
            return self.space.frame
        return adapters.frame_on_screen(self.viewer, self.layers.labels, self.layers.geometry)

    def show_frame(self, frame: int) -> None:
        """Show a frame in the viewer; in 3D, outline it."""
        if self.space.deep:
            self.space.show_frame(frame)
        elif self.layers is not None:
            adapters.show_frame(self.viewer, self.layers.labels, self.layers.geometry, frame)
