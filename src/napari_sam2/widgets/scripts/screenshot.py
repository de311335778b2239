"""A picture of the window with a result in it.

``python -m napari_sam2.widgets.scripts.screenshot``: a process of its own, since Qt ends the
process where it finds no screen.
"""

from __future__ import annotations

import argparse
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2.stacks import open_stack
from napari_sam2.tracking.prompt import Prompts
from napari_sam2.tracking.prompts import load_prompts
from napari_sam2.tracking.stack.channels import channels_from_json
from napari_sam2.widgets.scripts.launch import TITLE, open_viewer
from napari_sam2.widgets.session.saving import FOLDER_VARIABLE
from napari_sam2.widgets.session.worker import process_events

if TYPE_CHECKING:
    from napari.viewer import Viewer

_SIZE = (1440, 880)
_PATIENCE = 120.0  # s, to load the model and to answer the prompts


def put_in(viewer: Viewer, prompts: Prompts, patience: float = _PATIENCE) -> None:
    """Give prompts in the window and follow the objects, as a user would.

    Parameters
    ----------
    viewer
        From `open_viewer`, with a stack.
    prompts
        Their points are put in.
    patience
        Seconds to wait for the answers, and for the following; it goes on after them.
    """
    widget: Any = viewer.window.dock_widgets[TITLE]
    widget.wait(patience)
    layers = widget.workbench.layers
    for object_id, by_frame in prompts.items():
        widget.object_id = object_id
        for frame, prompt in by_frame.items():
            for point in prompt.points:
                layers.points.add([[frame, *point]])
    widget.wait(patience)
    layers.show_labels()
    viewer.layers.selection.active = layers.labels
    viewer.reset_view()
    widget.propagate()
    with suppress(TimeoutError):
        widget.wait(patience, panels=True)
    viewer.dims.set_current_step(0, len(layers.labels.data) // 2)


def main() -> None:
    """Read the command line, open the window, take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path, help="the stack")
    parser.add_argument("folder", type=Path, help="holds prompts.json")
    parser.add_argument("--part", type=json.loads, default={}, help="what to open of it, as JSON")
    parser.add_argument("--stay", action="store_true", help="leave the window open")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    # A demonstration is not the user's work.
    os.environ.setdefault(FOLDER_VARIABLE, str(folder / "sessions"))
    prompts = load_prompts(folder / "prompts.json").objects
    part = arguments.part
    channel = channels_from_json(part.pop("channel", None))
    stack = open_stack(arguments.image, channel=channel, **part)
    viewer = open_viewer(stack, stack.mix)
    viewer.window.resize(*_SIZE)
    put_in(viewer, prompts)
    import napari

    process_events()
    viewer.screenshot(str(folder / "window.png"), canvas_only=False, flash=False)
    if arguments.stay:
        napari.run()
    else:
        viewer.close()


if __name__ == "__main__":
    main()
