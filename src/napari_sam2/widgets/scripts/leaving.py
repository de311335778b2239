"""Windows that a script leaves open are closed when Python ends.

PyQt would delete what is left by going through a table of all its objects. Python code that runs
while they are deleted makes more of them; if the table has to grow for these, PyQt goes on in the
old one, and the process crashes (PyQt6 6.11 with sip 13.13; one or two of a hundred scripts on a
busy machine).
"""

from __future__ import annotations

import atexit
import logging
from typing import TYPE_CHECKING
from weakref import WeakSet

from qtpy.QtCore import QCoreApplication, QEvent

if TYPE_CHECKING:
    from napari_sam2.widgets.dock import MaskletsWidget

logger = logging.getLogger(__name__)

_open: WeakSet[MaskletsWidget] = WeakSet()


def close_at_exit(widget: MaskletsWidget) -> None:
    """Shut a widget down and close its viewer at the end of Python, unless `leave` came before."""
    _open.add(widget)


def leave(widget: MaskletsWidget) -> None:
    """Take note that a widget was shut down: its viewer is not ours to close."""
    _open.discard(widget)


# What is registered later is called earlier, and Qt has been imported by now.
@atexit.register
def _close_all() -> None:
    for widget in list(_open):
        try:
            viewer = widget.viewer
            widget.shut_down()
            if hasattr(viewer, "close"):  # else it is a model without a window
                viewer.close()
        except Exception:  # nothing may keep Python from ending
            logger.debug("a window could not be closed", exc_info=True)
    if QCoreApplication.instance() is not None:
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
