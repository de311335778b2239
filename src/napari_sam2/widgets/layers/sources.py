"""What of the viewer's images the model sees: channels, the axis of the frames, a plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.layer_data import AXES_KEY, CHANNEL_KEY
from napari_sam2.physical_units import common_steps
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.stack.channels import Channels, checked_channels
from napari_sam2.widgets.layers import layer_adapters as adapters
from napari_sam2.widgets.layers.arrays import MOVED_KEY, fixed, lazy, move_to_front
from napari_sam2.widgets.layers.layer_adapters import StackGeometry

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam2.tracking.kept.session_file import ImageIdentity
    from napari_sam2.tracking.stack.contrast import Contrast


STEP_KEY = "napari_sam2_step"
"""In a layer's metadata, the step between slices that the user gave."""
NO_UNITS = ("pixel", "dimensionless", "")


@dataclass(frozen=True)
class Part:
    """What a user chose; what is None is guessed.

    Parameters
    ----------
    channel_axis
        The axis of the image that holds channels; -1 says that there are none.
    channel
        Index of a channel, or up to three of them as red, green and blue. Of several layers, the
        index of the layer.
    layers
        The layers that are mixed, where the channels are layers.
    planes
        Index on each axis, counted without channels, that is neither the frames' nor in the plane.
    """

    channel_axis: int | None = None
    channel: Channels | None = None
    layers: tuple[Image, ...] = ()
    planes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Source:
    """What the model sees; channels that are an axis are the first one.

    Parameters
    ----------
    image
        The layer that is worked on.
    channel_axis
        0, or None where the image has no axis of channels; the colours of RGB are none.
    channel
        As in `Part`; None for the grey image, or all colours of RGB.
    layers
        The layers that are mixed, where the channels are layers; the image is one of them.
    """

    image: Image
    channel_axis: int | None = None
    channel: Channels | None = None
    layers: tuple[Image, ...] = ()

    @classmethod
    def of(cls, viewer: ViewerModel, image: Image, part: Part) -> Source:
        """Choose a part of an image, and move its channels to the front where they are an axis.

        The masklets have no channels, and napari lays layers of fewer axes over the last ones.

        Raises
        ------
        InputError
            If there is no such axis or channel, or layers differ in shape.
        """
        if part.layers:
            return _of_layers(image, part)
        axis = part.channel_axis
        if axis is None:
            axis = adapters.guess_channel_axis(image)
        elif axis < 0:
            axis = None
        chosen = image.metadata.get(CHANNEL_KEY) if part.channel is None else part.channel
        if image.rgb:
            _refuse(axis, f"'{image.name}' is RGB, its colours are its channels")
            return cls(image, None, None if chosen is None else _checked(image, chosen, 3))
        if axis is None:
            _refuse(part.channel, f"'{image.name}' has no channels; say which axis holds them")
            return cls(image)
        shape = adapters.image_shape(image)
        if axis >= len(shape) or len(shape) < 3:
            raise InputError(
                f"'{image.name}' has no axis {axis} for channels, its shape is {shape}"
            )
        if chosen is None:
            here = adapters.steps_on_screen(viewer, image)[axis]
            chosen = int(np.clip(here, 0, shape[axis] - 1))
        chosen = _checked(image, chosen, shape[axis])
        if axis:
            move_to_front(viewer, image, axis)
        return cls(image, 0, chosen)

    @property
    def axes(self) -> list[int]:
        """The layer's axes without channels."""
        return adapters.image_axes(self.image, self.channel_axis)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the image in pixels, without channels."""
        return adapters.image_shape(self.image, self.channel_axis)

    @property
    def names(self) -> list[str]:
        """Of the axes without channels."""
        return adapters.named_axes(self.image, self.channel_axis)

    @property
    def transform(self) -> dict[str, Any]:
        """Keywords that lay a layer without channels over the image."""
        return adapters.copied_transform(self.image, self.axes)

    @property
    def count(self) -> int:
        """How many channels, colours or layers there are to choose from."""
        if self.layers:
            return len(self.layers)
        if self.channel_axis is None:
            return 3 if self.image.rgb else 1
        return int(adapters.full_resolution(self.image).shape[0])

    def show_channel(self, viewer: ViewerModel) -> None:
        """Move the slider of an axis of channels to the one that the model sees."""
        if self.channel_axis is not None and isinstance(self.channel, int):
            place = [self.channel, *(0 for _ in self.axes)]
            world = self.image.data_to_world(place)[self.channel_axis]
            viewer.dims.set_point(viewer.dims.ndim - self.image.ndim + self.channel_axis, world)

    def unseen(self, viewer: ViewerModel) -> str:
        """Say that the model sees another channel than the one on screen, if it does."""
        if self.channel_axis is None or not isinstance(self.channel, int):
            return ""
        here = adapters.steps_on_screen(viewer, self.image)[self.channel_axis]
        return "" if here == self.channel else f" The model sees channel {self.channel}."

    def guess_axis(self) -> int | None:
        """Return the axis that frames are probably counted along."""
        return adapters.guess_axis(self.image, self.channel_axis)

    def axis_choices(self) -> list[tuple[str, int | None]]:
        """Name and index of each axis that frames can be counted along."""
        return adapters.axis_choices(self.image, self.channel_axis)

    def siblings(self, images: Sequence[Image]) -> tuple[Image, ...]:
        """Return the layers that can be mixed: this one and other grey ones of its shape."""
        if self.layers:
            return self.layers
        if self.image.rgb or self.channel_axis is not None:
            return ()
        others = [la for la in images if la is not self.image and not la.rgb]
        return (self.image, *(la for la in others if adapters.image_shape(la) == self.shape))

    def geometry(self, viewer: ViewerModel, axis: int | None, part: Part) -> StackGeometry:
        """Return which axes are what, with planes as chosen or as on screen.

        Raises
        ------
        InputError
            If there is no such axis or plane.
        """
        shape = self.shape
        if axis is not None and not -len(shape) <= axis < len(shape):
            raise InputError(
                f"axis {axis} does not exist; without channels the image has {len(shape)} axes"
            )
        here = adapters.steps_on_screen(viewer, self.image)
        steps = [here[a] for a in self.axes]
        geometry = StackGeometry.of(shape, axis, tuple(steps))
        for a, step in part.planes.items():
            if a not in geometry.fixed:
                axes = ", ".join(map(str, geometry.fixed))
                others = f"planes are chosen on axis {axes}" if axes else "leave out the planes"
                raise InputError(f"axis {a} has no plane to choose; {others}")
            if not 0 <= step < shape[a]:
                raise InputError(
                    f"plane {step} of {self.names[a]} does not exist; choose 0 to {shape[a] - 1}"
                )
        return replace(geometry, fixed={**geometry.fixed, **part.planes})

    def array(self, geometry: StackGeometry) -> tuple[Any, int, int | None]:
        """Return the array of the frames, its propagation axis, and that of its channels.

        The extra axes are fixed; nothing is read that need not be.
        """
        along = adapters.stack_axis(geometry)
        if self.layers:
            import dask.array as da

            whole = [lazy(adapters.full_resolution(layer)) for layer in self.layers]
            return da.stack([fixed(one, geometry, 0) for one in whole]), along + 1, 0
        first = 0 if self.channel_axis is None else 1
        data = fixed(adapters.full_resolution(self.image), geometry, first)
        channels = len(data.shape) - 1 if self.image.rgb else self.channel_axis
        return data, along + first, channels

    # --- what is said of it in files -----------------------------------------------------

    def letters(self, geometry: StackGeometry) -> list[str]:
        """Return T, Z, Y and X for the axes without channels; "" for what is neither."""
        letters = [""] * len(geometry.shape)
        y, x = geometry.plane
        letters[y], letters[x] = "Y", "X"
        if geometry.axis is not None:
            letters[geometry.axis] = self.frame_axis(geometry)
            if len(geometry.fixed) == 1:
                letters[next(iter(geometry.fixed))] = "Z" if "T" in letters else "T"
        return letters

    def frame_axis(self, geometry: StackGeometry) -> str:
        """Return "Z" where frames are slices of a volume, "T" otherwise."""
        depth = geometry.axis is not None and adapters.is_depth(self.names[geometry.axis])
        return "Z" if depth else "T"

    def knows_step(self, geometry: StackGeometry) -> bool:
        """Whether the layer tells how far frames lie apart, compared with pixels.

        A layer that nobody gave a scale has steps of one, in pixels.
        """
        if geometry.axis is None:
            return True
        along, across = (self.axes[a] for a in (geometry.axis, geometry.plane[0]))
        scale, unit = self.image.scale, str(self.image.units[along])
        told = STEP_KEY in self.image.metadata or unit not in NO_UNITS
        return bool(told or scale[along] != scale[across])

    def frame_scale(self, geometry: StackGeometry) -> tuple[dict[str, float], str | None]:
        """Return the steps along T or Z, Y and X, and the unit of lengths; None for pixels.

        Steps in time are in seconds. Where the layer has no scale, the file's counts, which
        napari does not read of every one.
        """
        along, axes = self.frame_axis(geometry), self.axes
        places = {"Y": geometry.plane[0], "X": geometry.plane[1]}
        if geometry.axis is not None:
            places[along] = geometry.axis
        steps = [abs(float(self.image.scale[axes[a]])) for a in places.values()]
        units = [str(self.image.units[axes[a]]) for a in places.values()]
        if set(steps) == {1.0} and set(units) <= set(NO_UNITS):
            scale, length = adapters.file_scale(self.image)
            return {letter: scale.get(letter, 1.0) for letter in places}, length
        unit = units[0]
        return common_steps(places, steps, units, unit), None if unit in NO_UNITS else unit

    def file_axes(self, geometry: StackGeometry) -> str:
        """Return the letters of the file's axes in its order, "" where they are unknown."""
        told = self.image.metadata.get(AXES_KEY)
        letters = self.letters(geometry)
        if told or "" in letters or geometry.axis is None:
            return told or ""
        if self.image.rgb:
            letters.append("C")
        elif self.channel_axis is not None:
            letters.insert(int(self.image.metadata.get(MOVED_KEY, 0)), "C")
        return "".join(letters)

    def file_channel(self) -> Channels | None:
        """Return what `open_stack` is told to see the same channels of the file."""
        return None if self.layers else self.channel

    def fitting(self, contrast: Contrast) -> Contrast | None:
        """Return a contrast, if it is one of as many channels as the model sees."""
        mixed = isinstance(contrast[0], tuple)
        return contrast if mixed == isinstance(self.channel, tuple) else None

    def file_planes(self, geometry: StackGeometry) -> dict[str, int]:
        """Return what `open_stack` is told to see the same plane of the file."""
        letters = self.letters(geometry)
        return {letters[a]: step for a, step in geometry.fixed.items() if letters[a]}

    def part_for(
        self, image: ImageIdentity, geometry: StackGeometry
    ) -> tuple[int | None, Part] | None:
        """Return the axis and part that a session was made with, where that is not this one."""
        wanted = image.channel if image.channel is not None else self.file_channel()
        same = wanted == self.file_channel() and image.select == self.file_planes(geometry)
        if same or self.layers:
            return None
        channel = None if self.channel_axis is None and not self.image.rgb else wanted
        named = [letter for letter in image.axes if letter != "C"]
        letters = named if len(named) == len(geometry.shape) else self.letters(geometry)
        planes = {letters.index(k): v for k, v in image.select.items() if k in letters}
        axis = next((a for a, k in enumerate(letters) if k in "TZ" and a not in planes), None)
        return axis, Part(self.channel_axis, channel, (), planes)


def _of_layers(image: Image, part: Part) -> Source:
    shape = adapters.image_shape(image)
    for layer in part.layers:
        if layer.rgb:
            raise InputError(f"'{layer.name}' is RGB; mix grey layers, or choose it alone")
        if adapters.image_shape(layer) != shape:
            raise InputError(
                f"'{layer.name}' has the shape {adapters.image_shape(layer)}, but '{image.name}' "
                f"{shape}; mix layers of one shape"
            )
    channel = tuple(range(len(part.layers))) if part.channel is None else part.channel
    return Source(image, None, checked_channels(channel, len(part.layers)), part.layers)


def _refuse(given: Any, text: str) -> None:
    if given is not None:
        raise InputError(text)


def _checked(image: Image, channel: Any, count: int) -> Channels:
    try:
        picked = channel if isinstance(channel, Sequence) else int(channel)
        return checked_channels(picked if isinstance(picked, int) else tuple(picked), count)
    except InputError as error:
        raise InputError(f"'{image.name}': {error}") from error
