"""Beginning to work on an image, with a model, and leaving it. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam2.tracking.errors import InputError
from napari_sam2.widgets.layers import layer_adapters as adapters
from napari_sam2.widgets.layers import results
from napari_sam2.widgets.layers.colours import ObjectColours
from napari_sam2.widgets.layers.prompt_layers import PromptLayers
from napari_sam2.widgets.layers.sources import Part, Source
from napari_sam2.widgets.notes import Notes
from napari_sam2.widgets.session.opening import SessionRequest
from napari_sam2.widgets.words import FIRST_STEP

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam2.model.config import Attention
    from napari_sam2.tracking.stack.contrast import Contrast
    from napari_sam2.widgets.session.saving import SavedSession
    from napari_sam2.widgets.workbench import Workbench


class Starting:
    """Makes the layers and the session of an image, and lets go of them.

    Parameters
    ----------
    bench
        Has them.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        # Of a session that was restored on this image.
        self._contrast: Contrast | None = None
        self._zoom: float | None = None
        bench.viewer.layers.events.removed.connect(self._on_layer_removed)

    def close(self) -> None:
        """Let go of the viewer."""
        self._bench.viewer.layers.events.removed.disconnect(self._on_layer_removed)

    def start(
        self,
        image: Image,
        axis: int | None,
        part: Part | None = None,
        saved: SavedSession | None = None,
    ) -> InputError | None:
        """Make the prompt layers for a part of `image` and open a session; see `open_session`.

        What cannot be used is said and returned; all stays as it was then.
        """
        bench, part = self._bench, part or Part()
        try:
            source = Source.of(bench.viewer, image, part)
            axis = source.guess_axis() if axis is None else axis
            geometry = source.geometry(bench.viewer, axis, part)
            result, folder = results.new_result(geometry)
        except InputError as error:
            bench.controller.tell(error)
            return error
        except (MemoryError, OSError) as error:
            refused = InputError(f"there is no room for the masklets: {error}")
            bench.controller.tell(refused)
            return refused
        self.leave()
        self._contrast = self._zoom = None
        bench.image, bench.source = image, source
        bench.new_pixels.watch(source.layers or (image,))
        bench.placing.watch(image)
        bench.writer = results.ResultWriter(result, geometry)
        bench.layers = PromptLayers(source.transform, geometry, result, bench.defer)
        bench.own_array.watch(bench.layers.labels)
        bench.colours = ObjectColours(bench.layers.labels)
        bench.take_notes(Notes())
        if folder is not None:
            results.delete_with(bench.layers.labels, folder)
        self._show(bench.layers, source)
        self.open_session(saved)
        return None

    def _show(self, layers: PromptLayers, source: Source) -> None:
        """Put the layers into the viewer, and make prompts of what is done in them."""
        bench = self._bench
        for layer in layers.layers:
            bench.viewer.add_layer(layer)
        bench.keys.bind(*layers.layers)
        layers.changed.connect(bench.prompting.answer)
        layers.rejected.connect(lambda text: bench.status.emit(text, "error"))
        layers.object_picked.connect(bench.set_object)
        bench.object_id = 1
        bench.following.frame_range = (None, None)
        layers.set_current(bench.object_id, bench.positive)
        bench.tools.use("point")
        adapters.show_planes(bench.viewer, layers.labels, layers.geometry)
        source.show_channel(bench.viewer)

    def choose_model(self, model: str, device: str) -> None:
        """Use another model or device from now on, with the same prompts."""
        bench = self._bench
        working = bench.controller.record is not None or bench.controller.opening
        if working and (model, device) == (bench.model, bench.device):
            return
        if model != bench.model:
            self._zoom = None  # it suits the model that it was given for
            if model == "micro":
                bench.attention = None  # it leaves no choice
        bench.model, bench.device = model, device
        if bench.layers is not None:
            self.open_session()

    def choose_attention(self, attention: Attention | None) -> None:
        """Look at frames in another way from now on, with the same prompts."""
        bench = self._bench
        if attention != bench.attention:
            bench.attention, self._zoom = attention, None
            if bench.layers is not None:
                self.open_session()

    @property
    def leaves_attention(self) -> bool:
        """Whether the model was made for whole frames, so that windows are a choice."""
        bench, session = self._bench, self._bench.controller.session
        if session is None:
            return bench.model != "micro"
        return bool(session.model.config.attention == "exact")

    def open_session(self, saved: SavedSession | None = None) -> None:
        """Open a session for the image, with the model chosen.

        Parameters
        ----------
        saved
            What to do again in it, with the model that it was made with.
        """
        bench = self._bench
        if bench.source is None or bench.layers is None or bench.writer is None:
            return
        bench.layers.release(all_of_it=True)  # nobody is told any more how the work at hand went
        bench.restoring.expect(saved)
        content = None if saved is None else saved.content
        if content is not None:
            bench.model, bench.attention = content.model, content.attention
            self._contrast = bench.source.fitting(content.image.contrast)
            self._zoom = content.zoom
        geometry = bench.layers.geometry
        data, axis, channel_axis = bench.source.array(geometry)
        request = SessionRequest(
            data=data,
            axis=axis,
            channel_axis=channel_axis,
            channel=bench.source.channel,
            model=bench.model,
            device=bench.device,
            path=bench.source_path,
            axes=bench.source.file_axes(geometry),
            file_channel=bench.source.file_channel(),
            select=bench.source.file_planes(geometry),
            attention=bench.attention,
            zoom=self._zoom,
            contrast=self._contrast,
        )
        layers = bench.layers
        bench.controller.open(request, bench.writer, layers.prompts, layers.state(), saved)

    def leave(self) -> None:
        """Let go of the layers; those that hold nothing are removed."""
        bench, keeper = self._bench, self._bench.controller.keeper
        bench.controller.close()
        bench.new_pixels.leave()
        bench.placing.leave()
        bench.own_array.leave()
        layers, image = bench.layers, bench.image
        bench.layers = bench.image = bench.source = None
        if layers is None:
            return
        layers.be_silent()
        empty = not layers.prompts and not bench.has_results
        for layer in layers.layers:
            layer.visible = False  # it would lie over what is worked on next
            if empty and layer in bench.viewer.layers:
                bench.viewer.layers.remove(layer)
        if not empty and keeper is not None and image is not None:
            bench.restoring.leave(image, keeper.place, layers)
        bench.writer = None

    def _on_layer_removed(self, event: Any) -> None:
        bench, layer = self._bench, event.value
        if bench.layers is None:
            return
        if bench.image is not None and layer is bench.image:
            text = f"The image '{layer.name}' was removed; its masklets stay. Choose another image."
        elif layer in bench.layers.layers:
            text = f"The layer '{layer.name}' was removed. "
            text += "Choose the image again to go on." if bench.images else FIRST_STEP
        else:
            return
        self.drop_image()
        bench.status.emit(text, "info")
        bench.changed.emit()

    def drop_image(self) -> None:
        """Work on no image any more; the layers stay."""
        bench = self._bench
        bench.controller.close()
        bench.new_pixels.leave()
        bench.placing.leave()
        bench.own_array.leave()
        if bench.layers is not None:
            bench.layers.be_silent()
        bench.layers = bench.image = bench.source = bench.writer = bench.colours = None
