"""The Points, Shapes and Labels layers that prompts are made in, read as prompts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from napari.layers import Labels, Points, Shapes
from psygnal import Signal

from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.widgets.layers.drawing import Areas
from napari_sam2.widgets.layers.layer_adapters import StackGeometry
from napari_sam2.widgets.layers.layer_change import LayerChange
from napari_sam2.widgets.layers.layer_reading import (
    Said,
    Sayings,
    clicks,
    drawn,
    superseded,
    unusable,
)
from napari_sam2.widgets.layers.layer_states import Key, LayerState, finished, news
from napari_sam2.widgets.layers.painting import Painting
from napari_sam2.widgets.layers.prompt_looks import colour, new_layers


class PromptLayers:
    """Three layers over an image, and what they say about each object on each frame.

    The layers are the only place where prompts live: whatever changes them (the mouse, a script,
    deletion), they are read again and the differences announced.

    Parameters
    ----------
    transform
        Keywords that lay a layer over the image that the prompts are about.
    geometry
        Which axes are what.
    result
        The array (of the image's shape without channels) shown in the Labels layer.
    defer
        Runs a function once the event at hand is over. Several changes become one reading.
    """

    changed = Signal(int, int, object, bool, object)
    """Object id, frame, its `Prompt` or None, whether the mask was drawn in the labels, and the
    `LayerChange` that it is part of."""
    rejected = Signal(str)
    """Why something drawn was no prompt, in words."""
    object_picked = Signal(int)
    """An object was chosen with napari's own tools."""

    def __init__(
        self,
        transform: Mapping[str, Any],
        geometry: StackGeometry,
        result: Any,
        defer: Callable[[Callable[[], None]], None],
    ) -> None:
        self.geometry = geometry
        self.object_id = 1
        self.positive = True
        self._defer = defer
        self._waiting = False
        self._known: dict[Key, Prompt] = {}
        self._held = 0
        self._later: list[Callable[[], None]] = []
        self._absent: set[Key] = set()
        self._changes = 0
        self._painted: dict[Key, ThinMask] = {}
        self.labels, self.shapes, self.points = new_layers(result, geometry, transform)
        self._painting = Painting(self.labels, geometry)
        self._areas = Areas(geometry.frame_shape)
        self._sayings = Sayings()
        self._usable: dict[Points | Shapes, set[bytes]] = {self.points: set(), self.shapes: set()}
        self._connect()
        self.apply_current()

    @property
    def layers(self) -> tuple[Labels, Shapes, Points]:
        """The three, lowest first."""
        return self.labels, self.shapes, self.points

    @property
    def prompts(self) -> Prompts:
        """Object id -> frame -> prompt, as last read."""
        prompts: Prompts = {}
        for (object_id, frame), prompt in self._known.items():
            prompts.setdefault(object_id, {})[frame] = prompt
        return prompts

    @property
    def waiting(self) -> bool:
        """Whether a change is still to be read, or something still to be said."""
        return self._waiting or bool(self._later)

    @property
    def object_ids(self) -> list[int]:
        """Objects that have a prompt."""
        return sorted(self.prompts)

    def be_silent(self) -> None:
        """Announce nothing any more: what is done in the layers concerns nobody."""
        for signal in (self.changed, self.rejected, self.object_picked):
            signal.disconnect()

    def _connect(self) -> None:
        for layer in (self.points, self.shapes):
            layer.events.data.connect(self._on_data)
            layer.events.features.connect(self._on_data)
            layer.events.mode.connect(self.apply_current)
        self.labels.events.paint.connect(self._on_paint)
        self.labels.events.selected_label.connect(self._on_selected_label)

    # --- what new prompts will be --------------------------------------------------------

    def set_current(self, object_id: int, positive: bool) -> None:
        """Choose the object and the sign of the points to come; another object is painted."""
        if object_id != self.object_id and not self.labels.selected_label:
            with self.labels.events.selected_label.blocker(self._on_selected_label):
                self.labels.selected_label = object_id
        self.object_id, self.positive = object_id, positive
        self.apply_current()

    def apply_current(self, _event: Any = None) -> None:
        """Tell the layers; selecting a point makes napari forget."""
        self.points.feature_defaults = {"object": self.object_id, "positive": self.positive}
        self.shapes.feature_defaults = {"object": self.object_id}
        if self.labels.selected_label not in (0, self.object_id):
            with self.labels.events.selected_label.blocker(self._on_selected_label):
                self.labels.selected_label = self.object_id

    def _on_selected_label(self, _event: Any = None) -> None:
        label = int(self.labels.selected_label)
        if label > 0 and label != self.object_id:
            self.object_picked.emit(label)

    # --- reading -------------------------------------------------------------------------

    def _on_data(self, event: Any = None) -> None:
        action = str(getattr(event, "action", "")).lower()
        if action.endswith("ing"):  # napari also announces what is about to happen
            return
        if not self._waiting:
            self._waiting = True
            self._defer(self.read)

    def _on_paint(self, event: Any) -> None:
        """Read the layers once the stroke ended: painting from a script is announced before."""
        self._painting.add(event.value)
        self._on_data()

    def read(self) -> None:
        """Read the layers and announce what differs from the last time."""
        self._waiting = False
        found = self._read()
        if self._held:
            return
        strokes = self._painting.take_drawn()
        drawn = {k for k in strokes if k in self._painted and not len(found[k].points)}
        gone = [key for key in self._known if key not in found]
        new = [key for key, prompt in found.items() if self._known.get(key) != prompt]
        self._known = found
        colour(*self.layers)
        if gone or new:
            change = self._noted()
            for key in gone:
                self.changed.emit(*key, None, False, change)
            for key in new:
                self.changed.emit(*key, found[key], key in drawn, change)

    def _read(self) -> dict[Key, Prompt]:
        """Return what the layers say now; what is no prompt is removed from them."""
        if wrong := self._painting.put_back():
            self.show_labels()
            self.rejected.emit(wrong)
        for key, mask, own in self._painting.read(self._painted):
            self._forget({key})
            if not mask.is_empty:
                self._painted[key] = mask
            elif own and self._is_elsewhere(*key):  # all of it was erased
                self._absent.add(key)
        self._drop_unusable()
        return self._collect()

    def _is_elsewhere(self, object_id: int, frame: int) -> bool:
        """Whether an object is known from other frames than this."""
        own = {t: prompt for (i, t), prompt in self._known.items() if i == object_id}
        return not own or any(t != frame and not p.absent for t, p in own.items())

    def hold(self) -> None:
        """Announce nothing until `release`: what is being done now may change the layers."""
        self._held += 1

    def release(self, all_of_it: bool = False) -> None:
        """Announce what has changed meanwhile, once all that called `hold` are done."""
        was, self._held = self._held, 0 if all_of_it else max(self._held - 1, 0)
        if was and not self._held:
            self.read()
        while self._later and not self._held:
            self._later.pop(0)()

    def when_free(self, job: Callable[[], None]) -> None:
        """Do a job that changes the layers, now or once they are no longer held."""
        if self._held:
            self._later.append(job)
        else:
            job()

    def _noted(self) -> LayerChange:
        """Return what was changed since the last time."""
        self._changes += 1
        return LayerChange(self._changes, self.state(), self._painting.take())

    # --- states, for undo ----------------------------------------------------------------

    def state(self) -> LayerState:
        """Return what stands in the layers now."""
        return LayerState.read(self.points, self.shapes, self._painted, self._absent)

    def state_of(self, prompts: Prompts) -> LayerState:
        """Return what would stand in the layers for these prompts."""
        return LayerState.of(prompts, self.geometry)

    def restore(self, state: LayerState, prompts: Prompts) -> None:
        """Bring back what stood in the layers, without announcing it.

        What was done in them since `hold` is done to that, and announced later.

        Parameters
        ----------
        state
            As it was noted.
        prompts
            What the session knows; it counts where the state says something else, which was
            refused later.
        """
        before, now = self._known, self._read() if self._held else self._known
        self.drop_drawing()  # its place among the shapes would be another one's
        with self._unheard():
            state.write(self.points, self.shapes)
        self._painted, self._absent = dict(state.painted), set(state.absent)
        self._known = self._collect()
        true = {(i, t): prompt for i, some in prompts.items() for t, prompt in some.items()}
        wrong = {k: true.get(k) for k in self._known | true if self._known.get(k) != true.get(k)}
        if wrong:
            self._put(wrong)
            self._known = self._collect()
        self._put(news(before, now, self._known))
        colour(*self.layers)
        self.apply_current()

    def put(self, prompts: Prompts) -> LayerChange:
        """Say something of objects on frames in the place of what was said there before.

        Not announced: the caller does with it what it wants.
        """
        self.read()
        said = {(i, t): prompt for i, some in prompts.items() for t, prompt in some.items()}
        self._put(said)
        self._know(said)
        colour(*self.layers)
        self.apply_current()
        return self._noted()

    def drop_drawing(self) -> bool:
        """Give up a shape that is being drawn; False if none is."""
        if not self.shapes._is_creating:
            return False
        count = finished(self.shapes)
        with self._unheard():
            self.shapes._finish_drawing()
            self._remove_items(self.shapes, list(range(count, len(self.shapes.data))))
        return True

    def forget(self, object_id: int, frame: int) -> LayerChange:
        """Remove what was said of an object on a frame; not announced."""
        self.read()
        self.drop_drawing()
        self._forget({(object_id, frame)})
        self._know({(object_id, frame)})
        return self._noted()

    def _put(self, said: Mapping[Key, Prompt | None]) -> None:
        """Say something, or nothing, in the place of what was said."""
        if not said:
            return
        self.drop_drawing()
        self._forget(said.keys())
        self._painting.forget(said.keys())
        prompts: Prompts = {}
        for (object_id, frame), prompt in said.items():
            if prompt is not None:
                prompts.setdefault(object_id, {})[frame] = prompt
        state = LayerState.of(prompts, self.geometry)
        with self._unheard():
            state.append(self.points, self.shapes)
        self._painted |= state.painted
        self._absent |= state.absent

    def _know(self, keys: Collection[Key]) -> None:
        """Take for announced what the layers say there now."""
        found = self._collect()
        for key in keys:
            self._known.pop(key, None)
        self._known |= {key: prompt for key, prompt in found.items() if key in keys}

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        """Change the layers without taking it for the user's doing."""
        with (
            self.points.events.data.blocker(self._on_data),
            self.points.events.features.blocker(self._on_data),
            self.shapes.events.data.blocker(self._on_data),
            self.shapes.events.features.blocker(self._on_data),
        ):
            yield

    def _drop_unusable(self) -> None:
        for layer in (self.points, self.shapes):
            bad = unusable(layer, self.geometry, self._usable[layer])
            self._remove_items(layer, [*bad])
            if bad:
                self.rejected.emit([*bad.values()][-1])
        self._remove_items(self.shapes, superseded(self.shapes, self.geometry))

    def _collect(self) -> dict[Key, Prompt]:
        found = drawn(self.shapes, self.geometry, self._areas)
        for key in found:
            self._painted.pop(key, None)  # brush strokes remove shapes: this one is newer
            self._absent.discard(key)
        for key, mask in self._painted.items():
            found[key] = found.get(key, Said())._replace(mask=mask)
        for key, (places, signs) in clicks(self.points, self.geometry).items():
            self._absent.discard(key)  # a click says that it is there
            found[key] = found.get(key, Said())._replace(clicks=places, signs=signs)
        for key in self._absent:
            found.setdefault(key, Said(absent=True))
        return self._sayings.prompts(found)

    # --- removing ------------------------------------------------------------------------

    def remove_last_point(self) -> bool:
        """Take back the newest point of the current object; False if it has none."""
        own = np.flatnonzero(self.points.features["object"].astype(int) == self.object_id)
        if not len(own):
            return False
        self.points.selected_data = set()
        self.points.remove([int(own[-1])])
        return True

    def _forget(self, keys: Collection[Key]) -> None:
        """Remove all that was said of objects on frames."""
        self._remove(keys)
        self._absent -= set(keys)
        for key in keys:
            self._painted.pop(key, None)

    def _remove(self, keys: Collection[Key]) -> None:
        doomed = {i for i, _ in keys}
        for layer in (self.points, self.shapes):
            ids, data = layer.features["object"].astype(int).to_list(), layer.data
            own = [n for n, i in enumerate(ids) if i in doomed]
            frames = [int(self.geometry.frames_of(data[n])[0]) for n in own]
            out = [n for n, t in zip(own, frames, strict=True) if (ids[n], t) in keys]
            self._remove_items(layer, out)

    def _remove_items(self, layer: Points | Shapes, indices: list[int]) -> None:
        if indices:
            with layer.events.data.blocker(self._on_data):
                layer.selected_data = set()
                layer.remove(indices)

    # --- the labels ----------------------------------------------------------------------

    def show_labels(self, thumbnail: bool = True) -> None:
        """Draw the labels anew after the array behind them was written."""
        self.labels.refresh(extent=False, thumbnail=thumbnail)
        # napari's undo would write back what stood there before.
        self.labels._undo_history.clear()
        self.labels._redo_history.clear()
