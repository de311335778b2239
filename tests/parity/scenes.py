"""Scripts for videos: what users do, and what is easily got wrong."""

from __future__ import annotations

import numpy as np
import torch
from oracle import Differences, Pair, movie, shift_scores
from video import Go, Played, Say, Script, compare, play_reference

from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.prompt import Prompt
from tests.tracking.toy import disk

SHAPE = (120, 150)


def _click(y: float, x: float, positive: bool = True) -> Prompt:
    return Prompt(points=np.array([[y, x]]), positive=np.array([positive]))


def _box(y0: float, x0: float, y1: float, x1: float) -> Prompt:
    return Prompt(box=np.array([[y0, x0], [y1, x1]]))


_CLICKS = Prompt(
    points=np.array([[40.0, 50.0], [20.0, 20.0], [55.0, 62.0]]),
    positive=np.array([True, False, True]),
)
_MASK = Prompt(mask=disk(80, 40, 15, SHAPE))
_BOX_CLICK = Prompt(
    points=np.array([[70.0, 100.0]]),
    positive=np.array([False]),
    box=np.array([[60, 80], [90, 120]]),
)

SCRIPTS: dict[str, Script] = {
    "forward, 3 objects": [
        Say(1, 0, _click(40, 50)),
        Say(2, 0, _CLICKS),
        Say(3, 0, _BOX_CLICK),
        Go("forward"),
    ],
    "middle frame, both ways": [
        Say(1, 3, _MASK),
        Say(2, 3, _box(60, 80, 90, 120)),
        Say(3, 5, _click(30, 100)),
        Go("both"),
    ],
    "backward": [Say(1, 7, _click(40, 50)), Say(2, 7, _MASK), Go("backward")],
    "correction": [
        Say(1, 0, _click(40, 50)),
        Say(2, 0, _MASK),
        Go("forward"),
        Say(1, 4, _click(60, 60)),
        Say(1, 4, _click(20, 30, positive=False)),
        Say(2, 3, _click(80, 50)),
        Go("forward"),
        Say(1, 6, _box(30, 40, 70, 80)),
        Go("both"),
    ],
    "two prompted frames": [
        Say(1, 1, _box(30, 40, 70, 80)),
        Say(1, 5, _MASK),
        Say(2, 1, _click(40, 50)),
        Say(2, 1, _click(70, 20, positive=False)),
        Go("both"),
    ],
}

# For full-size frames, where an object on a frame takes seconds on each side.
BRIEF: Script = [Say(1, 1, _click(40, 50)), Say(2, 1, _MASK), Go("both")]
BRIEF_CORRECTION: Script = [
    Say(1, 0, _BOX_CLICK),
    Go("forward"),
    Say(1, 2, _click(60, 60)),
    Say(1, 2, _click(20, 30, positive=False)),
    Go("forward"),
]


def play(pair: Pair, script: Script, frames: int = 8, rounded: bool = False) -> Differences:
    """Compare one script on a moving scene."""
    found, theirs = compare(pair, movie(frames, SHAPE), script, rounded)
    _check_worth(theirs)
    return found


def play_absent(pair: Pair, frames: int = 8) -> Differences:
    """Compare a scene whose objects are absent on half of the frames."""
    script: Script = [
        Say(1, 2, _MASK),
        Say(2, 2, Prompt(mask=disk(30, 100, 20, SHAPE))),
        Go("both"),
    ]
    clip = movie(frames, SHAPE)
    theirs = play_reference(pair, Frames(clip, contrast=(0, 255)), script)
    scores = [seen.score for (step, _, _), seen in theirs.record.items() if step == 2]
    shift = -torch.stack(scores).median() - 1e-2
    shift_scores(pair, shift)
    found, theirs = compare(pair, clip, script)
    shift_scores(pair, -shift)
    present = [bool(seen.score > 0) for (s, _, _), seen in theirs.record.items() if s == 2]
    assert any(present), "every object is absent everywhere"
    assert not all(present), "no object is ever absent"
    return found


def _check_worth(theirs: Played) -> None:
    """Two blank videos would agree perfectly."""
    shares = [float((seen.logits > 0).float().mean()) for seen in theirs.record.values()]
    assert any(0.01 < share < 0.9 for share in shares), "the masks are trivial"
    assert any(seen.score > 0 for seen in theirs.record.values()), "all objects are absent"
