from __future__ import annotations

import numpy as np
from fakes import blobs

from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.scripts.screenshot import put_in


def test_the_window_shows_prompts_and_what_was_followed(open_docked):
    window = open_docked(blobs())
    prompts = {
        4: {0: Prompt(points=[[20, 20]], positive=[True])},
        7: {2: Prompt(points=[[55, 64], [55, 62]], positive=[True, True])},
    }
    put_in(window.viewer, prompts)
    assert window.layers.points.features["object"].tolist() == [4, 7, 7]
    assert np.array_equal(window.layers.points.data[:, 0], [0, 2, 2])
    frames = len(window.layers.labels.data)
    followed = [window.widget.session.frames_of(i) for i in (4, 7)]
    assert followed == 2 * [list(range(frames))]
    assert not window.widget.session.stale_objects()
    assert window.viewer.dims.current_step[0] == frames // 2
