"""What one object remembers, and which of it a frame gets to see (SAM 2, section 4).

A frame attends to the memories of all conditioning frames and of the last frames in the
direction of travel, and to the object pointers of a few more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from napari_sam2.model.values import Memory
from napari_sam2.tracking.stack.jumps import Shift
from napari_sam2.tracking.windows import Window


@dataclass(frozen=True)
class Remembered:
    """What is kept of one object on one frame.

    Parameters
    ----------
    memory : spatial memory, (1, Cm, h, w); None once only the pointer can still be asked for, or
        where it came from a file and was not asked for yet.
    pointer : (1, C); None where a memory was made again from a mask.
    logits : (4 h, 4 w) of the mask, which a correction starts from; kept as long as the memory.
    window, score : where the mask was found, and the logit of the object being there: what the
        memory can be made from again.
    """

    memory: Memory | None
    pointer: Tensor | None
    logits: Tensor | None = None
    window: Window | None = None
    score: float = 0.0

    @property
    def offered(self) -> bool:
        """Whether there is a memory, or all that it is made from."""
        return self.memory is not None or self.logits is not None


@dataclass(frozen=True)
class Selection:
    """What a frame may attend to: frames of memories with their slots, of pointers with times.

    Two objects with equal `signature` can go through the network together.
    """

    memories: tuple[tuple[int, int], ...]  # (frame, slot)
    pointers: tuple[tuple[int, float], ...]  # (frame, time)
    horizon: int

    @property
    def signature(self) -> tuple[tuple[int, ...], tuple[float, ...], int]:
        """Slots, times and horizon: what has to be equal within a batch."""
        return (
            tuple(slot for _, slot in self.memories),
            tuple(time for _, time in self.pointers),
            self.horizon,
        )


@dataclass
class MemoryBank:
    """The memories of one object.

    Parameters
    ----------
    num_memories : memory frames in attention, the conditioning slot included.
    max_pointers : pointers in attention.
    jumps : of the whole picture that the object was followed through, by the frame they led to.
    """

    num_memories: int
    max_pointers: int
    conditioning: dict[int, Remembered] = field(default_factory=dict)
    tracked: dict[int, Remembered] = field(default_factory=dict)
    jumps: dict[int, Shift] = field(default_factory=dict)

    def copy(self) -> MemoryBank:
        """Return the same memories in a bank of its own."""
        return replace(
            self,
            conditioning=dict(self.conditioning),
            tracked=dict(self.tracked),
            jumps=dict(self.jumps),
        )

    def remember(self, frame: int, item: Remembered, conditioning: bool) -> None:
        """Keep a frame; a conditioning frame takes the place of a tracked one."""
        if conditioning:
            self.conditioning[frame] = item
            self.tracked.pop(frame, None)
        else:
            self.tracked[frame] = item

    def forget(self, frame: int) -> None:
        """Drop a frame."""
        self.conditioning.pop(frame, None)
        self.tracked.pop(frame, None)

    def __getitem__(self, frame: int) -> Remembered:
        return self.conditioning.get(frame) or self.tracked[frame]

    def select(self, frame: int, reverse: bool, num_frames: int) -> Selection:
        """Choose what `frame` attends to; changes nothing.

        Parameters
        ----------
        frame : the frame being looked at.
        reverse : travelling towards frame 0.
        num_frames : of the stack; short stacks offer fewer pointers.
        """
        sign = -1 if reverse else 1
        last = self.num_memories - 1
        memories = [(t, last) for t, item in self.conditioning.items() if item.offered]
        for distance in range(last, 0, -1):
            t = frame - sign * distance
            if t in self.tracked and self.tracked[t].offered:
                memories.append((t, distance - 1))
        offered = min(num_frames, self.max_pointers)
        past = [t for t in self.conditioning if sign * (frame - t) >= 0]
        pointers = [(t, float(sign * (frame - t))) for t in past]
        for distance in range(1, offered):
            t = frame - sign * distance
            if t in self.tracked and self.tracked[t].pointer is not None:
                pointers.append((t, float(distance)))
        return Selection(tuple(memories), tuple(pointers), max(offered - 1, 1))

    def evict(self, frame: int) -> None:
        """Drop what neither the frames next to `frame` nor a new start from a conditioning frame
        can ask for, so that the size does not depend on the length of the stack.
        """  # noqa: D205
        anchors = np.array(sorted((frame, *self.conditioning)))
        frames = np.fromiter(self.tracked, np.int64, len(self.tracked))
        after = np.searchsorted(anchors, frames)
        left = np.abs(frames - anchors[np.maximum(after - 1, 0)])
        right = np.abs(frames - anchors[np.minimum(after, len(anchors) - 1)])
        distance = np.minimum(left, right)
        for t in frames[distance > self.max_pointers].tolist():
            del self.tracked[t]
        near = distance <= self.max_pointers
        for t in frames[near & (distance > self.num_memories)].tolist():
            if self.tracked[t].offered:
                self.tracked[t] = Remembered(None, self.tracked[t].pointer)
