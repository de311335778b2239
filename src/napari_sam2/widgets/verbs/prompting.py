"""Prompts of the current image: from the mouse and by name, and their answers. No Qt."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.steps import AddPrompts, SetPrompt
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.widgets.canvas.clicking import CHOOSES
from napari_sam2.widgets.ids import HIGHEST
from napari_sam2.widgets.layers.layer_change import LayerChange
from napari_sam2.widgets.session.record import Record
from napari_sam2.widgets.session.runs import Run
from napari_sam2.widgets.verbs.acting import act_long
from napari_sam2.widgets.words import COMMAND

if TYPE_CHECKING:
    from napari_sam2.widgets.workbench import Workbench


class Prompting:
    """Says things of objects on frames; the answers are masks in the labels.

    Parameters
    ----------
    bench
        Has the layers and the session.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._tickets = itertools.count()
        self._newest: dict[tuple[int, int], int] = {}
        # By ticket, what is not being answered yet; whoever takes it out has it.
        self._waiting: dict[int, LayerChange | None] = {}

    def answer(
        self,
        object_id: int,
        frame: int,
        prompt: Prompt | None,
        drawn: bool = False,
        change: LayerChange | None = None,
        text: str = "",
    ) -> None:
        """Answer what stands in the layers: all that is said about an object on a frame.

        Parameters
        ----------
        prompt
            None where it was taken back.
        drawn
            The mask stands in the labels already, pixel by pixel, and is not to be replaced.
        change
            What was done in the layers for it.
        text
            What to say when it is done; by default how sure the answer is.
        """
        bench, controller = self._bench, self._bench.controller
        if bench.layers is None:
            return
        if controller.record is None and not controller.opening:
            bench.status.emit(controller.obstacle, "error")
            return
        if controller.run is not None:
            bench.status.emit("The prompt is answered when the propagation ends.", "busy")
        elif prompt is not None:
            bench.status.emit(f"Segmenting object {object_id} on frame {frame} …", "busy")

        ticket = self._wait((object_id, frame), change)
        other = self._clicked_on(object_id, frame, prompt)
        aside = f" Object {other} is there: {CHOOSES[0].lower()}{CHOOSES[1:]}." if other else ""

        def job() -> str | None:
            try:
                change = self._waiting.pop(ticket)
            except KeyError:  # a newer one has it
                return None
            record = controller.newest
            if record is None:
                return None
            return record.prompt(SetPrompt(object_id, frame, prompt), change, drawn)

        def done(answer: str | None) -> None:
            if answer is None:
                return
            if not drawn:
                bench.show_labels()
            bench.note_locked()
            unseen = "" if bench.source is None else bench.source.unseen(bench.viewer)
            locked = object_id in bench.notes.locked
            held = " It is locked: G leaves its other masks." if locked else ""
            bench.status.emit((text or answer) + aside + held + unseen, "done")
            bench.changed.emit()
            controller.save()

        def failed(error: Exception) -> None:
            if controller.record is not None:  # it knows nothing of it, so nor may the layers
                self._take_back(object_id, frame, controller.record)
                bench.show_labels()
            controller.tell(error)

        controller.submit(job, done, failed, key=(object_id, frame))

    def _clicked_on(self, object_id: int, frame: int, prompt: Prompt | None) -> int:
        """Return the other object whose mask the newest click is on, if it says 'this is it'."""
        writer = self._bench.writer
        if writer is None or prompt is None or not len(prompt.points) or not prompt.positive[-1]:
            return 0
        y, x = np.rint(prompt.points[-1]).astype(int)
        found = writer.at(frame, int(y), int(x))
        return 0 if found == object_id else found

    def _take_back(self, object_id: int, frame: int, record: Record) -> None:
        """Let the layers say of an object on a frame what the session knows."""
        layers = self._bench.layers
        known = record.history.session.prompts.get(object_id, {}).get(frame)
        if layers is not None and known is not None:
            layers.put({object_id: {frame: known}})
        elif layers is not None:
            layers.forget(object_id, frame)

    def _wait(self, key: tuple[int, int], change: LayerChange | None) -> int:
        """Note a change along with the earlier one that it replaces; returns its ticket."""
        earlier = self._waiting.pop(self._newest.get(key, -1), None)
        if change is not None and earlier is not None:
            change = earlier.then(change)
        ticket = self._newest[key] = next(self._tickets)
        self._waiting[ticket] = change
        return ticket

    def say(self, object_id: int, frame: int, prompt: Prompt, text: str = "") -> None:
        """Say all that is said of an object on a frame, as if it was clicked, drawn or painted.

        Raises
        ------
        InputError
            If the prompt cannot be used.
        """
        layers = self._bench.require_layers()
        if layers is None:
            return
        self._check(object_id, frame, prompt)

        def say() -> None:
            change = layers.put({object_id: {frame: prompt}})
            self.answer(object_id, frame, prompt, change=change, text=text)

        layers.when_free(say)

    def unsay(self, object_id: int, frame: int) -> None:
        """Take back all that was said of an object on a frame."""
        layers = self._bench.layers
        if layers is None:
            return

        def unsay() -> None:
            change = layers.forget(object_id, frame)
            self.answer(object_id, frame, None, change=change)

        layers.when_free(unsay)

    def add(self, prompts: Prompts, text: str = "") -> None:
        """Say what is said of many objects; one step to undo.

        Parameters
        ----------
        text
            What is said once it is done, in place of how many are new.

        Raises
        ------
        InputError
            If a prompt cannot be used; none is added then.
        """
        bench, layers = self._bench, self._bench.require_layers()
        if layers is None:
            return
        record = bench.controller.record
        if bench.controller.run is not None or record is None:
            bench.status.emit("Wait until the work at hand is done.", "error")
            return
        for object_id, by_frame in prompts.items():
            for frame, prompt in by_frame.items():
                self._check(object_id, frame, prompt)
        layers.when_free(lambda: self._add(prompts, text, record))

    def _add(self, prompts: Prompts, text: str, record: Record) -> None:
        bench, count = self._bench, len(prompts)
        assert bench.layers is not None
        bench.tools.take_ours()  # Undo is ours, too
        change = bench.layers.put(prompts)
        added: list[bool] = []

        def work(record: Record, run: Run) -> None:
            run.total, run.follow = len({t for some in prompts.values() for t in some}), False
            added.append(run.consume(record.run(AddPrompts(prompts), change)))

        def said(run: Run) -> str:
            if added != [True]:
                return "That was cancelled; nothing was changed."
            objects = "1 object is" if count == 1 else f"{count} objects are"
            return text or f"{objects} new. G follows them; {COMMAND}+Z takes them back."

        def after(_ended: bool) -> None:
            if added != [True]:  # the session knows nothing of them, so nor may the layers
                bench.show_layers(record.layers)

        act_long(bench, work, f"Looking at {count} objects …", said, after)

    def _check(self, object_id: int, frame: int, prompt: Prompt) -> None:
        assert self._bench.layers is not None
        geometry = self._bench.layers.geometry
        if not 1 <= object_id <= HIGHEST:
            raise InputError(f"objects have ids from 1 to {HIGHEST}, not {object_id}")
        if not 0 <= frame < geometry.length:
            last = geometry.length - 1
            raise InputError(f"frame {frame} does not exist; there are frames 0 to {last}")
        prompt.validate(geometry.frame_shape, object_id=object_id, frame=frame)

    def end_here(self) -> None:
        """Say that the current object is not on the frame on screen: it ends here."""
        bench = self._bench
        if bench.require_plane() is not None:
            self.say(bench.object_id, bench.frame_on_screen, Prompt(absent=True))

    def approve(self, object_id: int, frame: int) -> None:
        """Say that the mask on a frame is right: it becomes a prompt, which nothing overwrites."""
        bench = self._bench
        if bench.require_layers() is None or bench.writer is None:
            return
        mask = bench.writer.read(frame) == object_id
        if not mask.any():
            bench.status.emit(f"Object {object_id} has no mask on frame {frame}.", "info")
            return
        text = f"{bench.notes.name(object_id)}, frame {frame} is accepted."
        self.say(object_id, frame, Prompt(mask=mask), text + " J goes to the next frame to check.")

    def remove_last_point(self) -> None:
        """Take back the newest point of the current object."""
        bench = self._bench
        if bench.layers is None or not bench.layers.remove_last_point():
            text = f"{bench.notes.name(bench.object_id)} has no point to take back."
            bench.status.emit(text, "info")
