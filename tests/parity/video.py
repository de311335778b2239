"""The same script of prompts and propagations on both sides.

The reference tracks objects one by one, so every object gets a state of its own there, and is
propagated from its own first prompt, as a session of ours does.

Two thresholds turn a difference of 1e-6 into a large one, here and there, on both sides alike.
They would hide what is compared and are therefore taken out of the way:

- Memories are kept as bfloat16. A value next to a rounding boundary may go either way, by 2^-8
  of its size. Both sides keep float32 here, unless `rounded`.
- The mask of a prompted frame is remembered as binary: pixels within 1e-6 of the threshold may
  go either way. Both sides remember the reference's mask, after ours has been compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from oracle import Differences, Pair, heads_output
from torch import Tensor

from napari_sam2.model.values import MaskPrediction
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.memory_bank import MemoryBank, Remembered
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession


@dataclass(frozen=True)
class Say:
    """A prompt: of which object, on which frame."""

    object_id: int
    frame: int
    prompt: Prompt


@dataclass(frozen=True)
class Go:
    """Propagation of all objects."""

    direction: str = "forward"


Script = list[Say | Go]


@dataclass
class Seen:
    """What one side found of an object on a frame."""

    logits: Tensor
    iou: Tensor
    score: Tensor
    pointer: Tensor
    memory: Tensor | None = None


# Step of the script, object, frame.
Record = dict[tuple[int, int, int], Seen]


@dataclass
class Played:
    """What became of a script: all that was seen, and labels by step and frame."""

    record: Record = field(default_factory=dict)
    labels: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    # By step and frame, then by object: full-size logits that the labels were made of.
    claims: dict[tuple[int, int], dict[int, np.ndarray]] = field(default_factory=dict)

    def tied(self, key: tuple[int, int], labels: np.ndarray) -> np.ndarray:
        """Pixels given to one of two objects that claim them alike, to within float16.

        With random weights two tracked objects may have nearly the same mask.
        """
        claims = self.claims[key]
        best = np.max(list(claims.values()), axis=0)
        chosen = sum(np.where(labels == i, claim, 0.0) for i, claim in claims.items())
        return (labels > 0) & (self.labels[key] > 0) & (best - chosen < 1e-2)


def play_ours(pair: Pair, frames: Frames, script: Script, theirs: Played | None = None) -> Played:
    """Run a script through a session; prompted masks are remembered as in `theirs`."""
    played = Played()
    session = TrackingSession(pair.model, frames, TrackingPolicy(attention="exact"))
    with _spied(session) as (answers, tracked, remembered, remember_as):
        for step, action in enumerate(script):
            tracked.clear()
            remembered.clear()
            if isinstance(action, Say):
                if theirs is not None:
                    known = theirs.record[step, action.object_id, action.frame]
                    remember_as[:] = [known.logits]
                key = (step, action.object_id, action.frame)
                count = len(answers)
                _say(session, action)
                if len(answers) > count:
                    played.record[key] = _seen(answers[-1])
                else:  # a mask, which is its own answer
                    played.record[key] = _drawn(session, action, remember_as)
                continue
            for result in session.propagate(action.direction):
                played.labels[step, result.frame] = result.labels
            owners = {id(obj.bank): i for i, obj in session._objects.items()}
            for bank, frame, seen in tracked:
                played.record[step, owners[bank], frame] = seen
            for bank, frame, memory in remembered:
                key = (step, owners[bank], frame)
                if key in played.record:
                    played.record[key].memory = memory
                else:
                    _latest(played.record, owners[bank], frame, step).memory = memory
    return played


def _say(session: TrackingSession, say: Say) -> None:
    known = session.prompts.get(say.object_id, {}).get(say.frame)
    if known is not None or (say.prompt.box is None and say.prompt.mask is None):
        session.add_points(say.object_id, say.frame, say.prompt.points, say.prompt.positive)
    else:
        session.add_prompts({say.object_id: {say.frame: say.prompt}})


def _seen(prediction: MaskPrediction, i: int = 0) -> Seen:
    return Seen(
        prediction.best_logits[i],
        prediction.best_iou[i],
        prediction.object_score[i],
        prediction.pointer[i],
    )


def _drawn(session: TrackingSession, say: Say, remember_as: list[Tensor]) -> Seen:
    """What is made of a mask: its logits at once, its pointer when it is memorized."""
    obj, engine = session._objects[say.object_id], session._engine
    answer = obj.pending[say.frame]
    (pointer,) = engine.pointers(say.frame, [answer.window], [obj.prompts[say.frame]])
    if remember_as:
        obj.pending[say.frame] = replace(answer, logits=remember_as.pop())
    score = torch.tensor(answer.score)
    iou = torch.tensor(obj.estimates[say.frame].quality.iou)
    return Seen(answer.logits, iou, score, pointer[0])


def _latest(record: Record, object_id: int, frame: int, step: int) -> Seen:
    """The last answer of an object on a frame up to a step."""
    steps = [s for s, i, t in record if i == object_id and t == frame and s <= step]
    return record[max(steps), object_id, frame]


@contextmanager
def _spied(session: TrackingSession) -> Iterator[tuple[list[Any], ...]]:
    """Listen to a session: answers to prompts, tracked frames, memories before rounding.

    What is put into the last list is remembered in place of the next answer's mask.
    """
    answers: list[MaskPrediction] = []
    tracked: list[tuple[int, int, Seen]] = []
    remembered: list[tuple[int, int, Tensor]] = []
    remember_as: list[Tensor] = []
    fresh: list[Tensor] = []
    engine, model = session._engine, session.model
    answer, track, memorize, remember = (
        engine.answer, engine.track, model.memorize, MemoryBank.remember,
    )  # fmt: skip

    def answer_(*args: Any, **named: Any) -> MaskPrediction:
        prediction = answer(*args, **named)
        answers.append(prediction)
        if not remember_as:
            return prediction
        return replace(
            prediction,
            logits=remember_as.pop()[None, None],
            iou=prediction.best_iou[None],
            chosen=torch.zeros_like(prediction.chosen),
        )

    def track_(frame: int, looks: Any) -> Iterator[tuple[Sequence[int], MaskPrediction]]:
        for members, prediction in track(frame, looks):
            for k, i in enumerate(members):
                tracked.append((id(looks[i].bank), frame, _seen(prediction, k)))
            yield members, prediction

    def memorize_(*args: Any, **named: Any) -> Any:
        memory = memorize(*args, **named)
        fresh.extend(memory.features)
        return memory

    def remember_(bank: MemoryBank, frame: int, item: Remembered, conditioning: bool) -> None:
        remembered.append((id(bank), frame, fresh.pop(0)))
        remember(bank, frame, item, conditioning)

    with (
        mock.patch.object(engine, "answer", answer_),
        mock.patch.object(engine, "track", track_),
        mock.patch.object(model, "memorize", memorize_),
        mock.patch.object(MemoryBank, "remember", remember_),
    ):
        yield answers, tracked, remembered, remember_as


class ReferenceObject:
    """One object in a state of the reference's video predictor."""

    def __init__(self, pair: Pair, frames: Frames) -> None:
        self.predictor = pair.reference
        size = (pair.size, pair.size)
        images = torch.cat([frames.tensor(t, size) for t in range(len(frames))])
        # Both sides see what `Frames` makes: were it the same of all frames, they would agree, too.
        assert len(torch.unique(images, dim=0)) == len(images)
        target = "sam2.sam2_video_predictor.load_video_frames"
        with mock.patch(target, return_value=(images, *frames.shape)):
            self.state = self.predictor.init_state("")
        self.last: dict[str, Any] = {}
        self.memories: dict[int, Tensor] = {}

    @property
    def prompted(self) -> list[int]:
        """Frames with prompts."""
        points, masks = (self.state[k].get(0, {}) for k in _INPUTS)
        return sorted({*points, *masks})

    def say(self, say: Say) -> Seen:
        """Answer a prompt."""
        prompt = say.prompt
        if prompt.mask is not None:
            with self._spied():
                self.predictor.add_new_mask(self.state, say.frame, 1, prompt.mask)
            return self._seen(self._answer(say.frame))
        box = None if prompt.box is None else prompt.box[:, ::-1].ravel()
        with self._spied():
            self.predictor.add_new_points_or_box(
                self.state,
                say.frame,
                1,
                points=np.ascontiguousarray(prompt.points[:, ::-1], dtype=np.float32),
                labels=prompt.positive.astype(np.int32),
                box=None if box is None else np.ascontiguousarray(box, dtype=np.float32),
                clear_old_points=box is not None,
            )
        return self._seen(self._answer(say.frame))

    def _answer(self, frame: int) -> dict[str, Tensor]:
        return self.state["temp_output_dict_per_obj"][0]["cond_frame_outputs"][frame]

    def go(self, start: int, reverse: bool) -> Iterator[tuple[int, Seen | None, Tensor]]:
        """Propagate; yields the frame, what was seen if it was tracked, and full-size logits."""
        with self._spied():
            way = self.predictor.propagate_in_video(self.state, start, reverse=reverse)
            while True:
                self.last.clear()
                step = next(way, None)
                if step is None:
                    return
                frame, _, full = step
                known = self.state["output_dict_per_obj"][0]["non_cond_frame_outputs"]
                seen = self._seen(known[frame]) if "heads" in self.last else None
                if seen is not None:
                    seen.memory = self.last["memory"]
                yield frame, seen, full[0, 0]

    def _seen(self, out: dict[str, Tensor]) -> Seen:
        ious = self.last["heads"]["iou"][0]
        return Seen(
            out["pred_masks"][0, 0],
            ious.max(),
            out["object_score_logits"][0, 0],
            out["obj_ptr"][0],
        )

    @contextmanager
    def _spied(self) -> Iterator[None]:
        predictor, last = self.predictor, self.last
        heads, adopt, encode, consolidate = (
            predictor._forward_sam_heads,
            predictor._use_mask_as_output,
            predictor._encode_new_memory,
            predictor._run_memory_encoder,
        )

        def heads_(*args: Any, **named: Any) -> Any:
            out = heads(*args, **named)
            last["heads"] = heads_output(out)
            return out

        def adopt_(*args: Any, **named: Any) -> Any:
            out = adopt(*args, **named)
            last["heads"] = heads_output(out)
            return out

        def encode_(*args: Any, **named: Any) -> Any:
            out = encode(*args, **named)
            last["memory"] = out[0][0].clone()
            return out

        def consolidate_(*args: Any, **named: Any) -> Any:
            out = consolidate(*args, **named)
            self.memories[named["frame_idx"]] = last["memory"]
            return out

        with (
            mock.patch.object(predictor, "_forward_sam_heads", heads_),
            mock.patch.object(predictor, "_use_mask_as_output", adopt_),
            mock.patch.object(predictor, "_encode_new_memory", encode_),
            mock.patch.object(predictor, "_run_memory_encoder", consolidate_),
        ):
            yield


_INPUTS = ("point_inputs_per_obj", "mask_inputs_per_obj")


@contextmanager
def encodings_kept(pair: Pair) -> Iterator[None]:
    """Let the reference encode each image once, whatever the number of states."""
    encode: Callable[[Tensor], Any] = pair.reference.forward_image
    kept: dict[bytes, Any] = {}

    def forward_image(image: Tensor) -> Any:
        key = image[0, :, ::16, ::16].contiguous().numpy().tobytes()
        if key not in kept:
            kept[key] = encode(image)
        return kept[key]

    with mock.patch.object(pair.reference, "forward_image", forward_image):
        yield


def play_reference(pair: Pair, frames: Frames, script: Script) -> Played:
    """Run a script through the reference's video predictor."""
    played = Played()
    objects: dict[int, ReferenceObject] = {}
    logits: dict[tuple[int, int], Tensor] = {}
    drawn: dict[tuple[int, int], np.ndarray] = {}
    with encodings_kept(pair), torch.inference_mode():
        for step, action in enumerate(script):
            if isinstance(action, Say):
                i, t = action.object_id, action.frame
                obj = objects.setdefault(i, ReferenceObject(pair, frames))
                played.record[step, i, t] = obj.say(action)
                if action.prompt.mask is not None:
                    drawn[i, t] = action.prompt.mask
                continue
            for i, obj in objects.items():
                for t, seen, full in _ways(obj, action.direction):
                    logits[i, t] = full
                    if seen is not None:
                        played.record[step, i, t] = seen
                for t, memory in obj.memories.items():
                    _latest(played.record, i, t, step).memory = memory
                obj.memories.clear()
            for t in {t for _, t in logits}:
                here = {i: x.numpy() for (i, u), x in logits.items() if u == t}
                # A mask that the user painted is shown as painted, not resampled.
                here |= {i: 20.0 * m - 10.0 for (i, u), m in drawn.items() if u == t and i in here}
                played.claims[step, t] = here
                played.labels[step, t] = _labels(here)
    return played


def _ways(obj: ReferenceObject, direction: str) -> Iterator[tuple[int, Seen | None, Tensor]]:
    if direction != "backward":
        yield from obj.go(min(obj.prompted), reverse=False)
    if direction != "forward":
        prompted = obj.prompted
        yield from obj.go(min(prompted) if direction == "both" else max(prompted), reverse=True)


def _labels(claims: dict[int, np.ndarray]) -> np.ndarray:
    """Each pixel to the object with the highest logit there, if that is above 0."""
    ids = sorted(claims)
    values = np.stack([claims[i] for i in ids])
    return np.where(values.max(0) > 0, np.array(ids)[values.argmax(0)], 0)


def compare(
    pair: Pair, clip: np.ndarray, script: Script, rounded: bool = False
) -> tuple[Differences, Played]:
    """Play a script on both sides and compare all that was seen."""
    frames = Frames(clip, contrast=(0, 255))
    exact = mock.patch.object(torch, "bfloat16", torch.float32)
    with nullcontext() if rounded else exact:
        theirs = play_reference(pair, frames, script)
        ours = play_ours(pair, frames, script, theirs)
    assert ours.record.keys() == theirs.record.keys()
    found = Differences()
    for key, mine in ours.record.items():
        other = theirs.record[key]
        found.add("logits", mine.logits, other.logits)
        found.add("IoU", mine.iou, other.iou)
        found.add("score", mine.score, other.score)
        found.add("pointer", mine.pointer, other.pointer)
        assert (mine.memory is None) == (other.memory is None), key
        if mine.memory is not None and other.memory is not None:
            found.add("memory", mine.memory, other.memory)
    assert ours.labels.keys() == theirs.labels.keys()
    for key, labels in ours.labels.items():
        found.add_labels(labels, np.where(theirs.tied(key, labels), labels, theirs.labels[key]))
    return found, theirs
