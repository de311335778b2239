"""What the window remembers of the user's choices."""

from __future__ import annotations

from qtpy.QtCore import QSettings


def settings() -> QSettings:
    """Return them, as a file of this user."""
    return QSettings(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-sam2", "napari-sam2"
    )
