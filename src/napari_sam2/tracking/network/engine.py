"""The session's calls into the network: answers, tracking and memories, in batches.

Knows frames and windows, but nothing of prompts' history or of the order of interactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_sam2.model.positions import sent
from napari_sam2.model.prompt_encoder import (
    BOX_END,
    BOX_START,
    NEGATIVE,
    POSITIVE,
    PromptInputs,
    carried,
    joint,
)
from napari_sam2.model.sam2 import SAM2
from napari_sam2.model.values import ImageFeatures, MaskPrediction
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.masks.finishing import blended, doubted, generous, tidy
from napari_sam2.tracking.masks.resampling import mask_logits
from napari_sam2.tracking.memory_bank import Remembered
from napari_sam2.tracking.network.encoding_store import EncodingStore
from napari_sam2.tracking.network.encodings import Encodings
from napari_sam2.tracking.network.hypotheses import Hypotheses, KeptHypotheses
from napari_sam2.tracking.network.looks import Look, alike, last_masks, memories_of, recollection
from napari_sam2.tracking.network.placement import Placement
from napari_sam2.tracking.network.room import Room
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.stack.jumps import Jumps, Shift, shift_between
from napari_sam2.tracking.windows import TOKEN, Box, Geometry, Window

T = TypeVar("T")


class Engine(Placement):
    """The network on one stack.

    Parameters
    ----------
    model : the network, on its device.
    frames : the stack.
    levels, windowed : see `Placement`.
    cached_frames : see `Encodings`.
    batch_tokens : see `Room`.
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
        super().__init__(levels, windowed)
        self.model = model
        self.frames = frames
        # Published models know whole frames only, and are answered as published.
        self.small = windowed and not model.config.square_input
        self.encodings = Encodings(model, frames, self.levels, self.small, cached_frames, store)
        self.room = Room(model, self.encodings, batch_tokens)
        self.jumps = Jumps(frames, model.device)
        self._asked = KeptHypotheses()
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

    def hypotheses(
        self, frame: int, prompt: Prompt, geometries: Sequence[Geometry]
    ) -> list[Hypotheses]:
        """Return all that clicks on an object of unknown size may mean on some levels.

        The last ones are kept.
        """

        def ask(missing: Sequence[Geometry]) -> dict[Geometry, Hypotheses]:
            windows = [self.click_window(geometry, prompt) for geometry in missing]
            parts = self.room.by_size(
                windows, lambda some: self._hypotheses(frame, [windows[i] for i in some], prompt)
            )
            return dict(zip(missing, parts, strict=True))

        return self._asked.of(frame, prompt, geometries, ask)

    def _hypotheses(
        self, frame: int, windows: Sequence[Window], prompt: Prompt
    ) -> list[Hypotheses]:
        self._checked()
        features = self.encodings.windows(frame, windows)
        self._checked()
        output, pointers = self.model.decode_all(
            self.model.recall(features, None),
            features,
            joint([self._inputs(window, prompt, None) for window in windows]),
        )
        logits, iou, score = (x.cpu() for x in (output.logits, output.iou, output.object_score))
        parts = (logits, iou, torch.split(score, 1), pointers)
        return [Hypotheses(*one) for one in zip(windows, *parts, strict=True)]

    def boxed(
        self, frame: int, windows: Sequence[Window], boxes: Sequence[npt.NDArray[np.float64]]
    ) -> list[tuple[Tensor, float]]:
        """Answer boxes, each for an object of its own, as one batch.

        Parameters
        ----------
        frame : the boxes' frame; what was tracked there does not count.
        windows : where each is answered.
        boxes : (2, 2) each, as in `Prompt`.

        Returns
        -------
        list of tuple
            Logits (4 h, 4 w) and the predicted IoU of each.
        """

        def compute(some: Sequence[int]) -> list[tuple[Tensor, float]]:
            self._checked()
            features = self.encodings.windows(frame, [windows[i] for i in some])
            prompts = [self._inputs(windows[i], Prompt(box=boxes[i]), None) for i in some]
            conditioned = self.model.recall(features, None)
            answers = self.model.predict_masks(conditioned, features, joint(prompts))
            return [*zip(answers.best_logits.cpu(), answers.best_iou.tolist(), strict=True)]

        return self.room.by_size(windows, compute)

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
        # On the host: an answer has several parts, and the network may leave the GPU in between.
        return self.room.attempt(
            lambda: self._answer(frame, window, prompt, look, earlier).on_host()
        )

    def _answer(
        self, frame: int, window: Window, prompt: Prompt, look: Look | None, earlier: Tensor | None
    ) -> MaskPrediction:
        self._checked()
        features = self.encodings.windows(frame, [window])
        self._checked()
        if prompt.thin is not None:
            earlier = mask_logits(self.drawn(window, prompt))
        looks = [] if look is None else [look]
        self._awaken(looks)
        conditioned = self._recall(frame, features, looks)
        inputs = self._inputs(window, prompt, earlier)
        if self.small and earlier is not None and prompt.thin is None and len(prompt.points):
            return self.model.correct_masks(conditioned, features, inputs)
        return self.model.predict_masks(conditioned, features, inputs)

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
            self._checked()
            features = self.encodings.windows(frame, windows)
            device = self.model.device
            places = self.geometry(windows[0]).to_model(points)[:, None].to(device)
            signs = torch.full(places.shape[:2], POSITIVE, dtype=torch.long, device=device)
            conditioned = self.model.recall(features, None)
            return self.model.predict_masks(conditioned, features, PromptInputs(places, signs))

        prediction = self.room.attempt(compute)
        if not self.windowed:
            return prediction
        return tidy(replace(prediction, logits=generous(prediction.logits)))

    def _inputs(self, window: Window, prompt: Prompt, earlier: Tensor | None) -> PromptInputs:
        geometry = self.geometry(window)
        points = geometry.to_model(prompt.points)
        labels = torch.tensor([POSITIVE if p else NEGATIVE for p in prompt.positive]).long()
        if prompt.box is not None:
            points = torch.cat([geometry.box_to_model(prompt.box), points])
            labels = torch.cat([torch.tensor([BOX_START, BOX_END]), labels])
        device = self.model.device
        mask = None if earlier is None else earlier[None, None].clamp(-32, 32).to(device)
        return PromptInputs(points[None].to(device), labels[None].to(device), mask)

    def _recall(self, frame: int, features: ImageFeatures, looks: Sequence[Look]) -> Tensor:
        if not looks:
            return self.model.recall(features, None)
        prepared = self.encodings.prepared(frame, [look.window for look in looks])
        geometry = self.geometry(looks[0].window)

        def moved(look: Look, there: int) -> tuple[int, int]:
            (y, x), (sy, sx) = shift_between(look.bank.jumps, there, frame), geometry.scale
            return round(y * sy / TOKEN), round(x * sx / TOKEN)

        known = recollection(looks, self.model.config.hidden, self.model.device, moved)
        return self.model.recall(features, known, prepared)

    def jump(self, frame: int, reverse: bool) -> tuple[int, Shift]:
        """Look for a jump of the whole picture; see `Jumps.look`."""
        return self._seeing(lambda: self.jumps.look(frame, reverse))

    def takes_along(self, later: int, jump: Shift, reverse: bool, box: Box) -> bool:
        """Tell whether an object jumped with it; see `Jumps.takes_along`."""
        return self._seeing(lambda: self.jumps.takes_along(later, jump, reverse, box))

    def _seeing(self, look: Callable[[], T]) -> T:
        """Look at frames where the network is: on the CPU, once the GPU's memory has run out."""

        def compute() -> T:
            self.jumps.device = self.model.device
            return look()

        return self.room.attempt(compute)

    def track(
        self, frame: int, looks: Sequence[Look]
    ) -> Iterator[tuple[Sequence[int], MaskPrediction]]:
        """Find objects on a frame by what they remember.

        Yields
        ------
        indices into `looks` and the prediction for these, batch by batch; the objects' banks
        have taken the frame in by then.
        """
        self._awaken(looks)
        for members in alike(looks):

            def compute(part: Sequence[int]) -> list[tuple[Sequence[int], MaskPrediction]]:
                return [(part, self._track_batch(frame, [looks[i] for i in part]))]

            yield from self.room.in_batches(members, looks[members[0]].window, compute)

    def _track_batch(self, frame: int, looks: Sequence[Look]) -> MaskPrediction:
        windows = [look.window for look in looks]
        features = self.encodings.windows(frame, windows)
        conditioned = self._recall(frame, features, looks)
        prompts = None
        if self.model.config.carried_mask:
            masks = last_masks(looks).clamp_(-32, 32)
            prompts = carried(sent(masks, self.model.device))
        prediction = self.model.predict_masks(conditioned, features, prompts)
        if self.windowed:
            prediction = tidy(blended(prediction))
            prediction = prediction.without(doubted(prediction), self.model.no_object_pointer)
        memory = self.model.memorize(features, prediction.best_logits, prediction.object_score)
        prediction = prediction.best().on_host()
        for look, *kept in zip(
            looks,
            memories_of(memory, windows),
            (pointer.clone() for pointer in torch.split(prediction.pointer, 1)),
            (logits.clone() for logits in prediction.best_logits),
            windows,
            prediction.object_score.tolist(),
            strict=True,
        ):
            look.bank.remember(frame, Remembered(*kept), conditioning=False)
        return prediction

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
            memories = memories_of(memory, windows)
            return [replace(item, memory=own) for item, own in zip(some, memories, strict=True)]

        return self.room.in_batches(items, _window(items[0]), compute)

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

        return self.room.in_batches([*zip(windows, prompts, strict=True)], windows[0], compute)


def _window(item: Remembered) -> Window:
    assert item.window is not None  # it is offered
    return item.window
