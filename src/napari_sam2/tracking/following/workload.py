"""How much a propagation has to do, before it begins: frames, objects on them, memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.following.passes import Pass
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.objects.objects import TrackedObject

# Measured, see `room.py`; on whole frames as in windows.
_WORKING_BYTES = 64 << 10  # for all that is computed of a token
_ROW_BYTES = 200  # of a mask in the log, besides its pixels


@dataclass(frozen=True, eq=False)
class Workload:
    """What a propagation will do, if no object is lost on the way.

    Parameters
    ----------
    looks : (F,) objects that the network looks at on each frame, in the order of the frames.
    fresh : frames on which nothing is known yet.
    kept : bytes of masks, memories and encodings that will be kept.
    computing : bytes to compute with, at most.
    """

    looks: npt.NDArray[np.int64]
    fresh: int
    kept: int
    computing: int

    @property
    def memory(self) -> int:
        """Bytes that are needed beside the model and the label images."""
        return self.kept + self.computing

    @property
    def frames(self) -> int:
        """Number of results."""
        return len(self.looks)


def looks_of(ways: Sequence[Pass], objects: Sequence[TrackedObject]) -> npt.NDArray[np.int64]:
    """Count the objects looked at on each frame of all ways, as `Follower.track` chooses them."""
    counts = []
    for way in ways:
        frames = np.array(way.frames, dtype=np.int64)
        count = np.zeros(len(frames), dtype=np.int64)
        for obj in objects:
            anchors = obj.anchors
            start = max(anchors) if way.from_last else min(anchors)
            on = frames <= start if way.reverse else frames >= start
            on &= ~np.isin(frames, list(obj.prompts))
            if obj.ends or obj.birth is not None:
                there = [
                    not obj.gone(t) and not obj.comes_from_end(t, way.reverse)
                    for t in frames.tolist()
                ]
                on &= np.array(there, dtype=bool)
            count += on
        counts.append(count)
    return np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64)


def workload(
    engine: Engine,
    looks: npt.NDArray[np.int64],
    visited: Iterable[int],
    objects: Sequence[TrackedObject],
) -> Workload:
    """Add up what looking at objects will take.

    Parameters
    ----------
    engine : the network on the stack.
    looks : (F,) see `Workload`.
    visited : the frames.
    objects : those that are followed.
    """
    config = engine.model.config
    known = set().union(*(obj.estimates for obj in objects)) if objects else set()
    sizes, kept, masks = 0, 0, 0
    for obj in objects:
        shown = obj.estimates[min(obj.anchors)]
        tokens = shown.window.height * shown.window.width
        sizes += tokens
        # Spatial memory in half precision, logits, a pointer; see `MemoryBank`.
        item = 2 * tokens * config.memory + 4 * 16 * tokens + 4 * config.hidden
        there = len(obj.bank.conditioning) + len(obj.bank.tracked)
        kept += item * max(config.num_memories - 1 + len(obj.anchors) - there, 0)
        masks += shown.kept.nbytes + _ROW_BYTES
    each = masks / max(len(objects), 1)
    most = engine.room.batch_tokens
    at_once = min(most, sizes) if engine.windowed else sizes and most
    frames = set(visited)
    kept += int(each * looks.sum()) + engine.encodings.room(len(frames), sizes)
    return Workload(looks, len(frames - known), kept, _WORKING_BYTES * at_once)
