"""How a prompt is answered: found anew, or as a correction of what is known."""

from __future__ import annotations

from napari_sam2.model.mask_decoder import stability
from napari_sam2.model.values import SURE_LOGIT, MaskPrediction
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.finding import Known, correct, find, outline
from napari_sam2.tracking.masks.finishing import fit_box, obey, tidy
from napari_sam2.tracking.masks.resampling import mask_logits
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.network.looks import Look
from napari_sam2.tracking.objects.estimates import Estimate, Quality
from napari_sam2.tracking.objects.objects import Pending, TrackedObject
from napari_sam2.tracking.prompt import Prompt, described
from napari_sam2.tracking.windows import Window


def answer(
    engine: Engine, obj: TrackedObject, frame: int, prompt: Prompt, continued: bool
) -> Estimate:
    """Ask the network, and note the answer in the object; a failure leaves it as it was.

    Parameters
    ----------
    engine : the network on the stack.
    obj : that is prompted.
    frame : where.
    prompt : all that is said there, checked.
    continued : the last answer already took in a part of it.
    """
    obj.note_prompt(frame)
    continued = continued and frame not in obj.ends
    start = obj.start_of(frame, continued)
    if start is not None and engine.windowed and not start.kept.size:
        start = None  # it was lost: there is nothing to correct, it has to be found
    if prompt.only_mask:
        answered = _by_mask(engine, obj, frame, prompt, start)
    else:
        answered = _by_network(engine, obj, frame, prompt, start, continued)
    obj.prompts[frame] = prompt
    obj.ends.discard(frame)
    obj.note_change(frame)
    obj.pending[frame], obj.estimates[frame] = answered
    return answered[1]


def _by_mask(
    engine: Engine, obj: TrackedObject, frame: int, prompt: Prompt, start: Estimate | None
) -> tuple[Pending, Estimate]:
    """Take a mask for its own answer; the network is asked for its pointer when that is needed."""
    level = obj.level(frame) if start is None else start.window.grid
    window = engine.prompt_window(prompt, start, level)
    logits = mask_logits(engine.drawn(window, prompt))
    quality = Quality(1.0, SURE_LOGIT, float(stability(logits)))
    return Pending(window, logits, SURE_LOGIT, None), Estimate.of(window, logits, quality)


def _by_network(
    engine: Engine,
    obj: TrackedObject,
    frame: int,
    prompt: Prompt,
    start: Estimate | None,
    continued: bool,
) -> tuple[Pending, Estimate]:
    """Ask in the way that what is known of the object calls for."""
    level = obj.level(frame)
    alone = engine.windowed and frame not in obj.tracked
    if start is None and engine.must_find(prompt):
        window, prediction = _in_turn(engine, frame, prompt, level)
    elif engine.may_average(prompt) and (start is None or not continued):
        # A new box shows all of the object, whatever was found.
        window, prediction = outline(engine, frame, prompt, level)
    elif start is not None and alone and engine.must_find(prompt):
        exact = obj.start_logits(frame, start.window, continued)
        assert exact is not None
        window, prediction = correct(engine, frame, prompt, level, Known(start, exact))
    else:
        window, prediction = _by_memory(engine, obj, frame, prompt, start, continued)
    score = float(prediction.object_score[0])
    answer = Pending(window, prediction.best_logits[0], score, prediction.pointer)
    return answer, Estimate.each([window], prediction)[0]


def _in_turn(
    engine: Engine, frame: int, prompt: Prompt, level: tuple[int, int] | None
) -> tuple[Window, MaskPrediction]:
    """Find an object by one click, and take the others as if they had come one by one.

    Asked for all at once, a small network knows less than it is told in turn.
    """
    turns = prompt.in_turn()
    window, prediction = find(engine, frame, turns[0], level)
    for turn in turns[1:]:
        known = Known(Estimate.each([window], prediction)[0], prediction.best_logits[0])
        window, prediction = correct(engine, frame, turn, level, known)
    return window, prediction


def _by_memory(
    engine: Engine,
    obj: TrackedObject,
    frame: int,
    prompt: Prompt,
    start: Estimate | None,
    continued: bool,
) -> tuple[Window, MaskPrediction]:
    """Answer on the level where the object lives, with what is remembered of it."""
    level = obj.level(frame) if start is None else start.window.grid
    window = engine.prompt_window(prompt, start, level)
    look = None
    if frame in obj.tracked:
        selection = obj.bank.select(frame, obj.tracked[frame], len(engine.frames))
        look = Look(obj.bank, window, selection) if selection.memories else None
    earlier = None if start is None else obj.start_logits(frame, window, continued)
    prediction = engine.answer(frame, window, prompt, look, earlier)
    if engine.windowed and (len(prompt.points) or prompt.box is not None):
        geometry = engine.geometry(window)
        if engine.small and prompt.thin is None:
            prediction = fit_box(prediction, geometry, window, prompt)
        # Of several clicks, one may be meant for a part that lies apart.
        whole_cell = tidy(prediction) if len(prompt.points) < 2 else prediction
        prediction = obey(whole_cell, geometry, window, prompt, earlier)
    return window, prediction


def says_end(obj: TrackedObject, frame: int, prompt: Prompt) -> bool:
    """Whether a prompt says that an object is not on a frame."""
    return prompt.absent or (prompt.only_negative and obj.is_missing(frame))


def check_shown(object_id: int, frame: int, obj: TrackedObject | None) -> None:
    """Refuse to end an object that nobody has shown on another frame.

    Raises
    ------
    InputError
        If it is so.
    """
    if obj is None or not any(t != frame for t in obj.anchors):
        raise InputError(
            f"{described(object_id, frame)}: it has no prompt on another frame; go to a frame "
            "that shows it and accept its mask (W) or click on it, then say where it ends"
        )


def end(object_id: int, obj: TrackedObject, frame: int, prompt: Prompt) -> Estimate:
    """Take note that an object is not on a frame.

    Raises
    ------
    InputError
        If it is not known from another frame.
    """
    check_shown(object_id, frame, obj)
    if frame in obj.prompts:
        obj.take_back(frame)
    obj.note_prompt(frame)
    obj.prompts[frame] = prompt
    obj.ends.add(frame)
    obj.note_change(frame)
    obj.bank.forget(frame)
    estimate = obj.estimates[frame] = obj.absence()
    return estimate
