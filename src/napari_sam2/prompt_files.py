"""Prompts of any kind of file: JSON, regions of ImageJ, label images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_sam2.export.labels import as_numbers, check_image, open_labels
from napari_sam2.export.rois import SUFFIXES as ROIS
from napari_sam2.export.rois import read_rois
from napari_sam2.stacks import Stack, axes_of, shared_out
from napari_sam2.tracking.errors import InputError, reading
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.prompts_json import read_json
from napari_sam2.tracking.prompts import Prompts, load_prompts, seeds_from_labels


def check_there(prompts: Path | None) -> None:
    """Refuse a file that is not there.

    Raises
    ------
    InputError
        If it is not, or its drive is not.
    """
    if prompts is None:
        return
    with reading(prompts):
        if not prompts.exists():
            raise InputError(f"no prompts at {prompts}; check the path")


def check_frame(frame: int, frames: Frames) -> None:
    """Refuse a frame for prompts that the stack does not have.

    Raises
    ------
    InputError
        If it is such a one.
    """
    if not 0 <= frame < len(frames):
        raise InputError(f"prompt frame {frame} does not exist; choose 0 to {len(frames) - 1}")


def mask_files(prompts: Path) -> list[Path]:
    """Return the files of masks that a prompts file names, which was read before."""
    entries = [p for one in read_json(prompts)["objects"] for p in one.get("prompts", ())]
    masks = [entry.get("mask") for entry in entries]
    return [prompts.parent / mask for mask in masks if isinstance(mask, str)]


def prompts_from(
    path: Path | None,
    stack: Stack,
    frames: Frames,
    frame: int,
    planes: Mapping[str, int],
    axes: str | None,
) -> Prompts:
    """Read prompts of any kind.

    Parameters
    ----------
    path : prompts (.json), regions of ImageJ, or a label image; None: no prompts yet.
    stack, frames : that they are for.
    frame : that a label image, or regions without a position, belong to.
    planes : of `stack`, by letter.
    axes : of the file of the stack, as the user said.

    Raises
    ------
    InputError
        If they cannot be used; the message names the file.
    """
    kind = None if path is None else path.suffix.lower()
    if path is not None and kind == ".json":
        file = load_prompts(path, frames.shape, len(frames))
        _check_axis(file.axis, path, stack, axes)
        return file.objects
    check_frame(frame, frames)
    if path is None:
        return {}
    if kind in ROIS:
        along = stack.axes[0]
        return read_rois(path, frames.shape, len(frames), along=along, frame=frame, planes=planes)
    if kind == ".csv":
        raise InputError(
            f"{path.name} is a table; give prompts as JSON, regions of ImageJ, or a label image"
        )
    return _seeds(path, frame, frames, planes)


def _check_axis(axis: int, prompts: Path, stack: Stack, axes: str | None) -> None:
    """Refuse prompts whose frames count along another axis than that of the stack."""
    if axis == stack.propagation_axis:  # what this program writes, whatever the image is
        return
    along, letters = stack.axes[0], axes_of(stack.path, axes)
    if letters.find(along) == axis:
        return
    place = max(letters.find(along), 0)
    raise InputError(
        f'{prompts.name}: its frames count along axis {axis} of the image ("axis"), but the stack '
        f"is followed along {along}, which is axis {place}; write that, or follow the other axis"
    )


def _seeds(path: Path, frame: int, frames: Frames, select: Mapping[str, int]) -> Prompts:
    """Mask prompts from a label image of one frame, or of the whole stack."""
    letters = axes_of(path)
    others = [letter for letter in letters if letter not in "YXCS"]
    if "Q" in others and len(others) > 1:  # the axes that can be given are those of the stack
        raise InputError(
            f"{path.name} does not say which of its {len(letters)} axes are time and z; give the "
            "labels of one frame (Y, X) or of all (T, Y, X), or save them as OME-TIFF or OME-Zarr"
        )
    own = shared_out(select, "", letters)[1] if select else None
    labels = open_labels(path, select=own).data
    if len(labels) not in (1, len(frames)):
        raise InputError(
            f"{path.name} has {len(labels)} frames; give the labels of one frame, or of all "
            f"{len(frames)}"
        )
    chosen = as_numbers(labels[frame if len(labels) > 1 else 0])
    check_image(chosen, path.name)
    try:
        prompts = seeds_from_labels(chosen, frame)
        return {
            i: {f: p.validate(frames.shape, object_id=i, frame=f) for f, p in by_frame.items()}
            for i, by_frame in prompts.items()
        }
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
