"""A session with the interface of the real one that finds bright blobs, to test the window."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
from skimage.measure import label

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.choosing import Cell
from napari_sam2.tracking.finding.everything import Found, check_diameter
from napari_sam2.tracking.following.workload import Workload
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.masks.mask_text import mask_of
from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.memory_bank import MemoryBank
from napari_sam2.tracking.network.views import View
from napari_sam2.tracking.objects.examined import Examined, ToCheck
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.results import Trace
from napari_sam2.widgets.session.opening import SessionRequest


@dataclass
class FakePreview:
    object_id: int
    frame: int
    mask: np.ndarray
    iou: float = 0.9
    object_score: float = 5.0


@dataclass
class FakeResult:
    frame: int
    labels: np.ndarray
    quality: dict[int, Any]
    place: None = None


@dataclass
class FakeObject:
    prompts: dict[int, Prompt] | None
    masks: dict[tuple[int, int], np.ndarray]
    tracked: dict[tuple[int, int], np.ndarray]
    changed: set[int]
    locked: bool = False
    mother: int | None = None
    entries: int = 0
    bank: MemoryBank = field(default_factory=lambda: MemoryBank(1, 1))


class FakeModel:
    config = SimpleNamespace(name="micro", attention="windowed")
    device = "a fake"

    def state_dict(self) -> dict[str, Any]:
        return {}


class FakeSession:
    """Masks are connected bright pixels; objects move by overlap with the frame before."""

    def __init__(self, frames: Frames, delay: float = 0.0) -> None:
        self.frames = frames
        self.model = FakeModel()
        self.policy = TrackingPolicy()
        self.locked: set[int] = set()
        self.parents: dict[int, int] = {}
        self.delay = delay
        self.prompts: dict[int, dict[int, Prompt]] = {}
        self.masks: dict[tuple[int, int], np.ndarray] = {}
        self.tracked: dict[tuple[int, int], np.ndarray] = {}
        self.changed: dict[int, set[int]] = {}
        self.repaired: list[tuple[int, int]] = []
        self.threads: set[str] = set()
        self.calls = 0
        self.visits = 0  # of frames, by propagations
        self.previewed: list[tuple[int, int]] = []  # as asked for, id and frame
        self.interrupted = 0
        self.fast = True
        self.gate = threading.Event()  # cleared, it holds every call up
        self.gate.set()
        self.error: Exception | None = None
        self.check: Callable[[], None] | None = None

    @contextmanager
    def checking(self, check: Callable[[], None]) -> Iterator[None]:
        self.check = check
        try:
            yield
        finally:
            self.check = None

    @property
    def object_ids(self) -> list[int]:
        return sorted(self.prompts)

    def _begin(self) -> None:
        if self.check is not None:
            self.check()
        self.calls += 1
        self.threads.add(threading.current_thread().name)
        time.sleep(self.delay)
        self.gate.wait(60)
        if self.error is not None:
            raise self.error

    def _blobs(self, frame: int) -> np.ndarray:
        return label(self.frames.image(frame)[..., 0] > 0.5)

    def _say(self, object_id: int, frame: int, prompt: Prompt) -> FakePreview:
        self._begin()
        if not 0 <= frame < len(self.frames):
            raise InputError(f"frame {frame} does not exist")
        prompts = self.prompts.setdefault(object_id, {})
        merged = prompt if prompt.absent else prompts.get(frame, Prompt()).merged(prompt)
        prompts[frame] = merged.validate(self.frames.shape)
        mask = self._segment(frame, merged)
        if any(i == object_id for i, _ in self.tracked):
            self.changed.setdefault(object_id, set()).add(frame)
        self.masks[object_id, frame] = mask
        return FakePreview(object_id, frame, mask)

    def _segment(self, frame: int, prompt: Prompt) -> np.ndarray:
        mask = np.zeros(self.frames.shape, bool)
        if prompt.mask is not None:
            mask |= prompt.mask
        blobs = self._blobs(frame)
        if prompt.box is not None:
            (y0, x0), (y1, x1) = np.round(prompt.box).astype(int)
            inside = np.zeros_like(mask)
            inside[max(y0, 0) : y1 + 1, max(x0, 0) : x1 + 1] = True
            mask |= inside & (blobs > 0)
        for (y, x), positive in zip(
            np.round(prompt.points).astype(int), prompt.positive, strict=True
        ):
            blob = (blobs == blobs[y, x]) if blobs[y, x] else np.zeros_like(mask)
            mask = mask | blob if positive else mask & ~blob
        return mask

    def add_points(
        self, object_id: int, frame: int, points: Any, positive: Any, replace: bool = False
    ) -> FakePreview:
        return self._say(object_id, frame, Prompt(points=points, positive=positive))

    def find_daughters(self, object_id: int, frame: int) -> None:
        return None

    def answers_fast(self, frame: int) -> bool:
        return self.fast

    def preview(self, object_id: int, frame: int, point: Any, check: Any) -> FakePreview:
        """As slow as everything else, in ten parts; the session stays as it is."""
        self.previewed.append((object_id, frame))
        self.threads.add(threading.current_thread().name)
        for _ in range(10):
            try:
                check()
            except BaseException:
                self.interrupted += 1
                raise
            time.sleep(self.delay / 10)
        while not self.gate.wait(0.005):
            try:
                check()
            except BaseException:
                self.interrupted += 1
                raise
        prompt = Prompt(points=[point], positive=[True])
        return FakePreview(object_id, frame, self._segment(frame, prompt))

    def add_box(self, object_id: int, frame: int, box: Any) -> FakePreview:
        return self._say(object_id, frame, Prompt(box=box))

    def add_mask(self, object_id: int, frame: int, mask: Any) -> FakePreview:
        return self._say(object_id, frame, Prompt(mask=mask))

    def add_prompts(self, prompts: dict[int, dict[int, Prompt]]) -> None:
        for object_id, by_frame in prompts.items():
            for frame, prompt in by_frame.items():
                self._say(object_id, frame, prompt)

    def set_prompt(self, object_id: int, frame: int, prompt: Prompt | None) -> FakePreview | None:
        if self.prompts.get(object_id, {}).get(frame) is not None:
            self.clear_prompt(object_id, frame)
        if prompt is not None and prompt.absent and object_id not in self.prompts:
            raise InputError(f"object {object_id}: it has no prompt on another frame")
        return None if prompt is None else self._say(object_id, frame, prompt)

    def snapshot(self, object_ids: Any = None) -> dict[int, FakeObject]:
        ids = self.object_ids if object_ids is None else list(object_ids)
        return {i: self._known(i) for i in ids}

    def _known(self, object_id: int) -> FakeObject:
        said = self.prompts.get(object_id)
        return FakeObject(
            None if said is None else dict(said),
            {key: mask for key, mask in self.masks.items() if key[0] == object_id},
            {key: mask for key, mask in self.tracked.items() if key[0] == object_id},
            set(self.changed.get(object_id, ())),
            object_id in self.locked,
            self.parents.get(object_id),
        )

    def packed(self, object_ids: Any):
        for i in object_ids:
            yield i, pickle.dumps(self._known(i))

    def unpack(self, objects: dict[int, bytes]) -> None:
        self.restore({i: pickle.loads(data) for i, data in objects.items()})

    def restore(self, snapshot: dict[int, FakeObject]) -> None:
        for object_id, known in snapshot.items():
            for there, kept in ((self.masks, known.masks), (self.tracked, known.tracked)):
                for key in [key for key in there if key[0] == object_id]:
                    del there[key]
                there.update(kept)
            self.lock_object(object_id, known.locked)
            self.prompts.pop(object_id, None)
            if known.prompts is not None:
                self.prompts[object_id] = dict(known.prompts)
            self.changed[object_id] = set(known.changed)
            self.parents.pop(object_id, None)
            if known.mother is not None:
                self.parents[object_id] = known.mother

    @property
    def waiting_daughters(self) -> list[int]:
        return [i for i in self.parents if not self.prompts.get(i) and not self.frames_of(i)]

    def divide(self, object_id: int, frame: int, daughters: tuple[int, int]) -> None:
        self._begin()
        if not any(t < frame for t in self.frames_of(object_id)):
            raise InputError(f"object {object_id} cannot divide on frame {frame}")
        self._say(object_id, frame, Prompt(absent=True))
        for i in daughters:
            self.prompts[i], self.parents[i] = {}, object_id

    def set_parent(self, object_id: int, parent: int | None) -> None:
        if parent == object_id:
            raise InputError(f"object {object_id} cannot be its own mother")
        if not {object_id, parent} - {None} <= self.prompts.keys():
            raise InputError("there is no such object")
        self.parents.pop(object_id, None)
        if parent is not None:
            self.parents[object_id] = parent

    def lock_objects(self, object_ids: Iterable[int], locked: bool = True) -> None:
        for object_id in object_ids:
            self.lock_object(object_id, locked)

    def lock_object(self, object_id: int, locked: bool = True) -> None:
        (self.locked.add if locked else self.locked.discard)(object_id)

    def merge_objects(self, kept: int, absorbed: int) -> list[int]:
        frames = sorted({*self.frames_of(kept), *self.frames_of(absorbed)})
        for masks in (self.masks, self.tracked):
            for key in [key for key in masks if key[0] == absorbed]:
                mask = masks.pop(key)
                masks[kept, key[1]] = mask | masks.get((kept, key[1]), np.zeros_like(mask))
        for frame, prompt in self.prompts.pop(absorbed).items():
            self.prompts[kept].setdefault(frame, prompt)
        return frames

    def split_object(self, object_id: int, frame: int, new_id: int) -> int:
        for masks in (self.masks, self.tracked):
            for key in [key for key in masks if key[0] == object_id and key[1] >= frame]:
                masks[new_id, key[1]] = masks.pop(key)
        mine = self.prompts[object_id]
        self.prompts[new_id] = {t: mine.pop(t) for t in [t for t in mine if t >= frame]}
        return new_id

    def traces(self) -> dict[int, Trace]:
        return {i: self._trace(i) for i in [*self.prompts]}

    def _trace(self, object_id: int) -> Trace:
        masks = {**self.tracked, **self.masks}
        frames = sorted({t for i, t in masks if i == object_id})
        area = np.array([float(masks[object_id, t].sum()) for t in frames])
        centre = [
            np.argwhere(masks[object_id, t]).mean(axis=0) if a else np.full(2, np.nan)
            for t, a in zip(frames, area, strict=True)
        ]
        sure = np.full(len(frames), 0.9)
        return Trace(
            np.array(frames, np.int64),
            sure,
            np.full(len(frames), 5, np.float32),
            area,
            np.array(centre).reshape(-1, 2),
            np.zeros(len(frames), bool),
        )

    def frames_to_check(self) -> list[ToCheck]:
        return Examined(len(self.frames), self.traces(), self.prompts).to_check

    def segment_everything(self, frame: int, taken: Any = None, diameter: float | None = None):
        """Yield, as `everything` does; bright blobs of that size, if not taken, are cells."""
        check_diameter(diameter, self.frames.shape)
        blobs = self._blobs(frame)
        yield Found(0, 2, [])
        self._begin()
        masks = [blobs == i for i in range(1, blobs.max() + 1)]
        cells = [Cell(ThinMask.of(mask), 0.9) for mask in masks if not (mask & (taken > 0)).any()]
        if diameter is not None:
            area = np.pi * diameter**2 / 4
            cells = [cell for cell in cells if 2 / 3 < cell.mask.sum() / area < 3 / 2]
        yield Found(2, 2, cells)

    def view(self, object_id: int, frame: int) -> View:
        """The 20 x 30 px at (10, 12), magnified twice."""
        if object_id not in self.prompts:
            raise InputError(f"there is no object {object_id}")
        part = self.frames.image(frame)[10:30, 12:42]
        return View(part.repeat(2, 0).repeat(2, 1), (10 - 0.25, 12 - 0.25), (2.0, 2.0))

    def adopt_objects(self, masks: dict[int, dict[int, Any]]):
        """Yield, as the real one does, each frame once its masks are there."""
        for frame in sorted({t for some in masks.values() for t in some}):
            self._begin()
            for i, text in ((i, some[frame]) for i, some in masks.items() if frame in some):
                self.tracked[i, frame] = mask = mask_of(text).whole()
                if i not in self.prompts:
                    self.prompts[i] = {frame: Prompt(mask=mask)}
                    self.masks[i, frame] = mask
            yield self.result(frame)

    def gaps(self, longest: int = 1, object_ids: Any = None) -> dict[int, tuple[int, ...]]:
        self.threads.add(threading.current_thread().name)
        found = {}
        for i in self.object_ids:
            shown = [t for t, a in zip(*self._areas(i), strict=True) if a]
            frames = [t + 1 for t, u in pairwise(shown) if u == t + 2]
            found |= {i: tuple(frames)} if frames else {}
        return found

    def _areas(self, object_id: int) -> tuple[Any, Any]:
        trace = self._trace(object_id)
        return trace.frames.tolist(), trace.area.tolist()

    def close_gaps(self, longest: int = 1, object_ids: Any = None) -> dict[int, tuple[int, ...]]:
        found = self.gaps()
        for i, frames in found.items():
            for t in frames:
                self.tracked[i, t] = {**self.tracked, **self.masks}[i, t - 1]
        return found

    def frames_of(self, object_id: int) -> list[int]:
        return sorted({t for i, t in {**self.masks, **self.tracked} if i == object_id})

    def clear_prompt(self, object_id: int, frame: int) -> None:
        del self.prompts[object_id][frame]
        del self.masks[object_id, frame]

    def remove_object(self, object_id: int) -> None:
        self.prompts.pop(object_id)
        self.parents = {i: m for i, m in self.parents.items() if object_id not in (i, m)}
        for masks in (self.masks, self.tracked):
            for key in [key for key in masks if key[0] == object_id]:
                del masks[key]

    def places(self, object_ids: Iterable[int], frames: Any = None) -> dict[int, None]:
        """Frames, always the whole of them."""
        known = {t for i in object_ids for t in self.frames_of(i)}
        return dict.fromkeys(known if frames is None else frames)

    def parts(self, *places: dict[int, None]) -> Iterator[FakeResult]:
        for frame in sorted(set().union(*places)):
            yield self.result(frame)

    def result(self, frame: int) -> FakeResult:
        labels = np.zeros(self.frames.shape, np.uint16)
        here = {i: mask for (i, t), mask in {**self.tracked, **self.masks}.items() if t == frame}
        for object_id, mask in here.items():
            labels[mask] = object_id
        return FakeResult(frame, labels, dict.fromkeys(here))

    def qualities(self) -> dict[int, Any]:
        return {}

    def total_frames(
        self,
        direction: str,
        start: Any = None,
        stop: Any = None,
        object_ids: Any = None,
        find_every: int = 0,
    ) -> int:
        return len(self._order(direction))

    def _order(self, direction: str) -> list[int]:
        if not self.masks:
            raise InputError("nothing to propagate; click, box or paint an object first")
        first = min(frame for _, frame in self.masks)
        forward = list(range(first, len(self.frames)))
        backward = list(range(first - 1, -1, -1))
        return {"forward": forward, "backward": backward, "both": forward + backward}[direction]

    def stale_frames(self) -> dict[int, tuple[int, ...]]:
        found = {}
        for object_id, frames in self.changed.items():
            first = min(frames, default=len(self.frames))
            later = {t for i, t in self.tracked if i == object_id and t > first}
            found[object_id] = tuple(sorted(later - set(self.prompts.get(object_id, {}))))
        return {i: frames for i, frames in found.items() if frames}

    def workload(self, direction="both", start=None, stop=None, object_ids=None) -> Workload:
        ids = [i for i in self.prompts if object_ids is None or i in object_ids]
        frames = self._order(direction)
        return Workload(np.full(len(frames), len(ids)), len(frames), 30_000_000, 20_000_000)

    def repair_workload(self, object_ids: Any = None) -> Workload:
        count = sum(len(frames) for frames in self.stale_frames().values())
        return Workload(np.ones(count, int), 0, 30_000_000, 20_000_000)

    def stale_objects(self) -> list[int]:
        followed = {i for i, _ in self.tracked}
        stale = self.stale_frames()
        return [i for i, said in self.prompts.items() if i in stale or (said and i not in followed)]

    def total_repaired(self, object_ids: Any = None) -> int:
        found = self.stale_frames()
        return len(
            {t for i, some in found.items() if object_ids is None or i in object_ids for t in some}
        )

    def to_repair(self, object_ids: Any = None) -> list[int]:
        return [i for i in self.stale_frames() if object_ids is None or i in object_ids]

    def repair(self, object_ids: Any = None):
        for object_id, frames in self.stale_frames().items():
            for frame in frames:
                self._begin()
                self.repaired.append((object_id, frame))
                self.tracked[object_id, frame] = np.zeros(self.frames.shape, bool)
                yield self.result(frame)
        self.changed.clear()

    def propagate(
        self,
        direction: str = "both",
        start: Any = None,
        stop: Any = None,
        object_ids: Any = None,
        after: int = 0,
    ):
        first = {i: min(f for j, f in self.masks if j == i) for i, p in self.prompts.items() if p}
        current = {
            i: self.masks[i, frame]
            for i, frame in first.items()
            if object_ids is None or i in object_ids
        }
        self.followed = sorted(current)
        for frame in [*self._order(direction)][after:]:
            self._begin()
            self.visits += 1
            blobs = self._blobs(frame)
            for object_id, mask in current.items():
                hit = np.bincount(blobs[mask & (blobs > 0)], minlength=2)
                found = blobs == int(np.argmax(hit)) if hit.max() > 0 else np.zeros_like(mask)
                current[object_id] = self.tracked[object_id, frame] = found
            yield self.result(frame)


class FakeFactory:
    """Opens fake sessions and remembers them."""

    def __init__(
        self,
        delay: float = 0.0,
        error: Exception | None = None,
        contrast: tuple[float, float] | None = (0, 200),
    ) -> None:
        self.delay = delay
        self.contrast = contrast
        self.error = error
        self.requests: list[SessionRequest] = []
        self.sessions: list[FakeSession] = []

    def __call__(self, request: SessionRequest, progress: Any) -> FakeSession:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        frames = request.frames(self.contrast)
        self.sessions.append(FakeSession(frames, self.delay))
        self.sessions[-1].policy = TrackingPolicy(attention=request.attention)
        if request.model != "micro":
            config = SimpleNamespace(name=request.model, attention="exact")
            self.sessions[-1].model.config = config
        return self.sessions[-1]


SMALL, LARGE = (20, 20), (55, 60)  # the middles of the discs on frame 0


def blobs(length: int = 6, size: tuple[int, int] = (80, 100)) -> np.ndarray:
    """A small and a large bright disc that move right by 2 px a frame."""
    y, x = np.mgrid[: size[0], : size[1]]
    stack = np.zeros((length, *size), np.uint8)
    for t in range(length):
        for (cy, cx), r in ((SMALL, 8), (LARGE, 11)):
            stack[t][(y - cy) ** 2 + (x - cx - 2 * t) ** 2 <= r * r] = 200
    return stack
