"""Prompts: what can be said of an object, and what is shown at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from napari_sam2.model.values import SURE_LOGIT
from napari_sam2.tracking.editing.merging import placed
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.answering import answer, check_shown, end, says_end
from napari_sam2.tracking.objects.estimates import Estimate
from napari_sam2.tracking.objects.objects import TrackedObject
from napari_sam2.tracking.prompt import Prompt, described
from napari_sam2.tracking.results import Preview
from napari_sam2.tracking.roster import Roster
from napari_sam2.tracking.whole_numbers import whole_number


class Prompting(Roster):
    """The part of `TrackingSession` that takes prompts; how they are answered is in `answering`."""

    def add_points(
        self,
        object_id: int,
        frame: int,
        points: npt.ArrayLike,
        positive: npt.ArrayLike | None = None,
        replace: bool = False,
    ) -> Preview:
        """Click on an object, or on what is not part of it.

        On a frame that was tracked before, the clicks correct the mask there. Where clicks alone
        have to find an object of unknown size (`micro`), several at once are answered as if they
        had come in turn; published models see them together, as the reference does.

        Parameters
        ----------
        object_id : positive; a new id makes a new object.
        frame : index along the propagation axis.
        points : (K, 2), (y, x) in data pixels; one point may be given as (2,).
        positive : (K,) bool: on the object, or on what is not; by default all are on it.
        replace : instead of the points, box or mask that the object has on this frame.

        Raises
        ------
        InputError
            If the frame does not exist or a point lies outside of it.
        """
        added = Prompt(points, positive)  # type: ignore[arg-type]
        known = None if replace else self._known(object_id, frame)
        return self._prompt(
            object_id, frame, added if known is None else known.merged(added), known
        )

    @torch.inference_mode()
    def preview(
        self,
        object_id: int,
        frame: int,
        point: npt.ArrayLike,
        check: Callable[[], None] | None = None,
    ) -> Preview:
        """Return what a positive click would be answered with; the session stays as it is.

        Parameters
        ----------
        object_id : that would be clicked on; a new id stands for a new object.
        frame : index along the propagation axis.
        point : (2,), (y, x) in data pixels.
        check : called before each part of the work; what it raises ends the work.

        Raises
        ------
        InputError
            If the frame does not exist or the point lies outside of it.
        """
        click = Prompt(point)  # type: ignore[arg-type]  # becomes an array there
        known = self._known(object_id, frame)
        prompt = self._checked(object_id, frame, click if known is None else known.merged(click))
        obj = self._objects.get(object_id)
        stand_in = TrackedObject(self._new_bank()) if obj is None else obj.copy()
        with self._engine.checking(check):
            estimate = answer(self._engine, stand_in, frame, prompt, known is not None)
        return self._shown(object_id, frame, prompt, estimate)

    def answers_fast(self, frame: int) -> bool:
        """Whether a click on a frame can be answered without encoding all of the frame."""
        return self._engine.encodings.ready(frame)

    def add_box(self, object_id: int, frame: int, box: npt.ArrayLike) -> Preview:
        """Draw a box [[y0, x0], [y1, x1]] around an object; replaces its other prompts there.

        Raises
        ------
        InputError
            If the frame does not exist, or the box has no area or lies outside of it.
        """
        drawn = Prompt(box=box)  # type: ignore[arg-type]
        return self._prompt(object_id, frame, drawn, None)

    def add_mask(self, object_id: int, frame: int, mask: npt.ArrayLike) -> Preview:
        """Draw an object's mask, bool (Y, X); replaces its other prompts on this frame.

        Raises
        ------
        InputError
            If the frame does not exist, or the mask is empty or of another shape.
        """
        return self._prompt(object_id, frame, Prompt(mask=np.asarray(mask)), None)

    def end_object(self, object_id: int, frame: int) -> Preview:
        """Say that an object is not on a frame: it ends there, or begins later.

        From there on, away from its other prompts, it is not followed. A single negative click
        where the object has no mask says the same.

        Raises
        ------
        InputError
            If the frame does not exist, or the object has no prompt on another frame.
        """
        return self._prompt(object_id, frame, Prompt(absent=True), None)

    def add_prompts(self, prompts: Mapping[int, Mapping[int, Prompt]]) -> None:
        """Add prompts of many objects at once, object id -> frame -> prompt.

        All of them are checked before the first is answered. What an object that exists was told on
        such a frame is replaced.

        Raises
        ------
        InputError
            If one of them cannot be used; nothing has been added then.
        """
        checked = {
            (int(object_id), int(frame)): self._checked(object_id, frame, prompt)
            for object_id, by_frame in prompts.items()
            for frame, prompt in by_frame.items()
        }
        for object_id, by_frame in prompts.items():
            known = self._objects.get(object_id)
            if by_frame and all(p.absent for p in by_frame.values()):
                check_shown(object_id, min(by_frame), known)
            shown = {frame: prompt for frame, prompt in by_frame.items() if not prompt.absent}
            if shown and known is None:
                _check_new(object_id, min(shown), shown[min(shown)])
        # Ends last, they need to know the object; frame by frame, so that each is encoded once.
        order = sorted(checked.items(), key=lambda item: (item[1].absent, item[0][1]))
        with self._all_or_nothing(prompts):
            for (object_id, frame), prompt in order:
                self._answer(object_id, frame, prompt, None)

    def set_prompt(self, object_id: int, frame: int, prompt: Prompt | None) -> Preview | None:
        """Say all that is said of an object on a frame, in the place of what was said before.

        Clicks after those that were answered refine that answer, as with `add_points`.

        Parameters
        ----------
        prompt : None takes back what was said, if anything was.

        Raises
        ------
        InputError
            If the prompt cannot be used; what was said before stays then.
        """
        known = self._known(object_id, frame)
        if prompt is None:
            if known is not None:
                self.clear_prompt(object_id, frame)
            return None
        prompt = self._checked(object_id, frame, prompt)
        count = 0 if known is None else len(known.points)
        if known is not None and count < len(prompt.points):
            earlier = Prompt(
                prompt.points[:count], prompt.positive[:count], prompt.box, prompt.thin
            )
            if earlier == known:
                return self._prompt(object_id, frame, prompt, known)
        with self._all_or_nothing([object_id]):
            return self._said_instead(object_id, frame, prompt, known)

    def _said_instead(
        self, object_id: int, frame: int, prompt: Prompt, known: Prompt | None
    ) -> Preview:
        """Answer a prompt in the place of the one that is known there."""
        if known is not None:
            self.clear_prompt(object_id, frame)
        if prompt.absent or (prompt.thin is None and prompt.box is None):
            return self._prompt(object_id, frame, prompt, None)
        drawn = Prompt(mask=prompt.thin) if prompt.thin is not None else Prompt(box=prompt.box)
        preview = self._prompt(object_id, frame, drawn, None)
        if len(prompt.points):
            clicks = Prompt(prompt.points, prompt.positive)
            preview = self._prompt(object_id, frame, drawn.merged(clicks), drawn)
        return preview

    def clear_prompt(self, object_id: int, frame: int) -> None:
        """Take back what was said of an object on a frame; its mask there goes, too.

        Raises
        ------
        InputError
            If there is no such prompt.
        """
        known, frame = self._objects.get(object_id), whole_number(frame, "a frame")
        if known is None or frame not in known.prompts:
            raise InputError(f"{described(object_id, frame)}: there is no prompt to take back")
        known.take_back(frame)

    def _checked(self, object_id: int, frame: int, prompt: object) -> Prompt:
        self._checked_id(object_id)
        self._checked_frame(frame, described(object_id, frame))
        if not isinstance(prompt, Prompt):
            who, kind = described(object_id, frame), type(prompt).__name__
            raise InputError(f"{who}: a prompt is Prompt(...), not {kind}")
        return prompt.validate(self.frames.shape, object_id=object_id, frame=frame)

    def _prompt(self, object_id: int, frame: int, prompt: Prompt, known: Prompt | None) -> Preview:
        checked = self._checked(object_id, frame, prompt)
        object_id, frame = int(object_id), int(frame)  # of numpy, they would overflow
        return self._shown(
            object_id, frame, checked, self._answer(object_id, frame, checked, known)
        )

    def _shown(self, object_id: int, frame: int, prompt: Prompt, estimate: Estimate) -> Preview:
        full = np.full(self.frames.shape, np.float32(-SURE_LOGIT))
        place, values = placed(self._engine, prompt, estimate)
        full[place] = values
        return Preview(object_id, frame, full > 0, full, estimate.quality)

    @torch.inference_mode()
    def _answer(self, object_id: int, frame: int, prompt: Prompt, known: Prompt | None) -> Estimate:
        """Answer a prompt; `known` is the part of it that the last answer already took in."""
        if object_id not in self._objects:
            _check_new(object_id, frame, prompt)
        obj = self._objects.get(object_id) or TrackedObject(self._new_bank())
        if says_end(obj, frame, prompt):
            return end(object_id, obj, frame, prompt)
        estimate = answer(self._engine, obj, frame, prompt, known is not None)
        self._objects.setdefault(object_id, obj)  # only now: what failed leaves no object
        return estimate


def _check_new(object_id: int, frame: int, prompt: Prompt) -> None:
    if prompt.only_negative:
        raise InputError(
            f"{described(object_id, frame)}: what is not the object says nothing of a new one; "
            "click on it first"
        )
