"""All that a session knows of one object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

import numpy as np
from torch import Tensor

from napari_sam2.tracking.masks.resampling import moved
from napari_sam2.tracking.memory_bank import MemoryBank, Remembered
from napari_sam2.tracking.objects.estimate_log import EstimateLog
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.objects.lineage import Birth
from napari_sam2.tracking.objects.repair import Stretches, stretches
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.windows import Window

ABSENT = Quality(iou=1.0, object_score=-10.0, stability=1.0)
_PATIENCE = 8  # frames
_FADED = 2 / 3  # score of a last mask, below which the object was about to end


@dataclass(frozen=True)
class Pending:
    """A prompt's answer that has not been memorized yet: the user may still change it.

    Parameters
    ----------
    window, logits, score : as in `Remembered`.
    pointer : (1, C); None of a mask, which is its own answer, until the network has seen it.
    """

    window: Window
    logits: Tensor
    score: float
    pointer: Tensor | None


@dataclass
class TrackedObject:
    """All that is known of one object."""

    bank: MemoryBank
    prompts: dict[int, Prompt] = field(default_factory=dict)
    pending: dict[int, Pending] = field(default_factory=dict)
    estimates: EstimateLog = field(default_factory=EstimateLog)
    # Masks of another program, as text, on frames that nothing has replaced since; where there is a
    # prompt, what tracking said before it.
    given: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    # Frames that a propagation has passed, and whether it went backward.
    tracked: dict[int, bool] = field(default_factory=dict)
    # What tracking said on a frame before it was prompted.
    before: dict[int, Estimate] = field(default_factory=dict)
    # Frames whose prompt has changed since they were passed, and those passed anew since; itself
    # among them, once a propagation or repair began that knew of it.
    changed: dict[int, set[int]] = field(default_factory=dict)
    # Prompted frames on which it is not: where it ends, or begins later.
    ends: set[int] = field(default_factory=set)
    # Found by the last propagation that looked for new cells: on its way forward (False), backward.
    found: bool | None = None
    # Not followed, and its pixels go to nobody else.
    locked: bool = False
    # Masks, as text, of what objects that are prompted on a frame had of it as it was locked.
    ceded: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    # Where it comes from, if a division was said.
    birth: Birth | None = None
    # Frames in a row, up to the last one passed, on which it was not found.
    missing: int = 0

    def copy(self) -> TrackedObject:
        """Return the same, independent of what happens to this one; arrays are shared."""
        return replace(
            self,
            bank=self.bank.copy(),
            prompts=dict(self.prompts),
            pending=dict(self.pending),
            estimates=self.estimates.copy(),
            tracked=dict(self.tracked),
            before=dict(self.before),
            changed={frame: set(anew) for frame, anew in self.changed.items()},
            ends=set(self.ends),
            given=dict(self.given),
            ceded=dict(self.ceded),
        )

    @property
    def entries(self) -> int:
        """How many entries all its lists have: what a copy of it takes beside the arrays."""
        said: list[Sized] = [self.prompts, self.pending, self.changed, self.ends]
        seen: list[Sized] = [self.estimates, self.tracked, self.before, self.given, self.ceded]
        kept: list[Sized] = [self.bank.conditioning, self.bank.tracked, self.bank.jumps]
        return sum(len(one) for one in (*said, *seen, *kept, *self.changed.values()))

    @property
    def rests(self) -> bool:
        """Whether it has been missing for so long that the next frame may be left out.

        Looking for an object in large windows costs many times more than following it.
        """
        return self.missing >= _PATIENCE and self.missing % _PATIENCE != 0

    def pass_frame(self, frame: int, reverse: bool, estimate: Estimate) -> None:
        """Note what a propagation found on a frame."""
        if frame not in self.prompts:
            self.given.pop(frame, None)
        self._note_anew(frame, frame + 1 if reverse else frame - 1)
        self.estimates[frame] = estimate
        self.tracked[frame] = reverse
        self.missing = 0 if estimate.kept.size else self.missing + 1

    def missed(self, frames: Iterable[int]) -> int:
        """Return on how many of some frames, the first ones, it was passed and not found."""
        gone = takewhile(lambda t: t in self.estimates and not self.estimates[t].kept.size, frames)
        return sum(1 for _ in gone)

    def _found_before(self, frame: int, reverse: bool) -> tuple[int, Estimate | None]:
        """Return the last mask that was found before the next frame to pass, and where."""
        step = 1 if reverse else -1
        near = frame + step * (self.missing + 1)
        while (estimate := self.estimates.get(near)) is not None and not estimate.kept.size:
            near += step
        return near, estimate

    def faded(self, frame: int, reverse: bool) -> bool:
        """Whether its last mask before the next frame to pass was so unsure that it was to end."""
        _, found = self._found_before(frame, reverse)
        return found is not None and found.quality.score < _FADED

    def last_seen(self, frame: int, reverse: bool) -> tuple[int, Estimate]:
        """Return the mask on the frame before, or on the nearest prompted frame, and that frame."""
        near = frame + 1 if reverse else frame - 1
        if near not in self.estimates:
            near = min(self.anchors, key=lambda t: abs(t - frame))
        return near, self.estimates[near]

    def shown(self, frame: int, reverse: bool) -> tuple[int, Estimate]:
        """Return the mask to show to the network on the next frame to pass, and its frame.

        It is what was seen last. While one that was sure is missed, as on a frame that is blank, it
        is the last that was found. Without it the object would not be found again.
        """
        near, last = self.last_seen(frame, reverse)
        if not last.kept.size and 0 < self.missing <= _PATIENCE:
            there, found = self._found_before(frame, reverse)
            if found is not None and found.quality.score >= _FADED:
                return there, found
        return near, last

    @property
    def anchors(self) -> dict[int, Prompt]:
        """Prompts of the frames on which it is."""
        return {t: p for t, p in self.prompts.items() if t not in self.ends}

    def gone(self, frame: int) -> bool:
        """Whether it has ended before a frame, or begins later."""
        anchors = self.anchors
        if self.birth is not None and frame < min(self.birth.frame, *anchors):
            return True
        left = max((t for t in self.prompts if t < frame), default=None)
        right = min((t for t in self.prompts if t > frame), default=None)
        if left in self.ends and any(t < left for t in anchors):
            return True
        return right in self.ends and not any(t < right for t in anchors)

    def comes_from_end(self, frame: int, reverse: bool) -> bool:
        """Whether the nearest prompt behind a pass says that it is not there."""
        near = (
            min((t for t in self.prompts if t > frame), default=None)
            if reverse
            else max((t for t in self.prompts if t < frame), default=None)
        )
        return near in self.ends

    def level(self, frame: int) -> tuple[int, int] | None:
        """Return the token grid on which the object lives, if not for the prompt on `frame`."""
        others = [t for t in self.prompts if t != frame]
        return self.estimates[others[0]].window.grid if others else None

    def note_prompt(self, frame: int) -> None:
        """Keep aside what tracking said of a frame that is about to be prompted."""
        if frame in self.tracked and frame not in self.prompts and frame in self.estimates:
            self.before[frame] = self.estimates[frame]

    def note_change(self, frame: int) -> None:
        """Remember that what was tracked is no longer what the prompts say."""
        self.ceded.pop(frame, None)
        if self.tracked:
            self.changed[frame] = set()

    def stretches(self) -> Stretches:
        """Return the frames that changed prompts concern."""
        awaited = () if self.birth is None else self.birth.awaited
        return stretches(self.prompts, self.ends, self.tracked, self.changed, awaited)

    def _note_anew(self, frame: int, near: int) -> None:
        """Note which changes a frame is passed anew for: as the one before it was, or need not."""
        begins = near in self.prompts or near not in self.tracked
        for changed, anew in self.changed.items():
            if changed in anew and (begins or near in anew):
                anew.add(frame)

    def note_known(self) -> None:
        """Take note that frames begin to be passed by what the prompts say now."""
        for frame, anew in self.changed.items():
            anew.add(frame)

    def settle(self) -> None:
        """Forget the changes for which all that they concern was passed anew."""
        for frame, anew in [*self.changed.items()]:
            parts = stretches(self.prompts, self.ends, self.tracked, [frame])
            if anew.issuperset((frame, *parts.forward, *parts.backward)):
                del self.changed[frame]

    def start_of(self, frame: int, continued: bool) -> Estimate | None:
        """Return the mask that a prompt on a frame corrects.

        Parameters
        ----------
        frame : of the prompt.
        continued : the prompt adds to one that was answered; otherwise only what tracking said
            counts.
        """
        return self.estimates.get(frame) if continued else self.before.get(frame)

    def start_logits(self, frame: int, window: Window, continued: bool) -> Tensor | None:
        """Return the logits of `start_of` in a window, as exactly as they are still known."""
        latest = self.start_of(frame, continued)
        if latest is None:
            return None
        exact: Pending | Remembered | None = self.bank.tracked.get(frame)
        if continued:
            exact = self.pending.get(frame) or self.bank.conditioning.get(frame)
        if exact is None or exact.logits is None:
            return moved(latest.logits(), latest.window, window)
        return moved(exact.logits, latest.window, window)

    def take_back(self, frame: int) -> None:
        """Forget a prompt; what tracking said of the frame comes back."""
        self.note_change(frame)
        del self.prompts[frame]
        self.ends.discard(frame)
        self.pending.pop(frame, None)
        self.bank.forget(frame)
        self.estimates.pop(frame, None)
        if frame in self.before:
            self.estimates[frame] = self.before.pop(frame)
        else:
            self.given.pop(frame, None)

    def is_missing(self, frame: int) -> bool:
        """Whether it was followed to a frame and was not found there."""
        elsewhere = any(t != frame for t in self.anchors)
        here = self.estimates.get(frame)
        return elsewhere and here is not None and not here.kept.size

    def absence(self) -> Estimate:
        """Return the estimate of a frame on which it is known not to be."""
        window = self.estimates[min(self.anchors)].window
        return Estimate(window, (0, 0), np.zeros((0, 0), np.float16), ABSENT)
