"""What was done in the window: to the session, to the labels and to the prompt layers.

Belongs to the worker's thread, as the session does.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.kept.history import Done, History
from napari_sam2.tracking.kept.pace import Pace
from napari_sam2.tracking.kept.steps import CloseGaps, Propagate, Repair, SetPrompt, Step
from napari_sam2.tracking.masks.thin_mask import ThinMask
from napari_sam2.tracking.prompt import Prompts
from napari_sam2.widgets.layers.layer_change import LayerChange, Standing
from napari_sam2.widgets.layers.painting import Stroke
from napari_sam2.widgets.layers.planes import Planes
from napari_sam2.widgets.layers.results import ResultWriter
from napari_sam2.widgets.notes import Noted
from napari_sam2.widgets.words import COMMAND

if TYPE_CHECKING:
    from napari_sam2.tracking.results import FrameResult

_HUGE = 5  # times the area that an object had: a click seldom means that


@dataclass
class _Extra:
    group: int | None
    before: Any
    after: Any
    planes: Planes
    notes: dict[int, Noted]
    strokes: Mapping[int, Sequence[Stroke]]


@dataclass(frozen=True)
class Undone:
    """What undo or redo did: the step, the layers as they shall be, and the notes kept with it."""

    step: Step
    layers: Standing
    notes: dict[int, Noted]


class Record:
    """Does steps, writes what comes out, and takes them back.

    Parameters
    ----------
    session
        Changed only through this from now on.
    writer
        Where labels go.
    layers
        The prompt layers as they are now.
    """

    def __init__(self, session: Any, writer: ResultWriter, layers: Any = None) -> None:
        self.history = History(session)
        self.pace = Pace.of(session)
        """What was measured of its speed."""
        self.layers = Standing(layers, session.prompts)
        """The prompt layers as they are after what was done last."""
        self._writer = writer

    def run(
        self,
        step: Step,
        change: LayerChange | None = None,
        write: bool = True,
        layers_of: Callable[[Prompts], Any] | None = None,
        notes: dict[int, Noted] | None = None,
    ) -> Generator[FrameResult, None, None]:
        """Do a step and write each frame as it comes.

        Parameters
        ----------
        change
            What the user did for it in the layers.
        write
            False where the labels already show what the step is about.
        layers_of
            Makes the layers from the prompts, where it was not the layers that the step came from.
        notes
            Where `Notes.done` keeps what was noted before.
        """
        session = self.history.session
        extra = _Extra(
            None if change is None else change.group,
            self.layers.state,
            self.layers.state if change is None else change.after,
            self._writer.begin({} if change is None else self._before(change)),
            {} if notes is None else notes,
            {} if change is None else change.cut_strokes(),
        )
        # These leave labels of other origin alone where it finds nothing.
        ids = (
            () if isinstance(step, Propagate | Repair | CloseGaps) else tuple(step.touches(session))
        )
        ended = written = False
        try:
            with (
                closing(self.history.run(step, extra, parts=True)) as results,
                self.pace.watching(session, step) as watch,
            ):
                for result in results:
                    if write:
                        known = {*result.quality, *ids}
                        self._writer.write(result.frame, result.labels, known, result.place)
                    written = True
                    with watch.resting():
                        yield result
            ended = True
        finally:
            kept = ended or (written and isinstance(step, Propagate | Repair))
            if not kept:
                self._writer.swap(extra.planes)  # as it was before the step and its strokes
            else:
                self._writer.object_ids -= set(ids) - set(session.object_ids)
                if layers_of is not None:
                    extra.after = layers_of(session.prompts)
                self.layers = Standing(extra.after, session.prompts)

    def settle(self) -> None:
        """Make all that was done until now the ground that undo does not go below."""
        self.history.settle()
        self.layers = Standing(self.layers.state, self.history.session.prompts)

    def _before(self, change: LayerChange) -> Mapping[int, npt.NDArray[Any]]:
        """Return the labels before they were painted on, with what was written meanwhile."""
        session, writer = self.history.session, self._writer
        planes = {}
        for frame, strokes in change.strokes.items():
            now = writer.read(frame)
            planes[frame] = _without(strokes, now)
            if not np.array_equal(now, strokes[-1].after):
                result = session.result(frame)
                # Also what is gone since: a stroke shows it as it was before.
                known = {*writer.object_ids, *result.quality, *self.history.object_ids}
                planes[frame] = writer.laid(planes[frame], result.labels, known)
            self._forget(frame, strokes)
        return planes

    def _forget(self, frame: int, strokes: Sequence[Stroke]) -> None:
        """Take strokes out of what undo brings back of steps that were at work meanwhile.

        What they were painted over may be older strokes, which were taken out of it before.
        """
        older: list[Stroke] = []
        for done in self.history.newest_first:
            planes = done.extra.planes
            older = [*done.extra.strokes.get(frame, ()), *older]
            if frame in planes:
                since = planes.kept_at(frame)
                some = [stroke for stroke in strokes if stroke.began <= since]
                if not some:
                    return
                some = [*(stroke for stroke in older if stroke.began <= since), *some]
                place, whole = planes.places[frame], self._writer.read(frame)
                part = ... if place is None else place
                whole[part] = planes[frame]
                planes.keep(frame, _without(some, whole)[part], since, place)

    def resume(
        self, frames: Iterable[int], layers_of: Callable[[Prompts], Any]
    ) -> Iterator[FrameResult]:
        """Write the labels of a session that came back as it was; undo does not go below.

        Parameters
        ----------
        frames
            Those with objects.
        layers_of
            Makes the layers from the prompts.
        """
        session = self.history.session
        self.layers = Standing(layers_of(session.prompts), session.prompts)
        self._writer.begin({})
        for frame in frames:
            result = session.result(frame)
            self._writer.write(frame, result.labels, result.quality)
            yield result

    def prompt(self, step: SetPrompt, change: LayerChange | None, drawn: bool) -> str:
        """Answer a prompt; returns what to say about it."""
        if drawn and step.prompt is not None and step.prompt.thin is not None:
            # What was done meanwhile may have changed it.
            there = self._writer.read(step.frame) == step.object_id
            drawn = ThinMask.of(there) == step.prompt.thin
        usual = self._usual_area(step)
        (result,) = self.run(step, change, write=not drawn)
        return self._answer_in_words(step, result, usual)

    def _answer_in_words(self, step: SetPrompt, result: FrameResult, usual: int) -> str:
        """Say what came of a prompt; `usual` is the area that the object had."""
        who = f"Object {step.object_id}"
        if step.prompt is None:
            return f"{who}: the prompt on frame {step.frame} was taken back."
        size = int((result.labels == step.object_id).sum())
        if step.prompt.absent:
            stale = self.history.session.stale_frames().get(step.object_id)
            more = " H follows it up to there, and no further." if stale else ""
            return f"{who} is not on frame {step.frame}.{more}"
        if not size:
            return f"{who}: nothing found there. Add a point or draw a box around it."
        quality = result.quality.get(step.object_id)
        sure = "" if quality is None else f", {round(100 * quality.iou)} % sure"
        more = _hint(self.history.session, step.object_id, step.frame)
        if usual and size > _HUGE * usual and not step.prompt.only_mask:
            more = (
                f" That is {size / usual:.0f} times as large as before; {COMMAND}+Z takes it back."
            )
        return f"{who}, frame {step.frame}: {size} pixels{sure}.{more}"

    def _usual_area(self, step: SetPrompt) -> int:
        """Return the area of an object before a prompt: on that frame, or one beside it."""
        length = len(self.history.session.frames)
        for frame in (step.frame, step.frame - 1, step.frame + 1):
            if 0 <= frame < length:
                area = int(np.count_nonzero(self._writer.read(frame) == step.object_id))
                if area:
                    return area
        return 0

    def undo(self) -> Undone | None:
        """Take back what was done last; None if there is nothing."""
        return self._turn(self.history.undo, lambda: self.history.last, lambda extra: extra.before)

    def redo(self) -> Undone | None:
        """Do again what was undone last; None if there is nothing."""
        return self._turn(self.history.redo, lambda: self.history.next, lambda extra: extra.after)

    def _turn(
        self,
        move: Callable[[], Done | None],
        peek: Callable[[], Done | None],
        layers: Callable[[_Extra], Any],
    ) -> Undone | None:
        done = move()
        if done is None:
            return None
        step, group = done.step, done.extra.group
        moved = [done.extra.planes]
        self._writer.swap(done.extra.planes)
        while group is not None and (more := peek()) is not None and more.extra.group == group:
            move()
            done = more
            moved.append(more.extra.planes)
            self._writer.swap(more.extra.planes)
        if isinstance(step, SetPrompt):  # others may concern very many frames
            for frame in set().union(*moved):
                result = self.history.session.result(frame)
                self._writer.correct(frame, result.labels, result.quality)
        self.layers = Standing(layers(done.extra), self.history.session.prompts)
        return Undone(step, self.layers, done.extra.notes)


def _without(strokes: Sequence[Stroke], plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    for stroke in reversed(strokes):
        plane = stroke.without(plane)
    return plane


def _hint(session: Any, object_id: int, frame: int) -> str:
    """Say what to do next once a daughter has a mask, or who took the place of a mother.

    "" for other objects.
    """
    parents, prompts = session.parents, session.prompts
    daughters = sorted(i for i, mother in parents.items() if mother == object_id)
    ended = any(p.absent for t, p in prompts.get(object_id, {}).items() if t <= frame)
    if daughters and ended:
        names = " and ".join(map(str, daughters))
        return f" It divided before: choose {names} to correct what came of it."
    mother = parents.get(object_id)
    if mother is None or set(session.frames_of(object_id)) - prompts[object_id].keys():
        return ""  # it was followed already
    sisters = [i for i in session.waiting_daughters if parents.get(i) == mother]
    if sisters:
        return f" N, then click on the other daughter of {mother}, object {sisters[0]}."
    return f" H follows the daughters, and takes away what object {mother} has from there on."
