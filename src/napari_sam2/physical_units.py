"""Names of units as files spell them, and their sizes."""

from __future__ import annotations

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
_OTHER_NAMES = {
    "nanometre": "nanometer",
    "um": "micrometer",
    "μm": "micrometer",  # the Greek letter; the table above has the micro sign
    "\\u00b5m": "micrometer",  # as ImageJ escapes it
    "micron": "micrometer",
    "microns": "micrometer",
    "micrometre": "micrometer",
    "millimetre": "millimeter",
    "centimetre": "centimeter",
    "metre": "meter",
    "å": "angstrom",
}
_SYMBOLS = {symbol.lower(): name for name, (_, symbol) in _LENGTHS.items()}

_SECONDS = {
    "ns": 1e-9,
    "nanosecond": 1e-9,
    "µs": 1e-6,
    "microsecond": 1e-6,
    "ms": 1e-3,
    "millisecond": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}


def length_unit(name: str | None) -> str | None:
    """Return the canonical name of a unit of length ("µm" -> "micrometer"), None if unknown."""
    spelled = (name or "").strip().lower()
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
    return value * _SECONDS.get((unit or "s").strip().lower(), 1.0)
