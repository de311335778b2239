"""The Points, Shapes and Labels layers that prompts are made in, read as prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Points, Shapes
from psygnal import Signal

from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.widgets.drawing import area_of, strokes
from napari_sam2.widgets.layer_adapters import StackGeometry, copied_transform

if TYPE_CHECKING:
    from napari.layers import Image

POSITIVE_COLOUR = "#2fd35b"
NEGATIVE_COLOUR = "#ff4d5e"
_BOX = "rectangle"
_AREAS = ("polygon", "ellipse")

Key = tuple[int, int]


class PromptLayers:
    """Three layers over an image, and what they say about each object on each frame.

    The layers are the only place where prompts live: whatever changes them (the mouse, a script,
    deletion), they are read again and the differences announced.

    Parameters
    ----------
    image
        The layer that the prompts are about; its transform is copied.
    geometry
        Which axes are what.
    result
        The array (of the image's shape) shown in the Labels layer.
    defer
        Runs a function once the event at hand is over. Several changes become one reading.
    """

    changed = Signal(int, int, object, bool)
    """Object id, frame, its `Prompt` or None, and whether the mask was drawn in the labels."""
    rejected = Signal(str)
    """Why something drawn was no prompt, in words."""
    object_picked = Signal(int)
    """An object was chosen with napari's own tools."""

    def __init__(
        self,
        image: Image,
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
        self._stroked: set[tuple[int, int]] = set()
        self._painted: dict[Key, npt.NDArray[np.bool_]] = {}
        common = copied_transform(image)
        self.labels = Labels(result, name="masklets", opacity=0.6, **common)
        self.shapes = Shapes(
            ndim=len(geometry.shape),
            name="prompts: boxes",
            features={"object": np.zeros(0, int)},
            face_color="transparent",
            edge_color="white",
            edge_width=_line_width(geometry),
            **common,
        )
        self.points = Points(
            ndim=len(geometry.shape),
            name="prompts: points",
            features={"object": np.zeros(0, int), "positive": np.zeros(0, bool)},
            size=_point_size(geometry),
            border_width=0.12,
            border_color="white",
            face_color=POSITIVE_COLOUR,
            # Not larger than 16 px on screen; a lower limit would show napari's hidden points.
            canvas_size_limits=(0, 16),
            **common,
        )
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
        """Whether a change is still to be read."""
        return self._waiting

    @property
    def object_ids(self) -> list[int]:
        """Objects that have a prompt."""
        return sorted(self.prompts)

    def _connect(self) -> None:
        for layer in (self.points, self.shapes):
            layer.events.data.connect(self._on_data)
            layer.events.mode.connect(self.apply_current)
        self.points.events.features.connect(self._on_data)
        self.labels.events.paint.connect(self._on_paint)
        self.labels.events.selected_label.connect(self._on_selected_label)
        self.labels.bind_key("Control-Z", self.undo, overwrite=True)
        self.labels.bind_key("Control-Shift-Z", self.redo, overwrite=True)

    # --- what new prompts will be --------------------------------------------------------

    def set_current(self, object_id: int, positive: bool) -> None:
        """Choose the object and the sign of the points to come."""
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

    def read(self) -> None:
        """Read the layers and announce what differs from the last time."""
        self._waiting = False
        for frame, object_id in sorted(self._stroked):
            self._adopt_mask(object_id, frame)
        self._stroked.clear()
        self._reject_unusable()
        found = self._collect()
        drawn = {k for k in found if k in self._painted and not len(found[k].points)}
        gone = [key for key in self._known if key not in found]
        new = [key for key, prompt in found.items() if self._known.get(key) != prompt]
        self._known = found
        self._colour()
        for key in gone:
            self.changed.emit(*key, None, False)
        for key in new:
            self.changed.emit(*key, found[key], key in drawn)

    def _reject_unusable(self) -> None:
        for layer in (self.points, self.shapes):
            complaints = {i: self._complaint(layer, i) for i in range(len(layer.data))}
            bad = [i for i, text in complaints.items() if text]
            if bad:
                with layer.events.data.blocker(self._on_data):
                    layer.selected_data = set()
                    layer.remove(bad)
                self.rejected.emit(complaints[bad[-1]])

    def _complaint(self, layer: Points | Shapes, index: int) -> str | None:
        data = np.asarray(layer.data[index])
        text = self.geometry.complaint(data)
        if text or isinstance(layer, Points):
            return text
        if layer.shape_type[index] not in (_BOX, *_AREAS):
            return "Lines are no prompts; draw a rectangle, a polygon or an ellipse."
        if np.ptp(self.geometry.yx(data), axis=0).min() < 1:
            return "That box is too small; drag it around the whole object."
        return None

    def _collect(self) -> dict[Key, Prompt]:
        found: dict[Key, Prompt] = {}
        for i, shape in enumerate(self.shapes.data):
            object_id = self.shapes.features["object"].iloc[i]
            key = int(object_id), int(self.geometry.frames_of(shape)[0])
            self._painted.pop(key, None)  # brush strokes remove shapes: this one is newer
            prompt = found.get(key, Prompt())
            yx = self.geometry.yx(shape)
            if self.shapes.shape_type[i] == _BOX:
                found[key] = prompt.with_box([yx.min(axis=0), yx.max(axis=0)])
            else:
                area = area_of(yx, self.shapes.shape_type[i], self.geometry.frame_shape)
                found[key] = prompt.with_mask(area if prompt.mask is None else prompt.mask | area)
        for key, mask in self._painted.items():
            found[key] = found.get(key, Prompt()).with_mask(mask)
        for i, frame in enumerate(self.geometry.frames_of(self.points.data)):
            features = self.points.features.iloc[i]
            key = int(features["object"]), int(frame)
            found[key] = found.get(key, Prompt()).add_points(
                self.geometry.yx(self.points.data[i]), [bool(features["positive"])]
            )
        return found

    def _colour(self) -> None:
        if len(self.points.data):
            positive = self.points.features["positive"].astype(bool).to_list()
            self.points.face_color = [POSITIVE_COLOUR if p else NEGATIVE_COLOUR for p in positive]
            # Not by colour alone: some eyes do not tell red from green.
            self.points.symbol = ["disc" if p else "diamond" for p in positive]
        if len(self.shapes.data):
            ids = self.shapes.features["object"].astype(int)
            self.shapes.edge_color = np.array([self.labels.get_color(i) for i in ids])

    # --- painting ------------------------------------------------------------------------

    def _on_paint(self, event: Any) -> None:
        """Make the mask of the painted object its prompt on that frame, now the stroke ended."""
        # Painting from a script is announced before it is done.
        self._stroked |= strokes(event.value, self.geometry)
        self._on_data()

    def _adopt_mask(self, object_id: int, frame: int) -> None:
        mask = np.asarray(self.labels.data[self.geometry.index(frame)]) == object_id
        self._remove(lambda i, t: (i, t) == (object_id, frame))
        self._painted.pop((object_id, frame), None)
        if mask.any():
            self._painted[object_id, frame] = mask

    def undo(self, _layer: Any = None) -> None:
        """Undo the last stroke [Ctrl+Z]."""
        self._replay(self.labels._undo_history, self.labels.undo)

    def redo(self, _layer: Any = None) -> None:
        """Redo the last stroke [Ctrl+Shift+Z]."""
        self._replay(self.labels._redo_history, self.labels.redo)

    def _replay(self, history: Any, run: Callable[[], None]) -> None:
        touched = strokes(history[-1], self.geometry) if history else set()
        run()  # napari announces neither undo nor redo
        self._stroked |= touched
        self._on_data()

    # --- removing ------------------------------------------------------------------------

    def remove_object(self, object_id: int) -> None:
        """Remove all prompts of an object."""
        self._remove(lambda i, _: i == object_id)
        for key in [key for key in self._painted if key[0] == object_id]:
            del self._painted[key]
        for key in [key for key in self._known if key[0] == object_id]:
            del self._known[key]

    def reassign(self, old: int, new: int, first: int = 0) -> None:
        """Give an object's prompts from a frame on to another object, after the session has.

        Where that one has a prompt on the same frame, the object's own is removed.
        """
        self.read()  # what is new is announced under the old id
        taken = {frame for i, frame in self._known if i == new}
        self._remove(lambda i, frame: i == old and frame >= first and frame in taken)
        for layer in (self.points, self.shapes):
            features = layer.features.copy()
            frames = np.array([self.geometry.frames_of(d)[0] for d in layer.data], dtype=int)
            features.loc[(features["object"] == old) & (frames >= first), "object"] = new
            with layer.events.features.blocker(self._on_data):
                layer.features = features
        for by_key in (self._painted, self._known):
            for frame in [t for i, t in by_key if i == old and t >= first]:
                item: Any = by_key.pop((old, frame))
                if frame not in taken:
                    by_key[new, frame] = item
        self.apply_current()
        self._colour()

    def remove_last_point(self) -> bool:
        """Take back the newest point; False if there is none."""
        if not len(self.points.data):
            return False
        self.points.selected_data = set()
        self.points.remove([len(self.points.data) - 1])
        return True

    def _remove(self, doomed: Callable[[int, int], bool]) -> None:
        for layer in (self.points, self.shapes):
            ids = layer.features["object"].astype(int).to_list()
            frames = [int(self.geometry.frames_of(d)[0]) for d in layer.data]
            out = [n for n, key in enumerate(zip(ids, frames, strict=True)) if doomed(*key)]
            if out:
                with layer.events.data.blocker(self._on_data):
                    layer.selected_data = set()
                    layer.remove(out)

    # --- the labels ----------------------------------------------------------------------

    def show_labels(self, thumbnail: bool = True) -> None:
        """Draw the labels anew after the array behind them was written."""
        self.labels.refresh(extent=False, thumbnail=thumbnail)
        # napari's undo would write back what stood there before.
        self.labels._undo_history.clear()
        self.labels._redo_history.clear()

    def set_editable(self, editable: bool) -> None:
        """Allow painting, or not while a propagation writes the array."""
        self.labels.editable = editable


def _point_size(geometry: StackGeometry) -> float:
    return float(np.clip(min(geometry.frame_shape) / 60, 1, 10))


def _line_width(geometry: StackGeometry) -> float:
    return float(np.clip(min(geometry.frame_shape) / 250, 0.3, 4))
