"""Which channels of an image the network sees: one of them, or up to three as its colours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.whole_numbers import whole_number

Channels = int | tuple[int | None, ...]
"""One channel, shown grey; or those that are red, green and blue, None for a dark colour."""

_DARK = "-"


def parsed_channels(text: str) -> Channels:
    """Read channels as they are typed: "1" is one of them, "2,0" and "2,-,0" are red, green, blue.

    Raises
    ------
    InputError
        If it is anything else.
    """
    words = [word.strip() for word in text.split(",")]
    try:
        picked = tuple(None if word == _DARK else int(word) for word in words)
    except ValueError as error:
        raise InputError(
            f"channels {text!r} cannot be used; give one (1), or up to three as red, green and "
            f"blue, {_DARK} for a dark one (2,0 or 2,{_DARK},0)"
        ) from error
    if len(picked) == 1 and picked[0] is not None:
        return picked[0]
    return picked


def plain_channels(channels: Any) -> Channels:
    """Return channels as Python's integers, also those of NumPy.

    Raises
    ------
    InputError
        If one is no integer, but a name, say.
    """
    if isinstance(channels, str):
        raise InputError(f"channels are counted from 0, and have no names: not {channels!r}")
    if not isinstance(channels, Iterable):
        return whole_number(channels, "a channel")
    return tuple(None if one is None else whole_number(one, "a channel") for one in channels)


def checked_channels(channels: Channels, count: int) -> Channels:
    """Return channels that an image with `count` of them has; of a mix all three colours.

    Raises
    ------
    InputError
        If one does not exist, or a mix has no channel or more than three.
    """
    channels = plain_channels(channels)
    picked = (channels,) if isinstance(channels, int) else channels
    for one in picked:
        if one is not None and not 0 <= one < count:
            known = f"there are 0 to {count - 1}" if count > 1 else "there is only channel 0"
            raise InputError(f"channel {one} does not exist; {known}")
    if isinstance(channels, int):
        return channels
    if len(picked) > 3 or all(one is None for one in picked):
        raise InputError(
            f"a mix has one to three channels, as red, green and blue, not {len(picked)}"
            if len(picked) > 3
            else "choose a channel for at least one of red, green and blue"
        )
    return (*picked, None, None)[:3]


def channels_from_json(value: Any) -> Channels | None:
    """Return channels as `json` reads them back; raises TypeError for anything else."""
    if value is None:
        return None
    many = isinstance(value, list)
    for one in value if many else [value]:
        if isinstance(one, bool) or not (isinstance(one, int) or (many and one is None)):
            raise TypeError(f"{value!r} are no channels")
    return tuple(value) if many else value
