"""Names of stacks: what they hold counts, not how it lies in memory."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.stack.fingerprints import frames_fingerprint


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_the_order_of_bytes_does_not_count(kind):
    data = np.arange(4 * 32 * 40).reshape(4, 32, 40)
    little, big = (Frames(data.astype(order + kind)) for order in "<>")
    assert frames_fingerprint(little) == frames_fingerprint(big)
    other = data.copy()
    other[0, 0, 0] = 1
    assert frames_fingerprint(Frames(other.astype(">" + kind))) != frames_fingerprint(little)


@pytest.mark.parametrize(
    ("kind", "digest"),
    [
        ("u1", "310a4ea6fd950d064f7e198bd8dffdfd"),
        ("<u2", "5632746bca5e8467071280bb4b182176"),
        ("<f4", "5c17fabf65aa82075c6fb87288ad15ed"),
    ],
)
def test_sessions_of_earlier_versions_know_their_image(kind, digest):
    data = np.arange(4 * 32 * 40).reshape(4, 32, 40) % 251
    assert frames_fingerprint(Frames(data.astype(kind))) == digest
