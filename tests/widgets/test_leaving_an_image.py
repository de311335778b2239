"""The image, or a layer of ours, is removed from the viewer."""

from __future__ import annotations

import pytest
from fakes import SMALL, blobs
from hands import until

OURS = ("masklets", "prompts: boxes", "prompts: points")


@pytest.mark.parametrize("name", ["cells", *OURS])
def test_what_is_left_is_drawn(open_window, name):
    """Hiding what is left in the same moment ended the process in OpenGL (of Mesa 22)."""
    window = open_window(blobs())
    window.click(*SMALL)
    window.done()
    window.key("G")
    window.done()
    window.settle()
    window.viewer.layers.remove(name)
    assert f"'{name}' was removed" in window.status
    until(lambda: not window.widget.outline.waiting)
    for _ in range(5):
        window.canvas.update()
        window.settle()
    assert sorted(layer.name for layer in window.viewer.layers) == sorted({"cells", *OURS} - {name})
