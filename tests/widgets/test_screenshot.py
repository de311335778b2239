from __future__ import annotations

import numpy as np

from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.screenshot import put_in


def test_the_window_shows_prompts_and_masklets(window):
    masklets = np.zeros((6, 80, 100), np.uint16)
    masklets[:, 15:25, 15:25] = 4
    masklets[:, 50:60, 55:65] = 7
    prompts = {
        4: {0: Prompt(points=[[20, 20]], positive=[True])},
        7: {2: Prompt(points=[[55, 64], [55, 62]], positive=[True, True])},
    }
    put_in(window.viewer, masklets, prompts)
    assert np.array_equal(window.layers.labels.data, masklets)
    assert window.layers.points.features["object"].tolist() == [4, 7, 7]
    assert np.array_equal(window.layers.points.data[:, 0], [0, 2, 2])
    assert window.widget.session.prompts.keys() == {4, 7}
    assert window.viewer.dims.current_step[0] == 3
