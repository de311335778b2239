"""The session of the window by name: what the mouse does there, for the console and scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.kept.session_file import SUFFIX
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.tracking.prompts import seeds_from_labels
from napari_sam2.tracking.whole_numbers import whole_number
from napari_sam2.widgets.layers.layer_adapters import unwrapped
from napari_sam2.widgets.scripts.live_objects import LiveObjects
from napari_sam2.widgets.session.runs import Way
from napari_sam2.widgets.verbs.following import Looking

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.layers import Labels

    from napari_sam2.tracking.objects.estimates import Quality
    from napari_sam2.tracking.objects.examined import ToCheck


class LiveSession(LiveObjects):
    """The session of the window. Everything is done as if by hand, and can be undone.

    Coordinates are (y, x) in pixels of the image. Each call returns once its result is on screen,
    and raises `InputError` with what the window says where it cannot be done.

    Parameters
    ----------
    widget
        The dock widget.
    """

    def add_points(
        self,
        object_id: int,
        frame: int,
        points: npt.ArrayLike,
        positive: npt.ArrayLike | None = None,
    ) -> npt.NDArray[np.bool_]:
        """Click on an object, or on what is not part of it; returns its mask (Y, X).

        Parameters
        ----------
        points
            (K, 2), (y, x); one point may be given as (2,).
        positive
            (K,) bool; by default all are on the object.

        Raises
        ------
        InputError
            If the frame does not exist or a point lies outside of it.
        """
        clicks = Prompt(points, positive)  # type: ignore[arg-type]  # become arrays there
        object_id, frame = self._id(object_id), self._frame(frame)
        known = self.prompts.get(object_id, {}).get(frame, Prompt())
        if known.absent:
            known = Prompt()
        return self._say(object_id, frame, known.merged(clicks))

    def add_box(self, object_id: int, frame: int, box: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Draw a box [[y0, x0], [y1, x1]] around an object; returns its mask (Y, X).

        Raises
        ------
        InputError
            If the frame does not exist, or the box has no area or lies outside of it.
        """
        return self._say(object_id, frame, Prompt(box=np.asarray(box)))

    def add_mask(self, object_id: int, frame: int, mask: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Paint an object, bool (Y, X); returns its mask.

        Raises
        ------
        InputError
            If the frame does not exist, or the mask is empty or of another shape.
        """
        return self._say(object_id, frame, Prompt(mask=np.asarray(mask)))

    def add_labels(self, labels: npt.ArrayLike, frame: int) -> None:
        """Make each label of an image (Y, X), for example from Cellpose or StarDist, an object.

        Label n becomes object n. If object n exists, its prompt on this frame is replaced.

        Raises
        ------
        InputError
            If the image has another shape, or no labels.
        """
        self.add_prompts(seeds_from_labels(labels, frame))

    def add_prompts(self, prompts: Prompts) -> None:
        """Add the prompts of many objects, object id -> frame -> prompt, as one step.

        What an object that exists was told on such a frame is replaced.

        Raises
        ------
        InputError
            If a prompt cannot be used; none is added then.
        """
        with self._carried_out():
            self.widget.workbench.prompting.add(prompts)

    def adopt(self, layer: Labels, parents: Mapping[int, int] | None = None) -> None:
        """Make the labels of a layer on all frames masklets, to be reviewed and corrected.

        They stay to the pixel until something is corrected; if objects exist already, all get
        higher numbers.

        Parameters
        ----------
        parents
            The mother's label by the daughter's, where objects divide; by default those of the
            folder that the layer was imported from. What cannot be is left out.

        Raises
        ------
        InputError
            If it is no Labels layer, of another shape, or has no labels.
        """
        from napari.layers import Labels

        bench, layer = self.widget.workbench, unwrapped(layer)
        if not isinstance(layer, Labels):
            raise InputError(
                f"the masklets are a Labels layer, viewer.layers['name'], not {layer!r:.80}"
            )
        before = bench.used_ids
        bench.seeding.adopt(layer, parents)
        self.wait()
        if bench.used_ids == before:
            raise InputError(self.status)

    def find_all(self, frame: int, diameter: float | None = None) -> list[int]:
        """Find all cells of a frame that have no object yet; returns their new ids.

        Parameters
        ----------
        diameter
            Of a typical cell in pixels; by default found out from the frame.

        Raises
        ------
        InputError
            If the frame does not exist or the diameter cannot be used.
        """
        bench = self.widget.workbench
        before = set(self.prompts)
        self._go_to(frame)
        with self._carried_out():
            bench.seeding.find_all(diameter)
        return sorted(set(self.prompts) - before)

    def end_object(self, object_id: int, frame: int) -> None:
        """Say that an object is not on a frame: it ends there, or begins later.

        Raises
        ------
        InputError
            If the frame does not exist, or the object has no prompt on another frame.
        """
        self._say(object_id, frame, Prompt(absent=True))

    def propagate(
        self,
        direction: Way = "both",
        find_every: int = 0,
        diameter: float | None = None,
        object_ids: int | Iterable[int] | None = None,
    ) -> None:
        """Follow all objects 'forward', 'backward' or 'both' ways, or do a 'repair'.

        Over the frames that are chosen in the window, at first all of them.

        Parameters
        ----------
        find_every
            Frames from one look for cells that came into view, or were missed, to the next; they
            become objects from there on. 0: none.
        diameter
            Of a typical one of them in pixels; by default that of the masks that are there; all
            sizes where there are fewer than three.
        object_ids
            Follow only these; no new cells are looked for then.

        Raises
        ------
        InputError
            If there is nothing to follow, or no such way or object.
        """
        ways = get_args(Way)
        if direction not in ways:
            raise InputError(f"unknown direction {direction!r}; give {', '.join(ways)}")
        find_every = whole_number(find_every, "find_every")
        if find_every < 0:
            raise InputError(f"find_every is a number of frames, 0 or more, not {find_every}")
        if find_every and object_ids is not None:
            raise InputError("give object_ids or find_every: new cells are found with all objects")
        ids = None if object_ids is None else tuple(self._known(object_ids))
        if ids == ():
            raise InputError("object_ids names no object; give one at least, or leave it out")
        looking = Looking(find_every, diameter)
        with self._carried_out():
            self.widget.workbench.following.propagate(direction, ids, looking)

    def repair(self) -> None:
        """Compute again only the frames that changed prompts concern."""
        self.propagate("repair")

    def undo(self) -> None:
        """Take back what was done last."""
        self.widget.undo()
        self.wait()

    def redo(self) -> None:
        """Do again what was undone last."""
        self.widget.redo()
        self.wait()

    def save(self, path: str | Path) -> None:
        """Write the session to a file (`.ns2.json`), and keep that up to date from now on.

        Raises
        ------
        InputError
            If its name ends otherwise, or the file cannot be written.
        """
        if not str(path).endswith(SUFFIX):
            raise InputError(f"{Path(path).name} is no name for a session; choose one in {SUFFIX}")
        with self._carried_out():
            self.widget.save_session(path)

    def export(self, path: str | Path, format: str | None = None, overwrite: bool = False) -> None:
        """Write the masklets for other programs; see `napari_sam2.export_masklets`.

        Parameters
        ----------
        overwrite
            Replace what is there; never an image that is worked on.

        Raises
        ------
        InputError
            If it cannot be written, or there is something already.
        """
        with self._carried_out():
            self.widget.export(path, format, overwrite)

    def teach(self, path: str | Path, overwrite: bool = False, steps: int | None = None) -> None:
        """Teach the model these cells, from the frames that were prompted on.

        The new weights are offered as a model; see `napari_sam2.teach`, which also takes other
        frames.

        Parameters
        ----------
        path
            The weights (.safetensors) to write.
        overwrite
            Replace what is there.
        steps
            How long; a step takes one to two seconds on a CPU.

        Raises
        ------
        InputError
            If nothing was prompted, the model cannot be taught, or there is something already.
        """
        with self._carried_out():
            self.widget.teach(path, overwrite, steps)

    @property
    def prompts(self) -> Prompts:
        """Object id -> frame -> prompt."""
        layers = self.widget.workbench.layers
        return {} if layers is None else layers.prompts

    def frames_to_check(self) -> list[ToCheck]:
        """Return which frames of which objects should be looked at, the worst first."""
        session = self.widget.session
        return [] if session is None else session.frames_to_check()

    def quality(self, frame: int) -> dict[int, Quality]:
        """How sure the network is of each object on a frame, by object id."""
        session = self.widget.session
        return {} if session is None else dict(session.result(frame).quality)

    def _say(self, object_id: int, frame: int, prompt: Prompt) -> npt.NDArray[np.bool_]:
        bench, object_id, frame = self.widget.workbench, self._id(object_id), self._frame(frame)
        with self._carried_out():
            bench.prompting.say(object_id, frame, prompt)
            bench.set_object(object_id)
        return np.asarray(self.masklets[self._geometry().index(frame)]) == object_id
