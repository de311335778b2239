"""Keys by their names on each system."""

from __future__ import annotations

import pytest
from app_model.types import KeyBinding, _constants
from app_model.types._constants import OperatingSystem

from napari_sam2.widgets.keys import _of_napari


@pytest.mark.parametrize("system", OperatingSystem)
def test_commands_are_cmd_on_macos(system: OperatingSystem, monkeypatch) -> None:
    monkeypatch.setattr(_constants, "_CURRENT", system)
    for key, shift in (("Control-Z", False), ("Control-Shift-Z", True)):
        pressed = KeyBinding.validate(_of_napari(key)).part0
        mac = system == OperatingSystem.MACOS
        assert (pressed.meta, pressed.ctrl, pressed.shift) == (mac, not mac, shift)
    assert _of_napari("Shift-Y") == "Shift-Y"
