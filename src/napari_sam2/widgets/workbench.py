"""One image in the viewer, its prompt layers and its session. No Qt widgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets import ids
from napari_sam2.widgets.canvas.clicking import Clicking
from napari_sam2.widgets.canvas.space import Space
from napari_sam2.widgets.canvas.tools import Tools
from napari_sam2.widgets.keys import KeyBindings
from napari_sam2.widgets.layers import layer_adapters as adapters
from napari_sam2.widgets.layers import results, seen
from napari_sam2.widgets.layers.colours import ObjectColours
from napari_sam2.widgets.layers.new_pixels import NewPixels
from napari_sam2.widgets.layers.own_array import OwnArray
from napari_sam2.widgets.layers.placing import Placing
from napari_sam2.widgets.layers.prompt_layers import PromptLayers
from napari_sam2.widgets.layers.sources import Source
from napari_sam2.widgets.notes import Notes
from napari_sam2.widgets.session.controller import Controller
from napari_sam2.widgets.starting import Starting
from napari_sam2.widgets.verbs.dividing import Dividing
from napari_sam2.widgets.verbs.following import Following
from napari_sam2.widgets.verbs.prompting import Prompting
from napari_sam2.widgets.verbs.restoring import Restoring
from napari_sam2.widgets.verbs.seeding import Seeding
from napari_sam2.widgets.verbs.undoing import Undoing
from napari_sam2.widgets.words import FIRST_STEP

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam2.model.config import Attention
    from napari_sam2.widgets.layers.layer_change import Standing

_NEXT = (
    "Click on a cell. Q switches to points on what is not the cell, N starts the next cell, "
    "G follows all cells through the stack."
)


class Workbench:
    """What is worked on: the image, its layers, the current object and tool, the session.

    What is done with them is in its parts, one for each verb: `tools`, `prompting`,
    `seeding`, `dividing`, `following`, `undoing`, `restoring`; `starting` for the image and the
    model, and `space` for the view in 3D.

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
    taught = Signal(str)
    """There are new weights, in a file."""

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
        self.defer = defer
        self.keys = keys
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
        self.placing = Placing(self, defer)
        self.own_array = OwnArray(self, defer)
        self.clicking = Clicking(self)
        self.restoring = Restoring(self)
        self.starting = Starting(self)

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
        text = FIRST_STEP
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

    def require_plane(self) -> PromptLayers | None:
        """Return the prompt layers, or say what to do: also where another plane is on screen."""
        layers = self.require_layers()
        if layers is None:
            return None
        wrong = adapters.plane_complaint(self.viewer, layers.labels, layers.geometry)
        if wrong:
            self.status.emit(wrong, "error")
        return None if wrong else layers

    def open_sample(self) -> None:
        """Open nuclei that move and divide."""
        from napari_sam2.sample_data import timelapse

        for data, settings, _kind in timelapse():
            self.viewer.add_image(data, **settings)

    def take_notes(self, notes: Notes) -> None:
        """Take these notes on objects from now on."""
        self.notes = notes
        if self.writer is not None:
            self.writer.locked = notes.locked

    def close(self) -> None:
        """Stop all work and let go of the viewer; the layers stay."""
        self.controller.close()
        self.new_pixels.leave()
        self.placing.leave()
        self.own_array.leave()
        self.space.close()
        self.clicking.close()
        self.starting.close()
        self.keys.unbind()

    # --- objects -------------------------------------------------------------------------

    @property
    def used_ids(self) -> set[int]:
        """Objects that have prompts or masks, or are daughters that wait for them."""
        used = set(self.layers.object_ids) if self.layers else set()
        used |= set(self.dividing.waiting)
        return used | (self.writer.object_ids if self.writer else set())

    @property
    def has_results(self) -> bool:
        """Whether any object has masks."""
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
        self.tools.let_paint(self.controller.run is None)
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

    def go_to_frame(self, frame: int) -> None:
        """Show a frame in the viewer, in the plane of a volume that objects are in."""
        if self.layers is not None:
            adapters.show_planes(self.viewer, self.layers.labels, self.layers.geometry)
        self.show_frame(frame)
