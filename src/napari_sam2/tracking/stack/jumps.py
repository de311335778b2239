"""Jumps of the whole picture from one frame to the next, as when a stage was moved or bumped.

What jumps farther than a cell would be looked for in the wrong place, and its memories would lie
elsewhere than what they show. Small shifts are none of this: objects are followed through them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import uniform_filter
from skimage.registration import phase_cross_correlation

from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.windows import Box

_COARSE, _FINE = 128, 512  # px along the longer side, to notice a jump and to measure it
_GAIN = 0.2  # of the correlation; neighbours in real stacks gain up to 0.19 by any shift
_FARTHEST = 0.3  # of a side: of what is left, more might be alike by chance
_LIGHT = 0.25  # of the longer side: what is larger is no cell
_KEPT = 4  # small frames
_RIM = 2  # px of a picture, around an object
_FAR = 0.5  # of an object's shorter side: within less it is found as if it moved

Shift = tuple[float, float]  # (y, x) in data pixels
Floats = npt.NDArray[np.float32]
STILL: Shift = (0.0, 0.0)


class Jumps:
    """Looks for jumps between frames that are passed, once for each pair.

    What was found is kept by the objects that passed it: the same steps give the same then.

    Parameters
    ----------
    frames : of the stack.
    device : where frames are kept; that of the network, which may move.
    """

    def __init__(self, frames: Frames, device: torch.device) -> None:
        self._frames = frames
        self.device = device
        self._known: dict[int, Shift] = {}  # between a frame and the one before it
        self._small: OrderedDict[int, Floats] = OrderedDict()
        self._pair: tuple[int, dict[int, Floats]] = (-1, {})

    def look(self, frame: int, reverse: bool) -> tuple[int, Shift]:
        """Compare a frame with the one that was passed before it.

        Returns
        -------
        the later one of the two, and by how much things jumped to it from the other one: most often
        by nothing.
        """
        later = frame + 1 if reverse else frame
        if later not in self._known:
            inside = 0 < later < len(self._frames)
            self._known[later] = self._measured(later, reverse) if inside else STILL
        return later, self._known[later]

    def _measured(self, later: int, reverse: bool) -> Shift:
        # The frame at hand last: it is kept for what is done with it next.
        order = (later, later - 1) if reverse else (later - 1, later)
        pictures = {t: self._coarse(t) for t in order}
        before, after = pictures[later - 1], pictures[later]
        if _correlation(before, after) >= 1 - _GAIN or _best(before, after) is None:
            return STILL
        found = _best(*self._fine(later))
        step = self._step(_FINE)
        return STILL if found is None else (float(step * found[0]), float(step * found[1]))

    def takes_along(self, later: int, jump: Shift, reverse: bool, box: Box) -> bool:
        """Tell whether an object jumped with the picture, and farther than it may move.

        One bright cell on an empty ground passes for all of the picture; others are still
        meanwhile, or move on their own.

        Parameters
        ----------
        later, jump : see `look`.
        reverse : the way that is passed.
        box : where the object was on the frame that was passed before.
        """
        if np.hypot(*jump) < _FAR * min(box[2] - box[0], box[3] - box[1]):
            return False
        before, after = self._fine(later)[:: -1 if reverse else 1]
        step, sign = self._step(_FINE), -1 if reverse else 1
        y0, x0 = (max(int(low // step) - _RIM, 0) for low in box[:2])
        y1, x1 = (int(-(-high // step)) + _RIM for high in box[2:])
        y, x = (round(sign * n / step) for n in jump)
        own = np.zeros(before.shape, dtype=bool)
        own[y0:y1, x0:x1] = True
        there, here = _overlapping(own, own, y, x)[0], _overlapping(before, after, y, x)
        if not there.any():
            return True  # it left the picture
        moved, still = (a[there] for a in here), (before[own], after[own])
        return _correlation(*moved) >= _correlation(*still)

    def _fine(self, later: int) -> tuple[Floats, Floats]:
        """Return the picture of a frame, and before it that of the frame before."""
        if self._pair[0] != later:
            self._pair = later, {t: self._picture(t, _FINE) for t in (later - 1, later)}
        return self._pair[1][later - 1], self._pair[1][later]

    def _step(self, side: int) -> int:
        """Return how many pixels make one of a picture of at most `side`."""
        return min(-(-max(self._frames.shape) // side), *self._frames.shape)

    def _picture(self, frame: int, side: int) -> Floats:
        """Return a frame made small, without what the lamp does to it, which stays in place."""
        small = self._frames.small(frame, self._step(side), self.device)
        width = max(3, int(_LIGHT * max(small.shape)))
        picture: Floats = small - uniform_filter(small, width, mode="nearest")
        return picture

    def _coarse(self, frame: int) -> Floats:
        if frame not in self._small:
            self._small[frame] = self._picture(frame, _COARSE)
            while len(self._small) > _KEPT:
                self._small.popitem(last=False)
        return self._small[frame]


def shift_between(jumps: Mapping[int, Shift], there: int, here: int) -> Shift:
    """Return by how much things moved from one frame to another by jumps alone.

    Parameters
    ----------
    jumps : by the frame that they led to.
    """
    if not jumps:
        return STILL
    low, high = sorted((there, here))
    found = [jump for later, jump in jumps.items() if low < later <= high]
    sign = 1 if there < here else -1
    return sign * sum(y for y, _ in found), sign * sum(x for _, x in found)


def _best(before: Floats, after: Floats) -> tuple[int, int] | None:
    """Return by how many pixels a picture has jumped; None unless that makes it much more alike."""
    pictures = [_faded_out(picture) for picture in (after, before)]
    if not all(picture.any() for picture in pictures):
        return None  # one is blank
    fourier = [np.fft.fftn(picture) for picture in pictures]
    best, shift = _correlation(before, after) + _GAIN, None
    # Edges tell in the one, what is bright in the other.
    for normalization in ("phase", None):
        found, _, _ = phase_cross_correlation(
            *fourier, space="fourier", normalization=normalization
        )
        y, x = (int(step) for step in found)
        if all(abs(n) <= _FARTHEST * side for n, side in zip((y, x), before.shape, strict=True)):
            correlation = _correlation(*_overlapping(before, after, y, x))
            if correlation >= best:
                best, shift = correlation, (y, x)
    return shift if shift != (0, 0) else None


def _faded_out(picture: Floats) -> Floats:
    """Fade a picture out towards its borders, which are no edges of anything."""
    fade = np.outer(*(np.hanning(side + 2)[1:-1] for side in picture.shape))
    faded: Floats = ((picture - picture.mean()) * fade).astype(np.float32)
    return faded


def _overlapping(before: Floats, after: Floats, y: int, x: int) -> Sequence[Floats]:
    """Return what both show, once the first is moved by (y, x)."""
    height, width = before.shape
    return (
        before[max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)],
        after[max(y, 0) : height - max(-y, 0), max(x, 0) : width - max(-x, 0)],
    )


def _correlation(a: Floats, b: Floats) -> float:
    """Pearson's correlation; 0 where one is blank."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0
