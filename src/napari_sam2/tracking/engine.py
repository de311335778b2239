"""The session's calls into the network: which windows, which batches.

Knows frames and windows, but nothing of prompts' history or of the order of interactions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sam2.model.positions import TokenGrid
from napari_sam2.model.prompt_encoder import (
    BOX_END,
    BOX_START,
    NEGATIVE,
    POSITIVE,
    PromptInputs,
    carried,
)
from napari_sam2.model.sam2 import SAM2, ImageFeatures, MaskPrediction, Memory, Recollection
from napari_sam2.tracking.encoding_store import EncodingStore
from napari_sam2.tracking.encodings import Encodings
from napari_sam2.tracking.estimates import Estimate
from napari_sam2.tracking.finishing import tidy
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.memory_bank import MemoryBank, Remembered, Selection
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.resampling import in_window, mask_logits, moved, resized_mask
from napari_sam2.tracking.room import Room, out_of_memory
from napari_sam2.tracking.windows import Geometry, Window, around, grown, suitable_zoom, whole

T = TypeVar("T")
U = TypeVar("U")
Extent = tuple[float, float, float, float]  # y0, x0, y1, x1 in data pixels

_ASKED = 24  # hypotheses kept
_CLICK_SIDE = 12  # tokens around a click, when nothing is known of the object's size


@dataclass(frozen=True)
class Look:
    """One object about to be looked at on a frame.

    Parameters
    ----------
    bank, selection : what it remembers, and which of it the frame gets to see.
    window : where it is looked for.
    last : the mask seen last.
    """

    bank: MemoryBank
    window: Window
    selection: Selection
    last: Estimate | None = None

    def carried(self) -> Tensor:
        """Logits (4 h, 4 w), in the window, of the mask seen last."""
        if self.last is None:
            raise ValueError("no mask to carry over")
        return moved(self.last.logits(), self.last.window, self.window)


@dataclass(frozen=True)
class Hypotheses:
    """What clicks on one object may mean, on one level.

    Parameters
    ----------
    window : where it was looked for.
    logits : (4, 4 h, 4 w), mask 0 and the three ambiguous ones, whether the object is held for
        present or not.
    iou : (4,) predicted IoU.
    object_score : (1,) logit of the object being in the frame.
    pointers : (4, C) object pointers.
    """

    window: Window
    logits: Tensor
    iou: Tensor
    object_score: Tensor
    pointers: Tensor


class Engine:
    """The network on one stack.

    Parameters
    ----------
    model : the network, on its device.
    frames : the stack.
    levels : magnifications at which frames are looked at, coarse to fine.
    windowed : look at objects in windows; otherwise at whole frames, as published.
    cached_frames : see `Encodings`.
    batch_tokens : tokens of all objects of a batch together; bounds the memory in use.
    store : of encodings of whole frames.
    """

    def __init__(
        self,
        model: SAM2,
        frames: Frames,
        levels: Sequence[Geometry],
        windowed: bool,
        cached_frames: int,
        batch_tokens: int,
        store: EncodingStore | None = None,
    ) -> None:
        self.model = model
        self.frames = frames
        self.levels = {g.tokens: g for g in levels}
        self.windowed = windowed
        self.batch_tokens = batch_tokens
        # Published models know whole frames only.
        divided = windowed and not model.config.square_input
        self.encodings = Encodings(model, frames, self.levels, divided, cached_frames, store)
        self.room = Room(model, self.encodings)
        self._asked: OrderedDict[tuple[object, ...], Hypotheses] = OrderedDict()
        self._check: Callable[[], None] | None = None

    @contextmanager
    def checking(self, check: Callable[[], None] | None) -> Iterator[None]:
        """Call `check` before each part of an answer; what it raises ends the answer."""
        self._check = check
        try:
            yield
        finally:
            self._check = None

    def _checked(self) -> None:
        if self._check is not None:
            self._check()

    def geometry(self, window: Window) -> Geometry:
        """Return the level that a window lies on."""
        return self.levels[window.grid]

    def fitting(self, extent: Extent) -> Geometry:
        """Return the level on which something is of the size that the network knows best."""
        radius = max(np.sqrt((extent[2] - extent[0]) * (extent[3] - extent[1])) / 2, 0.5)
        zoom = suitable_zoom(radius)
        return min(self.levels.values(), key=lambda g: abs(np.log(zoom / g.zoom)))

    def prompt_window(
        self, prompt: Prompt, start: Estimate | None, level: tuple[int, int] | None
    ) -> Window:
        """Choose where a prompt is answered.

        Parameters
        ----------
        prompt : what the user said.
        start : the mask that it corrects, if any.
        level : to be used; that of `start`, or what suits the prompt, if it is None.
        """
        if not self.windowed:
            return whole(next(iter(self.levels.values())))
        seen = None if start is None else self.extent(start)
        extent = _extent(prompt, seen)
        if start is not None and level is None:
            level = start.window.grid
        geometry = self.fitting(extent) if level is None else self.levels[level]
        known = prompt.mask is not None or prompt.box is not None or seen is not None
        return self.window_on(geometry, extent, 8 if known else _CLICK_SIDE)

    def extent(self, estimate: Estimate) -> Extent | None:
        """Return where a mask is, in data pixels."""
        box = estimate.box()
        if box is None:
            return None
        sy, sx = self.geometry(estimate.window).scale
        return box[0] / sy, box[1] / sx, box[2] / sy, box[3] / sx

    def next_window(self, last: Estimate) -> Window:
        """Choose where to look for an object, given where it was seen last."""
        geometry = self.geometry(last.window)
        if not self.windowed:
            return whole(geometry)
        box = last.box()
        if box is None:
            return grown(geometry, last.window)
        return around(geometry, box, usual=max(last.window.height, last.window.width))

    def must_find(self, prompt: Prompt) -> bool:
        """Whether clicks alone have to tell how large the object is."""
        return len(self.levels) > 1 and prompt.box is None and prompt.mask is None

    def may_average(self, prompt: Prompt) -> bool:
        """Whether a box tells how large the object is, and several levels can show it."""
        return len(self.levels) > 1 and prompt.box is not None and prompt.mask is None

    def window_on(self, geometry: Geometry, extent: Extent, least: int = 8) -> Window:
        """Return a window of a level around something, given in data pixels."""
        sy, sx = geometry.scale
        y0, x0, y1, x1 = extent
        return around(geometry, (y0 * sy, x0 * sx, y1 * sy, x1 * sx), least)

    def hypotheses(self, frame: int, prompt: Prompt, geometry: Geometry) -> Hypotheses:
        """Return all that clicks on an object of unknown size may mean on one level.

        The last ones are kept: each correction looks again at what the first click meant.
        """
        key = (frame, geometry.tokens, prompt.points.tobytes(), prompt.positive.tobytes())
        if key in self._asked:
            return self._asked[key]
        window = self.window_on(geometry, _extent(prompt, None), _CLICK_SIDE)

        def compute() -> Hypotheses:
            self._checked()
            features = self.encodings.windows(frame, [window])
            self._checked()
            output, pointers = self.model.decode_all(
                self.model.recall(features, None), features, self._inputs(window, prompt, None)
            )
            return Hypotheses(
                window, output.logits[0], output.iou[0], output.object_score, pointers[0]
            )

        found = self._asked[key] = self.room.attempt(compute)
        while len(self._asked) > _ASKED:
            self._asked.popitem(last=False)
        return found

    def answer(
        self, frame: int, window: Window, prompt: Prompt, look: Look | None, earlier: Tensor | None
    ) -> MaskPrediction:
        """Answer a prompt of one object.

        Parameters
        ----------
        frame : the prompt's frame.
        window : where it is answered.
        prompt : what the user said; not a mask alone, which is its own answer.
        look : memories to use; None on a frame that was not tracked.
        earlier : (4 h, 4 w) logits in the window of the mask that the prompt corrects.
        """
        return self.room.attempt(lambda: self._answer(frame, window, prompt, look, earlier))

    def _answer(
        self, frame: int, window: Window, prompt: Prompt, look: Look | None, earlier: Tensor | None
    ) -> MaskPrediction:
        self._checked()
        features = self.encodings.windows(frame, [window])
        self._checked()
        if prompt.mask is not None:
            earlier = mask_logits(self.drawn(window, prompt))
        looks = [] if look is None else [look]
        self._awaken(looks)
        conditioned = self._recall(frame, features, looks)
        return self.model.predict_masks(
            conditioned, features, self._inputs(window, prompt, earlier)
        )

    def drawn(self, window: Window, prompt: Prompt) -> Tensor:
        """Return the mask of a prompt in model pixels of a window: (16 h, 16 w), 0 or 1."""
        return in_window(window, *resized_mask(self.geometry(window), *prompt.part))

    def click(
        self, frame: int, windows: Sequence[Window], points: npt.NDArray[np.float64]
    ) -> MaskPrediction:
        """Answer single clicks as one batch, each for an object of its own.

        Parameters
        ----------
        frame : the clicks' frame; what was tracked there does not count.
        windows : where each is answered, of one size and level.
        points : (N, 2), (y, x) in data pixels.
        """

        def compute() -> MaskPrediction:
            features = self.encodings.windows(frame, windows)
            device = self.model.device
            places = self.geometry(windows[0]).to_model(points)[:, None].to(device)
            signs = torch.full(places.shape[:2], POSITIVE, dtype=torch.long, device=device)
            conditioned = self.model.recall(features, None)
            return self.model.predict_masks(conditioned, features, PromptInputs(places, signs))

        prediction = self.room.attempt(compute)
        return tidy(prediction) if self.windowed else prediction

    def _inputs(self, window: Window, prompt: Prompt, earlier: Tensor | None) -> PromptInputs:
        geometry = self.geometry(window)
        points = geometry.to_model(prompt.points)
        labels = torch.tensor([POSITIVE if p else NEGATIVE for p in prompt.positive]).long()
        if prompt.box is not None:
            points = torch.cat([geometry.to_model(prompt.box), points])
            labels = torch.cat([torch.tensor([BOX_START, BOX_END]), labels])
        device = self.model.device
        mask = None if earlier is None else earlier[None, None].clamp(-32, 32).to(device)
        return PromptInputs(points[None].to(device), labels[None].to(device), mask)

    def _recall(self, frame: int, features: ImageFeatures, looks: Sequence[Look]) -> Tensor:
        if not looks:
            return self.model.recall(features, None)
        prepared = self.encodings.prepared(frame, [look.window for look in looks])
        return self.model.recall(features, self._recollect(looks), prepared)

    def _recollect(self, looks: Sequence[Look]) -> Recollection:
        """Gather what objects of equal selections remember into one batch."""
        first, device = looks[0].selection, self.model.device
        memories = []
        for k in range(len(first.memories)):
            items = [look.bank[look.selection.memories[k][0]].memory for look in looks]
            parts = [item for item in items if item is not None]
            origins = tuple(part.grid.origins[0] for part in parts)
            origins = origins[:1] if len(set(origins)) == 1 else origins
            grid = TokenGrid(parts[0].grid.height, parts[0].grid.width, origins)
            features = torch.cat([part.features.to(device) for part in parts])
            memories.append(Memory(features, grid))
        none = torch.zeros(0, self.model.config.hidden)
        pointers = torch.stack(
            [torch.cat([none.to(device), *_pointers(look, device)]) for look in looks]
        )
        times = torch.tensor([time for _, time in first.pointers], device=device)
        slots = [slot for _, slot in first.memories]
        return Recollection(memories, slots, pointers, times, first.horizon)

    def track(self, frame: int, looks: Sequence[Look]) -> Iterator[tuple[int, MaskPrediction]]:
        """Find objects on a frame by what they remember.

        Yields
        ------
        index into `looks` and the prediction (N = 1) there, batch by batch; the object's bank
        has taken the frame in by then.
        """
        self._awaken(looks)
        groups: dict[object, list[int]] = {}
        for i, look in enumerate(looks):
            # Memories of windows of other sizes make other shapes.
            sizes = tuple(
                (m.grid.height, m.grid.width)
                for t, _ in look.selection.memories
                if (m := look.bank[t].memory) is not None
            )
            shape = (look.window.height, look.window.width, look.window.grid)
            groups.setdefault((look.selection.signature, sizes, shape), []).append(i)
        for members in groups.values():
            some = [looks[i] for i in members]
            found = self._in_batches(
                some, some[0].window, lambda part: self._track_batch(frame, part)
            )
            yield from zip(members, found, strict=True)

    def _track_batch(self, frame: int, looks: Sequence[Look]) -> list[MaskPrediction]:
        windows = [look.window for look in looks]
        features = self.encodings.windows(frame, windows)
        conditioned = self._recall(frame, features, looks)
        prompts = None
        if self.model.config.carried_mask:
            masks = torch.stack([look.carried() for look in looks])
            prompts = carried(masks.to(self.model.device).clamp(-32, 32))
        prediction = self.model.predict_masks(conditioned, features, prompts)
        if self.windowed:
            prediction = tidy(prediction)
        memory = self.model.memorize(features, prediction.best_logits, prediction.object_score)
        results = []
        scores = prediction.object_score.tolist()
        logits = prediction.best_logits
        for i, look in enumerate(looks):
            item = Remembered(
                _memory(memory, i, look.window),
                prediction.pointer[i : i + 1].clone(),
                logits[i].clone(),
                look.window,
                scores[i],
            )
            look.bank.remember(frame, item, conditioning=False)
            results.append(_row(prediction, i))
        return results

    def _awaken(self, looks: Sequence[Look]) -> None:
        """Make the memories again that came from a file without them, as far as they are needed."""
        for look in looks:
            for t, _ in look.selection.memories:
                item, prompted = look.bank[t], t in look.bank.conditioning
                if item.memory is None:
                    self._checked()
                    (again,) = self.memorize(t, [item], prompted)
                    look.bank.remember(t, again, prompted)

    def memorize(
        self, frame: int, items: Sequence[Remembered], prompted: bool
    ) -> Iterator[Remembered]:
        """Encode masks on a frame into memories.

        Parameters
        ----------
        frame : that they are on.
        items : of one object each, in windows of one size and level; memories are made anew.
        prompted : the user has seen and accepted them.

        Yields
        ------
        Remembered
            The items in their order, with memories.
        """

        def compute(some: Sequence[Remembered]) -> list[Remembered]:
            windows = [_window(item) for item in some]
            features = self.encodings.windows(frame, windows)
            device = self.model.device
            logits = [item.logits.to(device) for item in some if item.logits is not None]
            scores = torch.tensor([item.score for item in some], device=device)
            memory = self.model.memorize(features, torch.stack(logits), scores, prompted)
            return [
                replace(item, memory=_memory(memory, i, windows[i])) for i, item in enumerate(some)
            ]

        return self._in_batches(items, _window(items[0]), compute)

    def pointers(
        self, frame: int, windows: Sequence[Window], prompts: Sequence[Prompt]
    ) -> Iterator[Tensor]:
        """Show masks of prompts to the network, for the object pointers that they leave.

        Parameters
        ----------
        frame : of the prompts.
        windows : where each is, of one size and level.
        prompts : with masks.

        Yields
        ------
        Tensor
            (1, C), for each of them.
        """

        def compute(some: Sequence[tuple[Window, Prompt]]) -> list[Tensor]:
            features = self.encodings.windows(frame, [window for window, _ in some])
            masks = torch.stack([self.drawn(*one) for one in some])[:, None]
            shown = self.model.adopt_masks(features, masks.to(self.model.device))
            return [pointer[None].clone() for pointer in shown.pointer]

        return self._in_batches([*zip(windows, prompts, strict=True)], windows[0], compute)

    def _in_batches(
        self, items: Sequence[T], window: Window, compute: Callable[[Sequence[T]], list[U]]
    ) -> Iterator[U]:
        """Compute something of each item, all of which are looked at in windows of one size."""
        count = max(1, self.batch_tokens // (window.height * window.width))
        for start in range(0, len(items), count):
            yield from self._in_halves(items[start : start + count], compute)

    def _in_halves(self, items: Sequence[T], compute: Callable[[Sequence[T]], list[U]]) -> list[U]:
        """Compute a batch; in halves where memory runs out, and in the end on the CPU."""
        if len(items) == 1:
            return self.room.attempt(lambda: compute(items))
        try:
            return compute(items)
        except Exception as error:
            if not out_of_memory(error):
                raise
        self.batch_tokens = max(self.batch_tokens // 2, 64)
        half = len(items) // 2
        return [*self._in_halves(items[:half], compute), *self._in_halves(items[half:], compute)]


def _extent(prompt: Prompt, seen: Extent | None) -> Extent:
    """Where a prompt and the mask that it corrects are, in data pixels."""
    if prompt.mask is not None:
        (rows, columns), _ = prompt.part
        return float(rows.start), float(columns.start), float(rows.stop), float(columns.stop)
    marks = [prompt.points] if prompt.box is None else [prompt.points, prompt.box]
    if seen is not None:
        marks.append(np.array(seen).reshape(2, 2))
    places = np.concatenate(marks)
    (y0, x0), (y1, x1) = places.min(axis=0), places.max(axis=0)
    return float(y0), float(x0), float(y1), float(x1)


def _memory(memory: Memory, i: int, window: Window) -> Memory:
    # Half the memory, and the precision that the published predictor keeps.
    features = memory.features[i : i + 1].to(torch.bfloat16)
    return Memory(features, TokenGrid(window.height, window.width, ((window.row, window.column),)))


def _window(item: Remembered) -> Window:
    assert item.window is not None  # it is offered
    return item.window


def _pointers(look: Look, device: torch.device) -> list[Tensor]:
    kept = [look.bank[t].pointer for t, _ in look.selection.pointers]
    return [pointer.to(device) for pointer in kept if pointer is not None]


def _row(prediction: MaskPrediction, i: int) -> MaskPrediction:
    s = slice(i, i + 1)
    return MaskPrediction(
        prediction.logits[s],
        prediction.iou[s],
        prediction.object_score[s],
        prediction.pointer[s],
        prediction.chosen[s],
    )
