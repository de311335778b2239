"""Names of units as files spell them, and their sizes."""

from __future__ import annotations

from collections.abc import Collection, Iterable

# Canonical names (as in OME-Zarr and pint) with their size in metres and their symbol in OME-XML.
_LENGTHS = {
    "angstrom": (1e-10, "Å"),
    "nanometer": (1e-9, "nm"),
    "micrometer": (1e-6, "µm"),
    "millimeter": (1e-3, "mm"),
    "centimeter": (1e-2, "cm"),
    "meter": (1.0, "m"),
    "inch": (0.0254, "in"),
}
LENGTHS = tuple(_LENGTHS)
_OTHER_NAMES = {
    "nanometre": "nanometer",
    "um": "micrometer",
    "micron": "micrometer",
    "micrometre": "micrometer",
    "millimetre": "millimeter",
    "centimetre": "centimeter",
    "metre": "meter",
    "inches": "inch",
    "å": "angstrom",
}
_SYMBOLS = {symbol.lower(): name for name, (_, symbol) in _LENGTHS.items()}

_SECONDS = {
    **dict.fromkeys(("ps", "psec", "picosecond"), 1e-12),
    **dict.fromkeys(("ns", "nsec", "nanosecond"), 1e-9),
    **dict.fromkeys(("µs", "us", "µsec", "usec", "microsecond"), 1e-6),
    **dict.fromkeys(("ms", "msec", "millisecond"), 1e-3),
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("min", "minute"), 60.0),
    **dict.fromkeys(("h", "hr", "hour"), 3600.0),
    **dict.fromkeys(("d", "day"), 86400.0),
    "week": 604800.0,
}


def _spelled(name: str | None, known: Collection[str]) -> str:
    """Return a name in lower case, with the micro sign for "mu", and known plurals as singular."""
    text = (name or "").strip().lower().rstrip(".")
    text = text.replace("\\u00b5", "µ").replace("μ", "µ")  # ImageJ's escape; the Greek letter
    singular = text.removesuffix("s")
    return singular if text not in known and singular in known else text


def length_unit(name: str | None) -> str | None:
    """Return the canonical name of a unit of length ("µm" -> "micrometer"), None if unknown."""
    spelled = _spelled(name, {*_LENGTHS, *_OTHER_NAMES, *_SYMBOLS})
    spelled = _OTHER_NAMES.get(spelled, _SYMBOLS.get(spelled, spelled))
    return spelled if spelled in _LENGTHS else None


def length_symbol(unit: str | None) -> str:
    """Return the symbol of a unit of length in OME-XML; "pixel" if unknown."""
    name = length_unit(unit)
    return "pixel" if name is None else _LENGTHS[name][1]


def convert_length(value: float, unit: str | None, to: str | None) -> float:
    """Convert a length between units; unchanged where one of them is unknown."""
    source, target = length_unit(unit), length_unit(to)
    if source is None or target is None or source == target:
        return value
    return value * _LENGTHS[source][0] / _LENGTHS[target][0]


def seconds(value: float, unit: str | None) -> float:
    """Convert a time to seconds; unchanged where the unit is unknown."""
    return value * _SECONDS.get(_spelled(unit, _SECONDS), 1.0)


def common_steps(
    axes: Iterable[str], steps: Iterable[float], units: Iterable[str | None], unit: str | None
) -> dict[str, float]:
    """Return the steps by axis: T in seconds, all others in one unit of length.

    Parameters
    ----------
    axes : one letter for each axis.
    steps, units : of each axis; where the unit is unknown, the step stays as it is.
    unit : of lengths.
    """
    return {
        letter: seconds(step, name) if letter == "T" else convert_length(step, name, unit)
        for letter, step, name in zip(axes, steps, units, strict=True)
    }
