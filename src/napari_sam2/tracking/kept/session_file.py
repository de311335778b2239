"""A session on disk (`.ns2.json`): what it was about, and every step that led to its masks.

Doing the steps again on the same image with the same model gives the same labels. The file is
also a prompts file: "objects" holds the prompts as they are at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2.replacing import replacing
from napari_sam2.tracking.errors import InputError, reading, writing
from napari_sam2.tracking.following.passes import results_of
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.lineage_steps import Divide
from napari_sam2.tracking.kept.prompts_json import VERSION, read_json
from napari_sam2.tracking.kept.session_text import SessionText, state_of
from napari_sam2.tracking.kept.steps import (
    AddPrompts,
    AdoptMasks,
    Propagate,
    SetPrompt,
    SplitObject,
    Step,
)
from napari_sam2.tracking.kept.steps_json import step_from_json
from napari_sam2.tracking.prompt import Prompts
from napari_sam2.tracking.stack.channels import Channels, channels_from_json
from napari_sam2.tracking.stack.contrast import Contrast

if TYPE_CHECKING:
    from napari_sam2.model.config import Attention
    from napari_sam2.model.sam2 import SAM2
    from napari_sam2.tracking.frames import Frames
    from napari_sam2.tracking.kept.history import History
    from napari_sam2.tracking.session import TrackingSession

SUFFIX = ".ns2.json"


@dataclass(frozen=True)
class ImageIdentity:
    """Which image a session is about.

    Parameters
    ----------
    path : the file as it was opened, or "" where there was none.
    fingerprint : see `frames_fingerprint`.
    shape : (T, Y, X).
    contrast : values shown as black and white.
    axes : of the file, for one that does not say so itself; "" where they are unknown.
    channel : of the file's channels, the one that was looked at, or those that were mixed.
    select : index along the file's other axes, e.g. ``{"Z": 3}``.
    """

    path: str
    fingerprint: str
    shape: tuple[int, int, int]
    contrast: Contrast
    axes: str = ""
    channel: Channels | None = None
    select: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        frames: Frames,
        path: str = "",
        axes: str = "",
        channel: Channels | None = None,
        select: Mapping[str, int] | None = None,
    ) -> ImageIdentity:
        """Look at a stack."""
        from napari_sam2.tracking.stack.fingerprints import frames_fingerprint  # brings torch

        shape = (len(frames), *frames.shape)
        fingerprint = frames_fingerprint(frames)
        return cls(path, fingerprint, shape, frames.contrast, axes, channel, dict(select or {}))

    def check(self, frames: Frames) -> None:
        """Refuse another stack than this.

        Raises
        ------
        InputError
            If the shape or the pixels differ; the message says which.
        """
        from napari_sam2.tracking.stack.fingerprints import frames_fingerprint

        found = (len(frames), *frames.shape)
        if found != self.shape:
            raise InputError(
                f"the session is about a stack of {_size(self.shape)}, but this one has "
                f"{_size(found)}; give the image it was made on, with the same axes and channel"
            )
        if frames_fingerprint(frames) != self.fingerprint:
            raise InputError(
                "the image has changed since the session was saved: it has the same size but other "
                "pixels; give the image it was made on, with the same channel and plane"
            )


@dataclass(frozen=True)
class SessionFile:
    """What a session file says.

    Parameters
    ----------
    image : which image it is about.
    model, fingerprint : name or path of the model, and the digest of its weights.
    steps : from an empty session to the masks.
    attention, zoom : as in `TrackingPolicy`.
    notes : what is noted of objects by id: "name" and the like; JSON values.
    slice_step : distance of two frames that the user gave, in the unit of y.
    left : what a run without a window had still to do when it was stopped.
    known : ids with prompts at the end, those included that were found on the way.
    state : digest of all that decides about the masks; "" where it was not read from a file.
    """

    image: ImageIdentity
    model: str
    fingerprint: str
    steps: tuple[Step, ...]
    attention: Attention | None = None
    zoom: float | None = None
    notes: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    slice_step: float | None = None
    left: tuple[Step, ...] = field(default=(), compare=False)
    known: tuple[int, ...] = field(default=(), compare=False)
    state: str = field(default="", compare=False)

    @classmethod
    def of(
        cls,
        history: History,
        model: str,
        path: str = "",
        axes: str = "",
        channel: Channels | None = None,
        select: Mapping[str, int] | None = None,
    ) -> SessionFile:
        """Describe what was done.

        Parameters
        ----------
        history : what was done to a session.
        model : its name or path, to load it again.
        path, axes, channel, select : of the image, as in `ImageIdentity`.
        """
        session = history.session
        image = ImageIdentity.of(session.frames, path, axes, channel, select or {})
        return replace(cls.about(session, image, model), steps=tuple(history.steps))

    @classmethod
    def about(cls, session: TrackingSession, image: ImageIdentity, model: str) -> SessionFile:
        """Describe a session to which nothing was done yet.

        Parameters
        ----------
        session, image : it and its image.
        model : name or path of its model, to load it again.
        """
        from napari_sam2.tracking.stack.fingerprints import model_fingerprint  # brings torch

        fingerprint, policy = model_fingerprint(session.model).hex(), session.policy
        return cls(image, model, fingerprint, (), policy.attention, policy.zoom)

    @property
    def object_ids(self) -> list[int]:
        """Ids of all objects that there ever are."""
        ids: set[int] = set(self.known)
        for step in (*self.steps, *self.left):
            if isinstance(step, SetPrompt):
                ids.add(step.object_id)
            elif isinstance(step, AddPrompts):
                ids.update(step.prompts)
            elif isinstance(step, AdoptMasks):
                ids.update(step.masks)
            elif isinstance(step, SplitObject):
                ids.add(step.new_id)
            elif isinstance(step, Divide):
                ids.update(step.daughters)
        return sorted(ids)

    def cost(self, steps: Iterable[Step] | None = None) -> int:
        """About how many frames a replay computes, or some steps do."""
        return sum(self._cost(step) for step in (self.steps if steps is None else steps))

    def _cost(self, step: Step) -> int:
        if isinstance(step, Propagate) and step.frames is not None:
            return step.frames
        if isinstance(step, Propagate):
            every = step.every if isinstance(step, PropagateAndFind) else 0
            return max(results_of(self.image.shape[0], every) - step.after, 0)
        return step.cost if isinstance(step, AdoptMasks) else 1

    def check_model(self, model: SAM2) -> None:
        """Refuse another model than this.

        Raises
        ------
        InputError
            If the weights differ.
        """
        from napari_sam2.tracking.stack.fingerprints import model_fingerprint

        if model_fingerprint(model).hex() != self.fingerprint:
            raise InputError(
                f"these are not the weights that the session was made with ({self.model}); "
                "give the same model, or start anew with the file as prompts"
            )

    def check(self, session: TrackingSession) -> None:
        """Refuse a session with another image or model; see `ImageIdentity.check`."""
        self.image.check(session.frames)
        self.check_model(session.model)


def save_session(
    path: str | Path, content: SessionFile, prompts: Prompts, text: SessionText | None = None
) -> str:
    """Write a session file; it is replaced only once it is complete.

    Parameters
    ----------
    path : should end in `.ns2.json`.
    content : what to write.
    prompts : as they are at the end.
    text : keeps what it made of this session before.

    Returns
    -------
    str
        The `SessionFile.state` that will be read from it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = Path(path)
    written: dict[str, Any] = {
        "version": VERSION,
        "axis": 0,
        "image": asdict(content.image),
        "model": {"name": content.model, "fingerprint": content.fingerprint},
        "settings": {"attention": content.attention, "zoom": content.zoom},
        "notes": {str(i): dict(notes) for i, notes in content.notes.items()},
        "slice_step": content.slice_step,
    }
    whole, state = (text or SessionText()).of(written, prompts, content.steps, content.left)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            unfinished.write_text(whole, encoding="utf-8")
    return state


def load_session(path: str | Path) -> SessionFile:
    """Read a session file.

    Raises
    ------
    InputError
        If it is missing, no session file, of another version, or damaged.
    """
    path = Path(path)
    with reading(path):
        empty = not path.stat().st_size
    if empty:
        raise InputError(
            f"{path.name} is empty: the run was stopped before its session was first saved; start "
            "it anew"
        )
    content = read_json(path)
    if "steps" not in content:
        raise InputError(
            f"{path.name} is no session file; choose one (.ns2.json), or give it as prompts"
        )
    try:
        steps, left = (
            tuple(step_from_json(e, n) for n, e in enumerate(entries, start=1))
            for entries in (content["steps"], content.get("left", []))
        )
        identity, model = _identity(content["image"]), content["model"]
        settings = content.get("settings", {})
        return SessionFile(
            identity,
            str(model["name"]),
            str(model["fingerprint"]),
            steps,
            settings.get("attention"),
            settings.get("zoom"),
            {int(i): _note(notes) for i, notes in content.get("notes", {}).items()},
            None if content.get("slice_step") is None else float(content["slice_step"]),
            left,
            tuple(int(entry["id"]) for entry in content.get("objects", ())),
            state_of(content),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path.name}: {error}") from error
        raise InputError(f"{path.name} is damaged ({error}); restore it from a copy") from error


def _note(found: Mapping[str, Any]) -> dict[str, Any]:
    note = dict(found)
    if "accepted" in note:
        note["accepted"] = [int(frame) for frame in note["accepted"]]
    return note


def _identity(image: Mapping[str, Any]) -> ImageIdentity:
    shape, contrast = image["shape"], image["contrast"]
    mixed = isinstance(contrast[0], list)
    pairs = tuple((float(low), float(high)) for low, high in (contrast if mixed else [contrast]))
    return ImageIdentity(
        str(image["path"]),
        str(image["fingerprint"]),
        (int(shape[0]), int(shape[1]), int(shape[2])),
        pairs if mixed else pairs[0],
        str(image.get("axes", "")),
        channels_from_json(image.get("channel")),
        {str(letter): int(index) for letter, index in image.get("select", {}).items()},
    )


def _size(shape: tuple[int, int, int]) -> str:
    return f"{shape[0]} frames of {shape[1]} x {shape[2]} pixels"
