"""What is worked on and with: the form's boxes for image, axis, model, object and frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog

from napari_sam2.tracking.kept.pace import read_runs
from napari_sam2.widgets.form.form import Form
from napari_sam2.widgets.form.model_choice import model_details, short_name
from napari_sam2.widgets.layers import layer_adapters as adapters
from napari_sam2.widgets.layers.sources import Part
from napari_sam2.widgets.session.worker import Worker
from napari_sam2.widgets.workbench import Workbench

if TYPE_CHECKING:
    from napari.layers import Image

_OTHER_FILE = "<file>"


class Choices:
    """Offers what there is, hands on what the user chooses, and shows what is so.

    Parameters
    ----------
    form
        Has the boxes.
    bench
        Gets the choices.
    """

    def __init__(self, form: Form, bench: Workbench) -> None:
        self._form, self._bench = form, bench
        self._models: list[tuple[str, str, str]] = []
        self._filling = False
        form.image.changed.connect(self._on_image)
        form.axis.changed.connect(self._on_axis)
        form.part.on_change(self._on_part)
        form.model.changed.connect(self._on_model)
        form.device.changed.connect(self._on_model)
        form.models.looks.changed.connect(self._on_looks)
        # Choosing the same model again is another try, after a failure say.
        form.model.native.activated.connect(self._on_model)
        form.object_id.changed.connect(self._on_object)
        form.propagation.first.changed.connect(self._on_range)
        form.propagation.last.changed.connect(self._on_range)
        self.offer_images()
        self._offer_models([("micro", "", "micro")])

    @contextmanager
    def _filled_by_us(self) -> Iterator[None]:
        """Change the form without taking it for the user's choice."""
        before, self._filling = self._filling, True
        try:
            yield
        finally:
            self._filling = before

    def show(self) -> None:
        """Make the boxes show what is so."""
        form, bench = self._form, self._bench
        with self._filled_by_us():
            if form.object_id.value != bench.object_id:  # else it was drawn anew with each click
                form.object_id.value = bench.object_id
            form.image.value = bench.image
            form.models.show_looks(bench.attention, bench.starting.leaves_attention)
            form.show_source(bench.source, bench.layers, bench.images)
            if bench.layers is not None:
                length = bench.layers.geometry.length
                start, stop = bench.following.frame_range
                form.propagation.show_range(start or 0, (stop or length) - 1, length)

    # --- image, axis, part, object, frames -----------------------------------------------------

    def offer_images(self, _event: Any = None) -> None:
        """Offer the images of the viewer, by the names that they have now."""
        for layer in self._bench.images:
            layer.events.name.connect(self.offer_images)  # once, however often it is offered
        with self._filled_by_us():
            self._form.image.choices = self._images()
            self._form.image.value = self._bench.image

    def close(self) -> None:
        """Let go of the images."""
        for layer in self._bench.images:
            layer.events.name.disconnect(self.offer_images)

    def _images(self) -> list[tuple[str, Image]]:
        return [(layer.name, layer) for layer in self._bench.images]

    def set_image(self, layer: Image, axis: int | None = None, part: Part | None = None) -> None:
        """Work on a part of `layer`, with frames along `axis` (default: guessed)."""
        if self._bench.starting.start(adapters.unwrapped(layer), axis, part) is not None:
            self.show()  # it was refused

    def start_with_only_image(self) -> None:
        """Begin at once where there is no choice to make."""
        if self._bench.layers is None and len(self._bench.images) == 1:
            self.set_image(self._bench.images[0])

    def _on_image(self, layer: Image | None) -> None:
        if not self._filling and layer is not None:
            self.set_image(layer)

    def _on_axis(self, axis: int | None) -> None:
        if not self._filling and self._bench.image is not None:
            part = replace(self._form.part.part(), planes={})
            self.set_image(self._bench.image, axis, part)

    def _on_part(self, same_axes: bool) -> None:
        if self._bench.image is not None:
            axis = self._form.axis.value if same_axes else None
            self.set_image(self._bench.image, axis, self._form.part.part())

    def _on_object(self, object_id: int) -> None:
        if not self._filling:
            self._bench.set_object(object_id)

    def _on_range(self, _value: Any) -> None:
        if self._filling or self._bench.layers is None:
            return
        boxes = self._form.propagation
        first, last = int(boxes.first.value), int(boxes.last.value)
        end = self._bench.layers.geometry.length - 1
        self._bench.following.frame_range = (first or None, last + 1 if last < end else None)

    # --- model ---------------------------------------------------------------------------

    def choose_model(self, model: str, device: str = "auto") -> None:
        """Use a model, by name or path, from now on; the prompts stay."""
        self.offer_model(model)
        with self._filled_by_us():
            self._form.model.value = model
            self._form.device.value = device
        self._bench.starting.choose_model(model, device)

    def offer_model(self, model: str) -> None:
        """Have a model, by name or path, in the list."""
        if model not in [value for *_, value in self._models]:
            self._offer_models([*self._models, (short_name(model), "", model)])

    def list_models(self, worker: Worker) -> None:
        """Offer all models that there are names for, once they are known."""

        def job() -> list[tuple[str, str, str]]:
            from napari_sam2.weights import available_models  # imports torch: not in the window

            runs = read_runs()
            models = available_models()
            return [(short_name(m.name), model_details(m, runs), m.name) for m in models]

        worker.submit(job, done=self._offer_models, failed=self._bench.controller.tell)

    def _offer_models(self, models: list[tuple[str, str, str]]) -> None:
        """Offer models, (text, details, name or path); files that were chosen before stay."""
        names = [name for *_, name in models]
        self._models = [*models, *(m for m in self._models if m[-1] not in names)]
        with self._filled_by_us():
            offered = [*self._models, ("another file …", "", _OTHER_FILE)]
            self._form.models.offer(offered, self._bench.model)

    def _on_looks(self, attention: Any) -> None:
        if not self._filling:
            self._bench.starting.choose_attention(attention or None)

    def _on_model(self, _value: Any) -> None:
        if self._filling:
            return
        model, device = str(self._form.model.value), str(self._form.device.value)
        if model != _OTHER_FILE:
            self._bench.starting.choose_model(model, device)
            return
        path, _ = QFileDialog.getOpenFileName(
            self._form, "Choose a SAM 2 checkpoint", "", "Checkpoints (*.pt *.pth *.safetensors)"
        )
        self.choose_model(path or self._bench.model, device)  # without one, all stays as it was
