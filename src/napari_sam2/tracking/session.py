"""A tracking session: prompts in, masks out, on any frame and in any order.

The session joins the parts: `roster` holds what is known of every object (prompts, memories, masks
so far), `prompting` takes prompts, `propagating` follows the objects, and `engine` owns the calls
into the network.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.editing.adopting import adopt, check_given
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.daughters import Mother, find_daughters
from napari_sam2.tracking.finding.everything import (
    LEAST_QUALITY,
    Found,
    check_diameter,
    diameter_of,
    everything,
)
from napari_sam2.tracking.following.passes import Direction
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.masks.mask_text import GivenMasks, masks_text
from napari_sam2.tracking.network.encoding_store import EncodingStore
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.network.room import tokens_at_once
from napari_sam2.tracking.network.views import View, view_of
from napari_sam2.tracking.objects.examined import Examined, ToCheck
from napari_sam2.tracking.objects.objects import TrackedObject
from napari_sam2.tracking.policy import TrackingPolicy
from napari_sam2.tracking.prompt import Prompt, described
from napari_sam2.tracking.prompting import Prompting
from napari_sam2.tracking.prompts import Prompts, checked_labels
from napari_sam2.tracking.propagating import Newcomers, Propagating
from napari_sam2.tracking.results import FrameResult
from napari_sam2.tracking.whole_numbers import whole_number
from napari_sam2.tracking.windows import levels

_ENOUGH = 3  # masks that tell how large cells are


class TrackingSession(Prompting, Propagating):
    """Segment and track objects through a stack.

    Parameters
    ----------
    model : from `load_model`.
    frames : the stack.
    policy : see `TrackingPolicy`.

    Raises
    ------
    InputError
        If the policy's zoom cannot be used with the model or the frames, or one of the three is of
        another type.

    Examples
    --------
    >>> session = TrackingSession(model, Frames(stack))
    >>> session.add_points(object_id=1, frame=0, points=[[120, 88]], positive=[True])
    >>> for result in session.propagate():
    ...     masklets[result.frame] = result.labels
    """

    def __init__(self, model: SAM2, frames: Frames, policy: TrackingPolicy | None = None) -> None:
        _check_types(model, frames, policy)
        self.policy = policy or TrackingPolicy()
        self.model = model
        attention = self.policy.attention or model.config.attention
        engine = Engine(
            model,
            frames,
            levels(model.config, frames.shape, attention, self.policy.zoom),
            attention == "windowed",
            self.policy.cached_frames,
            self.policy.batch_tokens or tokens_at_once(model.device),
            None if self.policy.encodings is None else EncodingStore(self.policy.encodings, model),
        )
        if self.policy.encodings is not None and engine.encodings.store is None:
            warnings.warn(
                f"{model.config.name} looks through windows, which are encoded anew each time: no "
                f"encodings are kept in {self.policy.encodings}",
                stacklevel=1,  # a run makes several sessions, and says it once
            )
        super().__init__(frames, engine)

    def __repr__(self) -> str:
        count = len(self.object_ids)
        return f"TrackingSession({self.model.config.name}, {self.frames}, objects: {count})"

    def adopt_labels(self, labels: Any) -> list[int]:
        """Make the labels of another program masklets, to be corrected or followed.

        They stay to the pixel, on all frames, until something replaces them; the network is not
        asked. `add_prompts` with the labels of one frame is for cells that shall be followed.

        Parameters
        ----------
        labels : (T, Y, X) integers, with frames along the first axis; anything that gives a frame
            for an index. Each label becomes the object of that id.

        Returns
        -------
        list of int
            The ids, rising.

        Raises
        ------
        InputError
            If the shape is not that of the stack, there are no labels, or an id is taken; there
            are no new objects then.
        """
        shape, wanted = tuple(np.shape(labels)), (len(self.frames), *self.frames.shape)
        if shape != wanted:
            raise InputError(f"labels of shape {shape} do not fit the stack, which has {wanted}")
        masks = masks_text(checked_labels(labels[t]) for t in range(len(self.frames)))
        if not masks:
            raise InputError("there are no labels; nothing was adopted")
        for _ in self._adopted(masks):
            pass
        return sorted(masks)

    def adopt_objects(self, masks: Mapping[int, GivenMasks]) -> Generator[FrameResult, None, None]:
        """Make new objects of masks that another program found, frame by frame.

        The network is not asked, until the objects are followed or corrected. Stop iterating
        before the end, and there are no new objects.

        Parameters
        ----------
        masks : object id, of no object yet -> frame -> mask, as `mask_text` writes it.

        Yields
        ------
        FrameResult
            One per frame with masks, holding all objects.

        Raises
        ------
        InputError
            If an id is taken, or a frame or mask cannot be used; there are no new objects then.
        """
        shown = {frame for some in masks.values() for frame in some}
        for frame in self._adopted(masks):
            if frame in shown:
                yield self.result(frame)

    def _adopted(self, masks: Mapping[int, GivenMasks]) -> Iterator[int]:
        """Make objects of masks; yields each frame once all objects have taken it in."""
        masks = {self._checked_new_id(i): some for i, some in masks.items()}
        for i, some in masks.items():
            check_given(i, some, self.frames.shape, len(self.frames))
        spans = {i: range(min(some), max(some) + 1) for i, some in masks.items()}
        first = min((span.start for span in spans.values()), default=0)
        last = max((span.stop for span in spans.values()), default=0)
        complete = False
        try:
            for frame in range(first, last):
                for i in (i for i, span in spans.items() if frame in span):
                    if frame == spans[i].start:
                        self._objects[i] = TrackedObject(self._new_bank())
                    adopt(self._engine, self._objects[i], frame, masks[i].get(frame))
                yield frame
            complete = True
        finally:
            if not complete:
                for i in masks:
                    self._objects.pop(i, None)

    def view(self, object_id: int, frame: int) -> View:
        """Return what the network got to see when it looked at an object on a frame.

        Raises
        ------
        InputError
            If it has not looked.
        """
        estimate = self._existing(object_id).estimates.get(frame)
        if estimate is None:
            raise InputError(f"{described(object_id, frame)}: it has not been looked at there yet")
        return view_of(self._engine, frame, estimate)

    def frames_to_check(self) -> list[ToCheck]:
        """Return which frames of which objects should be looked at, the worst first.

        As *Frames to check* in the window: what the network is not sure of, jumps in size or place,
        gaps, and objects that vanish. Frames with prompts are not among them.
        """
        said = {i: [*prompts] for i, prompts in self.prompts.items()}
        return Examined(len(self.frames), self.traces(), said).to_check

    def find_daughters(self, object_id: int, frame: int) -> tuple[Prompt, Prompt] | None:
        """Look for the two cells that an object has become; the session stays as it is.

        Give the prompts to the daughters that `divide` returns, if they are right.

        Parameters
        ----------
        object_id : the mother.
        frame : the first one on which there are two cells.

        Returns
        -------
        tuple of Prompt, or None
            Masks, that of the upper cell first; None if there are no two cells, or the mother has
            no mask just before.

        Raises
        ------
        InputError
            If there is no such object or frame.
        """
        obj, others = self._existing(object_id), self.result(frame).labels
        mother = Mother.of(obj.estimates.trace(self.frames.shape), frame)
        if mother is None:
            return None
        taken = (others > 0) & (others != object_id)
        found = find_daughters(self._engine, frame, mother, taken)
        return None if found is None else (Prompt(mask=found[0]), Prompt(mask=found[1]))

    def segment_everything(
        self,
        frame: int,
        *,
        taken: npt.ArrayLike | None = None,
        diameter: float | None = None,
        least_quality: float = LEAST_QUALITY,
        most: int | None = None,
    ) -> Generator[Found, None, None]:
        """Look for all cells of a frame, without a click; the session stays as it is.

        Stop iterating at any time: what was yielded stays valid. To follow what was found, add
        `found.prompts(frame)` of the last item with `add_prompts`: new objects, with the ids above
        those of the session's.

        Parameters
        ----------
        frame : index along the propagation axis.
        taken : (Y, X), nonzero where cells are already; only others are looked for. Default: where
            the session's objects are.
        diameter : of a typical cell in data pixels; default: all sizes are tried.
        least_quality : of a cell, 0 to 1; less finds more cells, and more that are none.
        most : number of cells to keep, the best ones.

        Yields
        ------
        Found
            After each batch of clicks; the last one holds all cells.

        Raises
        ------
        InputError
            If the frame does not exist or another argument cannot be used.
        """
        known = None if taken is not None or not self._objects else self.result(frame).labels
        for found in everything(
            self._engine,
            frame,
            taken=known if taken is None else taken,
            diameter=diameter,
            least_quality=least_quality,
            most=most,
        ):
            yield replace(found, first_id=max(self._objects, default=0) + 1)

    def _usual_diameter(self, frame: int) -> float | None:
        """Return that of the median mask of a frame, if there are enough to tell."""
        labels = self.result(frame).labels
        _, areas = np.unique(labels[labels > 0], return_counts=True)
        return diameter_of(float(np.median(areas))) if len(areas) >= _ENOUGH else None

    def checking(self, check: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `check` between the parts of answers meanwhile; what it raises ends the answer."""
        return self._engine.checking(check)

    @torch.inference_mode()
    def propagate_and_find(
        self,
        every: int,
        *,
        diameter: float | None = None,
        least_quality: float = LEAST_QUALITY,
        direction: Direction = "both",
        start: int | None = None,
        stop: int | None = None,
        first_id: int = 1,
        last_id: int | None = None,
        dividing: bool = False,
        object_ids: Iterable[int] | None = None,
        after: int = 0,
    ) -> Generator[FrameResult, None, None]:
        """Follow the objects, and look for cells that come into view or were missed.

        They become objects with a mask as their prompt, which are followed from there on, in the
        same direction, and back to the look before. One that runs into another object on the way
        back, as a daughter into her mother, begins after that frame.

        Parameters
        ----------
        every : frames from one look to the next, and from where a direction begins to the first.
        diameter : of a typical cell in data pixels; None: that of the masks that are there; all
            sizes where there are fewer than three.
        least_quality : of the cells, as for `segment_everything`.
        direction, start, stop : as for `propagate`.
        first_id, last_id : new objects get ids above those of the session's, from `first_id` on;
            once the last one is taken, none is added.
        dividing : cells divide, as they do in time and not in depth: say whose daughters new
            objects are, where an object ends or shrinks as they appear beside it. One that goes on
            as one of its daughters is split there.
        object_ids : follow only these, and what is found.
        after : as for `propagate`; `object_ids` are then those that were followed from the start.

        Yields
        ------
        FrameResult
            One per frame, as `propagate` does, and after each look those since the one before
            again.

        Raises
        ------
        InputError
            If an argument cannot be used, or there is nothing to follow yet.
        """
        check_diameter(diameter, self.frames.shape)
        every = whole_number(every, "the number of frames between two looks")
        if every < 1:
            raise InputError(f"cells are looked for every so many frames, 1 or more, not {every}")

        def find(frame: int) -> list[int]:
            prompts: Prompts = {}
            for found in self.segment_everything(
                frame,
                diameter=diameter or self._usual_diameter(frame),
                least_quality=least_quality,
            ):
                prompts = found.prompts(frame, max(first_id, found.first_id))
            prompts = {i: said for i, said in prompts.items() if last_id is None or i <= last_id}
            self.add_prompts(prompts)
            return [*prompts]

        def show(object_id: int, frame: int, mask: npt.NDArray[np.bool_]) -> None:
            self.add_prompts({object_id: {frame: Prompt(mask=mask)}})

        def free_id() -> int | None:
            free = max(first_id, max(self._objects) + 1)
            return free if last_id is None or free <= last_id else None

        newcomers = Newcomers(every, find, show, free_id, dividing)
        with self.frames.reading_ahead():
            yield from self._following(direction, start, stop, object_ids, after, newcomers)


def _check_types(model: object, frames: object, policy: object) -> None:
    if not isinstance(model, SAM2):
        raise InputError(f"the model comes from load_model(...), not {type(model).__name__}")
    if not isinstance(frames, Frames):
        raise InputError(
            "the frames are Frames(stack), or of a file open_stack(path).frames(), not "
            f"{type(frames).__name__}"
        )
    if not isinstance(policy, TrackingPolicy | None):
        raise InputError(f"the policy is TrackingPolicy(...), not {type(policy).__name__}")
