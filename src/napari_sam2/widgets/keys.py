"""Keys of the canvas, on the viewer and on our layers, whose keys win over the viewer's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import ref

from app_model.types import KeyCode, KeyMod
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent, QKeySequence

from napari_sam2.widgets.words import COMMAND


class KeyBindings:
    """Binds the same functions to several napari objects, and takes them off again.

    Parameters
    ----------
    actions
        Key -> what it does in words, and the function. Keys that napari leaves free on every
        layer: G H J K N Q U W. D is free on all but shapes, where 4 does the same.
    """

    def __init__(self, actions: Mapping[str, tuple[str, Callable[[], Any]]]) -> None:
        self._handlers = {key: _handler(text, run) for key, (text, run) in actions.items()}
        self.texts = {key.replace("Control", COMMAND): t for key, (t, _) in actions.items()}
        """What each key does, in words."""
        self._bound: list[ref[Any]] = []  # layers that were removed must not stay in memory

    def press_event(self, event: QKeyEvent) -> bool:
        """Do what a key of a Qt event does in the canvas; False if it is none of ours."""
        handler = self._handlers.get(_name(event))
        if handler is not None and not event.isAutoRepeat():
            handler(None)
        return handler is not None

    def bind(self, *targets: Any) -> None:
        """Bind all keys on viewers or layers."""
        for target in targets:
            for key, handler in self._handlers.items():
                target.bind_key(_of_napari(key), handler, overwrite=True)
            self._bound.append(ref(target))

    def unbind(self) -> None:
        """Take our keys off again, where nobody else took them since."""
        for target in [there for bound in self._bound if (there := bound()) is not None]:
            for key, handler in self._handlers.items():
                if handler in target.keymap.values():
                    target.bind_key(_of_napari(key), None)
        self._bound.clear()


def _of_napari(key: str) -> str | int:
    """Return a key as napari wants it: Control is Cmd on macOS, as in the rest of napari."""
    held, _, last = key.rpartition("-")
    if "Control" not in held:
        return key
    shift = KeyMod.Shift if "Shift" in held else 0
    return int(KeyMod.CtrlCmd | shift | KeyCode.from_string(last))


def _name(event: QKeyEvent) -> str:
    """Name the key of an event as napari does: "G", "?", "Shift-Y", "Control-Shift-Z"."""
    held, text = event.modifiers(), event.text().upper()
    shift = "Shift-" if held & Qt.KeyboardModifier.ShiftModifier else ""
    if not held & Qt.KeyboardModifier.ControlModifier:
        return shift + text if text.isalpha() else text
    return f"Control-{shift}{QKeySequence(event.key()).toString()}"


def _handler(text: str, run: Callable[[], Any]) -> Callable[[Any], None]:
    def handle(_target: Any) -> None:
        run()

    handle.__doc__ = text
    return handle
