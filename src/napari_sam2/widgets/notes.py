"""What the user noted on objects: names, what is accepted, hidden and locked. No Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_sam2.tracking.kept.steps import MergeObjects, RemoveObject, SplitObject, Step

if TYPE_CHECKING:
    from napari_sam2.tracking.prompt import Prompt, Prompts

Noted = tuple[str, frozenset[int], bool, bool]
"""Of one object: its name, accepted frames, whether it is hidden, and locked."""


@dataclass
class Notes:
    """What the user says of objects besides prompts."""

    names: dict[int, str] = field(default_factory=dict)
    approved: dict[int, set[int]] = field(default_factory=dict)
    """Frames by object whose masks the user has accepted."""
    hidden: set[int] = field(default_factory=set)
    locked: set[int] = field(default_factory=set)
    # What was said where a mask was accepted, for undo to know it again.
    _withdrawn: dict[tuple[int, int], Prompt] = field(default_factory=dict, repr=False)
    # Names, and who is hidden, of objects whose making was undone.
    _unmade: dict[int, tuple[str, bool]] = field(default_factory=dict, repr=False)

    def name(self, object_id: int) -> str:
        """Name an object, for sentences."""
        given = self.names.get(object_id)
        return f"Object {object_id} ({given})" if given else f"Object {object_id}"

    def copy(self) -> Notes:
        """Return notes that do not change any more."""
        approved = {i: set(frames) for i, frames in self.approved.items()}
        return Notes(dict(self.names), approved, set(self.hidden), set(self.locked))

    def as_json(self) -> dict[int, dict[str, Any]]:
        """Return what a session file keeps, by object; locks are steps of the session."""
        found: dict[int, dict[str, Any]] = {}
        for i in {*self.names, *self.approved, *self.hidden}:
            note: dict[str, Any] = {}
            if i in self.names:
                note["name"] = self.names[i]
            if self.approved.get(i):
                note["accepted"] = sorted(self.approved[i])
            if i in self.hidden:
                note["hidden"] = True
            if note:
                found[i] = note
        return found

    @classmethod
    def from_json(cls, found: Mapping[int, Mapping[str, Any]]) -> Notes:
        """Read what `as_json` wrote."""
        return cls(
            {i: str(note["name"]) for i, note in found.items() if "name" in note},
            {i: {int(t) for t in note.get("accepted", ())} for i, note in found.items()},
            {i for i, note in found.items() if note.get("hidden")},
        )

    def toggle_approved(self, object_id: int, frame: int) -> bool:
        """Accept a mask, or take that back; returns whether it is accepted now."""
        frames = self.approved.setdefault(object_id, set())
        frames.symmetric_difference_update({frame})
        return frame in frames

    def withdraw(self, object_id: int, frame: int, prompt: Prompt) -> None:
        """Take an acceptance back along with the prompt that it is about."""
        self.approved.get(object_id, set()).discard(frame)
        self._withdrawn[object_id, frame] = prompt

    def follow(self, before: Prompts, after: Prompts) -> None:
        """Follow undo or redo: what was accepted goes and comes with its prompt."""
        for object_id, by_frame in before.items():
            for frame in by_frame.keys() - after.get(object_id, {}).keys():
                if frame in self.approved.get(object_id, ()):
                    self.withdraw(object_id, frame, by_frame[frame])
        for (object_id, frame), prompt in self._withdrawn.items():
            gone = frame not in before.get(object_id, {})
            if gone and after.get(object_id, {}).get(frame) == prompt:
                self.approved.setdefault(object_id, set()).add(frame)

    def done(self, step: Step, kept: dict[int, Noted]) -> None:
        """Follow the deletion, merging or splitting of objects.

        Parameters
        ----------
        kept
            Gets what was noted of them before, for `undone`.
        """
        kept.clear()
        match step:
            case RemoveObject():
                kept.update(self._of(*step.object_ids))
                for object_id in step.object_ids:
                    self.forget(object_id)
            case MergeObjects():
                kept.update(self._of(step.kept, *step.object_ids))
                for absorbed in step.object_ids:
                    self.merged(step.kept, absorbed)
            case SplitObject(object_id, frame, new_id):
                kept.update(self._of(object_id, new_id))
                self.split(object_id, frame, new_id)

    def undone(self, kept: Mapping[int, Noted]) -> None:
        """Bring back what `done` kept."""
        for object_id, (name, approved, hidden, locked) in kept.items():
            self.forget(object_id)
            if name:
                self.names[object_id] = name
            if approved:
                self.approved[object_id] = set(approved)
            self.hidden |= {object_id} if hidden else set()
            self.locked |= {object_id} if locked else set()  # the same set: others have it, too

    def unmade(self, object_ids: Iterable[int]) -> None:
        """Follow undo where objects are gone by it: their ids may be those of others next."""
        for i in object_ids:
            self._unmade[i] = self.names.pop(i, ""), i in self.hidden
            self.forget(i)

    def made_again(self, object_ids: Iterable[int]) -> None:
        """Follow redo where objects are back by it."""
        for i in object_ids:
            name, hidden = self._unmade.pop(i, ("", False))
            if name:
                self.names[i] = name
            self.hidden |= {i} if hidden else set()

    def _of(self, *object_ids: int) -> dict[int, Noted]:
        return {
            i: (
                self.names.get(i, ""),
                frozenset(self.approved.get(i, ())),
                i in self.hidden,
                i in self.locked,
            )
            for i in object_ids
        }

    def forget(self, object_id: int) -> None:
        """Drop all notes on an object that is gone."""
        self.names.pop(object_id, None)
        self.approved.pop(object_id, None)
        self.hidden.discard(object_id)
        self.locked.discard(object_id)

    def merged(self, kept: int, absorbed: int) -> None:
        """Follow the merging of two objects."""
        self.approved.setdefault(kept, set()).update(self.approved.get(absorbed, set()))
        if absorbed in self.names:
            self.names.setdefault(kept, self.names[absorbed])
        self.forget(absorbed)

    def split(self, object_id: int, frame: int, new_id: int) -> None:
        """Follow the splitting of an object at a frame."""
        frames = self.approved.get(object_id, set())
        self.approved[new_id] = {t for t in frames if t >= frame}
        self.approved[object_id] = frames - self.approved[new_id]
