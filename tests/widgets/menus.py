"""Menus below entries of menus."""

from __future__ import annotations

from qtpy.QtWidgets import QMenu


def submenu(menu: QMenu, name: str) -> QMenu:
    """Return the menu below the entry whose text begins with `name`.

    Not by way of `QAction.menu`: PySide6 deletes the menu with the object that it handed out.
    """
    (found,) = [one for one in menu.findChildren(QMenu) if one.title().startswith(name)]
    return found


def menu_of(desk, name: str) -> dict:
    """Actions of a menu of 'More' by name."""
    part = submenu(desk.widget._session_actions.menu(), name)
    return {action.text(): action for action in part.actions()}
