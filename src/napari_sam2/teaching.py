"""Teaching a small model a user's own cells: images with masks that are right in, weights out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_sam2.evaluation.protocols import FirstFramePrompt, first_frame_scores
from napari_sam2.evaluation.sequences import Task, choose_objects
from napari_sam2.export.files import check_free, check_writable
from napari_sam2.export.formats import masklet_axes, open_masklets
from napari_sam2.export.labels import as_numbers
from napari_sam2.model.checkpoint import build_model
from napari_sam2.model.config import ModelConfig
from napari_sam2.replacing import replacing
from napari_sam2.stacks import axes_of, open_stack, shared_out
from napari_sam2.tracking.errors import InputError, writing
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.stack.channels import Channels
from napari_sam2.tracking.stack.reading import read_plane
from napari_sam2.training.batches import BatchConfig
from napari_sam2.training.fit import TrainConfig, train
from napari_sam2.weights import locate, pick_device

SUFFIX = ".safetensors"
STEPS = 200
_MOST_FRAMES = 60
_MOST_PIXELS = 50_000_000  # that are learned from, in all
_JUDGED_EVERY, _MOST_JUDGED, _JUDGED_OBJECTS = 5, 4, 6
_PROMPTS: tuple[FirstFramePrompt, ...] = ("click", "box")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Taught:
    """What came of it.

    Parameters
    ----------
    path
        The weights.
    learned, judged
        Frames that were learned from, and frames that were held back.
    before, after
        Mean IoU on the frames that were held back, by prompt ("click" or "box"), with the weights
        at the start and with the new ones; empty where no frame could be held back.
    """

    path: Path
    learned: tuple[int, ...]
    judged: tuple[int, ...] = ()
    before: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Page:
    """A frame as the network sees it, (Y, X), and what is on it."""

    frame: int
    image: npt.NDArray[Any]
    labels: npt.NDArray[Any]


def teach(
    images: Any,
    labels: Any,
    output: str | Path,
    *,
    frames: Iterable[int] | None = None,
    start: str | Path = "micro",
    steps: int = STEPS,
    seed: int = 0,
    device: str = "auto",
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Taught:
    """Teach a small model what cells look like in some images.

    The frames are moved, bent, relit and turned, as the images are that `micro` was trained on,
    and two fifths of what is shown are drawn cells of other kinds, so that those are not
    forgotten. Every fifth frame is held back, up to four, to say what it brought.

    Parameters
    ----------
    images
        `Frames`, or what they are made of: (T, Y, X), (T, Y, X, C) or (Y, X).
    labels
        (T, Y, X) or (Y, X) integers, 0 is background. What is labelled has to be right; frames
        without a label are left out, and some cells may be without one.
    output
        The weights to write, .safetensors; `load_model` takes them.
    frames
        Those whose labels are right. Default: all.
    start
        Weights to begin with: "micro", or what an earlier lesson wrote.
    steps
        How long; a step takes one to two seconds on a CPU.
    seed
        Of everything random.
    device, workers
        What computes; processes that make the examples. Programs that start from a file of their
        own need ``if __name__ == "__main__":`` around this on Windows and macOS, or `workers=0`.
    overwrite
        Replace what is at `output`.
    progress
        Called with the steps done and in all. If it raises, or Ctrl-C is pressed, what was learned
        until then is written, in tens of steps.

    Raises
    ------
    InputError
        If images and labels do not fit, nothing is labelled, or the model is none of the small
        ones.
    OutputError
        If the weights cannot be written.
    """
    output = checked_output(output, overwrite)
    if steps < 1:
        raise InputError(f"{steps} steps teach nothing; give 1 or more")
    weights = locate(start)
    config = _small(weights)
    where = str(pick_device(device))
    seen = images if isinstance(images, Frames) else Frames(images)
    pages = _pages(seen, labels if hasattr(labels, "shape") else np.asarray(labels), frames)
    held, kept = _shared_out(pages)
    before = _judged(weights, held, where)  # now: the new ones may take their place
    with TemporaryDirectory(prefix="napari-sam2-lesson-") as folder:
        run, lesson = Path(folder) / "run", Path(folder) / "lesson"
        _write(lesson, kept)
        recipe = TrainConfig(
            out=run,
            steps=steps,
            warm_images=0,
            clip_share=0.3,
            rate=3e-4,
            warmup=min(20, steps // 5),
            cooldown=steps // 2,
            seed=seed,
            device=where,
            workers=workers,
            save_every=10,
            init=weights,
            # Cells of any size are brought to one that the network is at home with.
            batch=BatchConfig(
                real=(str(lesson),), real_share=0.6, real_zooms=(0.1, 2.5), outline=(0.0, 0.0)
            ),
            model=config,
        )
        try:
            train(recipe, progress=progress)
        finally:
            if (run / "weights.safetensors").exists():
                with writing(output):
                    output.parent.mkdir(parents=True, exist_ok=True)
                    with replacing(output) as unfinished:
                        shutil.copyfile(run / "weights.safetensors", unfinished)
    return Taught(
        output,
        tuple(page.frame for page in kept),
        tuple(page.frame for page in held),
        before,
        _judged(output, held, where),
    )


def open_lesson(
    stack: Path,
    masks: Path,
    *,
    axes: str | None = None,
    channel: Channels | None = None,
    select: Mapping[str, int] | None = None,
) -> tuple[Frames, Any]:
    """Open images and labels for `teach`, lazily.

    Parameters
    ----------
    stack, axes, channel
        As for `open_stack`.
    masks
        As for `open_masklets`.
    select
        Index along other axes, of both, as far as each has them.

    Raises
    ------
    InputError
        If one of them cannot be read.
    """
    own, theirs = dict(select or {}), {}
    if select:
        own, theirs = shared_out(select, axes_of(stack, axes), masklet_axes(masks))
    images = open_stack(stack, axes, channel=channel, select=own)
    return images.frames(), open_masklets(masks, select=theirs).data


def checked_output(output: str | Path, overwrite: bool = False) -> Path:
    """Refuse a name for weights before any work.

    Raises
    ------
    InputError
        If it has another suffix, or is taken.
    OutputError
        If nothing can be written there.
    """
    output = Path(output)
    if output.suffix.lower() != SUFFIX:
        raise InputError(f"{output.name} is no name for weights; end it in {SUFFIX}")
    check_free(output, overwrite)
    check_writable(output)
    return output


def stamp(path: Path) -> int | None:
    """Return what changes when a file is written, to tell whether a lesson that ended early did."""
    return path.stat().st_mtime_ns if path.exists() else None


def _small(weights: Path) -> ModelConfig:
    config = build_model(weights).config
    if config.square_input:
        raise InputError(
            f"{config.name} is too large to be taught here; start with micro, or with what an "
            "earlier lesson wrote"
        )
    return config


def _pages(seen: Frames, labels: Any, frames: Iterable[int] | None) -> list[_Page]:
    """Read the labelled frames: all of those named, or as many as memory is meant for, evenly."""
    sizes = tuple(int(n) for n in labels.shape)
    if sizes not in {(len(seen), *seen.shape), seen.shape * (len(seen) == 1)}:
        raise InputError(
            f"labels of shape {sizes} do not fit {len(seen)} frames of {seen.shape}; give those of "
            "the same frames"
        )
    if np.dtype(labels.dtype).kind not in "bui":
        raise InputError(f"labels are integers, these are {labels.dtype}; give a label image")
    named = None if frames is None else _named(frames, len(seen))
    most = max(1, min(_MOST_FRAMES, _MOST_PIXELS // (seen.shape[0] * seen.shape[1])))
    pages: list[_Page] = []
    for t in _spread(len(seen)) if named is None else named:
        plane = as_numbers(read_plane(labels, t if len(sizes) == 3 else ..., "labels"))
        if plane.any():
            pages.append(_Page(t, _as_seen(seen, t), plane.astype(np.int32)))
        if len(pages) == most and named is None:
            break
    if not pages:
        raise InputError("no frame has a label to learn from; give masks of some cells")
    return sorted(pages, key=lambda page: page.frame)


def _named(frames: Iterable[int], length: int) -> list[int]:
    named = sorted({int(t) for t in frames})
    for t in named:
        if not 0 <= t < length:
            raise InputError(f"frame {t} does not exist; there are frames 0 to {length - 1}")
    return named


def _spread(length: int) -> list[int]:
    """Return all frames in an order whose beginning is spread over the whole stack."""
    bits = length.bit_length()
    return sorted(range(length), key=lambda t: int(f"{t:0{bits}b}"[::-1], 2))


def _as_seen(seen: Frames, frame: int) -> npt.NDArray[Any]:
    return np.asarray(np.rint(seen.grey(frame) * 65_535), np.uint16)


def _shared_out(pages: list[_Page]) -> tuple[list[_Page], list[_Page]]:
    """Return what is held back, where there is enough of it, and what is learned from."""
    if len(pages) < _JUDGED_EVERY:
        return [], pages
    held = pages[_JUDGED_EVERY // 2 :: _JUDGED_EVERY][:_MOST_JUDGED]
    return held, [page for page in pages if page not in held]


def _write(folder: Path, pages: list[_Page]) -> None:
    """Write what is learned from as training reads it, also from other processes."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for page in pages:
        tifffile.imwrite(folder / "images" / f"{page.frame}.tif", page.image)
        tifffile.imwrite(folder / "masks" / f"{page.frame}.tif", page.labels)


def _judged(weights: Path, held: list[_Page], device: str) -> dict[str, float]:
    """Mean IoU of some objects on the frames that were held back, from one prompt each."""
    if not held:
        return {}
    model = build_model(weights).to(device)
    scores: dict[str, list[float]] = {prompt: [] for prompt in _PROMPTS}
    for page in held:
        chosen = choose_objects(page.labels, _JUDGED_OBJECTS)
        task = Task(page.image[None], page.labels[None], 0, chosen, "forward")
        for prompt in _PROMPTS:
            scores[prompt] += first_frame_scores(model, task, prompt).values()
    return {prompt: float(np.mean(found)) for prompt, found in scores.items() if found}
