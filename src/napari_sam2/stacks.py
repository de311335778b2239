"""Open a file or folder as one stack of frames, lazily."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_sam2.readers import RawStack, read_raw
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.stack.channels import Channels, checked_channels, plain_channels
from napari_sam2.tracking.stack.contrast import Contrast
from napari_sam2.tracking.whole_numbers import whole_number


@dataclass(frozen=True, eq=False, repr=False)
class Stack:
    """A time-lapse or z-stack.

    Parameters
    ----------
    data
        (T, Y, X) or (T, Y, X, C), C being RGB(A) or the file's channels: a memory map, or a dask
        array that reads on demand.
    axes
        "TYX", "ZYX", "TYXC" or "ZYXC".
    scale
        Size of a step along T in seconds, along Z, Y and X in `unit`; 1.0 where the file has none.
    unit
        Of the lengths, e.g. "micrometer"; None where the file has none.
    path
        Where it was read from.
    mix
        The channels that are red, green and blue, where some are mixed.
    """

    data: Any
    axes: str
    scale: dict[str, float]
    unit: str | None
    path: Path
    mix: Channels | None = None

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.data.shape))
        what = f"{self.axes} of {size} {self.data.dtype}"
        return f"Stack({self.path.name!r}, {what}, scale={self.scale}, unit={self.unit!r})"

    @property
    def propagation_axis(self) -> int:
        """The axis of `data` to propagate along: always the first."""
        return 0

    @property
    def rgb(self) -> bool:
        """Whether the last axis of `data` is RGB(A)."""
        colours = self.axes.endswith("C") and self.data.shape[-1] in (3, 4)
        return colours and self.mix is None

    def frames(self, contrast: Contrast | None = None) -> Frames:
        """Return the stack as `Frames`, with a fixed `contrast` or that of the whole stack."""
        if not self.axes.endswith("C"):
            return Frames(self.data, axis=0, contrast=contrast)
        return Frames(self.data, channel_axis=3, channel=self.mix, contrast=contrast)


def open_stack(
    path: str | Path,
    axes: str | None = None,
    *,
    channel: Channels | None = None,
    select: Mapping[str, int] | None = None,
) -> Stack:
    """Open a stack: TIFF (OME, ImageJ, plain), OME-Zarr, a folder of images, one image, or .npy.

    Axes of length one are dropped. Of a file with more than time or z, a plane of the other axes
    is picked with `channel` and `select`. Of a file with several images the first is taken, and of
    several resolutions the highest. A single image becomes a stack of one frame.

    Parameters
    ----------
    path
        File or folder.
    axes
        One letter for each axis of the file, where it does not say so itself or is wrong: T, Z, C,
        Y, X; axes of length one may be left out. A last C of 3 or 4 is RGB(A).
    channel
        Index along C; or up to three of them, to be shown as red, green and blue.
    select
        Index along other axes, e.g. ``{"Z": 3}``.

    Raises
    ------
    InputError
        If it cannot be read, or more than one axis is left to propagate along. The message names
        the file and the remedy.
    """
    path = _named(path)
    channel = None if channel is None else plain_channels(channel)
    raw = read_raw(path)
    try:
        raw = _squeezed(raw if axes is None else _renamed(raw, axes))
        picks = _picks(select)
        letter = _channel_letter(raw)
        if isinstance(channel, int):
            picks[letter] = channel
        raw = _picked(raw, picks)
        if channel is None or isinstance(channel, int):
            return _arranged(raw, path)
        if letter not in raw.axes:
            raise InputError(f"it has no channels to mix; it has {_described(raw)}")
        place = raw.axes.index(letter)
        mix = checked_channels(channel, raw.shape[place])
        return replace(_arranged(raw, path, place), mix=mix)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def open_channels(path: str | Path, *, select: Mapping[str, int] | None = None) -> Stack:
    """Open a stack with all of its channels, which are no colours then.

    Parameters
    ----------
    path, select
        As for `open_stack`.

    Returns
    -------
    Stack
        (T, Y, X, C), or (T, Y, X) where the file has no channels.

    Raises
    ------
    InputError
        As from `open_stack`.
    """
    path = _named(path)
    raw = _read(path, None)
    try:
        raw = _picked(raw, _picks(select))
        letter = _channel_letter(raw)
        place = raw.axes.index(letter) if letter in raw.axes else None
        return _arranged(raw, path, place)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def axes_of(path: str | Path, axes: str | None = None) -> str:
    """Return the letters of the axes of an image that are longer than one, as the file has them.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    return _read(_named(path), axes).axes


def _read(path: Path, axes: str | None) -> RawStack:
    """Read an image without its axes of length one; `axes` names them anew."""
    raw = read_raw(path)
    try:
        return _squeezed(raw if axes is None else _renamed(raw, axes))
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error


def shared_out(select: Mapping[str, int], *axes: str) -> list[dict[str, int]]:
    """Give each of several images that belong together its part of a selection.

    Labels of one plane and the volume that they were found in are an example: only the volume has
    an axis to select from.

    Parameters
    ----------
    select
        Index by letter, as for `open_stack`.
    axes
        Of each image, from `axes_of`. What none of them has goes to the first, which refuses it.
    """
    picks = _picks(select)
    parts = [{k: i for k, i in picks.items() if k in letters} for letters in axes]
    known = set().union(*parts)
    parts[0] |= {k: i for k, i in picks.items() if k not in known}
    return parts


def open_all(path: str | Path, axes: str | None = None) -> Stack:
    """Open all of an image for a viewer, which has a slider for every axis.

    Returns
    -------
    Stack
        Its `axes` are those of the file, Q where they are unknown; colours come last. It is no
        stack of frames unless it has three axes.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    path = _named(path)
    raw = _read(path, axes)
    last = _rgb_axis(raw)
    order = sorted(range(len(raw.axes)), key=lambda k: (k == last, k))
    data = raw.data if order == sorted(order) else raw.data.transpose(order)
    letters = "".join("C" if raw.axes[k] == "S" else raw.axes[k] for k in order)
    scale = {raw.axes[k]: raw.scale[k] for k in order if raw.axes[k] in "TZYX"}
    return Stack(data, letters, scale, raw.unit, path)


def _named(path: str | Path) -> Path:
    """Return a path that ends in a name, as "." and ".." do not."""
    path = Path(path)
    return path if path.name.strip(".") else path.resolve()


def _renamed(raw: RawStack, axes: str) -> RawStack:
    """Apply the axes that the user gave, for all axes or for those longer than one."""
    letters = axes.strip().upper()
    if len(set(letters)) != len(letters) or not {"Y", "X"} <= set(letters):
        raise InputError(f"axes {axes!r} must hold Y and X and no letter twice, e.g. TYX or TZCYX")
    if len(letters) != len(raw.axes):
        raw = _squeezed(raw)
    if len(letters) != len(raw.axes):
        raise InputError(
            f"axes {axes!r} are {len(letters)}, but the image has shape {raw.shape}; "
            "give one letter for each axis"
        )
    return RawStack(raw.data, letters, raw.scale, raw.unit)


def _squeezed(raw: RawStack) -> RawStack:
    keep = [k for k, n in enumerate(raw.shape) if n != 1 or raw.axes[k] in "YX"]
    place = tuple(slice(None) if k in keep else 0 for k in range(len(raw.axes)))
    return _indexed(raw, place)


def _indexed(raw: RawStack, place: tuple[int | slice, ...]) -> RawStack:
    keep = [k for k, index in enumerate(place) if isinstance(index, slice)]
    if len(keep) == len(place):
        return raw
    letters = "".join(raw.axes[k] for k in keep)
    return RawStack(raw.data[place], letters, tuple(raw.scale[k] for k in keep), raw.unit)


def _picks(select: Mapping[str, int] | None) -> dict[str, int]:
    """Return the index along axes by their capital letters; refuse what is no selection."""
    if not isinstance(select, Mapping | None):
        raise InputError(f'a selection is by letter, {{"Z": 3}}, not {select!r}')
    chosen = (select or {}).items()
    return {str(k).upper(): whole_number(i, f"the index along {k}") for k, i in chosen}


def _picked(raw: RawStack, picks: dict[str, int]) -> RawStack:
    place: list[int | slice] = [slice(None)] * len(raw.axes)
    for letter, index in picks.items():
        if letter not in raw.axes or letter in "YX":
            if letter in "TZC" and index == 0:  # an axis of length one, dropped before
                continue
            raise InputError(f"it has no axis {letter} to select from; it has {_described(raw)}")
        k = raw.axes.index(letter)
        if not 0 <= index < raw.shape[k]:
            raise InputError(f"{letter}={index} does not exist; choose 0 to {raw.shape[k] - 1}")
        place[k] = index
    return _indexed(raw, tuple(place))


def _arranged(raw: RawStack, path: Path, channels: int | None = None) -> Stack:
    """Order the axes as (T, Y, X[, C]), or say what has to be chosen first."""
    rgb = _rgb_axis(raw) if channels is None else channels
    rest = [k for k, letter in enumerate(raw.axes) if letter not in "YX" and k != rgb]
    for k in rest:
        if raw.axes[k] in "CS":
            hint = "; or, if these are frames, give the axes, e.g. TYX" if len(rest) == 1 else ""
            count = raw.shape[k]
            raise InputError(
                f"it has {count} channels ({_described(raw)}); "
                f"choose one: channel 0 to {count - 1}, or mix some as red, green and blue: "
                f"channel 0,1{hint}"
            )
    if len(rest) > 1:
        raise InputError(f"it has {_described(raw)}; {_choices(raw, rest)}")
    order = [*rest, raw.axes.index("Y"), raw.axes.index("X"), *([] if rgb is None else [rgb])]
    data = raw.data if order == sorted(order) else raw.data.transpose(order)
    along = raw.axes[rest[0]] if rest and raw.axes[rest[0]] in "TZ" else "T"
    scale = {raw.axes[k]: raw.scale[k] for k in order if raw.axes[k] in "YX"}
    scale[along] = raw.scale[rest[0]] if rest else 1.0
    if not rest:
        data = data[None]
    letters = along + "YX" + ("" if rgb is None else "C")
    steps = {k: scale[k] for k in letters if k != "C"}
    return Stack(data, letters, steps, raw.unit, path)


def _channel_letter(raw: RawStack) -> str:
    """Return the letter of the axis of channels; samples of pixels are channels, too."""
    return "S" if "S" in raw.axes and "C" not in raw.axes else "C"


def _rgb_axis(raw: RawStack) -> int | None:
    for k, letter in enumerate(raw.axes):
        last = k == len(raw.axes) - 1
        if (letter == "S" or (letter == "C" and last)) and raw.shape[k] in (3, 4):
            return k
    return None


def _choices(raw: RawStack, rest: list[int]) -> str:
    if "P" in raw.axes:
        return f"select P=0 to {raw.shape[raw.axes.index('P')] - 1}, one of the positions"
    unknown = [raw.axes[k] for k in rest if raw.axes[k] not in "TZ"]
    if unknown:
        return (
            "which of them is time or z cannot be guessed; name them with axes, e.g. TZYX, or save "
            "it as OME-TIFF or OME-Zarr, which name them"
        )
    options = [
        f"select {raw.axes[k]}=0 to {raw.shape[k] - 1} to propagate along {other}"
        for k, other in zip(rest, (raw.axes[rest[1]], raw.axes[rest[0]]), strict=True)
    ]
    return " or ".join(reversed(options))


def _described(raw: RawStack) -> str:
    return f"axes {raw.axes} of {' x '.join(str(n) for n in raw.shape)}"
